"""A tile codec in Python for tests of conversion: zstd of the records, no columns."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bams3 import _core


class TileOptions:
    def __init__(self, profile="balanced", qualities=None, drop_tags=(), drop_names=False):
        self.max_reads, self.max_bytes = 1000, 1 << 20


def encode_tile(records: bytes, options: TileOptions) -> Any:
    places, at = [], 0
    while at < len(records):
        size, tid, pos = struct.unpack_from("<Iii", records, at)
        places.append((tid, pos))
        at += 4 + size
    digest = _core.records_digest(records)
    row = SimpleNamespace(
        reads=len(places), first_tid=places[0][0], first_pos=places[0][1], last_tid=places[-1][0]
    )
    rest = _core.zstd_compress(records, 1)
    return SimpleNamespace(
        core=b"CORE",
        rest=rest,
        row=row,
        digest_in=digest,
        digest=digest,
        stats=Stats(),
        column_sizes={"rest": len(rest)},
    )


class Stats:
    def merge(self, other: Stats) -> None: ...
    def to_bytes(self) -> bytes:
        return b"stats"

    @staticmethod
    def from_bytes(data: bytes) -> Stats:
        return Stats()


@dataclass
class Index:
    contigs: list[tuple[str, int]]
    chunks: list[Any] = field(default_factory=list)

    def add_chunk(self, start, end, digest, tiles):
        size = sum(core + rest for _, core, rest in tiles)
        chunk = {
            "first_tid": tiles[0][0].first_tid,
            "last_tid": tiles[-1][0].last_tid,
            "start": start,
            "end": end,
            "digest": digest,
            "size": size,
            "lengths": [[row.reads, core, rest] for row, core, rest in tiles],
        }
        self.chunks.append(SimpleNamespace(**chunk))

    def to_bytes(self) -> bytes:
        return json.dumps([self.contigs, [vars(chunk) for chunk in self.chunks]]).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Index:
        contigs, chunks = json.loads(data)
        contigs = [tuple(contig) for contig in contigs]
        return Index(contigs, [SimpleNamespace(**chunk) for chunk in chunks])


def install() -> None:
    """Take the place of the codec of the core, where it has none."""
    if hasattr(_core, "encode_tile"):
        return
    for thing in (TileOptions, encode_tile, Stats, Index):
        setattr(_core, thing.__name__, thing)


def records_of(store, manifest) -> bytes:
    """Return the records of a dataset that was written with the stand-in."""
    from bams3.reads.manifest import chunk_key

    out = []
    for chunk in manifest.index.chunks:
        data = store.get(chunk_key(manifest.index.contigs, chunk))
        at = sum(core for _, core, _ in chunk.lengths)
        for _, _, rest in chunk.lengths:
            out.append(_core.zstd_decompress(data[at : at + rest], 1 << 30))
            at += rest
    return b"".join(out)
