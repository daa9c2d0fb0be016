"""Regions: the only place where 1-based text becomes 0-based half-open intervals.

`parse_region` reads exactly what `samtools view` reads; with contigs `b`, `b:7`, `HLA-A*01:01`:

| text                        | region                                     |
|-----------------------------|--------------------------------------------|
| `b`                         | ("b", 0, None)         whole contig        |
| `b:5`, `b:5-`               | ("b", 4, None)         from 5 to the end   |
| `b:5-9`, `b:5-9,`           | ("b", 4, 9)                                |
| `b:5-5`                     | ("b", 4, 5)                                |
| `b:-5`, `b:0-5`             | ("b", 0, 5)                                |
| `b:1,000-2,000`, `b:1k-2K`  | ("b", 999, 2000)                           |
| `b:1.5k-2e3`, `b:0.1M`      | ("b", 1499, 2000), ("b", 99999, None)      |
| `{b}:7`, `{b:7}`            | ("b", 6, None), ("b:7", 0, None)           |
| `HLA-A*01:01`               | ("HLA-A*01:01", 0, None)                   |
| `*`                         | UNPLACED               reads without place |
| `.`                         | EVERYTHING                                 |
| `b:7`                       | error: ambiguous, both `b` and `b:7` exist |
| `b:7-3`, `b:3-5 `, `c`      | error                                      |
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from bams3.errors import InputError, RegionError

Interval = tuple[int, int]
Intervals = dict[str, list[Interval]]

MAX_END = (1 << 63) - 1
_NUMBER = re.compile(
    r"[ \t\n\v\f\r]*([+-]?)([0-9,]*)(?:\.([0-9]*))?(?:[eE]([+-]?)([0-9]*)|([kKmMgG]))?",
)
_POWERS = {"k": 3, "m": 6, "g": 9}


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of a contig, 0-based half-open; `end` None reaches to the end of the contig."""

    contig: str
    start: int = 0
    end: int | None = None

    def __str__(self) -> str:
        """Return the 1-based closed text that parses back to this region."""
        if self in (UNPLACED, EVERYTHING):
            return self.contig
        name = f"{{{self.contig}}}" if ":" in self.contig else self.contig
        if self.start == 0 and self.end is None:
            return name
        return f"{name}:{self.start + 1}-{'' if self.end is None else self.end}"

    @property
    def interval(self) -> Interval:
        """Start and end, with an end beyond any contig where the region is open."""
        return self.start, MAX_END if self.end is None else self.end


UNPLACED = Region("*")
EVERYTHING = Region(".")


def parse_region(text: str, contigs: Mapping[str, object] | Sequence[str]) -> Region:
    """Parse `text` as `samtools view` does, given the names of the contigs.

    Raises:
        RegionError: the text is no region, is ambiguous, or names no contig of the dataset.
    """
    if text == "*":
        return UNPLACED
    if text == ".":
        return EVERYTHING
    names = contigs if isinstance(contigs, Mapping) else dict.fromkeys(contigs)
    if text.startswith("{"):
        name, span = _split_quoted(text)
    else:
        name, span = _split_plain(text, names)
    if name not in names:
        raise _unknown(name, text, names)
    return _with_span(name, span, text)


def likely_contig(region: str | Region) -> str | None:
    """Return the contig of a region where the contigs are not known, "*" for unplaced reads.

    A name with a colon may be cut short. None: it is no region of one contig.
    """
    name = region.contig if isinstance(region, Region) else region
    if name == EVERYTHING.contig:
        return None
    if isinstance(region, str) and region.startswith("{"):
        return region[1:].partition("}")[0]
    return name if isinstance(region, Region) else region.rpartition(":")[0] or region


def _split_quoted(text: str) -> tuple[str, str | None]:
    """Split `{name}:span`; the span is None where there is none."""
    close = text.find("}")
    if close < 0:
        raise RegionError(f"the brace is not closed in region {text!r}")
    rest = text[close + 1 :]
    if rest.startswith(":"):
        return text[1:close], rest[1:]
    return (text[1:close] if not rest else text[1:-1]), None


def _split_plain(text: str, names: Mapping[str, object]) -> tuple[str, str | None]:
    """Split at the last colon, unless the whole text is a contig."""
    name, colon, span = text.rpartition(":")
    if not colon:
        return text, None
    if text not in names:
        return name, span
    if name in names:
        raise RegionError(
            f"region {text!r} is ambiguous: there is a contig of that name and a contig {name!r}",
            hint=f"write {{{text}}} or {{{name}}}:{span}",
        )
    return text, None


def _with_span(name: str, span: str | None, text: str) -> Region:
    """Build the region from the text behind the colon."""
    if span is None:
        return Region(name)
    first, used = _parse_decimal(span)
    rest = span[used:]
    if first < 0:
        return _up_to(name, -first, rest, text)
    start = max(first - 1, 0)
    if not rest or (first == 0 and rest[0] == ","):
        return Region(name, start)
    if rest[0] != "-":
        raise _bad_span(text, rest)
    return _closed(name, start, rest[1:], text)


