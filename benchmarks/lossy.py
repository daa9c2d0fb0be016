"""Lossy qualities: the size, and beside it what becomes of the variant calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.tables import Table, verdict
from benchmarks.timing import BAMS3
from benchmarks.truth import Call, Case, alleles, cases, score

MODES = ("bin8", "bin4", "crumble")
LEAST_SAVED = 0.84
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
        for case in cases(Path(folder)):
            _measure(case, Path(folder), table)
    return [table]


def _measure(case: Case, folder: Path, table: Table) -> None:
    truth = alleles(case.truth, case, inside=True)
    original = alleles(_call(case.bam, case, folder), case)
    confident = alleles(folder / "calls.vcf", case, inside=True)
    table.add(
        case.what,
        "of the BAM",
        "",
        case.bam.stat().st_size,
        "0.0%",
        "",
        *score(confident, truth),
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
    calls = alleles(_call(back, case, folder), case)
    scores = score(alleles(folder / "calls.vcf", case, inside=True), truth)
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
