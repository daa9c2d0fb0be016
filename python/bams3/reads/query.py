"""Select records: the same, and in the same order, as `samtools view file region...`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bams3 import _core
from bams3.errors import RegionError
from bams3.reads.arrow import COLUMNS, checked_columns
from bams3.reads.fetch import MAX_POSITION, Parts, Section, pools, tiles_of
from bams3.reads.pipeline import ordered
from bams3.reads.record import Record, records
from bams3.regions import (
    EVERYTHING,
    MAX_END,
    UNPLACED,
    Interval,
    Intervals,
    Region,
    by_contig,
    intersect,
    merge_intervals,
    parse_bed,
    parse_region,
)

if TYPE_CHECKING:
    from bams3._core import Selection, TilePlace
    from bams3.reads.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters on FLAG and MAPQ, as -f -F -G -q of samtools, and the tags that are kept."""

    require: int = 0
    exclude: int = 0
    exclude_all: int = 0
    min_mapq: int = 0
    tags: tuple[bytes, ...] | None = None

    def selection(self, tid: int | None = None, intervals: Sequence[Interval] = ()) -> Selection:
        """Add a place to the filters."""
        return _core.Selection(
            tid,
            intervals,
            self.require,
            self.exclude,
            self.exclude_all,
            self.min_mapq,
            self.tags,
        )


@dataclass(frozen=True, slots=True)
class Want:
    """A tile to read, and what to take of it. `also`: intervals that must be met as well."""

    place: TilePlace
    selection: Selection
    also: tuple[int, Sequence[Interval]] | None = None


