"""Depth for the eye: some hundred numbers for a stretch of any width, at once.

Where few enough reads lie in it, they are exact, read from the core sections of its tiles. Else the
index alone answers: the reads of each tile are spread evenly over the tile's extent, and scaled so
that the mean of each contig is the one that the statistics tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bams3.errors import RegionError
from bams3.regions import Region

if TYPE_CHECKING:
    from bams3._core import TileRow
    from bams3.reads.dataset import Dataset

EXACT_READS = 200_000
"""So many reads are counted; where there may be more, the index has to do."""
MOST_BINS = 10_000


class Depth(NamedTuple):
    """Mean depths of windows of `width` bases from `start` on, the last one maybe shorter."""

    start: int
    width: int
    exact: bool
    means: list[float]


class Overview(NamedTuple):
    """Depth along all contigs, in windows of about the same width: by contig, width and means."""

    contigs: dict[str, tuple[int, list[float]]]


def window(dataset: Dataset, contig: str, start: int, end: int, bins: int) -> Depth:
    """Return the depth along [start, end) of a contig.

    Raises:
        RegionError: There is no such contig, or nothing of it lies there.
    """
    length = dataset.contigs.get(contig)
    if length is None:
        raise RegionError(f"there is no contig {contig}")
    start, end = max(0, start), min(end, length)
    if start >= end:
        raise RegionError(f"{contig} is {length:,} bases long", "ask for a part of it")
    width = max(1, -(-(end - start) // max(1, min(bins, MOST_BINS))))
    tid = dataset.tids[contig]
    dataset.load([tid])
    places = dataset.index.overlapping(tid, start, end)
    if sum(place.reads for place in places) <= EXACT_READS:
        lines = b"".join(dataset.depth(Region(contig, start, end), threads=2).means(width))
        means = [float(line.rpartition(b"\t")[2]) for line in lines.splitlines()]
        return Depth(start, width, True, means)
    rows = [dataset.index.rows(chunk) for chunk in sorted({place.chunk for place in places})]
    spread = _spread(dataset, tid, (row for chunk in rows for row in chunk), start, end, width)
    return Depth(start, width, False, spread)


def overview(dataset: Dataset, bins: int) -> Overview:
    """Return the estimated depth along all contigs that have reads, about `bins` windows in all."""
    dataset.load()
    genome = sum(dataset.contigs.values())
    width = max(1, -(-genome // max(1, min(bins, MOST_BINS))))
    rows: dict[int, list[TileRow]] = {}
    for chunk in range(len(dataset.index.chunks)):
        for row in dataset.index.rows(chunk):
            for tid in _tids(row):
                rows.setdefault(tid, []).append(row)
    names = list(dataset.contigs)
    return Overview(
        {
            names[tid]: (width, _spread(dataset, tid, rows[tid], 0, dataset.contigs[names[tid]],
                                        width))
            for tid in sorted(rows)
            if tid >= 0
        }
    )  # fmt: skip


def _tids(row: TileRow) -> Iterable[int]:
    return (row.first_tid, *(tid for tid, _ in row.starts))


def _spread(
    dataset: Dataset, tid: int, rows: Iterable[TileRow], start: int, end: int, width: int
) -> list[float]:
    """Spread the records of tiles over windows of [start, end); returns mean depths."""
    length = list(dataset.contigs.values())[tid]
    stats: Mapping[str, Any] = dataset.manifest.stats.to_dict()
    counts = stats["contigs"].get(tid, (0, 0, 0))
    records = counts[0] + counts[1]
    per_record = counts[2] / records if records else 0.0
    bases = [0.0] * -(-(end - start) // width)
    for first, reach, reads in _extents(rows, tid, length):
        density = reads * per_record / max(1, reach - first)
        at = max(first, start)
        while at < min(reach, end):
            number = (at - start) // width
            until = min(start + (number + 1) * width, reach, end)
            bases[number] += density * (until - at)
            at = until
    return [
        round(total / (min(end, start + (n + 1) * width) - start - n * width), 3)
        for n, total in enumerate(bases)
    ]


def _extents(rows: Iterable[TileRow], tid: int, length: int) -> Iterator[tuple[int, int, float]]:
    """Yield first position, reach and records of each tile on a contig.

    The records of a tile that holds several contigs are shared out by their bytes.
    """
    for row in rows:
        begins = dict([(row.first_tid, 0), *row.starts])
        if tid not in begins or not row.bytes:
            continue
        later = [at for at in begins.values() if at > begins[tid]]
        share = (min(later, default=row.bytes) - begins[tid]) / row.bytes
        first = row.first_pos if tid == row.first_tid else 0
        reach = row.reach if tid == row.last_tid else length
        yield max(0, first), min(max(reach, first + 1), length), row.reads * share
