"""VCF files with variants of all kinds, made by a random number generator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pysam

CONTIGS = {"chr1": 400_000, "HLA-A*01:01": 100_000}
HEADER = """\
##fileformat=VCFv4.2
##FILTER=<ID=q10,Description="Quality below 10">
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Reads">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Reads by allele">
"""


def write_vcf(
    path: Path,
    samples: Sequence[str],
    *,
    records: int = 800,
    ploidy: int = 2,
    spacing: int = 450,
    seed: int = 1,
) -> Path:
    """Write a bgzipped, indexed file; a fifth of the alleles are indels, some records have two."""
    rng = random.Random(seed)
    head = HEADER + "".join(f"##contig=<ID={c},length={n}>\n" for c, n in CONTIGS.items())
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
    columns += ["FORMAT", *samples] if samples else []
    lines, most = [], records * 4 // 5
    for number in range(records):
        contig, place = ("chr1", number) if number < most else ("HLA-A*01:01", number - most)
        lines.append(line(rng, contig, 500 + spacing * place, samples, ploidy))
    plain = path.with_suffix("")
    plain.write_text(head + "\t".join(columns) + "\n" + "".join(lines))
    pysam.tabix_index(str(plain), preset="vcf", force=True)
    return path


def line(rng: random.Random, contig: str, pos: int, samples: Sequence[str], ploidy: int) -> str:
    ref, alts = alleles(rng)
    qual = round(rng.uniform(3, 300), 1)
    frequencies = ",".join(f"{rng.uniform(0.01, 0.49):.2f}" for _ in alts)
    fields = [contig, pos, ".", ref, ",".join(alts), qual]
    fields += ["PASS" if qual >= 10 else "q10", f"AF={frequencies}"]
    if samples:
        genotypes = [genotype(rng, len(alts), ploidy) for _ in samples]
        if not any(set(g) & set("12") for g in genotypes):
            genotypes[0] = "/".join(["1"] * ploidy)
        fields += ["GT:DP:AD", *(values(rng, g, len(alts)) for g in genotypes)]
    return "\t".join(map(str, fields)) + "\n"


def alleles(rng: random.Random) -> tuple[str, list[str]]:
    base = rng.choice("ACGT")
    others = ["ACGT".replace(base, "")[n] for n in rng.sample(range(3), 2)]
    more = "".join(rng.choices("ACGT", k=rng.randint(1, 70)))
    kind = rng.random()
    if kind < 0.7:
        return base, others[:1]
    if kind < 0.8:
        return base, others
    if kind < 0.9:
        return base, [base + more]
    return base + more, [base]


def genotype(rng: random.Random, alts: int, ploidy: int) -> str:
    if rng.random() < 0.05:
        return "/".join(["."] * ploidy)
    return "/".join(str(rng.choice([0, *range(1, alts + 1)])) for _ in range(ploidy))


def values(rng: random.Random, genotype: str, alts: int) -> str:
    depths = [rng.randint(5, 30) for _ in range(alts + 1)]
    return f"{genotype}:{sum(depths)}:{','.join(map(str, depths))}"
