"""Sizes: BAM, CRAM with an external reference, and the sum of all objects of the dataset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.inputs import BESIDE, Input, reference_of, short_reads, without_md5
from benchmarks.tables import Table, verdict
from benchmarks.timing import BAMS3, newest_samtools

CRAMS = {
    "CRAM 3.0": "version=3.0",
    "CRAM 3.1 normal": "version=3.1",
    "CRAM 3.1 small": "version=3.1,small",
    "CRAM 3.1 archive": "version=3.1,archive",
}
PEERS = {"fast": "CRAM 3.0", "balanced": "CRAM 3.1 normal", "small": "CRAM 3.1 archive"}
GROUPS = ["quality", "name", "sequence", "position", "mate", "cigar", "tags", "framing"]


@dataclass
class Measured:
    """Sizes of one BAM in bytes, by format; by profile and column."""

    name: str
    item: Input
    reference: str
    bases: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    columns: dict[str, dict[str, int]] = field(default_factory=dict)


def tables(names: list[str]) -> list[Table]:
    """Measure all BAMs that are there."""
    found = []
    for path, item in short_reads(names):
        print(f"  {path.name}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(path, item, Path(folder)))
    if not found:
        return [Table("Sizes", ["no BAM found"], notes=["set BAMS3_TEST_DATA"])]
    return [_sizes(found), _columns(found)]


def measure(bam: Path, item: Input, folder: Path) -> Measured:
    """Write a BAM in every format, and see how large it is."""
    beside = Path(item.reference) if item.reference else None
    fasta = folder / "ref.fa"
    measured = Measured(bam.stem, item, reference_of(bam, beside, fasta))
    measured.sizes["BAM as given"] = bam.stat().st_size
    source = bam if measured.reference == BESIDE else without_md5(bam, folder / "no_m5.bam")
    for name, options in CRAMS.items():
        cram = folder / "x.cram"
        _samtools(
            "view",
            "-@",
            "1",
            "-T",
            str(fasta),
            "-O",
            f"cram,{options}",
            "-o",
            str(cram),
            str(source),
        )
        _must_need_reference(cram, fasta)
        measured.sizes[name] = cram.stat().st_size
    for profile in PEERS:
        _dataset(bam, folder / profile, profile, measured)
    return measured


def _dataset(bam: Path, target: Path, profile: str, measured: Measured) -> None:
    _run([BAMS3, "convert", str(bam), str(target), "--profile", profile, "--quiet"])
    stats = json.loads(_run([BAMS3, "stats", str(target), "--json"]))
    total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    measured.bases = stats["bases"]
    measured.sizes[profile] = total
    groups = dict.fromkeys(GROUPS, 0)
    for column, count in stats["sizes"]["columns"].items():
        groups[column if column in groups else "tags"] += count
    groups["framing"] = total - sum(groups.values())
    measured.columns[profile] = groups


def _samtools(*words: str) -> None:
    _run([*newest_samtools(), *words])


def _run(words: list[str]) -> str:
    return subprocess.run(words, check=True, text=True, capture_output=True).stdout


def _must_need_reference(cram: Path, fasta: Path) -> None:
    """Fail where a CRAM can be read without its reference: then it has it inside, or has none.

    Raises:
        SystemExit: As said.
    """
    hidden = fasta.with_name("hidden")
    fasta.rename(hidden)
    environment = os.environ | {"REF_PATH": "/nonexistent", "REF_CACHE": "/nonexistent"}
    words = [*newest_samtools(), "view", "-o", os.devnull, str(cram)]
    code = subprocess.run(words, env=environment, capture_output=True).returncode
    hidden.rename(fasta)
    if code == 0:
        raise SystemExit(f"error: {cram}: readable without its reference: not an external one")


def _sizes(found: list[Measured]) -> Table:
    table = Table(
        "Sizes: sum of all objects, lossless",
        ["data", "format", "bytes", "b/base", "of BAM", "peer", "of peer", "target < 1"],
    )
    for one in found:
        for number, (name, size) in enumerate(one.sizes.items()):
            peer = PEERS.get(name, "")
            label = f"bams3 `{name}`" if peer else name
            heading = f"{one.name}: {one.item.what}" if number == 0 else ""
            of_bam = f"{size / one.sizes['BAM as given']:.1%}"
            bits = f"{8 * size / one.bases:.3f}"
            table.add(heading, label, size, bits, of_bam, *_against(one, size, peer))
    table.notes = [
        "CRAM with an external reference, whose size is not counted; checked by the CRAM being "
        "unreadable without it. bams3 has none, and all it needs is counted.",
        "References: "
        + "; ".join(f"{one.name}: {one.reference}" for one in found)
        + ". A reference "
        "made of the reads themselves favours CRAM, if anything.",
        "Names marked simulated are not real reads: no target is judged on these.",
    ]
    table.commands = [
        *(f"samtools view -T ref.fa -O cram,{options}" for options in CRAMS.values()),
        "bams3 convert IN.bam OUT --profile fast|balanced|small",
    ]
    return table


def _against(one: Measured, size: int, peer: str) -> tuple[str, str, str]:
    if not peer:
        return "", "", ""
    ratio = size / one.sizes[peer]
    judged = verdict(ratio, 0.99999999) if one.item.real else "(simulated)"
    return peer, f"{ratio:.3f}", judged


def _columns(found: list[Measured]) -> Table:
    table = Table("Bits per base by column", ["data", "profile", *GROUPS, "all"])
    for one in found:
        for profile, groups in one.columns.items():
            bits = [f"{8 * groups[group] / one.bases:.4f}" for group in GROUPS]
            table.add(one.name if profile == "fast" else "", profile, *bits,
                      f"{8 * sum(groups.values()) / one.bases:.4f}")  # fmt: skip
    table.notes = ["framing: manifest, header, index, statistics, section headers and checksums."]
    return table
