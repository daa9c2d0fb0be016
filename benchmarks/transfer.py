"""Transfer: one large object and a run folder, beside other tools and against one S3 server."""

from __future__ import annotations

import filecmp
import hashlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.versitygw import Versitygw, find

from benchmarks import peers
from benchmarks.tables import Table, verdict
from benchmarks.timing import PYTHON, Command, Result, race

LATENCY = 0.03
FILES = 5_492
MOST_MEMORY = 96.0
_PIECE = 16 << 20


def tables(rounds: int, quick: bool) -> list[Table]:
    """Measure all loads; `quick` with a sixteenth of the data."""
    peers.install()
    size = (4 << 30) // (16 if quick else 1)
    files = FILES // (16 if quick else 1)
    with tempfile.TemporaryDirectory(prefix="bams3-bench-", dir=_memory()) as name:
        folder = Path(name)
        link = _loopback(size)
        found = [
            *_one_object(folder, size, rounds, link),
            *_run_folder(folder, size, files, rounds, link),
        ]
    found[0].notes += [
        f"Server: versitygw on loopback, its files in memory; {peers.versions()}. A bare socket "
        f"copy of the same bytes over loopback: {size / link / 1e9:.2f} GB/s.",
        "In turns (A B C A B C ...). Every tool is one process, so its peak of memory is that of "
        "the tree; one under 46 MiB is that of the benchmark, from which it was started. CPU is "
        "the tool's alone; the server has the same CPUs, and is the limit where tools take the "
        "same time.",
        "bams3 computes CRC64NVME, has the server check it, and compares the whole object's at the "
        "end; the others do as their defaults say (rclone without its own checks). PyPI has "
        "aws-cli 1, which has no CRT client; that of boto3 ignores the endpoint.",
    ]
    return found


def _memory() -> str | None:
    """Return a file system in memory, so that it is not the disk that is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


# ---- loads ---------------------------------------------------------------------------------------
def _one_object(folder: Path, size: int, rounds: int, link: float) -> Iterator[Table]:
    source, target = folder / "object", folder / "back"
    _write(source, size)
    with _server(folder) as server:
        up = _race(peers.upload_file(source, "object", server.url), server, server.url, rounds)
        yield _table(f"(a) One object of {_gib(size)} up", up, size, link, 1.0, "s5cmd")
        digest = _digest(source)
        source.unlink()
        down = _race(
            peers.download_file("object", target, server.url), server, server.url, rounds, target
        )
        if _digest(target) != digest:
            raise SystemExit("error: what came back is not what went up")
        yield _table("(a) The same object down", down, size, link, 1.2, "s5cmd")
    target.unlink()


def _run_folder(folder: Path, size: int, files: int, rounds: int, link: float) -> Iterator[Table]:
    run = folder / "run"
    total = make_run(run, size, files)
    what = f"a run folder of {files:,} files, {_gib(total)}"
    with _server(folder) as server:
        words = peers.upload_folder(run, server.url)
        results = _race(words, server, server.url, rounds)
        _check_run(run, folder)
        yield _table(f"(b) Up: {what}", results, total, link, 1.0)
        with _latency(server.port) as url:
            results = _race(peers.upload_folder(run, url), server, url, rounds)
        title = f"(c) The same, each answer {LATENCY * 1000:.0f} ms later"
        yield _table(title, results, total, link, 1.0)


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


def _table(
    title: str, results: dict[str, Result], size: int, link: float, most: float, peer: str = ""
) -> Table:
    """Report; the peer is the one named, else the fastest."""
    table = Table(
        title,
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
    if "up" in title.lower() or "same, each" in title:
        notes.append(f"CPU {cpu:.2f} of s5cmd's, <= 0.33: {verdict(cpu, 1 / 3)}")
    table.notes = ["; ".join(notes) + "."]
    return table


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
