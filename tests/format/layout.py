"""Sections 1, 2, 8 and 10 of docs/reference/format.md: manifest, keys, index, tables, slices."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from tests.format import zstd
from tests.format.cursor import Corrupt, Cursor
from tests.format.primitives import unzigzag

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
COLUMNS = "records first_tid first_pos tids reach core rest bytes"


@dataclass
class Tile:
    """One row of the index."""

    records: int
    first_tid: int
    first_pos: int
    last_tid: int
    reach: int
    core: int
    rest: int
    bytes: int
    starts: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Chunk:
    """One object of records."""

    start: int
    end: int
    digest: bytes
    tiles: list[Tile]


@dataclass
class Index:
    """What the manifest says of contigs and chunks."""

    contigs: list[tuple[bytes, int]]
    chunks: list[Chunk]

    def key(self, chunk: Chunk) -> str:
        """Where the object of a chunk is."""
        first, last = chunk.tiles[0].first_tid, chunk.tiles[-1].last_tid
        folder = self._escaped(first) + ("" if first == last else "+" + self._escaped(last))
        digest = f"{int.from_bytes(chunk.digest, 'little'):016x}"
        return f"data/{folder}/{chunk.start:09}-{chunk.end:09}.{digest}.chunk"

    def table_key(self, tid: int, digest: str) -> str:
        """Where the tile table of a contig is."""
        return f"_index/{self._escaped(tid)}.{digest}.tiles"

    def _escaped(self, tid: int) -> str:
        return "unmapped" if tid < 0 else escape(self.contigs[tid][0])


def read_manifest(path: Path) -> dict:
    """The manifest; its version and its checksum are right."""
    raw = path.read_bytes()
    body = raw[: raw.rfind(b"\n", 0, raw.rfind(b'"checksum"'))]
    end = b'\n "checksum": "%b"\n}\n' % xxhash.xxh3_64_hexdigest(body).encode()
    if raw != body + end:
        raise Corrupt(f"{path}: the checksum is wrong")
    manifest = json.loads(raw)
    if manifest["format"] != "bams3" or manifest["version"][0] != 1:
        raise Corrupt(f"{path}: format {manifest['format']} {manifest['version']}")
    return manifest


def read_object(path: Path, digest: str) -> bytes:
    """The bytes of an object, which have this digest."""
    raw = path.read_bytes()
    if xxhash.xxh3_64_hexdigest(raw) != digest:
        raise Corrupt(f"{path}: the digest is wrong")
    return raw


# ---- keys ----------------------------------------------------------------------------------------
def escape(name: bytes) -> str:
    """The name of a contig as a part of a key."""
    reserved = name in (b"unmapped", b".", b"..")
    whole = "".join(
        chr(byte) if byte in PLAIN and not (reserved and i == 0) else f"%{byte:02X}"
        for i, byte in enumerate(name)
    )
    if len(whole) <= 80:
        return whole
    start = whole[:60]
    if "%" in start:
        start = start[: start.rindex("%")] or "long"
    return start + "%~" + xxhash.xxh3_64_hexdigest(name)


# ---- the index -----------------------------------------------------------------------------------
def read_index(encoded: str, folder: Path) -> Index:
    """The index, with the tiles of its tables, which lie in the folder of the dataset."""
    cursor = Cursor(zstd.decode(base64.b64decode(encoded)))
    contigs = [_contig(cursor) for _ in range(cursor.varint())]
    heads = [_chunk(cursor) for _ in range(cursor.varint())]
    tiles = _tiles(cursor, [count for _, _, count, _ in heads])
    chunks = [
        Chunk(start, end, digest, own)
        for (start, end, _, digest), own in zip(heads, tiles, strict=True)
    ]
    index, empty, before = Index(contigs, chunks), [c for c in chunks if not c.tiles], 0
    while cursor.left():
        tid, count, size = unzigzag(cursor.varint()), cursor.varint(), cursor.varint()
        digest = f"{int.from_bytes(cursor.take(8), 'little'):016x}"
        raw = read_object(folder / index.table_key(tid, digest), digest)
        if len(raw) != size or before > tid & 0xFFFFFFFF or count < 1:
            raise Corrupt(f"the table of contig {tid} is not as the index says")
        _fill(empty[:count], tid, Cursor(zstd.decode(raw)))
        empty, before = empty[count:], (tid & 0xFFFFFFFF) + 1
    if empty:
        raise Corrupt("chunks without tiles")
    return index


def _fill(chunks: list[Chunk], tid: int, cursor: Cursor) -> None:
    """Give chunks the tiles of their table."""
    tiles = _tiles(cursor, [cursor.varint() for _ in chunks])
    cursor.finish()
    for chunk, own in zip(chunks, tiles, strict=True):
        if not own or any((tile.first_tid, tile.last_tid) != (tid, tid) for tile in own):
            raise Corrupt(f"the table of contig {tid} has tiles of another, or a chunk has none")
        chunk.tiles = own


def _tiles(cursor: Cursor, counts: list[int]) -> list[list[Tile]]:
    """The tiles of so many chunks, as eight columns, and the contigs in them."""
    columns = {name: _column(cursor, sum(counts)) for name in COLUMNS.split()}
    rows = [_tile(*row) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        if row.first_tid != row.last_tid:
            row.starts = _starts(cursor, row)
    tiles = iter(rows)
    return [[next(tiles) for _ in range(count)] for count in counts]


def _contig(cursor: Cursor) -> tuple[bytes, int]:
    name = cursor.take(cursor.varint())
    return name, cursor.varint()


def _chunk(cursor: Cursor) -> tuple[int, int, int, bytes]:
    start = cursor.varint()
    return start, start + cursor.varint(), cursor.varint(), cursor.take(8)


def _column(cursor: Cursor, count: int) -> list[int]:
    value, out = 0, []
    for _ in range(count):
        value = value + unzigzag(cursor.varint()) + 2**63 & 2**64 - 1
        value -= 2**63
        out.append(value)
    return out


def _tile(
    records: int, tid: int, pos: int, tids: int, reach: int, core: int, rest: int, size: int
) -> Tile:
    return Tile(records, tid, pos, tid + tids, pos + reach, core, rest, size)


def _starts(cursor: Cursor, tile: Tile) -> list[tuple[int, int]]:
    tid, offset, out = tile.first_tid, 0, []
    for _ in range(cursor.varint()):
        tid, offset = tid + cursor.varint(), offset + cursor.varint()
        out.append((tid, offset))
    if not out or out[-1][0] != tile.last_tid or offset >= tile.bytes:
        raise Corrupt(f"the index has contigs {out} in {tile}")
    return out


# ---- slices --------------------------------------------------------------------------------------
@dataclass
class Slice:
    """A run of records of a tile."""

    reads: int
    pos: int
    reach: int
    bytes: int


def read_slices(manifest: dict, folder: Path) -> list[list[Slice]] | None:
    """The slices of all tiles, if the dataset has some."""
    place = manifest.get("slices")
    if place is None:
        return None
    raw = read_object(folder / f"_index/{place['digest']}.slices", place["digest"])
    if len(raw) != place["size"]:
        raise Corrupt("the slices are not as long as the manifest says")
    cursor = Cursor(zstd.decode(raw))
    counts = [cursor.varint() for _ in range(cursor.varint())]
    reads = [cursor.varint() for _ in range(sum(counts))]
    starts: list[int] = []
    for count in counts:
        pos = 0
        for _ in range(count):
            pos += unzigzag(cursor.varint())
            starts.append(pos)
    reaches = [pos + unzigzag(cursor.varint()) for pos in starts]
    rows = zip(reads, starts, reaches, strict=True)
    slices = iter([Slice(*row, cursor.varint()) for row in rows])
    cursor.finish()
    return [[next(slices) for _ in range(count)] for count in counts]
