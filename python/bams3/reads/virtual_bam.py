"""A dataset as the bytes of one BAM file, made where they are read.

The file is BGZF whose blocks are stored, not deflated, so that the sizes of the tiles' records,
which the index has, tell where every byte lies. Blocks of the header; for each tile its records in
blocks of 65,280 bytes, the first of which begins with the tile; the end-of-file block. The same
dataset gives the same bytes wherever it is served.
"""

from __future__ import annotations

import io
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING

from bams3 import _core
from bams3.errors import CorruptError, UsageError
from bams3.reads import bam_index, headers
from bams3.reads.compressed import END_OF_FILE
from bams3.reads.fetch import tiles_of
from bams3.reads.pipeline import ordered
from bams3.reads.tile_cache import TileCache

if TYPE_CHECKING:
    from bams3._core import TilePlace
    from bams3.reads.dataset import Dataset
    from bams3.reads.fetch import Section
    from bams3.regions import Interval

LAYOUT = 1
"""Raised with every change of what bytes a dataset gives; part of the ETag."""
CACHE = 64 << 20
_PAYLOAD = 65_280
_BLOCK = _PAYLOAD + 31
_PIECE = 1 << 20
_FIRST = 256 << 10
"""Bytes of records after which a reader gets the first of a tile."""
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
        """`cache`: decoded tiles, shared with other files; by default 64 MiB of its own."""
        dataset.load()
        self.dataset = dataset
        self._cache = cache or TileCache(CACHE)
        self.head = _core.bam_header_bytes(_header(dataset))
        self._places: list[TilePlace] = []
        self._first_tiles: list[int] = []
        for chunk in range(len(dataset.index.chunks)):
            self._first_tiles.append(len(self._places))
            self._places += dataset.index.tiles(chunk)
        self._starts = array("Q", [stored_size(len(self.head))])
        for place in self._places:
            self._starts.append(self._starts[-1] + stored_size(place.bytes))
        self.size = self._starts[-1] + len(END_OF_FILE)
        self.etag = f"{dataset.etag}-{LAYOUT}"

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
        last = bisect_right(self._starts, end - 1, hi=len(self._places))
        at = self._starts[first]
        for data in self._tiles(range(first, last), left):
            yield from _cut(data, at, start, end)
            at += len(data)
        if at == self._starts[last]:  # else nobody wants more
            yield from _cut(END_OF_FILE, at, start, end)

    def tiles(self, tid: int, intervals: Sequence[Interval]) -> list[int]:
        """Return the tiles that can hold records of a contig in sorted, disjoint intervals.

        `tid` -1: those without a place.
        """
        places = tiles_of(self.dataset.index, tid, intervals)
        return [self._first_tiles[place.chunk] + place.tile for place in places]

    def records(self, tile: int) -> bytes:
        """Return the record stream of a tile; raises as `read`."""
        return _core.bgzf_inflate(b"".join(self._tile(tile)))

    def open(self) -> io.BufferedReader:
        """Open for reading, as a file on disk: `read`, `seek`, `tell`."""
        return io.BufferedReader(_File(self), 1 << 20)

    def _tiles(self, tiles: range, left: Callable[[], bool]) -> Iterator[bytes]:
        for tile in tiles[:_ONE_BY_ONE]:
            if tile > tiles[0] and self._key(tile) not in self._cache and left():
                return
            yield from self._tile(tile)
        if len(tiles) > _ONE_BY_ONE:
            yield from self._stream(tiles[_ONE_BY_ONE:])

    def _tile(self, tile: int) -> Iterator[bytes]:
        """Yield the blocks of a tile, which are held for others."""
        return self._cache.pieces(self._key(tile), partial(self._fresh, tile))

    def _fresh(self, tile: int) -> Iterator[bytes]:
        yield from self._made(self._sections([tile])[0])

    def _key(self, tile: int) -> tuple[str, str, int]:
        return self.etag, self.dataset.url, tile

    def _stream(self, tiles: range) -> Iterator[bytes]:
        """Yield the blocks of many tiles, which are not held in the cache."""
        with ThreadPoolExecutor(1, "bams3-fetch") as fetching:
            with ThreadPoolExecutor(1, "bams3-decode") as decoding:
                for sections in ordered(fetching, self._sections, _batches(tiles), 1):
                    yield from ordered(decoding, self._whole, sections, 1)

    def _sections(self, tiles: Sequence[int]) -> list[Section]:
        places = [self._places[tile] for tile in tiles]
        return self.dataset.source.read(places, "both")

    def _made(self, section: Section) -> Iterator[bytes]:
        """Yield the blocks of a tile in pieces, the first while the others are not yet made."""
        source, made = self.dataset.source, 0
        with source.naming(section.place):
            tile = _core.TileBlocks(section.core, section.rest, source.contigs)
            while blocks := tile.next(_PIECE if made else _FIRST):
                made += len(blocks)
                yield blocks
            if made != stored_size(section.place.bytes):
                raise CorruptError("records of other sizes than the index says")

    def _whole(self, section: Section) -> bytes:
        return b"".join(self._made(section))

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
        """Yield what each tile holds of each contig."""
        index = self.dataset.index
        rows = (row for chunk in range(len(index.chunks)) for row in index.rows(chunk))
        for tile, row in enumerate(rows):
            marks = [(row.first_tid, 0), *row.starts]
            offsets = [self._virtual(tile, offset) for _, offset in marks]
            offsets.append(self._starts[tile + 1] << 16)
            for number, (tid, _) in enumerate(marks):
                start = 0 if number else row.first_pos
                end = row.reach if tid == row.last_tid else None
                yield bam_index.Stretch(tid, start, end, offsets[number], offsets[number + 1])

    def _virtual(self, tile: int, offset: int) -> int:
        """Return the virtual offset of a byte of the records of a tile."""
        block, within = divmod(offset, _PAYLOAD)
        return (self._starts[tile] + block * _BLOCK) << 16 | within


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
