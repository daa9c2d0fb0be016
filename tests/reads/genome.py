"""The shape of a whole human genome at 30x, around a few real chunks.

What opening and planning see is there: contigs, chunks, tiles, tables, statistics. Only
the objects of most chunks are not, so one can ask for nothing but the real ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from bams3 import _core
from bams3.reads import tables
from bams3.reads.manifest import METADATA, Manifest

CHROMOSOMES = {
    "chr1": 248_956_422, "chr2": 242_193_529, "chr3": 198_295_559, "chr4": 190_214_555,
    "chr5": 181_538_259, "chr6": 170_805_979, "chr7": 159_345_973, "chr8": 145_138_636,
    "chr9": 138_394_717, "chr10": 133_797_422, "chr11": 135_086_622, "chr12": 133_275_309,
    "chr13": 114_364_328, "chr14": 107_043_718, "chr15": 101_991_189, "chr16": 90_338_345,
    "chr17": 83_257_441, "chr18": 80_373_285, "chr19": 58_617_616, "chr20": 64_444_167,
    "chr21": 46_709_983, "chr22": 50_818_468, "chrX": 156_040_895, "chrY": 57_227_415,
    "chrM": 16_569,
}  # fmt: skip
CHUNK = 1 << 20
TILE_READS = 10_000
TILE_BASES = 50_000
UNMAPPED_TILES = 620
DOUBLINGS = 9

Entry = tuple[_core.TileRow, int, int]


def contigs(count: int) -> list[tuple[str, int]]:
    """As many contigs as an analysis set of GRCh38 has: 195, or 3,366 with alternates."""
    chance = random.Random(count)
    others = [
        lambda n: f"chrUn_KI{270_302 + n}v1",
        lambda n: f"chr{1 + n % 22}_GL{383_518 + n}v1_alt",
        lambda n: f"HLA-DRB1*{1 + n % 16:02}:{1 + n // 16:02}:01:{1 + n % 3:02}",
        lambda n: f"chrUn_JTFH0100{n:04}v1_decoy",
    ]
    found = dict(CHROMOSOMES)
    for number in range(count - len(found)):
        found[others[number % len(others)](number)] = round(1000 * 200 ** chance.random())
    return list(found.items())


def widen(objects: dict[str, bytes]) -> dict[str, bytes]:
    """Put the chunks of a dataset, which lie on the first contig, into a whole genome."""
    manifest = Manifest.from_bytes(objects[METADATA])
    index = _core.Index(manifest.index.contigs)
    for start, end, digest, entries in _chunks(manifest.index):
        index.add_chunk(start, end, digest, entries)
    stats = manifest.stats
    for _ in range(DOUBLINGS):
        stats.merge(_core.Stats.from_bytes(stats.to_bytes()))
    found = dict(objects)
    for table in tables.split(index):
        found[table.key] = found[table.hint] = table.data
    return found | {METADATA: replace(manifest, index=index, stats=stats).to_bytes()}


def _chunks(real: _core.Index) -> Iterator[tuple[int, int, int, list[Entry]]]:
    """Yield the chunks of the genome; those of `real` in their places."""
    chance = random.Random(1)
    kept = {chunk.start: number for number, chunk in enumerate(real.chunks) if chunk.last_tid == 0}
    sizes = [entry[1:] for number in kept.values() for entry in _entries(real, number)[:-1]]
    for tid, length in enumerate(CHROMOSOMES.values()):
        for start in range(0, length, CHUNK):
            if tid == 0 and start in kept:
                row = real.chunks[kept[start]]
                yield start, row.end, row.digest, _entries(real, kept[start])
            else:
                made = list(_made(chance, tid, start, min(start + CHUNK, length), sizes))
                yield start, start + CHUNK, chance.getrandbits(64), made
    yield from _shared(chance, real.contigs, sizes)
    for start in range(0, UNMAPPED_TILES, 80):
        row = _core.TileRow(TILE_READS, 3_900_000 + chance.randrange(99_999), -1, -1, -1, 0)
        made = [(row, *chance.choice(sizes)) for _ in range(80)]
        yield start * TILE_READS, (start + 80) * TILE_READS, chance.getrandbits(64), made


def _entries(index: _core.Index, chunk: int) -> list[Entry]:
    places = zip(index.rows(chunk), index.tiles(chunk), strict=True)
    return [(row, place.core[1], place.rest[1]) for row, place in places]


def _made(
    chance: random.Random, tid: int, start: int, end: int, sizes: list[tuple[int, int]]
) -> Iterator[Entry]:
    """Yield tiles of a chunk, as irregular as those that `sizes` was taken from."""
    while start < end:
        bases = min(round(chance.gauss(TILE_BASES, TILE_BASES / 50)), end - start)
        share = bases / TILE_BASES
        reads = TILE_READS if start + bases < end else max(1, round(TILE_READS * share))
        reach = start + bases + chance.randrange(150)
        core, rest = (
            round(size * min(1, share) * chance.uniform(0.97, 1.03))
            for size in chance.choice(sizes)
        )
        yield (
            _core.TileRow(reads, 390 * reads + chance.randrange(99_999), tid, start, tid, reach),
            core,
            rest,
        )
        start += bases


def _shared(
    chance: random.Random, contigs: list[tuple[str, int]], sizes: list[tuple[int, int]]
) -> Iterator[tuple[int, int, int, list[Entry]]]:
    """Yield the chunks of the short contigs, several of which share a chunk of one tile."""
    first, bases = len(CHROMOSOMES), 0
    for tid in range(first, len(contigs)):
        bases += contigs[tid][1]
        if bases >= TILE_BASES or tid == len(contigs) - 1:
            size = 3_900_000 + chance.randrange(99_999)
            starts = [(first + step, step * 1000) for step in range(1, tid - first + 1)]
            row = _core.TileRow(
                TILE_READS, size, first, chance.randrange(99), tid, contigs[tid][1], starts
            )
            yield 0, CHUNK, chance.getrandbits(64), [(row, *chance.choice(sizes))]
            first, bases = tid + 1, 0
