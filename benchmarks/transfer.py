"""Transfer: one large object and a run folder, beside other tools and against one S3 server."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import TypeAlias

from tests.servers.versitygw import Versitygw, find

from benchmarks import peers
from benchmarks.inputs import CACHE
from benchmarks.tables import Table, verdict
from benchmarks.timing import PYTHON, Command, Result, Sample, race

LATENCY = 0.03
FILES = 5_492
MOST_MEMORY = 96.0
_PIECE = 16 << 20


def tables(load: str, rounds: int, quick: bool, add: bool) -> list[Table]:
    """Measure one load, `quick` with a sixteenth of the data; `add` to what was measured before."""
    peers.install()
    size = (4 << 30) // (16 if quick else 1)
    files = FILES // (16 if quick else 1)
    with tempfile.TemporaryDirectory(prefix="bams3-bench-", dir=_memory()) as name:
        link = _loopback(size)
        size, results = _LOADS[load](Path(name), size, files, rounds)
    links = [link]
    if add:
        links = _add_kept(load, results) + links
    _keep(load, results, links)
    table = _table(load, results, size, statistics.median(links))
    table.notes.append(f"{peers.versions()}.")
    return [table]


def _memory() -> str | None:
    """Return a file system in memory, so that it is not the disk that is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _add_kept(load: str, results: dict[str, Result]) -> list[float]:
    """Put the samples that were kept before these; return the seconds of the socket copies."""
    kept = json.loads(_kept(load).read_text())
    for name, result in results.items():
        result.samples[:0] = [Sample(*values) for values in kept["samples"][name]]
    return list(kept["links"])


def _keep(load: str, results: dict[str, Result], links: list[float]) -> None:
    samples = {name: [astuple(one) for one in result.samples] for name, result in results.items()}
    _kept(load).write_text(json.dumps({"links": links, "samples": samples}))


def _kept(load: str) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / f"transfer-{load}.json"


# ---- loads ---------------------------------------------------------------------------------------
Measured: TypeAlias = tuple[int, dict[str, Result]]
"""Bytes that were moved, and what that took."""


def _object_up(folder: Path, size: int, _: int, rounds: int) -> Measured:
    source = folder / "object"
    _write(source, size)
    with _server(folder) as server:
        results = _race(peers.upload_file(source, "object", server.url), server, server.url, rounds)
        if not filecmp.cmp(folder / "server" / "data" / "bench" / "object", source, shallow=False):
            raise SystemExit("error: what arrived is not what was sent")
    return size, results


def _object_down(folder: Path, size: int, _: int, rounds: int) -> Measured:
    source, target = folder / "object", folder / "back"
    _write(source, size)
    digest = _digest(source)
    with _server(folder) as server:
        _race(
            {"bams3": peers.upload_file(source, "object", server.url)["bams3"]},
            server, server.url, 1,
        )  # fmt: skip
        source.unlink()
        words = peers.download_file("object", target, server.url)
        results = _race(words, server, server.url, rounds, target)
        if _digest(target) != digest:
            raise SystemExit("error: what came back is not what went up")
    return size, results


def _run_folder(folder: Path, size: int, files: int, rounds: int) -> Measured:
    total = make_run(folder / "run", size, files)
    with _server(folder) as server:
        words = peers.upload_folder(folder / "run", server.url)
        results = _race(words, server, server.url, rounds)
        _check_run(folder / "run", folder)
    return total, results


def _run_folder_late(folder: Path, size: int, files: int, rounds: int) -> Measured:
    total = make_run(folder / "run", size, files)
    with _server(folder) as server, _latency(server.port) as url:
        results = _race(peers.upload_folder(folder / "run", url), server, url, rounds)
        _check_run(folder / "run", folder)
    return total, results


_LOADS = {"a-up": _object_up, "a-down": _object_down, "b": _run_folder, "c": _run_folder_late}
LOADS = tuple(_LOADS)


