"""A BAM with all that makes regions hard, its dataset, and what samtools says of it."""

from __future__ import annotations

import random
from pathlib import Path

import pysam

from bams3.reads.convert import convert

CONTIGS = {
    "chr1": 1_000_000,
    "chr2": 300_000,
    "HLA-A*01:01": 5_000,
    "b": 2_000,
    "b:7": 1_000,
    "empty": 1_000,
    "chrM": 16_569,
}
FLAGS = (0, 16, 4, 99, 147, 83, 163, 73, 133, 256, 272, 512, 1024, 1187, 2048, 2064)
CIGARS = (
    "50M", "50M", "50M", "20S30M", "30M5H20M", "25M2D25M", "25M3I22M", "10M100N40M", "20=5X25=",
    "5M90000N45M", "50I", "50S", "10M1P2I38M",
)  # fmt: skip
HEADER = (
    "@HD\tVN:1.6\tSO:coordinate\n"
    + "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in CONTIGS.items())
    + "@RG\tID:a\tSM:child\n@PG\tID:aligner\tPN:aligner\n@CO\tverbatim\ttext \n"
)


def make_bam(folder: Path, count: int = 40_000, seed: int = 1) -> Path:
    """Write a coordinate-sorted, indexed BAM."""
    chance = random.Random(seed)
    sam, bam = folder / f"{seed}.sam", folder / f"{seed}.bam"
    sam.write_text(HEADER + "".join(_line(chance, seed, number) for number in range(count)))
    pysam.sort("--no-PG", "-o", str(bam), str(sam))
    pysam.index(str(bam))
    return bam


def make_dataset(bam: Path, **options: object) -> str:
    """Convert into small chunks."""
    url = str(bam.with_suffix(".bams3"))
    convert(str(bam), url, profile="fast", chunk_size=1 << 16, **options)  # type: ignore[arg-type]
    return url


def samtools(*arguments: str | Path) -> str:
    """Return what a samtools command prints."""
    name, *rest = map(str, arguments)
    return str(getattr(pysam, name)(*rest, catch_stdout="-o" not in rest))


def _line(chance: random.Random, seed: int, number: int) -> str:
    contig, position = _place(chance)
    flag = 4 if contig == "*" else chance.choice(FLAGS)
    mapq = chance.choice([0, 10, 29, 30, 60])
    cigar = "*" if flag & 4 else chance.choice(CIGARS)
    mate = ("=", position) if flag & 1 and contig != "*" else ("*", 0)
    bases = "".join(chance.choice("ACGTN") for _ in range(50))
    bases = bases[:45] if cigar == "30M5H20M" else bases
    cigar = "30M5H" if cigar == "30M5H20M" else cigar
    bases = bases[:30] if cigar == "30M5H" else bases
    qualities = "".join(chance.choice("#,:F") for _ in bases) if chance.random() < 0.9 else "*"
    fields = [f"r{seed}.{number // 2}", flag, contig, position, mapq, cigar, *mate, 0, bases]
    return "\t".join(map(str, [*fields, qualities, *_tags(chance)])) + "\n"


def _place(chance: random.Random) -> tuple[str, int]:
    if chance.random() < 0.02:
        return "*", 0
    if chance.random() < 0.3:
        return "chr1", chance.randrange(400_000, 401_000)
    contig = chance.choice(["chr1"] * 8 + ["chr2"] * 3 + ["HLA-A*01:01", "b", "b:7", "chrM"])
    return contig, chance.randrange(1, CONTIGS[contig] + 1)


def _tags(chance: random.Random) -> list[str]:
    tags = [
        "RG:Z:a",
        f"NM:i:{chance.randrange(300)}",
        "XF:f:0.25",
        "XB:B:S,1,2,300",
        "XA:A:x",
        "MD:Z:50",
    ]
    return [tag for tag in tags if chance.random() < 0.7]
