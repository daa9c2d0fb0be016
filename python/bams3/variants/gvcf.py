"""Blocks of a gVCF that shards cut in two are joined, as if they had never been cut.

The rules are those of `bcftools call --gvcf`: consecutive sites without variant form a block while
the least depth of the samples stays between two of the depths given. A block keeps REF, ALT, GT
and QS of its first site, the least depths, and of each sample the PL of the site with the least
PL[1], then PL[2].
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

_POS, _ALT, _INFO, _FORMAT = 1, 4, 7, 8


def join_blocks(bodies: Iterable[bytes], depths: Sequence[int]) -> Iterator[bytes]:
    """Yield the records of shards in order, joining the last of one with the first of the next.

    Args:
        bodies: Lines of records of each shard, by position; shards are single pieces.
        depths: What `--gvcf` was given, ascending.
    """
    held = b""
    for body in bodies:
        if not body:
            continue
        first, newline, rest = body.partition(b"\n")
        joined = _join(held, first, depths) if held else None
        if joined is None:
            if held:
                yield held + b"\n"
            joined = first
        lines = rest.rstrip(b"\n")
        if not lines:
            held = joined
            continue
        before, newline, held = lines.rpartition(b"\n")
        yield joined + b"\n" + before + newline
    if held:
        yield held + b"\n"


def _join(left: bytes, right: bytes, depths: Sequence[int]) -> bytes | None:
    """Return one block for two lines that bcftools would have put into one."""
    one, other = left.decode().split("\t"), right.decode().split("\t")
    if one[0] != other[0] or _end(one) + 1 != int(other[_POS]):
        return None
    levels = {_level(fields, depths) for fields in (one, other)}
    if len(levels) > 1 or not levels & set(range(1, len(depths) + 1)):
        return None
    least = min(_depth(one), _depth(other))
    info = [part for part in one[_INFO].split(";") if part.split("=")[0] not in ("END", "MIN_DP")]
    one[_INFO] = ";".join([f"END={_end(other)}", f"MIN_DP={least}", *info])
    names = one[_FORMAT].split(":")
    one[9:] = [
        ":".join(_sample(dict(zip(names, a.split(":"), strict=True)), b, other[_FORMAT]))
        for a, b in zip(one[9:], other[9:], strict=True)
    ]
    return "\t".join(one).encode()


def _sample(mine: dict[str, str], other: str, other_names: str) -> list[str]:
    """Return the values of a sample in the joined block."""
    theirs = dict(zip(other_names.split(":"), other.split(":"), strict=True))
    if "DP" in mine and "DP" in theirs:
        mine["DP"] = str(min(int(mine["DP"]), int(theirs["DP"])))
    if "PL" in mine and "PL" in theirs:
        zero, *ours = mine["PL"].split(",")
        mine["PL"] = ",".join([zero, *min(ours, theirs["PL"].split(",")[1:], key=_numbers)])
    return list(mine.values())


def _numbers(texts: Sequence[str]) -> list[int]:
    return [int(text) if text != "." else -1 for text in texts]


def _info(fields: Sequence[str], name: str) -> int | None:
    for part in fields[_INFO].split(";"):
        key, _, value = part.partition("=")
        if key == name:
            return int(value)
    return None


def _end(fields: Sequence[str]) -> int:
    return _info(fields, "END") or int(fields[_POS])


def _depth(fields: Sequence[str]) -> int:
    return _info(fields, "MIN_DP") or 0


def _level(fields: Sequence[str], depths: Sequence[int]) -> int:
    """Return between which depths a block lies; 0 for what is no block."""
    if fields[_ALT] not in (".", "<*>") or _info(fields, "MIN_DP") is None:
        return 0
    return bisect_right(depths, _depth(fields))
