"""Sizes as people write and read them; all units are powers of 1024."""

from __future__ import annotations

import re

_LETTERS = "kmgtpezy"
_WORDS = ("kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "iotta")
_BINARY = ("kibi", "mebi", "gibi", "tebi", "pebi", "exbi", "zebi", "yobi")
_POWERS = {name: n for names in (_LETTERS, _WORDS, _BINARY) for n, name in enumerate(names, 1)}
_POWERS |= {"yotta": 8, "byte": 0, "bytes": 0, "b": 0, "bi": 0, "": 0}


def parse_size(text: str) -> int:
    """Return the number of bytes (or bases) that a text names.

    >>> [parse_size(text) for text in ("1 K", "0.5kilo", ".5G", "50MiB", "8m", "0.1  byte")]
    [1024, 512, 536870912, 52428800, 8388608, 0]

    Raises:
        ValueError: It is no size.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) *([a-z]*)", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no size, such as 512M or 4G")
    unit = found[2]
    power = _POWERS.get(unit, _POWERS.get(re.sub("(?<=^[a-z])i?b?$", "", unit)))
    if power is None:
        raise ValueError(f"{text!r} has no unit that is known: K M G T P E Z Y, powers of 1024")
    number = float(found[1]) if "." in found[1] else int(found[1])
    return int(number * 1024**power)


def show_size(count: float) -> str:
    """Return a number of bytes as a person reads it.

    >>> [show_size(count) for count in (0, 1023, 1536, 5 << 40, 1 << 80)]
    ['0 B', '1023 B', '1.5 KiB', '5.0 TiB', '1.0 YiB']
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} YiB"
