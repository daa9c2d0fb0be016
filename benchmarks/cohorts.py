"""Statistics of many samples beside bcftools."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pysam

from benchmarks.tables import Table
from benchmarks.timing import BAMS3, Command, race

SAMPLES, RECORDS = 500, 20_000
_ROWS = 200
"""Rows of genotypes that are drawn; records take one of them each."""


def tables(rounds: int) -> list[Table]:
    """Make calls of a cohort, and sum them up with both."""
    if not shutil.which("bcftools"):
        raise SystemExit("error: bcftools is missing\nhint: apt-get install bcftools")
    with tempfile.TemporaryDirectory() as place:
        calls, out = _made(Path(place)), Path(place) / "stats"
        commands = {
            "bams3": Command([BAMS3, "variants", "stats", "--quiet", str(calls)], stdout=out),
            "bcftools": Command(["bcftools", "stats", "-s", "-", str(calls)], stdout=out),
        }
        results = race(commands, rounds)
    table = Table(
        f"Statistics of {SAMPLES} samples, {RECORDS:,} records",
        ["command", "seconds", "CPU s", "peak MiB", "x bcftools"],
    )
    for result in results.values():
        table.add(
            str(result.command), f"{result.wall:.2f}", f"{result.cpu:.2f}",
            f"{result.memory:.0f}", f"{result.wall / results['bcftools'].wall:.1f}",
        )  # fmt: skip
    version = subprocess.run(["bcftools", "--version"], capture_output=True, text=True).stdout
    table.notes = [
        f"Made calls: GT:AD:DP, a tenth of the genotypes with the allele. Medians of {rounds} "
        f"rounds in turns; {version.splitlines()[0]}."
    ]
    return [table]


def _made(place: Path) -> Path:
    """Write the calls of a cohort, the same each time."""
    print("  cohort", file=sys.stderr)
    chance, path = random.Random(1), place / "cohort.vcf"
    rows = ["\t".join(_genotype(chance) for _ in range(SAMPLES)) for _ in range(_ROWS)]
    names = "\t".join(f"S{number}" for number in range(SAMPLES))
    with open(path, "w") as out:
        out.write(
            "##fileformat=VCFv4.2\n##contig=<ID=1,length=10000000>\n"
            '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
            '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depth of alleles">\n'
            '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
            f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}\n"
        )
        for number in range(RECORDS):
            ref, alt = chance.sample("ACGT", 2)
            site = f"1\t{1000 + 400 * number}\t.\t{ref}\t{alt}\t{chance.randrange(20, 400)}"
            out.write(f"{site}\tPASS\t.\tGT:AD:DP\t{chance.choice(rows)}\n")
    return Path(pysam.tabix_index(str(path), preset="vcf", force=True))


def _genotype(chance: random.Random) -> str:
    genotype = chance.choices(["0/0", "0/1", "1/1"], [90, 8, 2])[0]
    depth = chance.randrange(10, 60)
    other = {"0/0": 0, "0/1": depth // 2, "1/1": depth}[genotype]
    return f"{genotype}:{depth - other},{other}:{depth}"
