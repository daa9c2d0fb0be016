"""Calling: one process and two, BAM, CRAM and BAMS3, disk and S3, beside plain bcftools."""

from __future__ import annotations

import gzip
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pysam
from tests.servers import versitygw

from bams3.storage import open_store
from benchmarks import inputs, requests
from benchmarks.load import spread
from benchmarks.tables import Table, verdict
from benchmarks.timing import BAMS3, PYTHON, Command, Result, race
from benchmarks.truth import Case, alleles, cases, score

TILES = 10
REGION = "20:1-5000000"
PLAIN, WHOLE, SPLIT = "plain bcftools on BAM", "whole.vcf.gz", "split.vcf.gz"
ALONE = "1 on one CPU"
WORKERS = {ALONE: 1, "1": 1, "2": 2}
SMALL = "20:2000001-2100000"
HALVES = "20:1-2500000", "20:2500001-5000000"
COLUMNS = [
    "input", "workers", "seconds", "CPU s", "of one (least-most)", "of one on one CPU", "target",
]  # fmt: skip
CALL = """{b} mpileup -d 1000000 -f {ref} -r {region} -a FORMAT/AD,FORMAT/DP -Ou {bam} \
| {b} call -mv -Ou"""
NORM = """{b} norm -f {ref} -c e -m -any -d exact -Ou | {b} sort -Oz -o {out} \
&& {b} index -f -t {out}"""


def tables(rounds: int) -> list[Table]:
    """Make the data where they are not in the cache, and call them."""
    folder = inputs.CACHE / f"variants-{TILES}"
    how = requests.prepare(folder, TILES)
    reference = _reference(folder)
    table = Table(f"Calling {REGION}, 30x", COLUMNS)
    with tempfile.TemporaryDirectory() as place:
        local = race(_local(folder, reference, Path(place)), rounds)
        _rows(table, local)
        seam = _same(Path(place))
        found = [table, *_remote(folder, reference, Path(place), rounds), _accuracy(Path(place))]
    table.notes = [
        f"Data: {how}. Medians of {rounds} rounds in turns. Plain: `bcftools mpileup | call | norm "
        "| sort` and index of pysam, one pipe over the whole region. All of ours have the same "
        "records as that.",
        "A worker is a pipe of processes. `mpileup` takes one CPU and most of the time; the others "
        "(reading, `call`, `view`) run beside it where a second CPU is free. So on a machine of "
        "two CPUs one worker already takes more than one of them. `1 on one CPU`: all of it held "
        "on one (`taskset`), as where there are as many workers as CPUs. Plain with two: a pipe "
        "for each half of the region at once, then `concat | norm | sort`; "
        f"{seam} of its records are others than those of the whole, at the seam.",
        "Of one: one worker's seconds by two workers' of the same round, the median.",
    ]
    return found


def _reference(folder: Path) -> Path:
    """Write the reference of the tiled reads: the bases under them, as often end to end."""
    path = folder / "x.fa"
    if not path.exists():
        print("  reference", file=sys.stderr)
        packed = inputs.chromosome_20()
        if packed is None:
            raise SystemExit("error: Debian's vt-examples is needed for the reference")
        text = gzip.decompress(packed.read_bytes()).partition(b"\n")[2]
        bases = text.replace(b"\n", b"").decode()
        source, _ = requests._source(folder)
        with pysam.AlignmentFile(str(source)) as reads:
            length = reads.header.get_reference_length("20")
            start = next(reads.fetch("20")).reference_start
        tiled = (bases[start : start + requests.TILE] * TILES).ljust(length, "N")
        lines = (f"{tiled[i : i + 60]}\n" for i in range(0, length, 60))
        path.write_text("".join([">20\n", *lines]))
        pysam.faidx(str(path))
    return path