def _up_to(name: str, end: int, rest: str, text: str) -> Region:
    """Build the region of `name:-end`."""
    if rest and not rest[0].isdigit() and rest[0] != ",":
        raise _bad_span(text, rest)
    return Region(name, 0, end)


def _closed(name: str, start: int, last: str, text: str) -> Region:
    """Build the region of `name:start-last`; an end of 0 or none is the end of the contig."""
    end, used = _parse_decimal(last)
    if last[used:] and last[used] != ",":
        raise _bad_span(text, last[used:])
    if end == 0:
        return Region(name, start)
    if start >= end:
        raise RegionError(f"region {text!r} ends before it begins", "write it as chr1:3-7")
    return Region(name, start, end)


def _parse_decimal(text: str) -> tuple[int, int]:
    """Return the number at the start of `text` and the characters used (0 without digits)."""
    found = _NUMBER.match(text)
    assert found is not None
    sign, whole, fraction, exponent_sign, exponent, unit = found.groups()
    digits = whole.replace(",", "") + (fraction or "")
    if not digits:
        return 0, 0
    power = _POWERS[unit.lower()] if unit else min(int(exponent or 0), 99)
    power = (-power if exponent_sign == "-" else power) - len(fraction or "")
    number = int(digits) * 10**power if power >= 0 else int(digits) // 10**-power
    return (-number if sign == "-" else number), found.end()


def _bad_span(text: str, rest: str) -> RegionError:
    return RegionError(f"unexpected {rest!r} in region {text!r}", hint="write chr1:1,000-2,000")


def _unknown(name: str, text: str, names: Mapping[str, object]) -> RegionError:
    """Say that there is no such contig, with names that are near."""
    of = "" if name == text else f" (region {text!r})"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) if len(names) < 5000 else []
    near += [n for n in (f"chr{name}", name.removeprefix("chr")) if n in names and n not in near]
    if near:
        hint = f"did you mean {' or '.join(near[:4])}?"
    else:
        hint = (
            f"the contigs begin with {', '.join(list(names)[:5])}" if names else "it has no contigs"
        )
    return RegionError(f"there is no contig {name!r}{of}", hint=hint)


def merge_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """Sort and join intervals that overlap or touch."""
    return reduce(_join, sorted(intervals), [])


def _join(merged: list[Interval], interval: Interval) -> list[Interval]:
    if merged and interval[0] <= merged[-1][1]:
        merged[-1] = merged[-1][0], max(merged[-1][1], interval[1])
    else:
        merged.append(interval)
    return merged


def intersect(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """Return what two sorted lists of disjoint intervals have in common.

    An empty interval, which is a place between two bases, is kept where it lies within another.
    """
    common: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end or (start == end and _within(start, left[i], right[j])):
            common.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return common


def _within(place: int, *intervals: Interval) -> bool:
    """Whether a place between two bases lies within any of the intervals, not at its border."""
    return any(start < place < end for start, end in intervals)


def parse_bed(text: str, name: str = "BED") -> list[Region]:
    """Parse the lines of a BED file, in their order.

    Blank lines, comments, `track` and `browser` lines are skipped; a line of two columns is a
    1-based position, as for samtools.

    Raises:
        InputError: a line has no position or ends before it begins.
    """
    regions = (_bed_line(line, f"{name}, line {n}") for n, line in enumerate(text.splitlines(), 1))
    return [region for region in regions if region is not None]


def _bed_line(line: str, where: str) -> Region | None:
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    numbers = [int(f) for f in _leading(fields[1:3], _INTEGER)]
    start, end = _bed_span(numbers)
    if start <= end:
        return Region(fields[0], max(start, 0), end)
    if fields[0] in ("track", "browser"):
        return None
    fault = "ends before it begins" if numbers else "has no position"
    raise InputError(f"{where}: the interval {fault}: {line.strip()[:80]!r}")


_INTEGER = re.compile(r"[+-]?[0-9]+")


def _leading(fields: list[str], pattern: re.Pattern[str]) -> Iterable[str]:
    """Yield the fields up to the first that does not match."""
    for field in fields:
        if not pattern.fullmatch(field):
            return
        yield field


def _bed_span(numbers: list[int]) -> Interval:
    if not numbers:
        return 0, -1
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (numbers[0] - 1, numbers[0])


def by_contig(regions: Iterable[Region]) -> Intervals:
    """Group regions by contig, each contig's intervals merged and sorted."""
    groups: Intervals = {}
    for region in regions:
        groups.setdefault(region.contig, []).append(region.interval)
    return {contig: merge_intervals(intervals) for contig, intervals in groups.items()}
