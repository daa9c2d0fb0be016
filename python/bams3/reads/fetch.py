"""Read sections of tiles: few requests, read ahead, in order, in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from bams3 import _core
from bams3.errors import Bams3Error, CorruptError, NotFoundError
from bams3.reads.limits import cpus
from bams3.reads.pipeline import ordered
from bams3.storage import copy_between

if TYPE_CHECKING:
    from bams3._core import ChunkRow, Index, Selection, TilePlace, TileRow
    from bams3.regions import Interval
    from bams3.storage.store import Store

Parts = Literal["core", "both"]
Range = tuple[int, int]

MAX_POSITION = (1 << 31) - 1
ROUND_BYTES = 8 << 20
ROUND_RANGES = 64
NEAR = 64 << 10


@dataclass(frozen=True, slots=True)
class Section:
    """The stored bytes of a tile; `rest` is empty where only cores are read."""

    place: TilePlace
    core: bytes
    rest: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Ranges of one chunk object, and the tiles that lie in them."""

    chunk: int
    ranges: tuple[Range, ...]
    places: tuple[TilePlace, ...]

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(end - start for start, end in self.ranges)


@dataclass(frozen=True, slots=True)
class Source:
    """Where chunks lie: the store, and the row of the index, the key and the size of each.

    `contigs` is their number, `gone` says why an object is not there.
    """

    store: Store
    chunks: Sequence[ChunkRow]
    key: Callable[[int], str]
    size: Callable[[int], int]
    contigs: int
    gone: Callable[[NotFoundError], Bams3Error]

    def where(self, place: TilePlace) -> str:
        """Name a tile in a message."""
        return f"{self.store.url_of(self.key(place.chunk))}, tile {place.tile}"

    @contextmanager
    def naming(self, place: TilePlace) -> Iterator[None]:
        """Name the tile in what says that it is damaged."""
        try:
            yield
        except CorruptError as error:
            raise CorruptError(f"{self.where(place)}: {error.message}", error.hint) from error

    def decode(self, section: Section, selection: Selection | None = None) -> bytes:
        """Decode the selected records of a tile; to be called within `naming`."""
        return _core.decode_tile(section.core, section.rest, selection, self.contigs)

    def chunk(self, chunk: int) -> bytes:
        """Read a whole chunk.

        Raises:
            CorruptError: It is missing or damaged.
            StorageError: The dataset was replaced.
        """
        try:
            data = self.store.get(self.key(chunk))
        except NotFoundError as error:
            raise self.gone(error) from error
        self._check(chunk, data)
        return data

    def copy(self, chunk: int, target: Store) -> None:
        """Copy a chunk to the same key of another store. Raises as `chunk` does."""
        key = self.key(chunk)
        try:
            copy_between(self.store, key, target, key, lambda data: self._check(chunk, data))
        except NotFoundError as error:
            raise self.gone(error) from error

    def _check(self, chunk: int, data: bytes) -> None:
        if len(data) != self.size(chunk) or _core.hash64(data) != self.chunks[chunk].digest:
            raise CorruptError(f"{self.store.url_of(self.key(chunk))}: fails its checksum")

    def sections(
        self, places: Iterable[TilePlace], parts: Parts, pool: Executor
    ) -> Iterator[Section]:
        """Yield the sections of tiles, in the order given, one round of requests ahead."""
        rounds = list(_rounds(_pieces(self, places, parts)))
        for sections in ordered(pool, lambda pieces: self._read(pieces, parts), rounds, 1):
            yield from sections

    def read(self, places: Iterable[TilePlace], parts: Parts) -> list[Section]:
        """Return the sections of some tiles, in the order given, in one round of requests."""
        return self._read(list(_pieces(self, places, parts)), parts)

    def _read(self, pieces: Sequence[Piece], parts: Parts) -> list[Section]:
        """Read the ranges of some pieces in one parallel round."""
        spans = [(self.key(p.chunk), start, end) for p in pieces for start, end in p.ranges]
        try:
            blocks = iter(self.store.get_many(spans))
        except NotFoundError as error:
            raise self.gone(error) from error
        sections = []
        for piece in pieces:
            held = [(start, next(blocks)) for start, _ in piece.ranges]
            sections += [_section(place, held, parts) for place in piece.places]
        return sections


