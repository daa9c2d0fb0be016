"""Reads with a truth set, and how calls compare with it, by bcftools alone."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pysam

from benchmarks import inputs

KEPT = 0.3
Call = tuple[str, int, str, str]


@dataclass(frozen=True)
class Case:
    """Reads with a reference, and the truth within confident intervals."""

    what: str
    bam: Path
    reference: Path
    truth: Path
    bed: Path
    real: bool


def cases(folder: Path) -> list[Case]:
    """Return those that the data at hand allow for; files that are made go into `folder`."""
    data = inputs.data()
    if data is None:
        return []
    real = data / inputs.NA12878
    reference = _unpacked(real / "hg19_chr20_unittest.fa.gz", folder / "hg19.fa")
    truth, bed = real / "HG001_v3.3.2.truth.hg19.vcf.gz", real / "NIST_confident_10kb.bed"
    what = "NA12878 50x HiSeq, GIAB v3.3.2"
    cases = [Case(what, real / "NA12878_50x.bam", reference, truth, bed, True)]
    simulated, chromosome = data / inputs.SIMULATED, inputs.chromosome_20()
    if chromosome and simulated.exists():
        reference = _unpacked(chromosome, folder / "20.fa")
        rest = reference, simulated / "truth.vcf.gz", simulated / "region.bed", False
        bam = simulated / "reads.bam"
        cases.append(Case("simulated 30x HiSeq X, 500 kb", bam, *rest))
        cases.append(Case("the same, thinned to 9x", _thinned(bam, folder / "9x.bam"), *rest))
    return cases


def _thinned(bam: Path, into: Path) -> Path:
    """Keep some of the pairs, the same ones each time."""
    words = ["-b", "--no-PG", "--subsample", str(KEPT), "--subsample-seed", "1", "-o"]
    pysam.view(*words, str(into), str(bam), catch_stdout=False)
    return into


def _unpacked(source: Path, into: Path) -> Path:
    with gzip.open(source) as packed, open(into, "wb") as out:
        shutil.copyfileobj(packed, out)
    pysam.faidx(str(into))
    return into


def alleles(vcf: Path, case: Case, inside: bool = False) -> dict[Call, str]:
    """Return the variants of a VCF, normalised, with their genotypes (order of alleles ignored)."""
    target = f'-T "{case.bed}"' if inside else ""
    script = (
        f'bcftools norm -m -any -f "$1" -Ou "$2" | bcftools view -Ou {target} '
        "| bcftools query -f '%CHROM\\t%POS\\t%REF\\t%ALT[\\t%GT]\\n'"
    )
    words = ["bash", "-c", f"set -o pipefail; {script}", "alleles", str(case.reference), str(vcf)]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in shown.splitlines():
        chrom, pos, ref, alt, genotype = line.split("\t")[:5]
        numbers = sorted(genotype.replace("|", "/").split("/"))
        if "1" in numbers:
            found[(chrom, int(pos), ref.upper(), alt.upper())] = "/".join(numbers)
    return found


def score(calls: dict[Call, str], truth: dict[Call, str]) -> list[str]:
    """Return TP / FP / FN and F1 of SNVs, the same of indels, and how many genotypes are right."""
    right = calls.keys() & truth.keys()
    cells = []
    for wanted in (is_snv, lambda call: not is_snv(call)):
        sets = (right, calls.keys() - truth.keys(), truth.keys() - calls.keys())
        found, false, missed = (sum(map(wanted, calls)) for calls in sets)
        total = 2 * found + false + missed
        cells += [f"{found} / {false} / {missed}", f"{2 * found / total:.4f}" if total else "-"]
    return [*cells, str(sum(calls[call] == truth[call] for call in right))]


def is_snv(call: Call) -> bool:
    """Whether an allele of one base takes the place of another."""
    return len(call[2]) == len(call[3]) == 1
