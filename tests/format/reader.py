"""A reader of BAMS3 datasets that knows nothing but docs/reference/format.md.

    python -m tests.format.reader DATASET > records.sam

It checks everything that can be checked, and is as slow as plain Python is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.format import bam, bases, core, mates, names, qualities, sam, tags, zstd
from tests.format.core import Record
from tests.format.cursor import Corrupt
from tests.format.layout import (
    Chunk,
    Index,
    Slice,
    Tile,
    read_index,
    read_manifest,
    read_object,
    read_slices,
)
from tests.format.primitives import open_section


@dataclass
class Dataset:
    """A folder with its manifest."""

    folder: Path
    manifest: dict
    index: Index
    slices: list[list[Slice]] | None

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        manifest = read_manifest(folder / "_metadata.json")
        index = read_index(manifest["index"], folder)
        return cls(folder, manifest, index, read_slices(manifest, folder))

    def header(self) -> bytes:
        """The text of the SAM header."""
        head = self.manifest["header"]
        frame = read_object(self.folder / f"_header.{head['digest']}.zst", head["digest"])
        return zstd.decode(frame, head["size"])

    def records(self) -> Iterator[Record]:
        """All records, `packed` as BAM has them; at the end their number and digest are checked."""
        count = total = 0
        slices = iter(self.slices or [])
        for chunk in self.index.chunks:
            for records in self._chunk(chunk):
                check_slices(next(slices, []), records)
                for record in records:
                    count += 1
                    total += bam.digest(record.packed)
                    yield record
        if list(slices):
            raise Corrupt("slices without tiles")
        if count != self.manifest["records"]:
            raise Corrupt(f"{count} records instead of {self.manifest['records']}")
        if f"{total % 2**128:032x}" != self.manifest["digest"]:
            raise Corrupt("the digest of the records is wrong")

    def _chunk(self, chunk: Chunk) -> Iterator[list[Record]]:
        digest = f"{int.from_bytes(chunk.digest, 'little'):016x}"
        raw = read_object(self.folder / self.index.key(chunk), digest)
        rest = sum(tile.core for tile in chunk.tiles)
        at = 0
        for tile in chunk.tiles:
            records = read_tile(tile, raw[at : at + tile.core], raw[rest : rest + tile.rest])
            at, rest = at + tile.core, rest + tile.rest
            yield records
        if rest != len(raw):
            raise Corrupt("the sections do not fill the chunk")


def read_tile(tile: Tile, core_section: bytes, rest_section: bytes) -> list[Record]:
    """The records of one tile."""
    records = core.read(open_section(core_section))
    cursor = open_section(rest_section)
    mates.read(cursor, records)
    names.read(cursor, records)
    bases.read(cursor, records)
    qualities.read(cursor, records)
    tags.read(cursor, records)
    cursor.finish()
    for record in records:
        record.packed = bam.pack(record)
    _check(tile, records)
    return records


def check_slices(slices: list[Slice], records: list[Record]) -> None:
    """That these are slices of a tile of these records."""
    at = 0
    for number, slice_ in enumerate(slices):
        run = records[at : at + slice_.reads]
        at += len(run)
        size = sum(len(r.packed) for r in run)
        found = Slice(len(run), run[0].pos, max(r.end for r in run), size)
        if found != slice_ or {r.tid for r in run} != {records[0].tid} or run[0].tid < 0:
            raise Corrupt(f"slice {number} is {found}, not {slice_}")
    if slices and (at != len(records) or len(slices) == 1):
        raise Corrupt("the slices are not all of the tile")


def _check(tile: Tile, records: list[Record]) -> None:
    """That the index says of a tile what is in it."""
    first, last = records[0], records[-1]
    reach = max(record.end for record in records if record.tid == last.tid)
    size, starts = 0, []
    for record, before in zip(records, [first, *records], strict=False):
        if record.tid != before.tid:
            starts.append((record.tid, size))
        size += len(record.packed)
    extent = (len(records), first.tid, first.pos, last.tid, reach)
    found = Tile(*extent, tile.core, tile.rest, size, starts)
    if found != tile:
        raise Corrupt(f"the index has {tile}, the tile {found}")


def main(folder: str) -> None:
    """Print a dataset as SAM."""
    dataset = Dataset.open(Path(folder))
    out = sys.stdout.buffer
    out.write(dataset.header())
    contigs = [name for name, _ in dataset.index.contigs]
    out.writelines(sam.line(record.packed, contigs) for record in dataset.records())


if __name__ == "__main__":
    main(sys.argv[1])
