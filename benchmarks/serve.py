"""The server: beside nginx on local files, beside htsget-rs on S3, and a soak of memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.server.test_soak import hammer
from tests.servers import versitygw

from benchmarks import inputs, requests
from benchmarks.tables import Table
from benchmarks.timing import BAMS3

LUA = Path(__file__).with_name("load.lua")
CLIENTS = 32
SECONDS = 5
SIZE = 256 << 20
SPANS = (64 << 10, 1 << 20)
SOAK = 100_000
HTSGET = inputs.ROOT / ".cache" / "htsget" / "bin" / "htsget-axum"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What wrk found: requests and bytes a second, milliseconds, errors; the server's CPU."""

    requests: float
    bytes: float
    p50: float
    p99: float
    errors: int
    cpu: float


@dataclass(frozen=True)
class Running:
    """A server that runs: address and process."""

    url: str
    process: subprocess.Popen[bytes]


def tables(rounds: int) -> list[Table]:
    """Measure all; what is not installed is left out, and said."""
    if not shutil.which("wrk"):
        raise SystemExit("error: wrk is missing\nhint: apt-get install wrk nginx")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.chmod(place, 0o755)
        return [_files(place, rounds), *_regions(place, rounds), _soak(place)]


# ---- local files ---------------------------------------------------------------------------------
def _files(place: Path, rounds: int) -> Table:
    data = place / "files"
    data.mkdir()
    (data / "x.bam").write_bytes(random.Random(1).randbytes(1 << 20) * (SIZE >> 20))
    table = Table(
        f"Local file, keep-alive, {CLIENTS} clients, random ranges",
        ["range", "server", "requests/s", "MiB/s", "p50 ms", "p99 ms", "CPU us/request", "x nginx"],
    )
    with ExitStack() as stack:
        servers = {"bams3 serve": stack.enter_context(bams3(f"r={data}"))}
        if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
            servers["nginx"] = stack.enter_context(nginx(place, data))
        paths = {"bams3 serve": "/files/r/x.bam", "nginx": "/x.bam"}
        for span in SPANS:
            wanted = {n: [(paths[n], _random_range(span, k)) for k in range(2000)] for n in servers}
            found = _race(place, servers, wanted, rounds)
            base = found["nginx"].bytes if "nginx" in found else float("nan")
            for name, load in found.items():
                table.add(f"{span >> 10} KiB", name, *_cells(load), f"{load.bytes / base:.2f}")
    table.notes = [
        f"Median of {rounds} rounds of {SECONDS} s, the servers in turns, wrk with one thread on "
        "the same machine; the file is in memory. Target: at least 0.50 x nginx.",
        "CPU: user and system time of the server's processes. nginx: one worker, sendfile on.",
    ]
    table.commands = [f"wrk -t1 -c{CLIENTS} -d{SECONDS} -s benchmarks/load.lua URL"]
    return table


def _random_range(span: int, seed: int) -> str:
    start = random.Random(seed).randrange(SIZE - span)
    return f"bytes={start}-{start + span - 1}"


def _cells(load: Load) -> list[str]:
    return [
        f"{load.requests:,.0f}", f"{load.bytes / 2**20:,.0f}", f"{load.p50:.2f}", f"{load.p99:.2f}",
        f"{load.cpu * 1e6:,.0f}",
    ]  # fmt: skip


# ---- regions -------------------------------------------------------------------------------------
def _regions(place: Path, rounds: int) -> list[Table]:
    """Region queries of a BAM, and of a dataset as a BAM, on the same S3 server."""
    program = versitygw.find()
    if program is None:
        raise SystemExit("error: versitygw is missing\nhint: make setup")
    data = inputs.CACHE / "requests-80"
    requests.prepare(data, 80)
    with versitygw.Versitygw(place / "s3", program) as store, _environ(store.environ):
        bucket = store.make_bucket("bench")
        shutil.copytree(data, place / "s3" / "data" / "bench", dirs_exist_ok=True)
        with bams3(f"bench={bucket}/") as ours:
            return [_htsget(place, store, ours, rounds), _as_bam(ours, rounds)]