# ---- are they right? -----------------------------------------------------------------------------
def _accuracy(place: Path) -> Table:
    """Compare calls from each format with the truth, beside plain bcftools on the BAM."""
    pysam.set_verbosity(0)  # htslib tells of each contig that the reference lacks
    table = Table(
        "Calls and the truth",
        ["data", "called from", "SNV TP / FP / FN", "F1", "indel TP / FP / FN", "F1",
         "genotypes right", "records that differ from plain"],
        notes=[
            "Scored by Debian's bcftools: one allele a record, left-aligned, within the confident "
            "intervals. Plain: the pipe of the table above, on the BAM.",
        ],
    )  # fmt: skip
    for number, case in enumerate(cases(place)):
        folder = place / f"case{number}"
        folder.mkdir()
        _judge(case, folder, table)
    return table


def _judge(case: Case, folder: Path, table: Table) -> None:
    print(f"  {case.what}", file=sys.stderr)
    region = case.bed.read_text().split()[0]
    truth, files = alleles(case.truth, case, inside=True), _formats(case, folder)
    plain = folder / "plain.vcf.gz"
    script = _plain(case.reference, [region], files["BAM"], plain)
    _quietly("bash", "-c", script)
    wanted = _records(plain)
    table.add(case.what, "BAM, plain bcftools", *score(alleles(plain, case, True), truth), "")
    for kind, path in files.items():
        out = folder / f"{kind}.vcf.gz"
        _quietly(*_calling(path, case.reference, out, region, 2))
        lines = _records(out)
        differ = len({*wanted} ^ {*lines}) or int(wanted != lines)
        table.add("", kind, *score(alleles(out, case, True), truth), differ)


def _formats(case: Case, folder: Path) -> dict[str, Path]:
    """Return the reads, sorted as their order says, as BAM, CRAM and BAMS3, each with its index."""
    bam, cram, dataset = (folder / f"x.{ending}" for ending in ("bam", "cram", "bams3"))
    pysam.sort("-o", str(bam), str(case.bam), catch_stdout=False)
    pysam.index(str(bam))
    reference = ["-T", str(case.reference)]
    pysam.view("-C", *reference, "-o", str(cram), str(bam), catch_stdout=False)
    pysam.index(str(cram))
    _quietly(BAMS3, "convert", str(bam), str(dataset), "--quiet")
    return {"BAM": bam, "BAMS3": dataset, "CRAM": cram}


def _quietly(*words: str) -> None:
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)


# ---- how fast? -----------------------------------------------------------------------------------
def _local(folder: Path, reference: Path, place: Path) -> dict[str, Command]:
    bam, found = folder / "x.bam", {}
    for way, workers in WORKERS.items():
        regions, name = ([REGION], WHOLE) if workers == 1 else (HALVES, SPLIT)
        script = _plain(reference, regions, bam, place / name)
        found[f"{PLAIN}, {way}"] = _held(Command(["bash", "-c", script]), way)
    for kind in ("BAM", "BAMS3", "CRAM"):
        for way, workers in WORKERS.items():
            out = place / f"{kind}.{way.replace(' ', '-')}.vcf.gz"
            command = _call(folder / f"x.{kind.lower()}", reference, out, workers)
            found[f"{kind}, {way}"] = _held(command, way)
    return found


def _held(command: Command, way: str) -> Command:
    """Hold one worker that is to be alone on one CPU there."""
    if way != ALONE:
        return command
    cpu = str(min(os.sched_getaffinity(0)))
    return replace(command, words=["taskset", "-c", cpu, *command.words])


def _plain(reference: Path, regions: Sequence[str], bam: Path, out: Path) -> str:
    """Return the script that calls regions with the bcftools that we use, and nothing of ours."""
    bcftools = f"{PYTHON} -m bams3.variants.stage"
    calls = [CALL.format(b=bcftools, ref=reference, region=region, bam=bam) for region in regions]
    norm = NORM.format(b=bcftools, ref=reference, out=out)
    if len(calls) == 1:
        return f"set -o pipefail; {calls[0]} | {norm}"
    parts = [f"{out}.{number}.bcf" for number in range(len(calls))]
    scattered = "".join(f"{call} > {part} &\n" for call, part in zip(calls, parts, strict=True))
    return f"set -o pipefail\n{scattered}wait\n{bcftools} concat -Ou {' '.join(parts)} | {norm}"


def _call(source: object, reference: object, out: Path, workers: int) -> Command:
    removes = (out, Path(f"{out}.receipt.json"))
    return Command(_calling(source, reference, out, REGION, workers), removes=removes)


