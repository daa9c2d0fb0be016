"""The servers that are measured, each a process of its own on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers import versitygw
from tests.servers.program import free_port

from benchmarks import inputs
from benchmarks.timing import BAMS3

HTSGET = inputs.ROOT / ".cache" / "htsget" / "bin" / "htsget-axum"
INSTALL = "cargo install htsget-axum --features aws --root .cache/htsget"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A server that runs: address and process."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return sum(map(_cpu, _tree(self.process.pid)))

    @property
    def resident(self) -> float:
        """MiB of memory of its processes."""
        return sum(map(_resident, _tree(self.process.pid)))

    @property
    def descriptors(self) -> int:
        """Open files and sockets of its processes."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in _tree(self.process.pid))


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


def has_nginx() -> str | None:
    """Return where nginx is."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def nginx(place: Path, data: Path) -> Iterator[Running]:
    """Run nginx over a folder, as one would set it up for static files."""
    port, conf = free_port(), place / "nginx"
    conf.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {conf}/{kind};" for kind in kinds)
    (conf / "conf").write_text(
        f"daemon off; worker_processes 1; pid {conf}/pid; error_log {conf}/log;"
        f"events {{}} http {{ access_log off; sendfile on; keepalive_requests 1000000; {temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {data}; }} }}"
    )
    program = has_nginx() or "nginx"
    with subprocess.Popen([program, "-c", conf / "conf", "-e", conf / "log"]) as process:
        _wait(port)
        try:
            yield Running(f"http://127.0.0.1:{port}/", process)
        finally:
            process.terminate()


@contextmanager
def htsget_rs(place: Path, store: versitygw.Versitygw) -> Iterator[Running]:
    """Run htsget-rs over the same bucket."""
    port, config = free_port(), place / "htsget.toml"
    config.write_text(
        f'ticket_server.addr = "127.0.0.1:{port}"\n'
        'data_server = "None"\n'
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


def _tree(pid: int) -> list[int]:
    """Return a process and those below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def environ(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a while."""
    kept = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _wait(port: int) -> None:
    for _ in range(200):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"error: nothing listens on port {port}")
