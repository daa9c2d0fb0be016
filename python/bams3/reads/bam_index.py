"""BAI and CSI of a virtual BAM, from the tables of tiles and slices alone.

A real index knows records, this one knows slices: a slice is listed in the fewest bins that cover
its extent exactly. A reader that follows the index finds every record that overlaps its region,
and reads at most the rest of the slices around it. SAMv1 section 5 and CSIv1 of hts-specs.

htslib stops where the first chunk of the next bin on the right begins, for records in that bin
begin after the region. Slices that reach into a bin from the left would make it stop too early. So
the chunk that comes first in a bin is that of the slices which begin in it, be it empty.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bams3 import _core
from bams3.reads.compressed import END_OF_FILE

BAI_SHIFT, BAI_LEVELS = 14, 5
BAI_LONGEST = 1 << BAI_SHIFT + 3 * BAI_LEVELS
CSI_SHIFT = 12
"""Windows of 4 kb, where those of other indexes have 16 kb: who asks for a region gets less of what
lies before it. The file is about as large as the CSI of a BAM, for it lists slices, not records."""


class Stretch(NamedTuple):
    """Records of one contig in a slice, or a tile, and the virtual offsets between which they lie.

    `end` is None where the tile holds records of a later contig: then nobody knows how far those of
    this one reach. Positions are 0-based half-open.
    """

    tid: int
    start: int
    end: int | None
    begin: int
    until: int


class Counts(NamedTuple):
    """Records of a contig."""

    mapped: int
    unmapped: int


@dataclass
class _Contig:
    """What the index lists of one contig."""

    shift: int
    levels: int
    bins: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    spans: list[tuple[int, int]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    begin: int = 0
    until: int = 0

    def add(self, stretch: Stretch) -> None:
        last = (1 << 3 * self.levels) - 1
        first = min(max(stretch.start, 0) >> self.shift, last)
        known = first
        if stretch.end is not None:
            last = known = min(max(stretch.end - 1, stretch.start, 0) >> self.shift, last)
        for number in covering(first, last, self.levels):
            _append(self.bins.setdefault(number, []), stretch.begin, stretch.until)
        if not self.spans:
            self.begin = stretch.begin
        self.until = stretch.until
        self.spans.append((known, stretch.begin))
        self.starts.append(stretch.start)

    def chunks(self, number: int) -> list[tuple[int, int]]:
        """Return the ranges of offsets of a bin, first what begins in it."""
        window = first_window(number, self.levels)
        own = bisect_left(self.starts, window << self.shift)
        border = self.spans[own][1] if own < len(self.spans) else self.until
        before = [
            (begin, min(until, border)) for begin, until in self.bins[number] if begin < border
        ]
        after = [
            (max(begin, border), until) for begin, until in self.bins[number] if until > border
        ]
        return (after or [(border, border)]) + before

    def windows(self) -> array[int]:
        """Return the offset of the first slice that meets each window.

        A window that no slice meets has that of the next one. At the end, windows that say the same
        are one.
        """
        offsets = array("Q")
        for last, begin in self.spans:
            offsets.extend([begin] * (last + 1 - len(offsets)))
        while len(offsets) > 1 and offsets[-2] == offsets[-1]:
            offsets.pop()
        return offsets


def _append(chunks: list[tuple[int, int]], begin: int, until: int) -> None:
    """Append a range of offsets, to the last one if it follows on it."""
    if chunks and chunks[-1][1] == begin:
        begin = chunks.pop()[0]
    chunks.append((begin, until))


def covering(first: int, last: int, levels: int) -> Iterator[int]:
    """Yield the fewest bins that make up the windows from `first` to `last`."""
    while first <= last:
        up = 0
        while up < levels and first % 8 ** (up + 1) == 0 and first + 8 ** (up + 1) - 1 <= last:
            up += 1
        yield first_bin(levels - up) + (first >> 3 * up)
        first += 8**up


def first_bin(level: int) -> int:
    """Return the number of the first bin of a level, of which 0 is the whole contig."""
    return ((1 << 3 * level) - 1) // 7


def first_window(number: int, levels: int) -> int:
    """Return the first window in a bin."""
    level = ((7 * number + 1).bit_length() - 1) // 3
    return (number - first_bin(level)) << 3 * (levels - level)


def levels_for(longest: int) -> int:
    """Return how many levels of bins a CSI needs for contigs of this length."""
    levels = BAI_LEVELS
    while longest > 1 << CSI_SHIFT + 3 * levels:
        levels += 1
    return levels


def bai(
    contigs: int, stretches: Iterable[Stretch], counts: Mapping[int, Counts], unplaced: int
) -> bytes:
    """Return a BAI; no contig may be longer than `BAI_LONGEST`. `counts` by contig number."""
    listed = _collect(stretches, BAI_SHIFT, BAI_LEVELS)
    out = [b"BAI\1", struct.pack("<i", contigs)]
    for tid in range(contigs):
        contig = listed.get(tid)
        out += _bins(contig, counts.get(tid), None) if contig else [struct.pack("<i", 0)]
        windows = contig.windows() if contig else array("Q")
        out += [struct.pack("<i", len(windows)), _little(windows)]
    return b"".join([*out, struct.pack("<Q", unplaced)])


def csi(
    contigs: Sequence[int],
    stretches: Iterable[Stretch],
    counts: Mapping[int, Counts],
    unplaced: int,
) -> bytes:
    """Return a CSI, packed as BGZF. `contigs`: their lengths."""
    levels = levels_for(max(contigs, default=0))
    listed = _collect(stretches, CSI_SHIFT, levels)
    out = [b"CSI\1", struct.pack("<iiii", CSI_SHIFT, levels, 0, len(contigs))]
    for tid in range(len(contigs)):
        contig = listed.get(tid)
        windows = contig.windows() if contig else None
        out += _bins(contig, counts.get(tid), windows) if contig else [struct.pack("<i", 0)]
    out.append(struct.pack("<Q", unplaced))
    return _core.bgzf_deflate(b"".join(out), 6) + END_OF_FILE


def _collect(stretches: Iterable[Stretch], shift: int, levels: int) -> dict[int, _Contig]:
    listed: dict[int, _Contig] = {}
    for stretch in stretches:
        if stretch.tid >= 0:
            listed.setdefault(stretch.tid, _Contig(shift, levels)).add(stretch)
    return listed


def _bins(contig: _Contig, counts: Counts | None, windows: array[int] | None) -> list[bytes]:
    """Write the bins of a contig, and the pseudo-bin with its counts; with `windows` as in CSI."""
    out = [struct.pack("<i", len(contig.bins) + 1)]
    for number in sorted(contig.bins):
        at = first_window(number, contig.levels)
        first = None if windows is None else windows[min(at, len(windows) - 1)]
        out.append(
            _bin(number, first, [offset for chunk in contig.chunks(number) for offset in chunk])
        )
    pseudo = first_bin(contig.levels + 1) + 1
    numbers = [contig.begin, contig.until, *(counts or (0, 0))]
    return [*out, _bin(pseudo, None if windows is None else 0, numbers)]


def _bin(number: int, first: int | None, offsets: Sequence[int]) -> bytes:
    """Write a bin; `first` is there in CSI alone."""
    loffset = b"" if first is None else struct.pack("<Q", first)
    pairs = struct.pack(f"<i{len(offsets)}Q", len(offsets) // 2, *offsets)
    return struct.pack("<I", number) + loffset + pairs


def _little(values: array[int]) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)
