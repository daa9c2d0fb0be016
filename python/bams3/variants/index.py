"""Indexes of alignment files: where in the file the reads of a region lie, and how many bytes.

BAI and CSI (SAMv1 section 5, CSIv1) and CRAI (CRAMv3 section 12). Positions are 0-based half-open.
"""

from __future__ import annotations

import gzip
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bams3 import _core
from bams3.errors import Bams3Error, CorruptError
from bams3.regions import Interval

_BLOCK = 20_000
"""Usual size of a compressed BGZF block, for weights alone."""
_MOST = 1 << 28
_END = 1 << 64


class Weight(NamedTuple):
    """About so many bytes of reads begin in [start, end)."""

    start: int
    end: int
    bytes: float


class Index(Protocol):
    """What an index knows. `tid` is the number of a contig."""

    def weights(self, tid: int) -> list[Weight]:
        """Return windows that hold reads, in order, not overlapping."""


# ---- BAI and CSI ---------------------------------------------------------------------------------
class Chunk(NamedTuple):
    """A range of virtual offsets: byte of a BGZF block times 65536, plus byte inside of it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Contig:
    bins: dict[int, list[Chunk]]
    first: dict[int, int]  # lowest offset of reads overlapping a bin (CSI)
    linear: Sequence[int]  # the same by window of 16 kb (BAI)


class BinnedIndex:
    """A BAI or CSI index in memory."""

    def __init__(self, contigs: list[_Contig], shift: int, depth: int) -> None:
        self._contigs, self._shift, self._depth = contigs, shift, depth

    @classmethod
    def parse(cls, data: bytes, name: str) -> BinnedIndex:
        """Read an index file. Raises CorruptError where it is none."""
        try:
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            if data[:4] == b"BAI\1":
                return cls(_bai(data), 14, 5)
            if data[:4] == b"CSI\1":
                return _csi(data)
        except (struct.error, OSError, EOFError, ValueError) as error:
            raise CorruptError(f"{name}: damaged index", "run samtools index") from error
        raise CorruptError(f"{name}: is not a BAI or CSI index", "run samtools index")

    def chunks(self, tid: int, intervals: Sequence[Interval]) -> list[Chunk]:
        """Return where reads that overlap sorted intervals lie, in order of the file, disjoint."""
        if tid >= len(self._contigs):
            return []
        found = sorted(c for interval in intervals for c in self._of(tid, interval))
        joined: list[Chunk] = []
        for chunk in found:
            if joined and chunk.start <= joined[-1].end:
                joined[-1] = Chunk(joined[-1].start, max(joined[-1].end, chunk.end))
            else:
                joined.append(chunk)
        return joined

    def _of(self, tid: int, interval: Interval) -> Iterator[Chunk]:
        contig, lowest = self._contigs[tid], self._lowest(tid, interval[0])
        highest = self._highest(contig, interval[1])
        for number in self._bins(interval):
            for chunk in contig.bins.get(number, ()):
                if chunk.end > lowest and chunk.start < highest:
                    yield Chunk(max(chunk.start, lowest), min(chunk.end, highest))

    def _bins(self, interval: Interval) -> Iterator[int]:
        """Yield the bins of all levels that overlap an interval."""
        start, last = interval[0], min(interval[1], 1 << self._shift + 3 * self._depth) - 1
        for level in range(self._depth + 1):
            shift = self._shift + 3 * (self._depth - level)
            offset = _first_of(level)
            yield from range(offset + (start >> shift), offset + (last >> shift) + 1)

    def _lowest(self, tid: int, start: int) -> int:
        """Return an offset before which no read lies that overlaps `start` or what follows."""
        contig, window = self._contigs[tid], start >> self._shift
        if contig.linear:
            return contig.linear[min(window, len(contig.linear) - 1)]
        number = _first_of(self._depth) + window
        while number and number not in contig.first:
            number = number - 1 if (number - 1) % 8 else (number - 1) >> 3
        return contig.first.get(number, 0)

    def _highest(self, contig: _Contig, end: int) -> int:
        """Return an offset from which on no read lies that begins before `end`.

        That is where the reads of a bin begin that lies wholly to the right.
        """
        number = _first_of(self._depth) + (end - 1 >> self._shift) + 1
        if number >= _first_of(self._depth + 1):
            return _END
        while True:
            while number % 8 == 1:  # a first child: its parent lies to the right, too
                number = (number - 1) >> 3
            if number == 0:
                return _END
            if contig.bins.get(number):
                return contig.bins[number][0].start
            number += 1

    def weights(self, tid: int) -> list[Weight]:
        """Return the windows of the lowest level that reads begin in.

        Reads that do not fit a window count for the first one of the bin that they fit.
        """
        if tid >= len(self._contigs):
            return []
        sizes: dict[int, float] = {}
        for number, chunks in self._contigs[tid].bins.items():
            window = self._window(number)
            sizes[window] = sizes.get(window, 0.0) + sum(map(_size, chunks))
        span = 1 << self._shift
        return [Weight(w * span, (w + 1) * span, size) for w, size in sorted(sizes.items())]

    def _window(self, number: int) -> int:
        level = next(n for n in range(self._depth, -1, -1) if number >= _first_of(n))
        return (number - _first_of(level)) << 3 * (self._depth - level)


def _first_of(level: int) -> int:
    """Return the number of the first bin of a level."""
    return ((1 << 3 * level) - 1) // 7


def _size(chunk: Chunk) -> float:
    blocks = (chunk.end >> 16) - (chunk.start >> 16)
    return max(1.0, blocks + ((chunk.end & 0xFFFF) - (chunk.start & 0xFFFF)) / 65536 * _BLOCK)


def _bai(data: bytes) -> list[_Contig]:
    (count,), at = struct.unpack_from("<i", data, 4), 8
    contigs = []
    for _ in range(_bounded(count)):
        bins: dict[int, list[Chunk]] = {}
        (n_bins,), at = struct.unpack_from("<i", data, at), at + 4
        for _ in range(_bounded(n_bins)):
            (number, n_chunks), at = struct.unpack_from("<Ii", data, at), at + 8
            at = _chunks(data, at, n_chunks, number, 37450, bins)
        (n_windows,), at = struct.unpack_from("<i", data, at), at + 4
        linear = struct.unpack_from(f"<{_bounded(n_windows)}Q", data, at)
        contigs.append(_Contig(bins, {}, linear))
        at += 8 * n_windows
    return contigs


def _csi(data: bytes) -> BinnedIndex:
    shift, depth, extra = struct.unpack_from("<iii", data, 4)
    if not (0 < shift < 40 and 0 < depth < 12):
        raise ValueError("not a CSI index")
    (count,), at = struct.unpack_from("<i", data, 16 + extra), 20 + extra
    contigs, special = [], _first_of(depth + 1) + 1
    for _ in range(_bounded(count)):
        bins: dict[int, list[Chunk]] = {}
        first: dict[int, int] = {}
        (n_bins,), at = struct.unpack_from("<i", data, at), at + 4
        for _ in range(_bounded(n_bins)):
            (number, lowest, n_chunks), at = struct.unpack_from("<IQi", data, at), at + 16
            first[number] = lowest
            at = _chunks(data, at, n_chunks, number, special, bins)
        contigs.append(_Contig(bins, first, ()))
    return BinnedIndex(contigs, shift, depth)


def _chunks(
    data: bytes, at: int, count: int, number: int, special: int, bins: dict[int, list[Chunk]]
) -> int:
    """Read the chunks of a bin; the bin that only holds counts is passed over."""
    flat = struct.unpack_from(f"<{2 * _bounded(count)}Q", data, at)
    if number < special - 1:
        bins[number] = [Chunk(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
    return at + 16 * count


def _bounded(count: int) -> int:
    if not 0 <= count <= _MOST:
        raise ValueError(f"{count} is not a count")
    return count


# ---- CRAI ----------------------------------------------------------------------------------------
class Slice(NamedTuple):
    """A slice of a CRAM file: contig, where its reads lie, and the container that holds it."""

    tid: int
    start: int
    end: int
    container: int
    size: int


class CramIndex:
    """A CRAI index in memory."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self._slices = sorted(slices)
        self.containers = sorted({item.container for item in slices})

    @classmethod
    def parse(cls, data: bytes, name: str) -> CramIndex:
        """Read an index file. Raises CorruptError where it is none."""
        try:
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            rows = [tuple(map(int, line.split())) for line in text.splitlines()]
            return cls([Slice(r[0], r[1] - 1, r[1] - 1 + r[2], r[3], r[5]) for r in rows])
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise CorruptError(f"{name}: is not a CRAI index", "run samtools index") from error

    def overlapping(self, tid: int, intervals: Sequence[Interval]) -> list[int]:
        """Return the containers that hold reads of a contig in any of the intervals, in order."""
        found = {
            item.container
            for item in self._slices
            if item.tid == tid and any(s < item.end and item.start < e for s, e in intervals)
        }
        return sorted(found)

    def range_of(self, container: int, end: int) -> Interval:
        """Return the bytes of a container; `end` is where the last one ends."""
        after = bisect_right(self.containers, container)
        return container, self.containers[after] if after < len(self.containers) else end

    def weights(self, tid: int) -> list[Weight]:
        """Return the slices of a contig, each from where it begins to where the next does."""
        mine = [item for item in self._slices if item.tid == tid]
        ends = [item.start for item in mine[1:]] + [item.end for item in mine[-1:]]
        return [
            Weight(item.start, max(end, item.start + 1), float(item.size))
            for item, end in zip(mine, ends, strict=True)
            if end > item.start
        ]


def inflated(data: bytes, skip: int, name: str) -> bytes:
    """Inflate the whole BGZF blocks at the start of `data`, without the first `skip` bytes."""
    try:
        whole, _ = _core.bgzf_complete(data)
        return _core.bgzf_inflate(data[:whole])[skip:]
    except Bams3Error as error:
        raise CorruptError(f"{name}: {error.message}", "restore the file") from error
