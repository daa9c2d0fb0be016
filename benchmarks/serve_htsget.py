"""htsget beside htsget-rs: whole answers, ticket and data, their records compared."""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.servers import versitygw

from benchmarks.servers import HTSGET, INSTALL, Running, htsget_rs
from benchmarks.tables import Table, verdict

CLIENTS = 8
TURNS = 25
SPAN = 10_000
COMPARED = 10


def htsget(place: Path, store: versitygw.Versitygw, ours: Running, rounds: int) -> Table:
    """Ask both in turns for tickets, follow them, count whole answers."""
    table = Table(
        f"htsget: whole answers (ticket and data) of 10 kb regions, {CLIENTS} clients, the same S3 "
        "server",
        ["server", "answers/s", "median ms", "MiB/s", "KiB an answer", "target"],
    )
    bases = {"bams3 serve": f"{ours.url}reads/bench/x"}
    with ExitStack() as stack:
        if HTSGET.exists():
            theirs = stack.enter_context(htsget_rs(place, store))
            bases["htsget-rs"] = f"{theirs.url}reads/bench/x"
            table.notes.append(_compared(place, list(bases.values())))
        rates = _raced(bases, rounds)
    best = {name: sorted(found)[len(found) // 2] for name, found in rates.items()}
    for name, (rate, median, volume) in best.items():
        told = ""
        if name == "bams3 serve" and "htsget-rs" in best:
            told = f"> htsget-rs: {verdict(best['htsget-rs'][0], rate)}"
        table.add(
            name, f"{rate:,.0f}", f"{median:.1f}", f"{volume / 2**20:,.1f}",
            f"{volume / rate / 1024:,.0f}", told,
        )  # fmt: skip
    table.notes.append(
        f"{rounds} rounds of {CLIENTS * TURNS} answers, in turns; the one in the middle. "
        f"htsget-rs: `{INSTALL}`; its tickets lead to the S3 server itself, those of bams3 serve "
        "to bams3 serve."
    )
    return table


def _raced(bases: dict[str, str], rounds: int) -> dict[str, list[tuple[float, float, float]]]:
    rates: dict[str, list[tuple[float, float, float]]] = {name: [] for name in bases}
    for _ in range(rounds):
        for name, base in bases.items():
            rates[name].append(_rate(lambda start, base=base: len(_follow(base, start))))
            print(f"  {name}: {rates[name][-1]}", file=sys.stderr)
    return rates


def _compared(place: Path, bases: list[str]) -> str:
    """Compare the records of whole answers; say what was found. Raises SystemExit."""
    records, more = 0, 0
    for number in range(COMPARED):
        start = _start(10_000 + number)
        ours, theirs = (_records(place / "answer.bam", _follow(base, start)) for base in bases)
        wanted = [text for text, first, end in theirs if first < start + SPAN and end > start]
        if [text for text, _, _ in ours] != wanted:
            raise SystemExit(f"error: 20:{start}-{start + SPAN}: the answers differ")
        records, more = records + len(ours), more + len(theirs) - len(ours)
    return (
        f"{COMPARED} answers of both compared: the same {records:,} records in the regions; "
        f"those of htsget-rs hold {more:,} others beside, as the protocol allows."
    )


def _records(place: Path, data: bytes) -> list[tuple[str, int, int]]:
    """Return the records of a BAM, with first base and end."""
    import pysam

    place.write_bytes(data)
    with pysam.AlignmentFile(str(place), check_sq=False) as reads:
        return [
            (read.to_string(), read.reference_start, read.reference_end or read.reference_start + 1)
            for read in reads
        ]


def _start(number: int) -> int:
    return random.Random(number).randrange(1_000_000, 39_000_000)


def _follow(base: str, start: int) -> bytes:
    """Return one answer: what its ticket's addresses hold, one after the other."""
    region = f"referenceName=20&start={start}&end={start + SPAN}"
    with urllib.request.urlopen(f"{base}?format=BAM&{region}", timeout=60) as answer:
        ticket = json.load(answer)["htsget"]
    data = b""
    for item in ticket["urls"]:
        wanted = urllib.request.Request(item["url"], headers=item.get("headers", {}))
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            data += answer.read()
    return data


def _rate(ask: Callable[[int], int]) -> tuple[float, float, float]:
    """Return answers a second, median milliseconds and bytes a second."""
    times: list[float] = []
    volume: list[int] = []

    def client(number: int) -> None:
        for turn in range(TURNS):
            started = time.perf_counter()
            volume.append(ask(_start(100 * number + turn)))
            times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - started
    return len(times) / wall, statistics.median(times) * 1000, sum(volume) / wall
