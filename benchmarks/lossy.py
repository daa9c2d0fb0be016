"""Lossy qualities: the size, and beside it what becomes of the variant calls."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pysam

from benchmarks import inputs
from benchmarks.tables import Table, verdict
from benchmarks.timing import BAMS3

MODES = ("bin8", "bin4", "crumble")
LEAST_SAVED = 0.84
KEPT = 0.3
Call = tuple[str, int, str, str]
NOTES = [
    "Calls: `bcftools mpileup -f ref.fa | bcftools call -mv`, split and left-aligned by `bcftools "
    "norm -m -any`, no filters, against the truth in its confident intervals: alleles for TP, FP, "
    "FN; genotypes among the TP. The last column counts all calls, confident or not, that the "
    "lossless reads have and these have not, and the other way round.",
    "What this is worth: that nothing breaks, not that nothing is lost. The real reads have 10 kb "
    "of confident intervals with 49 variants: with none missed, up to 6 % could be (95 %, rule of "
    "three). The simulated 500 kb have 215 variants, most of them easy, and errors of a simulator, "
    "drawn from the qualities that it wrote: not those of a sequencer, and no damaged, duplicated "
    "or misaligned fragments. A difference of one or two calls is noise in either.",
    "At full depth qualities hardly matter: a variant is seen in many reads. In the thinned rows, "
    "about 9x, they do. Before lossy data replace an original, measure on data of your own kind, "
    "with your caller, above all for low depth, tumours and mosaics.",
    "The simulated reads have 8 quality values already: bin8 makes them no fewer, only others, and "
    "the `ms` tags (a sum of the mate's qualities), which no longer follow from them, are stored.",
]


@dataclass(frozen=True)
class Case:
    """Reads with a reference, and the truth within confident intervals."""

    what: str
    bam: Path
    reference: Path
    truth: Path
    bed: Path
    real: bool


def tables() -> list[Table]:
    """Measure every case that can be."""
    if not shutil.which("bcftools"):
        return [Table("Lossy qualities", ["not measured"], notes=["bcftools is missing"])]
    table = Table(
        "Lossy qualities, opt-in: size and variant calls",
        ["data", "qualities", "profile", "bytes", "below BAM", "target", "SNV TP / FP / FN", "F1",
         "indel TP / FP / FN", "F1", "genotypes right", "calls lost / new"],
        notes=NOTES,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for case in _cases(Path(folder)):
            _measure(case, Path(folder), table)
    return [table]


def _cases(folder: Path) -> list[Case]:
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


def _measure(case: Case, folder: Path, table: Table) -> None:
    truth = _alleles(case.truth, case, inside=True)
    original = _alleles(_call(case.bam, case, folder), case)
    confident = _alleles(folder / "calls.vcf", case, inside=True)
    table.add(
        case.what,
        "of the BAM",
        "",
        case.bam.stat().st_size,
        "0.0%",
        "",
        *_score(confident, truth),
        "",
    )
    for mode in (None, *MODES):
        for profile in ("balanced", "small"):
            print(f"  {case.what} {mode} {profile}", file=sys.stderr)
            _add(case, folder, table, mode, profile, truth, original)


def _add(
    case: Case, folder: Path, table: Table, mode: str | None, profile: str,
    truth: dict[Call, str], original: dict[Call, str],
) -> None:  # fmt: skip
    dataset, back = folder / "x.bams3", folder / "back.bam"
    shutil.rmtree(dataset, ignore_errors=True)
    options = ["--qualities", mode] if mode else []
    made = subprocess.run(
        [BAMS3, "convert", case.bam, dataset, "--profile", profile, "--quiet", *options],
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or ["?"])[-1]
        table.add("", mode or "lossless", profile, "not built", f"`{reason[:80]}`", *[""] * 7)
        return
    size = sum(path.stat().st_size for path in dataset.rglob("*") if path.is_file())
    saved = 1 - size / case.bam.stat().st_size
    judged = verdict(-saved, -LEAST_SAVED) if mode and case.real else ""
    subprocess.run([BAMS3, "to-bam", dataset, back, "--quiet"], check=True)
    calls = _alleles(_call(back, case, folder), case)
    scores = _score(_alleles(folder / "calls.vcf", case, inside=True), truth)
    lost, new = len(original.keys() - calls.keys()), len(calls.keys() - original.keys())
    table.add(
        "", mode or "lossless", profile, size, f"{saved:.1%}", judged, *scores, f"{lost} / {new}"
    )


def _call(bam: Path, case: Case, folder: Path) -> Path:
    out = folder / "calls.vcf"
    script = (
        'set -o pipefail; bcftools mpileup -Ou -f "$1" "$2" | bcftools call -mv -Ou '
        '| bcftools norm -m -any -f "$1" -Ov -o "$3"'
    )
    words = ["bash", "-c", script, "calls", str(case.reference), str(bam), str(out)]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return out


def _alleles(vcf: Path, case: Case, inside: bool = False) -> dict[Call, str]:
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
        alleles = sorted(genotype.replace("|", "/").split("/"))
        if "1" in alleles:
            found[(chrom, int(pos), ref.upper(), alt.upper())] = "/".join(alleles)
    return found


def _score(calls: dict[Call, str], truth: dict[Call, str]) -> list[str]:
    """Return TP / FP / FN and F1 of SNVs, the same of indels, and how many genotypes are right."""
    right = calls.keys() & truth.keys()
    cells = []
    for wanted in (_is_snv, lambda call: not _is_snv(call)):
        sets = (right, calls.keys() - truth.keys(), truth.keys() - calls.keys())
        found, false, missed = (sum(map(wanted, calls)) for calls in sets)
        total = 2 * found + false + missed
        cells += [f"{found} / {false} / {missed}", f"{2 * found / total:.4f}" if total else "-"]
    return [*cells, str(sum(calls[call] == truth[call] for call in right))]


def _is_snv(call: Call) -> bool:
    return len(call[2]) == len(call[3]) == 1