def make_run(folder: Path, size: int, files: int) -> int:
    """Write a folder like that of a NovaSeq S1 run, scaled to `size` bytes; return its bytes.

    Of the files of such a run most are base call files of one cycle, lane and surface, of nearly
    the same size, which hold nearly all bytes; then filters and locations of tiles, metrics and
    thumbnails, of a few kB to a few MB.
    """
    generator = random.Random(7)
    calls = files * 6 // 10
    small = [int(generator.lognormvariate(9.5, 1.6)) for _ in range(files - calls)]
    each = max(1, (size - sum(small)) // calls)
    sizes = [int(each * generator.uniform(0.9, 1.1)) for _ in range(calls)] + small
    pool = os.urandom(8 << 20)
    for number, length in enumerate(sizes):
        kind = "Data/Intensities/BaseCalls/L001" if number < calls else "InterOp"
        path = folder / kind / f"C{number // 40}.1" / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(path, length, pool, number)
    return sum(sizes)


def _fill(path: Path, length: int, pool: bytes, seed: int) -> None:
    with open(path, "wb") as file:
        file.write(seed.to_bytes(8, "big")[:length])
        left = length - 8
        while left > 0:
            start = seed * 4099 % (len(pool) // 2)
            piece = pool[start : start + min(left, len(pool) // 2)]
            file.write(piece)
            left -= len(piece)


def _check_run(run: Path, folder: Path) -> None:
    """Compare what the server has with the folder."""
    there = folder / "server" / "data" / "bench" / "run"
    for path in run.rglob("*"):
        if path.is_file() and not filecmp.cmp(there / path.relative_to(run), path, shallow=False):
            raise SystemExit(f"error: {path} did not arrive")


def _race(
    words: dict[str, list[str]],
    server: Versitygw,
    url: str,
    rounds: int,
    target: Path | None = None,
) -> dict[str, Result]:
    keys = server.access_key, server.secret_key
    commands = {
        tool: Command(
            line,
            removes=(target,) if target else (),
            environment=tuple(peers.environment(url, *keys).items()),
        )
        for tool, line in words.items()
    }
    return race(commands, rounds)


def _table(load: str, results: dict[str, Result], size: int, link: float) -> Table:
    """Report, with the targets of the load."""
    title, peer, most = _TARGETS[load]
    table = Table(
        title.format(size=_gib(size)),
        ["tool", "wall s", "least-most", "GB/s", "of loopback", "CPU s/GB", "peak MiB", "target"],
    )
    others = {name: result for name, result in results.items() if name != "bams3"}
    peer = peer or min(others, key=lambda name: others[name].wall)
    ours = results["bams3"]
    for name, result in results.items():
        table.add(
            name, f"{result.wall:.2f}", result.spread, f"{size / result.wall / 1e9:.2f}",
            f"{link / result.wall:.0%}", f"{result.cpu / size * 1e9:.2f}", f"{result.memory:.0f}",
            f"wall <= {most:g} x {peer}: {verdict(ours.wall / results[peer].wall, most)}"
            if name == "bams3" else "",
        )  # fmt: skip
    cpu = ours.cpu / results["s5cmd"].cpu
    notes = [f"memory <= {MOST_MEMORY:.0f} MiB: {verdict(ours.memory, MOST_MEMORY)}"]
    if load != "a-down":
        notes.append(f"CPU {cpu:.2f} of s5cmd's, <= 0.33: {verdict(cpu, 1 / 3)}")
    table.notes = [
        "; ".join(notes) + ".",
        f"{len(ours.samples)} rounds, medians. A bare socket copy of the same bytes over loopback: "
        f"{size / link / 1e9:.2f} GB/s.",
    ]
    return table


_TARGETS = {
    "a-up": ("(a) One object of {size} up", "s5cmd", 1.0),
    "a-down": ("(a) The same object down", "s5cmd", 1.2),
    "b": (f"(b) Up: a run folder of {FILES:,} files, {{size}}", "", 1.0),
    "c": (f"(c) The same, each answer {LATENCY * 1000:.0f} ms later", "", 1.0),
}
"""Title, the peer of the target for wall time (else the fastest), and how often its time."""


# ---- server, link, data --------------------------------------------------------------------------
@contextmanager
def _server(folder: Path) -> Iterator[Versitygw]:
    program = find()
    if program is None:
        raise SystemExit("error: versitygw is missing: make setup")
    place = folder / "server"
    with Versitygw(place, program) as server:
        server.make_bucket("bench")
        yield server
    shutil.rmtree(place)


@contextmanager
def _latency(target: int) -> Iterator[str]:
    """Start the relay, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [PYTHON, "-m", "benchmarks.latency", str(port), str(target), str(LATENCY)]
    root = Path(__file__).parents[1]
    relay = subprocess.Popen(words, cwd=root)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        relay.kill()
        relay.wait()


def _loopback(size: int) -> float:
    """Return the seconds that a bare socket copy takes: one thread sends, another receives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver = threading.Thread(target=_receive, args=(server,))
        receiver.start()
        piece = memoryview(bytearray(1 << 20))
        started = time.perf_counter()
        with socket.create_connection(server.getsockname()) as connection:
            for _ in range(size >> 20):
                connection.sendall(piece)
        receiver.join()
    return time.perf_counter() - started


def _receive(server: socket.socket) -> None:
    connection, _ = server.accept()
    buffer = memoryview(bytearray(1 << 20))
    with connection:
        while connection.recv_into(buffer):
            pass


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _write(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        for _ in range(size // _PIECE):
            file.write(os.urandom(_PIECE))


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2g} GiB"
