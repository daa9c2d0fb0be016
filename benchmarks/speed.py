"""Speed: each command of bams3 beside samtools, on one stream of reads, in turns."""

from __future__ import annotations

import argparse
import filecmp
import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pysam

from benchmarks import inputs
from benchmarks.tables import Table, verdict
from benchmarks.timing import (
    BAMS3,
    Command,
    Result,
    fastest,
    newest_samtools,
    race,
    run,
    samtools_versions,
)

THREADS = ["-@", "2"]
REGIONS = {"1 kb": 1_000, "100 kb": 100_000, "1 Mb": 1_000_000}


@dataclass(frozen=True)
class Files:
    """The input, what is made of it once, and where results go."""

    folder: Path
    sam: Path
    reference: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def tables(args: argparse.Namespace) -> list[Table]:
    """Measure everything; the input is made first, where it is not in the cache."""
    if args.stream:
        sam, reference, how = args.stream, args.reference, _program(args.stream)
    else:
        sam, reference, how = inputs.stream(args.pairs, args.aligner)
    files = Files(inputs.CACHE / "speed", sam, reference)
    files.folder.mkdir(parents=True, exist_ok=True)
    table = Table(
        "Speed beside samtools, medians",
        [
            "task",
            "command",
            "runs",
            "wall s",
            "least-most",
            "CPU s",
            "peak MiB",
            "of peer",
            "target",
        ],
    )
    steps = (_convert, _prepare, _to_bam, _stats, _depth, _query, _start)
    chosen = [step for step in steps if args.only in (None, step.__name__.strip("_"))]
    for step in chosen:
        print(f"  {step.__name__}", file=sys.stderr)
        step(files, table, args.rounds)
    table.notes += [
        f"Input: {_describe(files)}: {how}.",
        "In turns (A B C A B C ...); least-most are wall seconds. Peer: the faster of the two "
        "samtools. That of pysam is started through Python: the row of start-up says what that "
        "costs. A peak of memory under 30 MiB is that of the benchmark, from which it was started.",
        "Wall time depends on what else runs on the machine; CPU seconds do so less.",
    ]
    return [table]


def _program(sam: Path) -> str:
    """Return the command that made a SAM file, of its header."""
    with pysam.AlignmentFile(str(sam), check_sq=False) as reads:
        lines = [line.get("CL", "?") for line in reads.header.to_dict().get("PG", [])]
    return f"{sam.name}, as given, made by `{lines[-1] if lines else '?'}`"


def _describe(files: Files) -> str:
    shown = subprocess.run(
        [BAMS3, "stats", files / "balanced.bams3", "--json"], capture_output=True, check=True
    ).stdout
    pairs, size = json.loads(shown)["flagstat"]["read1"][0], files.sam.stat().st_size
    return f"{pairs:,} pairs in the aligner's order, {size / 1e9:.2f} GB of SAM"


def report(table: Table, task: str, results: dict[str, Result], targets: dict[str, float]) -> None:
    """Add a row for each result; those of bams3 against the faster samtools."""
    peer = results[fastest(results, lambda name: name.startswith("samtools"))]
    for name, result in results.items():
        ratio = result.wall / peer.wall
        of_peer = f"{ratio:.2f}" if result is not peer else "peer"
        judged = (
            f"<= {targets[name]:.2f}: {verdict(ratio, targets[name])}" if name in targets else ""
        )
        _add(table, task, name, result, of_peer, judged)
        task = ""


def _add(table: Table, task: str, name: str, result: Result, of_peer: str, judged: str) -> None:
    table.add(
        task, f"{name}: `{result.command}`", len(result.samples), f"{result.wall:.3g}",
        result.spread, f"{result.cpu:.3g}", f"{result.memory:.0f}", of_peer, judged,
    )  # fmt: skip


def each_samtools(*words: str, **kwargs: object) -> dict[str, Command]:
    """Return the command for each samtools that there is."""
    return {
        name: Command([*start, *words], **kwargs) for name, start in samtools_versions().items()
    }


def bams3(*words: object, **kwargs: object) -> Command:
    """Return a command of ours."""
    return Command([BAMS3, *map(str, words)], **kwargs)


# ---- tasks ---------------------------------------------------------------------------------------
def _convert(files: Files, table: Table, rounds: int) -> None:
    out = files / "sorted.bam"
    commands = each_samtools(
        "sort", *THREADS, "-o", str(out), "-T", str(files / "tmp"), stdin=files.sam, removes=(out,)
    )
    for profile in ("fast", "balanced"):
        commands[f"bams3 {profile}"] = _converting(files, profile)
    results = race(commands, rounds)
    report(table, "sort", results, {"bams3 fast": 0.4, "bams3 balanced": 0.7})
    small = race({"bams3 small": _converting(files, "small")}, 1)
    peer = results[fastest(results, lambda name: name.startswith("samtools"))]
    result = small["bams3 small"]
    _add(table, "", "bams3 small", result, f"{result.wall / peer.wall:.2f}", "")
    sizes = {p: _size(files / f"{p}.bams3") for p in ("fast", "balanced", "small")}
    table.notes.append(
        f"Sizes of this simulated stream, for the record only: sorted BAM {_size(out):,}; "
        + ", ".join(f"{name} {size:,}" for name, size in sizes.items()) + " bytes."
    )  # fmt: skip