def tiles_of(index: Index, tid: int, intervals: Sequence[Interval]) -> list[TilePlace]:
    """Return the tiles that can hold records in any of sorted, disjoint intervals, in order."""
    if not intervals:
        return []
    first, last = intervals[0][0], min(intervals[-1][1], MAX_POSITION)
    places = index.overlapping(tid, first, last)
    if len(intervals) == 1:
        return places
    rows = {chunk: index.rows(chunk) for chunk in {place.chunk for place in places}}
    return [p for p in places if _needed(rows[p.chunk][p.tile], tid, intervals)]


def _needed(row: TileRow, tid: int, intervals: Sequence[Interval]) -> bool:
    """Whether records of a tile can overlap any of the intervals."""
    start = row.first_pos if row.first_tid == tid else 0
    end = row.reach if row.last_tid == tid else MAX_POSITION
    after = bisect_right(intervals, start, key=lambda interval: interval[1])
    return after < len(intervals) and intervals[after][0] < end


def _section(place: TilePlace, held: Sequence[tuple[int, bytes]], parts: Parts) -> Section:
    rest = _cut(place.rest, held) if parts == "both" else b""
    return Section(place, _cut(place.core, held), rest)


def _cut(place: Range, held: Sequence[tuple[int, bytes]]) -> bytes:
    offset, length = place
    for start, block in held:
        if start <= offset and offset + length <= start + len(block):
            return block[offset - start : offset - start + length]
    raise CorruptError("the index places a tile outside of its chunk")


def _pieces(source: Source, places: Iterable[TilePlace], parts: Parts) -> Iterator[Piece]:
    """Group consecutive tiles by chunk and choose the ranges to read."""
    for chunk, group in groupby(places, key=lambda place: place.chunk):
        tiles = tuple(group)
        ranges = _ranges(tiles, parts, source.size(chunk))
        yield Piece(chunk, ranges, tiles)


def _ranges(tiles: Sequence[TilePlace], parts: Parts, size: int) -> tuple[Range, ...]:
    """Join near sections; where that is nearly all of the chunk, take all of it."""
    wanted = [tile.core for tile in tiles]
    if parts == "both":
        wanted += [tile.rest for tile in tiles]
    ranges = _join(sorted((offset, offset + length) for offset, length in wanted))
    if len(ranges) > 1 and 5 * sum(end - start for start, end in ranges) > 4 * size:
        return ((0, size),)
    return tuple(ranges)


def _join(ranges: Sequence[Range]) -> list[Range]:
    joined: list[Range] = []
    for start, end in ranges:
        if joined and start <= joined[-1][1] + NEAR and _worth(joined[-1], start, end):
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _worth(last: Range, start: int, end: int) -> bool:
    """Whether the gap is small beside what is read."""
    return start <= last[1] or (start - last[1]) * 4 <= (last[1] - last[0]) + (end - start)


def _rounds(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Collect pieces to rounds of bounded size."""
    held: list[Piece] = []
    for piece in pieces:
        if held and (
            sum(p.size for p in held) + piece.size > ROUND_BYTES
            or sum(len(p.ranges) for p in held) >= ROUND_RANGES
        ):
            yield held
            held = []
        held.append(piece)
    if held:
        yield held


@contextmanager
def pools(threads: int | None = None) -> Iterator[tuple[Executor, Executor, int]]:
    """Open a pool for requests and one for decoding; also give the number of decoding threads."""
    workers = threads or cpus()
    with ThreadPoolExecutor(2, "bams3-fetch") as fetching:
        with ThreadPoolExecutor(workers, "bams3-decode") as decoding:
            yield fetching, decoding, workers
