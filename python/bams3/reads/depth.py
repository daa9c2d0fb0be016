"""Depth of coverage, from the core sections of tiles alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bams3 import _core
from bams3.errors import UsageError
from bams3.reads.fetch import Section, pools, tiles_of
from bams3.reads.pipeline import give_memory_back, ordered
from bams3.reads.query import bed_regions, read_bed, resolve
from bams3.regions import EVERYTHING, UNPLACED, Interval, Region, merge_intervals

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bams3._core import Blocks, Run, TilePlace
    from bams3.reads.dataset import Dataset

STRIDE = 1 << 16
"""Positions that are written together."""
_KEPT = 32 << 20
"""Bytes: text of a stretch is smaller, so its memory is used again rather than mapped anew."""


@dataclass(frozen=True, slots=True)
class Target:
    """Intervals of a contig, sorted and disjoint, and the tiles whose reads can lie in them.

    `unused`: to be shown even if no read lies in them.
    """

    contig: str
    tid: int
    length: int
    intervals: Sequence[Interval]
    places: Sequence[TilePlace]
    unused: bool


class DepthQuery:
    """Depth of regions, as text or as means. Made by `Dataset.depth`."""

    def __init__(
        self,
        dataset: Dataset,
        regions: Sequence[str | Region],
        bed: Iterable[Region] | str | os.PathLike[str] | None,
        require: int,
        exclude: int,
        min_mapq: int,
        threads: int | None,
    ) -> None:
        self.dataset = dataset
        self._filter = require, exclude, min_mapq
        self._threads = threads
        self._named = bool(regions) or bed is not None
        self._wanted = list(self._choose(resolve(dataset, regions), bed))

    def _choose(
        self, regions: Sequence[Region], bed: Iterable[Region] | str | os.PathLike[str] | None
    ) -> Iterator[tuple[str, Sequence[Interval]]]:
        if bed is not None:
            if regions != [EVERYTHING]:
                raise UsageError("depth takes regions or a BED file, not both")
            chosen = read_bed(self.dataset, bed)
            yield from ((name, chosen[name]) for name in self.dataset.contigs if name in chosen)
        elif EVERYTHING in regions:
            yield from ((name, [EVERYTHING.interval]) for name in self.dataset.contigs)
        else:
            yield from ((r.contig, [r.interval]) for r in regions if r != UNPLACED)

    def text(self, zeros: bool = False, unused: bool = False) -> Iterator[bytes]:
        """Yield lines `contig, position (1-based), depth`, as `samtools depth` prints them.

        Args:
            zeros: Also positions without reads (-a), on contigs that have any or were named.
            unused: Also on contigs without reads (-aa).
        """
        give_memory_back(_KEPT)
        with pools(self._threads) as (fetching, decoding, workers):
            jobs = (
                (run, target, interval)
                for target in self._targets(zeros, unused)
                for run in self._runs(target, fetching, decoding, workers)
                for interval in _within(target.intervals, run)
            )
            yield from ordered(decoding, lambda job: _lines(*job, zeros), jobs, workers)

    def means(
        self, by: int | Iterable[Region] | str | os.PathLike[str] | None = None
    ) -> Iterator[bytes]:
        """Yield lines `contig, start, end (0-based half-open), mean depth`, contig by contig.

        Args:
            by: Width of the windows, or a BED whose intervals are the windows. None: the regions.

        Raises:
            UsageError: Windows without width.
        """
        if isinstance(by, int) and by < 1:
            raise UsageError(f"windows have 1 base or more, not {by}")
        windows = None if by is None or isinstance(by, int) else _group(bed_regions(by))
        if windows is not None:
            chosen = [
                (c, merge_intervals(windows[c])) for c in self.dataset.contigs if c in windows
            ]
            self._wanted = [(contig, intervals) for contig, intervals in chosen]
        with pools(self._threads) as (fetching, decoding, workers):
            for target in self._targets(zeros=True, unused=True):
                sums = self._windows(target, by, windows)
                for run in self._runs(target, fetching, decoding, workers):
                    sums.add(run)
                yield sums.text(target.contig)

    def _windows(
        self, target: Target, by: object, windows: dict[str, list[Interval]] | None
    ) -> _core.Windows:
        if windows is not None:
            return _core.Windows(windows[target.contig])
        if isinstance(by, int):
            start, end = target.intervals[0][0], target.intervals[-1][1]
            return _core.Windows.fixed(start, min(end, target.length), by)
        return _core.Windows([(start, min(end, target.length)) for start, end in target.intervals])

    def _targets(self, zeros: bool, unused: bool) -> Iterator[Target]:
        """Yield what to read, contig by contig; not those where nothing is to be said."""
        self.dataset.load({self.dataset.tids[contig] for contig, _ in self._wanted})
        for contig, intervals in self._wanted:
            tid, length = self.dataset.tids[contig], self.dataset.contigs[contig]
            places = tiles_of(self.dataset.index, tid, intervals)
            if places or (zeros and (unused or self._named)):
                yield Target(contig, tid, length, intervals, places, unused or self._named)

    def _runs(
        self, target: Target, fetching: Executor, decoding: Executor, workers: int
    ) -> Iterator[Run]:
        """Yield the depths from the first to the last interval in stretches, in order."""
        start, end = target.intervals[0][0], target.intervals[-1][1]
        depth, at, used = _core.Depth(start, end), start, target.unused
        sections = self.dataset.source.sections(target.places, "core", fetching)
        decode = self._decoder(target.tid)
        for blocks in ordered(decoding, decode, sections, workers + 2):
            used = used or blocks.first is not None
            while blocks.first is not None and at + STRIDE <= min(blocks.first, end):
                at += STRIDE
                yield depth.take(at)
            depth.add(blocks)
        if used:
            yield from _take(depth, at, min(end, max(target.length, depth.known)))

    def _decoder(self, tid: int) -> _Decoder:
        return _Decoder(self.dataset, tid, self._filter)


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Decodes core sections to the blocks of one contig."""

    dataset: Dataset
    tid: int
    filter: tuple[int, int, int]

    def __call__(self, section: Section) -> Blocks:
        with self.dataset.source.naming(section.place):
            return _core.blocks_of_core(section.core, self.tid, *self.filter)


def _take(depth: _core.Depth, at: int, until: int) -> Iterator[Run]:
    """Take finished depths in stretches of bounded length."""
    while at < until:
        at = min(at + STRIDE, until)
        yield depth.take(at)


def _within(intervals: Sequence[Interval], run: Run) -> Iterator[Interval]:
    """Yield the parts of sorted intervals that a run covers."""
    from bisect import bisect_right

    first = bisect_right(intervals, run.start, key=lambda interval: interval[1])
    for start, end in intervals[first:]:
        if start >= run.end:
            return
        yield max(start, run.start), min(end, run.end)


def _lines(run: Run, target: Target, interval: Interval, zeros: bool) -> bytes:
    return run.text(target.contig, *interval, zeros)


def _group(regions: Iterable[Region]) -> dict[str, list[Interval]]:
    """Group the windows of a BED by contig, in their order."""
    groups: dict[str, list[Interval]] = {}
    for region in regions:
        groups.setdefault(region.contig, []).append(region.interval)
    return groups