def _htsget(place: Path, store: versitygw.Versitygw, ours: Running, rounds: int) -> Table:
    """Ask both for tickets, follow them, count whole answers."""
    table = Table(
        "htsget: whole answers (ticket and data) of 10 kb regions, 8 clients, same S3 server",
        ["server", "answers/s", "median ms", "MiB/s"],
    )
    bases = {"bams3 serve": f"{ours.url}reads/bench/x"}
    with ExitStack() as stack:
        if HTSGET.exists():
            theirs = stack.enter_context(htsget_rs(place, store))
            bases["htsget-rs"] = f"{theirs.url}reads/bench/x"
        for name, base in bases.items():
            if not _answers(f"{base}?class=header"):
                table.add(name, "no answer", "", "")
                continue
            rates = [_region_rate(lambda region, base=base: _follow(base, region))
                     for _ in range(rounds)]  # fmt: skip
            rate, median, volume = sorted(rates)[len(rates) // 2]
            table.add(name, f"{rate:,.0f}", f"{median:.1f}", f"{volume / 2**20:,.1f}")
    if not HTSGET.exists():
        table.notes.append("htsget-rs: cargo install htsget-axum --root .cache/htsget")
    return table


def _as_bam(ours: Running, rounds: int) -> Table:
    """Read regions with pysam, of the BAM and of the dataset that looks like one."""
    table = Table(
        "10 kb regions through bams3 serve, by htslib, one client",
        ["file", "regions/s", "median ms"],
    )
    for name in ("x.bam", "x.bams3.bam"):
        url = f"{ours.url}files/bench/{name}"
        if not _answers(url):
            table.add(name, "no answer", "")
            continue
        client = Path(__file__).with_name("client.py")
        times = []
        for _ in range(rounds):
            with subprocess.Popen(
                [sys.executable, str(client), "pysam", url], text=True, cwd=tempfile.gettempdir(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            ) as process:  # fmt: skip
                assert process.stdin and process.stdout
                for number in range(41):
                    started = time.perf_counter()
                    process.stdin.write(f"20:{_start(number)}-{_start(number) + 10_000}\n")
                    process.stdin.flush()
                    process.stdout.readline()
                    times += [time.perf_counter() - started] * bool(number)
        median = statistics.median(times)
        table.add(name, f"{len(times) / sum(times):,.1f}", f"{median * 1000:.1f}")
    table.notes = ["Target: a dataset takes at most twice the time of the BAM."]
    return table


def _start(number: int) -> int:
    return random.Random(number).randrange(1_000_000, 39_000_000)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status < 400
    except OSError:
        return False


def _follow(base: str, start: int) -> int:
    """Return the bytes of one answer: its ticket's addresses, one after the other."""
    region = f"referenceName=20&start={start}&end={start + 10_000}"
    with urllib.request.urlopen(f"{base}?format=BAM&{region}", timeout=60) as answer:
        ticket = json.load(answer)["htsget"]
    total = 0
    for item in ticket["urls"]:
        wanted = urllib.request.Request(item["url"], headers=item.get("headers", {}))
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            total += len(answer.read())
    return total


def _region_rate(ask: Callable[[int], int]) -> tuple[float, float, float]:
    """Return answers a second, median milliseconds and bytes a second, of 8 clients."""
    times: list[float] = []
    volume: list[int] = []

    def client(number: int) -> None:
        for turn in range(25):
            started = time.perf_counter()
            volume.append(ask(_start(100 * number + turn)))
            times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - started
    return len(times) / wall, statistics.median(times) * 1000, sum(volume) / wall


# ---- soak ----------------------------------------------------------------------------------------
def _soak(place: Path) -> Table:
    """Send 100,000 requests, half of them of clients that vanish, to disk and S3."""
    table = Table(
        f"Memory through {SOAK:,} requests, half of the clients leaving halfway",
        ["requests", "resident MiB", "open descriptors"],
    )
    program = versitygw.find()
    if program is None:
        raise SystemExit("error: versitygw is missing\nhint: make setup")
    data = place / "files"
    with versitygw.Versitygw(place / "soak", program) as store, _environ(store.environ):
        bucket = store.make_bucket("soak")
        shutil.copy(data / "x.bam", place / "soak" / "data" / "soak" / "x.bam")
        with bams3(f"disk={data}", f"store={bucket}/") as server:
            port = int(server.url.rstrip("/").rsplit(":", 1)[1])
            content = (data / "x.bam").read_bytes()
            for tenth in range(11):
                if tenth:
                    _hammer(port, content, SOAK // 10, tenth)
                pids = _tree(server.process.pid)
                opened = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
                table.add(SOAK // 10 * tenth, f"{sum(map(_resident, pids)):.0f}", opened)
    table.notes = ["Target: under 300 MiB."]
    return table


def _hammer(port: int, content: bytes, count: int, seed: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        work = [pool.submit(hammer, port, content, count // 16, 1000 * seed + n) for n in range(16)]
        for item in work:
            item.result()


# ---- servers -------------------------------------------------------------------------------------
@contextmanager
def bams3(*roots: str) -> Iterator[Running]:
    """Run `bams3 serve`."""
    words = [BAMS3, "serve", "--quiet", "--port", "0", *roots]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        url = process.stdout.readline().decode().strip()
        if not url:
            raise SystemExit(f"error: {words}: did not start")
        try:
            yield Running(url, process)
        finally:
            process.terminate()


@contextmanager
def nginx(place: Path, data: Path) -> Iterator[Running]:
    """Run nginx over a folder, as one would set it up for static files."""
    port, conf = _free_port(), place / "nginx"
    conf.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {conf}/{kind};" for kind in kinds)
    (conf / "conf").write_text(
        f"daemon off; worker_processes 1; pid {conf}/pid; error_log {conf}/log;"
        f"events {{}} http {{ access_log off; sendfile on; keepalive_requests 1000000; {temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {data}; }} }}"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    with subprocess.Popen([program, "-c", conf / "conf", "-e", conf / "log"]) as process:
        _wait(port)
        try:
            yield Running(f"http://127.0.0.1:{port}/", process)
        finally:
            process.terminate()


@contextmanager
def htsget_rs(place: Path, store: versitygw.Versitygw) -> Iterator[Running]:
    """Run htsget-rs over the same bucket."""
    port, config = _free_port(), place / "htsget.toml"
    config.write_text(
        f'ticket_server.addr = "127.0.0.1:{port}"\n'
        'data_server.addr = "127.0.0.1:0"\n'
        "[[locations]]\n"
        'regex = "bench/(?P<key>.*)"\nsubstitution_string = "$key"\n'
        f'backend.kind = "S3"\nbackend.bucket = "bench"\n'
        f'backend.endpoint = "{store.url}"\nbackend.path_style = true\n'
    )
    words = [HTSGET, "--config", config]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _wait(port)
        try:
            yield Running(f"http://127.0.0.1:{port}/", process)
        finally:
            process.terminate()


def _race(
    place: Path, servers: Mapping[str, Running], wanted: Mapping[str, list[tuple[str, str]]],
    rounds: int,
) -> dict[str, Load]:  # fmt: skip
    """Load the servers in turns; the median round by bytes counts."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for number in range(rounds):
        for name, server in servers.items():
            loads[name].append(_wrk(place, server, wanted[name]))
            print(f"  {number + 1}/{rounds} {name}: {loads[name][-1]}", file=sys.stderr)
    return {
        name: sorted(found, key=lambda load: load.bytes)[len(found) // 2]
        for name, found in loads.items()
    }


def _wrk(place: Path, server: Running, wanted: list[tuple[str, str]]) -> Load:
    file = place / "requests"
    file.write_text("".join(f"{path}\t{span}\n" for path, span in wanted))
    pids = _tree(server.process.pid)
    before = sum(map(_cpu, pids))
    words = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}", "-s", str(LUA), server.url.rstrip("/")]
    environ = os.environ | {"REQUESTS": str(file)}
    shown = subprocess.run(words, env=environ, capture_output=True, text=True, check=True).stdout
    used = sum(map(_cpu, pids)) - before
    result = next(line for line in shown.splitlines() if line.startswith("RESULT"))
    count, seconds, volume, p50, p99, errors = map(float, result.split()[1:])
    if errors:
        raise SystemExit(f"error: wrk met {errors:.0f} errors: {shown}")
    return Load(count / seconds, volume / seconds, p50, p99, int(errors), used / max(count, 1))


def _tree(pid: int) -> list[int]:
    """Return a process and those below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(200):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"error: nothing listens on port {port}")
