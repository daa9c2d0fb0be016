"""A dataset as the bytes of one BAM file, made where they are read.

The file is BGZF whose blocks are stored, not deflated, so that the sizes of the slices' records,
which the index has, tell where every byte lies. Blocks of the header; for each slice of each tile
its records in blocks of 65,280 bytes, the first of which begins with the slice; the end-of-file
block. A tile that the index does not slice is one slice. The same dataset gives the same bytes
wherever it is served.
"""

from __future__ import annotations

import io
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from itertools import accumulate
from typing import TYPE_CHECKING

from bams3 import _core
from bams3.errors import Bams3Error, CorruptError, UsageError
from bams3.reads import bam_index, headers
from bams3.reads.compressed import END_OF_FILE
from bams3.reads.fetch import tiles_of
from bams3.reads.pipeline import ordered
from bams3.reads.tile_cache import TileCache

if TYPE_CHECKING:
    from bams3._core import TilePlace, TileRow
    from bams3.reads.dataset import Dataset
    from bams3.reads.fetch import Section, Source
    from bams3.regions import Interval

LAYOUT = 2
"""Raised with every change of what bytes a dataset gives; part of the ETag."""
CACHE = 64 << 20
_PAYLOAD = 65_280
_BLOCK = _PAYLOAD + 31
_PIECE = 1 << 20
_ONE_BY_ONE = 4
_LARGEST_BATCH = 8


