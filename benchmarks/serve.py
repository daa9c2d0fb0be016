"""The server: beside nginx on local files, beside htsget-rs on S3, and a soak of memory."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.server.test_soak import hammer
from tests.servers import versitygw

from benchmarks import inputs, requests
from benchmarks.load import CLIENTS, SECONDS, middle, race, ratios, spread
from benchmarks.serve_htsget import htsget
from benchmarks.servers import bams3, environ, has_nginx, nginx
from benchmarks.tables import Table, verdict
from benchmarks.timing import PYTHON

SIZE = 256 << 20
SPANS = (64 << 10, 1 << 20)
ROUNDS = 5
SOAK = 100_000
SOAK_MIB = 300
REGIONS, EARLY = 200, 20
"""Regions that a server is asked for, and how many of them are counted as its first ones."""


def parts(only: str | None, rounds: int) -> Iterator[tuple[str, Table]]:
    """Measure what is asked for, or all, one part after the other."""
    measures = {"files": _files, "htsget": _htsget, "bam": _as_bam, "soak": _soak}
    if only and only not in measures:
        raise SystemExit(f"error: --only {only}\nhint: one of {', '.join(measures)}")
    for name in [only] if only else measures:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            yield name, measures[name](Path(folder), rounds)


# ---- local files ---------------------------------------------------------------------------------
def _files(place: Path, rounds: int) -> Table:
    if not shutil.which("wrk") or not has_nginx():
        raise SystemExit("error: wrk or nginx is missing\nhint: apt-get install wrk nginx")
    rounds = max(rounds, ROUNDS)
    data = _made(place)
    table = Table(
        f"Local file, keep-alive, {CLIENTS} clients, random ranges",
        [
            "range", "server", "requests/s", "MiB/s", "p50 ms", "p99 ms", "CPU us/request",
            "x nginx (least-most)", "target",
        ],
    )  # fmt: skip
    paths = {"bams3 serve": "/files/r/x.bam", "nginx": "/x.bam"}
    with bams3(f"r={data}") as ours, nginx(place, data) as theirs:
        for span in SPANS:
            wanted = {n: [(paths[n], _random_range(span, k)) for k in range(2000)] for n in paths}
            found = race(place, {"bams3 serve": ours, "nginx": theirs}, wanted, rounds)
            beside = ratios(found["bams3 serve"], found["nginx"])
            median = sorted(beside)[len(beside) // 2]
            for name, loads in found.items():
                load = middle(loads)
                mine = name != "nginx"
                table.add(
                    f"{span >> 10} KiB", name, f"{load.requests:,.0f}",
                    f"{load.bytes / 2**20:,.0f}", f"{load.p50:.2f}", f"{load.p99:.2f}",
                    f"{load.cpu * 1e6:,.0f}", spread(beside) if mine else "",
                    f">= 0.50: {verdict(-median, -0.5)}" if mine else "",
                )  # fmt: skip
    table.notes = [
        f"{rounds} rounds of {SECONDS} s, the servers in turns; the round in the middle; x nginx: "
        "bytes a second by those of the nginx round beside it, the median.",
        "wrk with one thread on the same machine; the file is in memory. One process each: bams3 "
        "serve has one, nginx one worker, sendfile on.",
    ]
    table.commands = [f"wrk -t1 -c{CLIENTS} -d{SECONDS} -s benchmarks/load.lua URL"]
    return table


def _made(place: Path) -> Path:
    """Write a file of random bytes."""
    data = place / "files"
    data.mkdir()
    (data / "x.bam").write_bytes(random.Random(1).randbytes(1 << 20) * (SIZE >> 20))
    return data


def _random_range(span: int, seed: int) -> str:
    start = random.Random(seed).randrange(SIZE - span)
    return f"bytes={start}-{start + span - 1}"


# ---- S3 ------------------------------------------------------------------------------------------
@contextmanager
def _bucket(place: Path, data: Path) -> Iterator[versitygw.Versitygw]:
    """Run an S3 server that has the files of a folder in the bucket `bench`."""
    program = versitygw.find()
    if program is None:
        raise SystemExit("error: versitygw is missing\nhint: make setup")
    with versitygw.Versitygw(place / "s3", program) as store, environ(store.environ):
        store.make_bucket("bench")
        for path in data.rglob("*"):
            target = place / "s3" / "data" / "bench" / path.relative_to(data)
            target.mkdir(exist_ok=True) if path.is_dir() else os.link(path, target)
        yield store


def _htsget(place: Path, rounds: int) -> Table:
    with _bucket(place, _sample()) as store, bams3("bench=s3://bench/") as ours:
        return htsget(place, store, ours, rounds)


def _sample() -> Path:
    data = inputs.CACHE / "requests-80"
    requests.prepare(data, 80)
    return data


# ---- BAMS3 as BAM --------------------------------------------------------------------------------
def _as_bam(place: Path, rounds: int) -> Table:
    """Read regions with htslib, of the BAM and of the dataset that looks like one."""
    table = Table(
        f"{REGIONS} regions of 10 kb through bams3 serve, by htslib, one client",
        ["files", "read", "BAM, median ms", "BAMS3 as BAM, median ms", "x BAM", "target"],
    )
    table.notes = [
        f"{rounds} servers each, in turns, started anew; every region for the first time, and at "
        "once again, by the same client, which has header and index. All counts of reads are the "
        "same.",
    ]
    data = _sample()
    with _bucket(place, data):
        for where, root in (("local", f"bench={data}"), ("S3", "bench=s3://bench/")):
            names = ("x.bam", "x.bams3.bam")
            times: dict[str, list[list[float]]] = {name: [[], []] for name in names}
            for name in names * rounds:
                _regions(root, name, times[name])
            for pass_, read in enumerate(("first time", "again")):
                bam, ours = (_median(times[name][pass_]) for name in names)
                table.add(
                    where, read, f"{bam:.2f}", f"{ours:.2f}", f"{ours / bam:.2f}",
                    f"<= 2.00: {verdict(ours / bam, 2)}",
                )  # fmt: skip
            early = [_median(_early(times[name][0])) for name in names]
            table.notes.append(
                f"{where}: the first {EARLY} regions of a server that has just started, "
                f"whose cache takes new memory: {early[0]:.2f} and {early[1]:.2f} ms, "
                f"{early[1] / early[0]:.2f} x."
            )
    return table


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] * 1000


def _early(times: list[float]) -> list[float]:
    """Return the times of the first regions of each server."""
    return [time for at, time in enumerate(times) if at % REGIONS < EARLY]


def _regions(root: str, name: str, times: list[list[float]]) -> None:
    """Append the seconds of regions that are read first, and again."""
    with bams3(root) as server, _client(f"{server.url}files/bench/{name}") as ask:
        ask(_region(-1))
        for number in range(REGIONS):
            for found in times:
                seconds, reads = ask(_region(number))
                found.append(seconds)
                if reads != _known.setdefault(number, reads):
                    raise SystemExit(f"error: {name}: other reads than before")


_known: dict[int, int] = {}


@contextmanager
def _client(url: str) -> Iterator:
    """Run a client that stays open; yield what asks it: seconds and number of reads."""
    words = [PYTHON, str(Path(__file__).with_name("client.py").resolve()), "pysam", url]
    # htslib leaves a copy of the index where it runs, and takes that the next time.
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            words, text=True, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdin and process.stdout

        def ask(region: str) -> tuple[float, int]:
            started = time.perf_counter()
            print(region, file=process.stdin, flush=True)
            count = int(process.stdout.readline())
            return time.perf_counter() - started, count

        yield ask


def _region(number: int) -> str:
    start = random.Random(number).randrange(1_000_000, 39_000_000)
    return f"20:{start}-{start + 10_000}"


# ---- soak ----------------------------------------------------------------------------------------
def _soak(place: Path, rounds: int) -> Table:
    """Send 100,000 requests, half of them of clients that vanish, to disk and S3."""
    table = Table(
        f"Memory through {SOAK:,} requests, half of the clients leaving halfway",
        ["requests", "resident MiB", "open descriptors"],
    )
    data, sizes = _made(place), []
    with _bucket(place, data), bams3(f"disk={data}", "store=s3://bench/") as server:
        port = int(server.url.rstrip("/").rsplit(":", 1)[1])
        content = (data / "x.bam").read_bytes()
        for tenth in range(11):
            if tenth:
                _hammer(port, content, SOAK // 10, tenth)
            sizes.append(server.resident)
            table.add(SOAK // 10 * tenth, f"{sizes[-1]:.0f}", server.descriptors)
            print(f"  {table.rows[-1]}", file=sys.stderr)
    table.notes = [f"Target: under {SOAK_MIB} MiB: {verdict(max(sizes), SOAK_MIB)}."]
    return table


def _hammer(port: int, content: bytes, count: int, seed: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        work = [pool.submit(hammer, port, content, count // 16, 1000 * seed + n) for n in range(16)]
        for item in work:
            item.result()
