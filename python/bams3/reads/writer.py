"""Writing a dataset: tiles into chunks, chunks into objects, and last the manifest."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, NamedTuple

from bams3 import _core
from bams3.errors import (
    Bams3Error,
    CorruptError,
    ExistsError,
    NotFoundError,
    StorageError,
    VersionError,
)
from bams3.reads.manifest import (
    METADATA,
    ChunkPlace,
    Manifest,
    SliceTable,
    chunk_key,
    header_key,
)
from bams3.reads.marks import Marks
from bams3.reads.tables import Table, split
from bams3.storage import Store

CHUNK_BYTES = 32 << 20
_IN_FLIGHT = 64 << 20
_EXISTS_HINT = "choose another destination, or replace it with --overwrite"


class Uploads:
    """Puts objects in the background, with bounded memory, and knows what it wrote.

    `begin` is called before anything is written.
    """

    def __init__(self, store: Store, pool: Executor, begin: Callable[[], None]) -> None:
        self._store, self._pool, self._begin = store, pool, begin
        self._pending: deque[tuple[Future[str], int]] = deque()
        self._size = 0
        self.keys: set[str] = set()
        self.bytes_written = 0

    def put(self, key: str, data: bytes) -> None:
        """Write an object some time before `finish`."""
        while self._pending and self._size + len(data) > _IN_FLIGHT:
            self._wait()
        if key not in self.keys:
            self.bytes_written += len(data)
        self.note(key)
        self._pending.append((self._pool.submit(self._store.put, key, data), len(data)))
        self._size += len(data)

    def note(self, key: str) -> None:
        """Take note of an object that is about to be written, here or by the caller."""
        self._begin()
        self.keys.add(key)

    def _wait(self) -> None:
        future, size = self._pending.popleft()
        self._size -= size
        future.result()

    def finish(self) -> None:
        """Wait for all objects; raise what went wrong."""
        while self._pending:
            self._wait()

    def stop(self) -> None:
        """Begin nothing more, and wait for what has begun."""
        for future, _ in self._pending:
            if not future.cancel():
                future.exception()
        self._pending.clear()


class _Chunk(NamedTuple):
    """Tiles that wait for their chunk to end."""

    cuts: list[_core.Cut]
    tiles: list[_core.Tile]

    def data(self) -> bytes:
        return b"".join([*(tile.core for tile in self.tiles), *(tile.rest for tile in self.tiles)])

    def rows(self) -> list[tuple[_core.TileRow, int, int]]:
        return [(tile.row, len(tile.core), len(tile.rest)) for tile in self.tiles]

    def reads(self) -> int:
        return sum(cut.reads for cut in self.cuts)


class ChunkWriter:
    """Collects encoded tiles, in dataset order, into chunks.

    A chunk ends where the next tile opens one, and early at 32 MiB.
    """

    def __init__(self, contigs: list[tuple[str, int]], put: Callable[[str, bytes], None]) -> None:
        self.index = _core.Index(contigs)
        self.slices = _core.Slices()
        self.stats = _core.Stats()
        self.column_sizes: Counter[str] = Counter()
        self.digest_in = self.digest = self.records = self.tiles = self.chunks = 0
        self._contigs, self._put = contigs, put
        self._chunk = _Chunk([], [])
        self._size = self._unplaced = 0

    def add(self, cut: _core.Cut, tile: _core.Tile) -> None:
        """Take the next tile."""
        if cut.opens:
            self._close(early=False)
        self._count(cut, tile)
        self._chunk.cuts.append(cut)
        self._chunk.tiles.append(tile)
        self._size += len(tile.core) + len(tile.rest)
        if self._size >= CHUNK_BYTES:
            self._close(early=True)

    def _count(self, cut: _core.Cut, tile: _core.Tile) -> None:
        self.records += tile.row.reads
        self.tiles += 1
        self.digest_in += int.from_bytes(tile.digest_in, "little")
        self.digest += int.from_bytes(tile.digest, "little")
        self.stats.merge(tile.stats)
        self.column_sizes.update(tile.column_sizes)

    def finish(self) -> None:
        """Write the last chunk."""
        self._close(early=False)

    def _close(self, early: bool) -> None:
        chunk, self._chunk, self._size = self._chunk, _Chunk([], []), 0
        if not chunk.tiles:
            return
        data = chunk.data()
        digest, (start, end) = _core.hash64(data), self._range(chunk, early)
        self.index.add_chunk(start, end, digest, chunk.rows())
        for tile in chunk.tiles:
            self.slices.add(tile.slices)
        self.chunks += 1
        tids = chunk.cuts[0].first[0], chunk.cuts[-1].last[0]
        self._put(chunk_key(self._contigs, ChunkPlace(*tids, start, end, digest)), data)

    def _range(self, chunk: _Chunk, early: bool) -> tuple[int, int]:
        """Return the range of starts for the name of a chunk; unplaced reads are numbered."""
        first, last = chunk.cuts[0], chunk.cuts[-1]
        if first.first[0] < 0:
            start, self._unplaced = self._unplaced, self._unplaced + chunk.reads()
            return start, self._unplaced
        start = first.floor if first.opens else max(0, first.first[1])
        end = last.last[1] + 1 if early else last.ceiling
        # Where the chunk spans contigs, `end` lies on another one, and may be less.
        return start, max(start, end)


class Destination:
    """The folder of a dataset, and the one step that makes the dataset there."""

    def __init__(self, store: Store, overwrite: bool, pool: Executor) -> None:
        self._store = store
        self._pool = pool
        self._etag = self._present()
        if self._etag is not None and not overwrite:
            raise ExistsError(f"{store.url}: holds a dataset already", _EXISTS_HINT)
        self._old = self._replaceable() if self._etag is not None else set()
        self._marks = Marks(store)
        self.uploads = Uploads(store, pool, self._marks.begin)

    def _present(self) -> str | None:
        try:
            return self._store.head(METADATA).etag
        except NotFoundError:
            return None

    def _referred(self) -> set[str]:
        """Return the objects of the dataset that stands there now.

        Raises:
            Bams3Error: It cannot be read, or is damaged, or of a newer version.
        """
        try:
            return _objects(Manifest.from_bytes(self._store.get(METADATA)))
        except NotFoundError:
            return set()

    def _replaceable(self) -> set[str]:
        """Return the objects of the dataset to be replaced; none are known of a damaged one."""
        try:
            return self._referred()
        except (CorruptError, VersionError):
            return set()

    def put_header(self, text: bytes) -> tuple[int, int]:
        """Write the header object; return its digest and the length of the text."""
        packed = _core.zstd_compress(text, 9)
        digest = _core.hash64(packed)
        self.uploads.put(header_key(digest), packed)
        return digest, len(text)

    def put_slices(self, slices: _core.Slices) -> SliceTable | None:
        """Write the slices of tiles, if there are any."""
        if not slices:
            return None
        packed = _core.zstd_compress(slices.to_bytes(), 9)
        table = SliceTable(_core.hash64(packed), len(packed))
        self.uploads.put(table.key, packed)
        return table

    def publish(self, manifest: Manifest) -> int:
        """Make the dataset: from here on readers see it. Return the size of the manifest.

        The tile tables of a large dataset are written before it, and their hints after it: a
        conversion that fails or is late leaves those of the dataset that stands there alone.
        """
        tables = split(manifest.index)
        for table in tables:
            self.uploads.put(table.key, table.data)
        self.uploads.finish()
        self._marks.settle()
        self._check_all_there(manifest)
        data = manifest.to_bytes()
        try:
            if self._etag is None:
                self._store.put_if_absent(METADATA, data)
            else:
                self._store.put_if_match(METADATA, data, self._etag)
        except (ExistsError, NotFoundError) as error:
            self._marks.outwait()
            raise ExistsError(
                f"{self._store.url}: another conversion has written a dataset here meanwhile",
                _EXISTS_HINT,
            ) from error
        self._put_hints(tables)
        with suppress(Bams3Error, OSError):
            self._delete(self._old - _objects(manifest))
        return len(data)

    def _put_hints(self, tables: list[Table]) -> None:
        """Write copies of the tables where readers look first; they do without if need be."""
        futures = [self._pool.submit(self._store.put, table.hint, table.data) for table in tables]
        for future in futures:
            with suppress(Bams3Error, OSError):
                future.result()

    def _check_all_there(self, manifest: Manifest) -> None:
        """Refuse to publish a dataset that another conversion has deleted objects of."""
        header = header_key(manifest.header_digest)
        missing = manifest.keys() - {header}
        for folder in sorted({key.partition("/")[0] for key in missing}):
            missing -= {entry.key for entry in self._store.list(folder)}
        if missing:
            raise self._deleted(min(missing))
        try:
            self._store.head(header)
        except NotFoundError as error:
            raise self._deleted(header) from error

    def _deleted(self, key: str) -> StorageError:
        return StorageError(
            f"{self._store.url_of(key)}: was deleted while the dataset was written",
            "run the conversion again, with no other one to this place at the same time",
        )

    def _delete(self, keys: set[str]) -> None:
        """Delete objects, unless another conversion may count on them; take the marks away."""
        try:
            if keys and self._marks.may_delete():
                self._store.delete_many(sorted(keys))
        finally:
            self._marks.end()

    def abandon(self) -> None:
        """Delete what was written, unless it may be in use. Errors are passed over."""
        self.uploads.stop()
        with suppress(Bams3Error, OSError):
            self._delete_unused()

    def _delete_unused(self) -> None:
        try:
            if self.uploads.keys and self._marks.may_delete():
                self._store.delete_many(sorted(self.uploads.keys - self._referred()))
        finally:
            self._marks.end()


def _objects(manifest: Manifest) -> set[str]:
    """Return all objects that belong to a manifest, needed or not."""
    return manifest.keys() | manifest.hints()


def sizes(writer: ChunkWriter, header: int, data: int) -> dict[str, Any]:
    """Return what the manifest says of sizes, in bytes."""
    return {
        "data": data,
        "header": header,
        "columns": dict(sorted(writer.column_sizes.items())),
    }