class VirtualBam:
    """A dataset as a BAM file. Made by `Dataset.as_bam`.

    Attributes:
        dataset: What it is made of.
        size: Bytes of the file.
        head: The header, as BAM has it before BGZF.
        etag: Names the bytes: two of the same are equal byte for byte.
    """

    def __init__(self, dataset: Dataset, cache: TileCache | None = None) -> None:
        """`cache`: decoded tiles, shared with other files; by default 64 MiB of its own.

        Raises:
            CorruptError: The index is damaged.
        """
        dataset.load()
        self.dataset = dataset
        self._cache = cache or TileCache(CACHE)
        self._ahead = ThreadPoolExecutor(1, "bams3-ahead")
        self.head = _core.bam_header_bytes(_header(dataset))
        index = dataset.index
        self._places = [p for chunk in range(len(index.chunks)) for p in index.tiles(chunk)]
        self._starts = array("Q", [stored_size(len(self.head))])
        self._firsts = array("Q")
        for place in self._places:
            self._firsts.append(len(self._starts) - 1)
            for _, size in self._slices(place):
                self._starts.append(self._starts[-1] + stored_size(size))
        self._firsts.append(len(self._starts) - 1)
        self.size = self._starts[-1] + len(END_OF_FILE)
        self.etag = f"{dataset.etag}-{LAYOUT}"

    def _slices(self, place: TilePlace) -> list[tuple[int, int]]:
        """Return records and bytes of the slices of a tile, of which there is at least one."""
        slices = [(reads, size) for reads, _, _, size in self.dataset.slices_of(place)]
        slices = slices or [(place.reads, place.bytes)]
        if [*map(sum, zip(*slices, strict=True))] != [place.reads, place.bytes]:
            raise CorruptError(f"{self.dataset.url}: the slices are not those of the tiles")
        return slices

    def read(
        self, start: int = 0, end: int | None = None, left: Callable[[], bool] = lambda: False
    ) -> Iterator[bytes]:
        """Yield the bytes of [start, end) of the file, cut to it, in pieces of at most 1 MiB.

        Tiles are read as the pieces are taken: first one by one; who goes on gets them in growing
        batches, read ahead.

        Args:
            start: First byte.
            end: End, exclusive; that of the file by default.
            left: Asked before one of the first tiles but one is made: whether nobody wants more. It
                may wait a moment for the answer.

        Raises:
            CorruptError: A chunk is missing or damaged.
            StorageError: The store failed, or the dataset was replaced.
        """
        end = self.size if end is None else min(end, self.size)
        if start >= end:
            return
        if start < self._starts[0]:
            yield from _cut(_core.bgzf_store(self.head), 0, start, end)
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end - 1, hi=len(self._starts) - 1)
        at = self._starts[first]
        for data in self._blocks(first, last, left):
            yield from _cut(data, at, start, end)
            at += len(data)
        if at == self._starts[-1]:  # else nobody wants more
            yield from _cut(END_OF_FILE, at, start, end)

    def tiles(self, tid: int, intervals: Sequence[Interval]) -> list[int]:
        """Return the tiles that can hold records of a contig in sorted, disjoint intervals.

        `tid` -1: those without a place.
        """
        firsts = self.dataset.first_tiles
        return [firsts[p.chunk] + p.tile for p in tiles_of(self.dataset.index, tid, intervals)]

    def records(self, tile: int) -> bytes:
        """Return the record stream of a tile; raises as `read`."""
        slices = range(self._firsts[tile], self._firsts[tile + 1])
        return _core.bgzf_inflate(b"".join(self._held(tile, number) for number in slices))

    def open(self) -> io.BufferedReader:
        """Open for reading, as a file on disk: `read`, `seek`, `tell`."""
        return io.BufferedReader(_File(self), 1 << 20)

    def _blocks(self, first: int, last: int, left: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the blocks of slices, those of many tiles to the end of the last tile.

        Who begins in the second half of a tile is likely to want the next one, too, which is
        decoded at the same time.
        """
        begin = bisect_right(self._firsts, first) - 1
        tiles = range(begin, max(bisect_left(self._firsts, last), begin))
        late = len(tiles) > 1 and 2 * first > self._firsts[begin] + self._firsts[begin + 1]
        for tile in tiles[:_ONE_BY_ONE]:
            if tile > begin and self._key(tile) not in self._cache and left():
                return
            for number in range(max(first, self._firsts[tile]), min(last, self._firsts[tile + 1])):
                yield self._held(tile, number, late and tile == begin)
        if len(tiles) > _ONE_BY_ONE:
            yield from self._stream(tiles[_ONE_BY_ONE:])

    def _held(self, tile: int, number: int, go_on: bool = False) -> bytes:
        """Return the blocks of a slice, which are held for others."""
        return self._cache.slice(
            self._key(tile), number - self._firsts[tile], partial(self._fresh, tile, go_on)
        )

    def _prepare(self, tile: int) -> None:
        """Decode a tile that will be asked for; who asks is told what is wrong with it."""
        with suppress(Bams3Error, OSError):
            self._cache.prepare(self._key(tile), partial(self._fresh, tile))

    def _fresh(self, tile: int, go_on: bool = False) -> DecodedTile:
        section = self._sections([tile])[0]
        if go_on:
            self._ahead.submit(self._prepare, tile + 1)
        return self._decoded(tile, section)

    def _key(self, tile: int) -> tuple[str, str, int]:
        return self.etag, self.dataset.url, tile

    def _stream(self, tiles: range) -> Iterator[bytes]:
        """Yield the blocks of many tiles, which are not held in the cache."""
        with ThreadPoolExecutor(1, "bams3-fetch") as fetching:
            with ThreadPoolExecutor(1, "bams3-decode") as decoding:
                for batch, sections in ordered(fetching, self._batch, _batches(tiles), 1):
                    pairs = zip(batch, sections, strict=True)
                    yield from ordered(decoding, self._whole, pairs, 1)

    def _batch(self, tiles: range) -> tuple[range, list[Section]]:
        return tiles, self._sections(tiles)

    def _sections(self, tiles: Sequence[int]) -> list[Section]:
        places = [self._places[tile] for tile in tiles]
        return self.dataset.source.read(places, "both")

    def _decoded(self, tile: int, section: Section) -> DecodedTile:
        return DecodedTile(self.dataset.source, section, self._slices(self._places[tile]))

    def _whole(self, pair: tuple[int, Section]) -> bytes:
        decoded = self._decoded(*pair)
        return b"".join(decoded.slice(number) for number in range(decoded.count))

    # ---- the index -------------------------------------------------------------------------------
    @cached_property
    def bai(self) -> bytes:
        """The BAI of the file.

        Raises:
            UsageError: A contig is too long for it.
        """
        if max(self._lengths, default=0) > bam_index.BAI_LONGEST:
            raise UsageError(
                f"{self.dataset.url}: a contig is longer than BAI can index", "use its CSI"
            )
        return bam_index.bai(len(self._lengths), self._stretches(), *self._counts())

    @cached_property
    def csi(self) -> bytes:
        """The CSI of the file."""
        return bam_index.csi(self._lengths, self._stretches(), *self._counts())

    @property
    def _lengths(self) -> list[int]:
        return list(self.dataset.contigs.values())

    def _counts(self) -> tuple[dict[int, bam_index.Counts], int]:
        """Return the numbers of records by contig, and of unplaced ones."""
        contigs: dict[int, tuple[int, int, int]]
        contigs = self.dataset.manifest.stats.to_dict()["contigs"]  # type: ignore[assignment]
        counts = {tid: bam_index.Counts(row[0], row[1]) for tid, row in contigs.items()}
        return counts, sum(counts.pop(-1, ()))

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield where in the file records begin: byte, contig number, first base; ascending.

        Number -1: those without a place.
        """
        for stretch in self._stretches():
            yield stretch.begin >> 16, stretch.tid, stretch.start

    def _stretches(self) -> Iterator[bam_index.Stretch]:
        """Yield what each slice holds, and each tile without slices of each contig."""
        index = self.dataset.index
        rows = (row for chunk in range(len(index.chunks)) for row in index.rows(chunk))
        for tile, (row, place) in enumerate(zip(rows, self._places, strict=True)):
            slices = self.dataset.slices_of(place)
            if slices:
                yield from self._sliced(tile, row.first_tid, slices)
            else:
                yield from self._by_contig(tile, row)

    def _sliced(
        self, tile: int, tid: int, slices: Sequence[tuple[int, int, int, int]]
    ) -> Iterator[bam_index.Stretch]:
        for number, (_, start, reach, _) in enumerate(slices, self._firsts[tile]):
            begin, until = self._starts[number], self._starts[number + 1]
            yield bam_index.Stretch(tid, start, reach, begin << 16, until << 16)

    def _by_contig(self, tile: int, row: TileRow) -> Iterator[bam_index.Stretch]:
        marks = [(row.first_tid, 0), *row.starts]
        offsets = [self._virtual(tile, offset) for _, offset in marks]
        offsets.append(self._starts[self._firsts[tile + 1]] << 16)
        for number, (tid, _) in enumerate(marks):
            start = 0 if number else row.first_pos
            end = row.reach if tid == row.last_tid else None
            yield bam_index.Stretch(tid, start, end, offsets[number], offsets[number + 1])

    def _virtual(self, tile: int, offset: int) -> int:
        """Return the virtual offset of a byte of the records of a tile."""
        block, within = divmod(offset, _PAYLOAD)
        return (self._starts[self._firsts[tile]] + block * _BLOCK) << 16 | within


class DecodedTile:
    """A tile whose slices are made where they are asked for.

    Attributes:
        count: Number of slices.
        size: About how many bytes it takes in memory.
    """

    def __init__(self, source: Source, section: Section, slices: Sequence[tuple[int, int]]) -> None:
        """Decode the columns. `slices`: records and bytes of each."""
        self._source, self._place, self._slices = source, section.place, slices
        self._ends = [*accumulate(reads for reads, _ in slices)]
        self.count, self.size = len(slices), section.place.bytes
        with source.naming(section.place):
            self._tile = _core.DecodedTile(section.core, section.rest, source.contigs)

    def slice(self, number: int) -> bytes:
        """Return the blocks of a slice."""
        reads, size = self._slices[number]
        end = self._ends[number]
        with self._source.naming(self._place):
            blocks = self._tile.blocks(end - reads, end)
            if len(blocks) != stored_size(size):
                raise CorruptError("records of other sizes than the index says")
        return blocks


def stored_size(size: int) -> int:
    """Return what `bgzf_store` makes of so many bytes."""
    return size + (_BLOCK - _PAYLOAD) * -(-size // _PAYLOAD)


def _header(dataset: Dataset) -> _core.Header:
    """Return the header of the input, with SO as the records lie; no @PG line, which would age."""
    if dataset.manifest.input_order:
        return dataset.header
    text = headers.sorted_by_coordinate(dataset.header.text)
    return _core.Header(text, dataset.header.contigs)


def _cut(data: bytes, at: int, start: int, end: int) -> Iterator[bytes]:
    """Yield what of `data`, which lies at `at`, is in [start, end)."""
    stop = min(end - at, len(data))
    for begin in range(max(start - at, 0), stop, _PIECE):
        yield data[begin : min(begin + _PIECE, stop)]


def _batches(tiles: range) -> Iterator[range]:
    size = 1
    while tiles:
        yield tiles[:size]
        tiles = tiles[size:]
        size = min(2 * size, _LARGEST_BATCH)


class _File(io.RawIOBase):
    """A virtual BAM as a raw file."""

    def __init__(self, bam: VirtualBam) -> None:
        self._bam = bam
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._bam.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what the tile at hand has of what is wanted."""
        piece = next(self._bam.read(self._at, self._at + len(buffer)), b"")
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
