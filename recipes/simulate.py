"""Write a random genome and paired reads of a sample of it, with SNPs and sequencing errors.

    python recipes/simulate.py OUTDIR [--pairs 20000] [--length 400000] [--seed 1]

Writes ref.fa, r1.fq and r2.fq; the same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

BASES = "ACGT"
COMPLEMENT = str.maketrans("ACGT", "TGCA")
READ = 150
ERROR = {"F": 0.0005, ":": 0.004, ",": 0.02, "#": 0.2}
"""Chance of an error by quality character: the four that recent sequencers write."""


def main() -> None:
    """Parse the command line and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--length", type=int, default=400_000, help="bases of the genome")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.outdir.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    genome = make_genome(rng, args.length)
    with open(args.outdir / "ref.fa", "w") as file:
        for name, bases in genome.items():
            file.write(f">{name}\n")
            file.writelines(f"{bases[i : i + 60]}\n" for i in range(0, len(bases), 60))
    haplotypes = [(mutate(rng, bases), mutate(rng, bases)) for bases in genome.values()]
    with open(args.outdir / "r1.fq", "w") as first, open(args.outdir / "r2.fq", "w") as second:
        for number in range(args.pairs):
            one, two = make_pair(rng, haplotypes)
            name = f"SIM:1:FC01:{1 + number % 4}:{1101 + number % 78}:{number % 30000}:{number}"
            first.write(f"@{name}\n{one[0]}\n+\n{one[1]}\n")
            second.write(f"@{name}\n{two[0]}\n+\n{two[1]}\n")


def make_genome(rng: random.Random, length: int) -> dict[str, str]:
    """Return contigs by name: two large ones, and a small deep one."""
    sizes = {"chr1": length * 6 // 10, "chr2": length * 4 // 10 - 16_000, "chrM": 16_000}
    return {name: "".join(rng.choices(BASES, k=size)) for name, size in sizes.items()}


def mutate(rng: random.Random, bases: str) -> str:
    """Return a haplotype: a SNP in a thousand bases, a short indel in ten thousand."""
    parts, position = [], 0
    while True:
        following = position + 1 + int(rng.expovariate(1 / 900))
        if following >= len(bases) - 10:
            return "".join([*parts, bases[position:]])
        parts.append(bases[position:following])
        if rng.random() < 0.9:
            parts.append(rng.choice(BASES.replace(bases[following], "")))
            position = following + 1
        elif rng.random() < 0.5:
            parts.append("".join(rng.choices(BASES, k=rng.randint(1, 8))))
            position = following
        else:
            position = following + rng.randint(1, 8)


def make_pair(
    rng: random.Random, haplotypes: list[tuple[str, str]]
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return bases and qualities of both reads; one pair in 200 comes from nowhere."""
    size = max(READ, int(rng.gauss(380, 60)))
    if rng.random() < 0.005:
        fragment = "".join(rng.choices(BASES, k=size))
    else:
        weights = [len(pair[0]) * (20 if len(pair[0]) == 16_000 else 1) for pair in haplotypes]
        bases = rng.choice(rng.choices(haplotypes, weights)[0])
        start = rng.randrange(len(bases) - size)
        fragment = bases[start : start + size]
    if rng.random() < 0.5:
        fragment = reverse_complement(fragment)
    return sequence(rng, fragment[:READ]), sequence(rng, reverse_complement(fragment)[:READ])


def sequence(rng: random.Random, bases: str) -> tuple[str, str]:
    """Return what a sequencer reads of `bases`, and its qualities."""
    quality, read, qualities = "F", [], []
    for base in bases:
        if rng.random() < 0.06:
            quality = rng.choices("F:,#", (90, 7, 2.5, 0.5))[0]
        read.append(rng.choice(BASES) if rng.random() < ERROR[quality] else base)
        qualities.append(quality)
    return "".join(read), "".join(qualities)


def reverse_complement(bases: str) -> str:
    """Return the other strand."""
    return bases.translate(COMPLEMENT)[::-1]


if __name__ == "__main__":
    main()