class Query:
    """A selection of records. Iterate over it, count it, or hand it to any Arrow consumer."""

    def __init__(
        self,
        dataset: Dataset,
        regions: Sequence[str | Region],
        bed: Iterable[Region] | str | os.PathLike[str] | None,
        filters: Filters,
        *,
        columns: Sequence[str] | None = None,
        once: bool = False,
        threads: int | None = None,
    ) -> None:
        self.dataset = dataset
        self.columns = checked_columns(columns or COLUMNS)
        self._filters = filters
        self._threads = threads
        self.regions = resolve(dataset, regions)
        self._bed = None if bed is None else read_bed(dataset, bed)
        self._once = once or (self._bed is not None and not regions)

    def blocks(self) -> Iterator[bytes]:
        """Yield the records as record streams of a few MiB, in order."""
        return self._decoded("both", self._select)

    def records(self) -> Iterator[Record]:
        """Yield the records one by one."""
        names = list(self.dataset.contigs)
        for block in self.blocks():
            yield from records(block, names)

    __iter__ = records

    def count(self) -> int:
        """Count the records; reads positions, flags and CIGARs alone."""
        if any(want.also for want in self._plan()):
            return sum(map(_core.count_records, self.blocks()))
        return sum(self._decoded("core", _count))

    def first_position(self) -> int | None:
        """Return where the first record begins: 0-based, -1 where SAM has POS 0; None without one.

        Reads what `count` does, up to there.
        """
        if any(want.also for want in self._plan()):
            block = next(self.blocks(), b"")
            return int.from_bytes(block[8:12], "little", signed=True) if block else None
        found = next(self._decoded("core", _first), None)
        return found[0] if found else None

    def batches(self) -> Iterator[_core.Batch]:
        """Yield Arrow record batches of the columns asked for."""
        table = self._table()
        return self._decoded("both", lambda section, want: table.batch(self._select(section, want)))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the records as an Arrow C stream, for polars, duckdb, pyarrow and others."""
        return self._table().stream(self.batches())

    def _table(self) -> _core.Table:
        return _core.Table(list(self.columns), list(self.dataset.contigs))

    def _select(self, section: Section, want: Want) -> bytes:
        block = self.dataset.source.decode(section, want.selection)
        if want.also is None:
            return block
        tid, intervals = want.also
        return _core.overlapping_records(block, tid, intervals)

    def _decoded(self, parts: Parts, function: Any) -> Iterator[Any]:
        """Fetch and decode what the plan wants; results in order, empty ones left out."""
        source = self.dataset.source

        def decode(pair: tuple[Want, Section]) -> Any:
            want, section = pair
            with source.naming(want.place):
                return function(section, want)

        wants = list(self._plan())
        with pools(self._threads) as (fetching, decoding, workers):
            sections = _repeated(wants, source.sections(_places(wants), parts, fetching))
            for result in ordered(decoding, decode, zip(wants, sections, strict=True), workers + 2):
                if result:
                    yield result

    def _plan(self) -> Iterator[Want]:
        """Say which tiles to read, in order, and what to take of each."""
        self.dataset.load(self._tids())
        if self._once and (self.regions != [EVERYTHING] or self._bed is not None):
            return self._plan_once()
        return (want for region in self.regions for want in self._plan_region(region))

    def _tids(self) -> set[int] | None:
        """Return the contigs that the regions lie on, -1 for unplaced reads; None: all."""
        if EVERYTHING in self.regions and self._bed is None:
            return None
        names = {r.contig for r in self.regions if r not in (UNPLACED, EVERYTHING)}
        if EVERYTHING in self.regions:
            names |= set(self._bed or ())
        unplaced = {-1} if UNPLACED in self.regions else set()
        return unplaced | {self.dataset.tids[name] for name in names}

    def _plan_once(self) -> Iterator[Want]:
        """Plan each record once, in file order."""
        chosen = self._chosen()
        for contig, tid in self.dataset.tids.items():
            if intervals := chosen.get(contig):
                selection = self._filters.selection(tid, intervals)
                for place in tiles_of(self.dataset.index, tid, intervals):
                    yield Want(place, selection)
        if UNPLACED in self.regions or (EVERYTHING in self.regions and self._bed is None):
            yield from self._plan_region(UNPLACED)

    def _chosen(self) -> Intervals:
        """Return the intervals of all regions, cut to those of the BED."""
        everything = {name: [(0, MAX_END)] for name in self.dataset.contigs}
        chosen = by_contig(r for r in self.regions if r not in (UNPLACED, EVERYTHING))
        if EVERYTHING in self.regions:
            chosen = everything
        if self._bed is None:
            return chosen
        if EVERYTHING in self.regions:
            return self._bed
        return {name: intersect(chosen[name], self._bed.get(name, [])) for name in chosen}

    def _plan_region(self, region: Region) -> Iterator[Want]:
        if region == EVERYTHING:
            yield from self._plan_everything()
        elif region == UNPLACED:
            yield from self._plan_unplaced()
        else:
            yield from self._plan_placed(region)

    def _plan_everything(self) -> Iterator[Want]:
        selection = self._filters.selection()
        for chunk in range(len(self.dataset.index.chunks)):
            for place in self.dataset.index.tiles(chunk):
                yield Want(place, selection)

    def _plan_unplaced(self) -> Iterator[Want]:
        if self._bed is None:
            selection = self._filters.selection(-1)
            for place in self.dataset.index.overlapping(-1, 0, MAX_POSITION):
                yield Want(place, selection)

    def _plan_placed(self, region: Region) -> Iterator[Want]:
        tid = self.dataset.tids[region.contig]
        interval = region.start, min(region.interval[1], MAX_POSITION)
        selection = self._filters.selection(tid, [interval])
        also = None if self._bed is None else (tid, self._bed.get(region.contig, []))
        for place in self.dataset.index.overlapping(tid, *interval):
            yield Want(place, selection, also)


def _count(section: Section, want: Want) -> int:
    return _core.count_tile(section.core, want.selection)


def _first(section: Section, want: Want) -> tuple[int] | None:
    at = _core.first_position(section.core, want.selection)
    return None if at is None else (at,)


def _key(place: TilePlace) -> tuple[int, int]:
    return place.chunk, place.tile


def _places(wants: Sequence[Want]) -> Iterator[TilePlace]:
    """Yield each tile once where it is wanted several times in a row."""
    for _, group in groupby((want.place for want in wants), key=_key):
        yield next(group)


def _repeated(wants: Sequence[Want], sections: Iterator[Section]) -> Iterator[Section]:
    """Repeat a section for each want of its tile, as `_places` left them out."""
    for _, group in groupby(wants, key=lambda want: _key(want.place)):
        section = next(sections)
        for _ in group:
            yield section


def resolve(dataset: Dataset, regions: Sequence[str | Region]) -> list[Region]:
    """Parse and check regions; none is everything."""
    return [_resolved(dataset, region) for region in regions] or [EVERYTHING]


def _resolved(dataset: Dataset, region: str | Region) -> Region:
    if isinstance(region, str):
        return parse_region(region, dataset.contigs)
    if region not in (UNPLACED, EVERYTHING) and region.contig not in dataset.contigs:
        return parse_region(f"{{{region.contig}}}", dataset.contigs)
    return region


def read_bed(
    dataset: Dataset, bed: Iterable[Region] | str | os.PathLike[str]
) -> dict[str, list[Interval]]:
    """Read a BED file or take regions; contigs that the dataset has not are passed over.

    Raises:
        RegionError: The dataset has none of the contigs.
    """
    regions = list(bed_regions(bed))
    chosen = by_contig(region for region in regions if region.contig in dataset.contigs)
    if regions and not chosen:
        raise RegionError(
            f"the dataset has none of the contigs of the BED, such as {regions[0].contig!r}",
            hint=f"its contigs are {', '.join(list(dataset.contigs)[:5])} ...",
        )
    return {name: merge_intervals(intervals) for name, intervals in chosen.items()}


def bed_regions(bed: Iterable[Region] | str | os.PathLike[str]) -> Iterable[Region]:
    """Return the regions of a BED file in its order; `.gz` is inflated."""
    if not isinstance(bed, str | os.PathLike):
        return bed
    data = Path(bed).read_bytes()
    if data[:2] == b"\x1f\x8b":
        import gzip

        data = gzip.decompress(data)
    return parse_bed(data.decode(), os.fspath(bed))