def _converting(files: Files, profile: str) -> Command:
    target = files / f"{profile}.bams3"
    words = ("convert", "--stdin", target, "--profile", profile, "--workers", 2, "--quiet")
    return bams3(*words, stdin=files.sam, removes=(target,))


def _size(path: Path) -> int:
    found = [path] if path.is_file() else path.rglob("*")
    return sum(item.stat().st_size for item in found if item.is_file())


def _prepare(files: Files, table: Table, _: int) -> None:
    """Index the BAM, and make the CRAM 3.1 of the same reads."""
    bam, cram, start = str(files / "sorted.bam"), str(files / "sorted.cram"), newest_samtools()
    run(Command([*start, "index", *THREADS, bam]))
    options = ["-T", str(files.reference), "-O", "cram,version=3.1"]
    run(Command([*start, "view", *THREADS, *options, "-o", cram, bam]))
    table.notes.append(
        f"CRAM 3.1 normal with its reference outside: {_size(files / 'sorted.cram'):,} bytes."
    )


def _to_bam(files: Files, table: Table, rounds: int) -> None:
    for indexed in (False, True):
        out, ours = files / "view.bam", files / "ours.bam"
        extra = ["--write-index"] if indexed else []
        name = f"{out}##idx##{out}.bai" if indexed else str(out)
        options = ["-b", *THREADS, "-T", str(files.reference), *extra, "-o", name]
        words = ("view", *options, str(files / "sorted.cram"))
        commands = each_samtools(*words, removes=(out,))
        for profile in ("fast", "balanced"):
            options = [] if indexed else ["--no-index"]
            words = ("to-bam", files / f"{profile}.bams3", ours, *THREADS, *options, "--quiet")
            commands[f"bams3 {profile}"] = bams3(*words, removes=(ours,))
        results = race(commands, rounds)
        task = "to BAM, with index" if indexed else "to BAM, no index"
        report(table, task, results, {"bams3 fast": 1.0, "bams3 balanced": 1.0})
    written = f"samtools {_size(out):,}, bams3 {_size(ours):,} bytes"
    table.notes.append(f"BAM written, both at level 6: {written}.")


def _stats(files: Files, table: Table, rounds: int) -> None:
    commands = each_samtools("flagstat", *THREADS, str(files / "sorted.bam"))
    commands["bams3"] = bams3("stats", files / "balanced.bams3")
    results = race(commands, max(rounds, 5))
    report(table, "stats", results, {})
    _absolute(table, results["bams3"], 0.3)


def _absolute(table: Table, result: Result, seconds: float) -> None:
    table.rows[-1][-1] = f"<= {seconds} s: {verdict(result.wall, seconds)}"


def _depth(files: Files, table: Table, rounds: int) -> None:
    """To files, which are compared, and to nowhere: writing costs all of them the same."""
    region = _region(files, 1_000_000)
    for task, where in (("depth, all", []), ("depth, 1 Mb", ["-r", region])):
        for kept in (True, False):
            commands = each_samtools(
                "depth", *THREADS, *where, str(files / "sorted.bam"),
                stdout=files / "depth.txt" if kept else None,
            )  # fmt: skip
            commands["bams3"] = bams3(
                "depth", files / "balanced.bams3", *where[1:], *THREADS,
                stdout=files / "ours.txt" if kept else None,
            )  # fmt: skip
            to = "to a file" if kept else "to /dev/null"
            report(table, f"{task}, {to}", race(commands, max(rounds, 5)), {"bams3": 0.2})
        if not filecmp.cmp(files / "depth.txt", files / "ours.txt", shallow=False):
            table.notes.append(f"**{task}: the output differs from that of samtools.**")


def _query(files: Files, table: Table, rounds: int) -> None:
    for task, length in REGIONS.items():
        region = _region(files, length)
        commands = each_samtools("view", str(files / "sorted.bam"), region)
        commands["bams3"] = bams3("query", files / "balanced.bams3", region)
        report(table, f"query {task}", race(commands, max(rounds, 5)), {})


def _region(files: Files, length: int) -> str:
    """Choose a region by chance, always the same, well within the largest contig."""
    with pysam.AlignmentFile(str(files / "sorted.bam")) as reads:
        size = max(reads.lengths)
        name = reads.references[reads.lengths.index(size)]
    start = random.Random(length).randrange(size // 4, max(size // 2, size // 4 + 1))
    return f"{name}:{start}-{start + length - 1}"


def _start(_: Files, table: Table, rounds: int) -> None:
    commands = each_samtools("version")
    commands["bams3"] = bams3("--help")
    results = race(commands, max(rounds, 7))
    report(table, "start-up", results, {})
    _absolute(table, results["bams3"], 0.15)
