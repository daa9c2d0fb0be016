"""Many requests, half of them of clients that vanish: memory stays flat, and nothing stays open."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.conftest import fill
from tests.servers.versitygw import Versitygw

REQUESTS = 20_000
CLIENTS = 16
MOST_KIB = 300 << 10


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def hammer(port: int, content: bytes, count: int, seed: int) -> None:
    """Ask for random ranges, open-ended ones too; every second time leave halfway."""
    chance = random.Random(seed)
    for _ in range(count):
        start = chance.randrange(len(content))
        root = chance.choice(("disk", "store"))
        end = "" if chance.random() < 0.5 else str(start + chance.randrange(1 << 20))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(
                f"GET /files/{root}/x.bam HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Range: bytes={start}-{end}\r\n\r\n".encode()
            )
            found = client.recv(chance.randrange(64, 100_000))
            if chance.random() < 0.5:
                continue
            while len(found) < 1 << 20 and (piece := client.recv(1 << 18)):
                found += piece
            head, _, body = found.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 206 ") or content[start : start + len(body)] != body:
                raise AssertionError(head.decode())


@pytest.mark.soak
def test_memory_stays_flat(
    tmp_path: Path, s3_server: Versitygw, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 64 << 20
    content = random.Random(1).randbytes(size)
    (tmp_path / "x.bam").write_bytes(content)
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    bucket = s3_server.make_bucket("soak")
    fill(bucket, tmp_path)
    words = [sys.executable, "-c", "from bams3.cli import main; main()", "serve", "--port", "0"]
    words += [f"disk={tmp_path}", f"store={bucket}/"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline().decode().strip().rstrip("/").rsplit(":", 1)[1])
        sizes = []
        for round_ in range(5):
            with ThreadPoolExecutor(CLIENTS) as pool:
                work = [
                    pool.submit(hammer, port, content, REQUESTS // 5 // CLIENTS, 100 * round_ + n)
                    for n in range(CLIENTS)
                ]
                for item in work:
                    item.result()
            sizes.append(resident(process.pid))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"\nbams3_streams 0\n" in answer.read()
        opened = len(os.listdir(f"/proc/{process.pid}/fd"))
        process.terminate()
        assert process.wait(30) == 0
    assert max(sizes) < MOST_KIB, sizes
    assert sizes[-1] < sizes[1] * 1.2, sizes
    assert opened < 100