def _calling(source: object, reference: object, out: Path, region: str, workers: int) -> list[str]:
    words = [BAMS3, "variants", "call", str(source), "-f", str(reference), "-o", str(out)]
    return [*words, "--quiet", "-r", region, "--workers", str(workers)]


def _rows(table: Table, results: dict[str, Result]) -> None:
    """Add a row for each; a worker is a pipe of processes, so that one may use two CPUs."""
    for name, result in results.items():
        kind, _, workers = name.partition(", ")
        gain, alone, target = "", "", ""
        if workers == "2":
            gains = _by_round(results[f"{kind}, 1"], result)
            gain = spread(gains)
            if f"{kind}, {ALONE}" in results:
                alone = spread(_by_round(results[f"{kind}, {ALONE}"], result))
            if kind != PLAIN:
                target = f">= 1.8 of one: {verdict(1.8, statistics.median(gains))}"
        elif kind == "BAMS3" and workers == "1":
            times = _by_round(result, results["BAM, 1"])
            target = f"<= BAM: {spread(times)} x: {verdict(statistics.median(times), 1)}"
        table.add(kind, workers, f"{result.wall:.2f}", f"{result.cpu:.2f}", gain, alone, target)


def _by_round(one: Result, other: Result) -> list[float]:
    """Return the seconds of each round by those of the other's: what ran side by side."""
    return [a.wall / b.wall for a, b in zip(one.samples, other.samples, strict=True)]


def _same(place: Path) -> int:
    """Stop where any of ours differs from the plain one; return how many of the halves' do."""
    texts = {path.name: _records(path) for path in place.glob("*.vcf.gz")}
    whole, split = texts.pop(WHOLE), texts.pop(SPLIT)
    for name, lines in texts.items():
        if lines != whole:
            raise SystemExit(f"error: {name} differs from plain bcftools")
    return len({*split} - {*whole})


def _records(path: Path) -> list[str]:
    with pysam.VariantFile(str(path)) as file:
        return [str(record) for record in file]


def _remote(folder: Path, reference: Path, place: Path, rounds: int) -> list[Table]:
    """Call from the S3 server of the tests, and count bytes at the one that counts."""
    tables = []
    program = versitygw.find()
    if program:
        with versitygw.Versitygw(place / "s3", program) as server:
            os.environ |= server.environ
            url = server.make_bucket("bench")
            for name in ("x.bam", "x.bam.bai", "x.cram", "x.cram.crai"):
                open_store(url).put(name, (folder / name).read_bytes())
            _put(folder / "x.bams3", f"{url}/x.bams3")
            commands = {
                f"{kind}, {workers}": _call(f"{url}/x.{kind.lower()}", reference, out, workers)
                for kind in ("BAM", "BAMS3", "CRAM")
                for workers in (1, 2)
                for out in (place / f"s3.{kind}.{workers}.vcf.gz",)
            }
            table = Table(f"The same from S3 (versitygw): {REGION}", COLUMNS)
            _rows(table, race(commands, rounds))
            _same(place)
            tables.append(table)
    return [*tables, _bytes(folder, reference, place)]


def _put(folder: Path, url: str) -> None:
    store = open_store(url)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path.read_bytes())


def _bytes(folder: Path, reference: Path, place: Path) -> Table:
    """Count what a small region reads."""
    table = Table(f"Bytes read from S3 to call {SMALL}", ["input", "requests", "bytes", "of all"])
    with requests.CountingS3() as server, requests._environment(server):
        server.latency = 0.0
        requests._serve(server, folder)
        for kind in ("bam", "cram", "bams3"):
            out = place / f"small.{kind}.vcf.gz"
            command = _call(f"s3://{requests.BUCKET}/x.{kind}", reference, out, 1)
            words = [SMALL if word == REGION else word for word in command.words]
            traffic = requests._counted(server, lambda w=words: subprocess.run(w, check=True))
            size = requests._size(folder / f"x.{kind}")
            table.add(
                kind.upper(), traffic.requests, int(traffic.sent), f"{traffic.sent / size:.1%}"
            )
    return table
