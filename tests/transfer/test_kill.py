"""kill -9 and Ctrl-C at any moment, then --resume: nothing is lost, little is repeated."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bams3.storage.bucket import Bucket
from tests.transfer.conftest import P, fetch, make_file

BAMS3 = [sys.executable, "-c", "from bams3.cli import main; main()", "transfer"]
SIZE = 5 * P + 11


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*BAMS3, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def killed_and_resumed(words: list[str], generator: random.Random, kills: int) -> None:
    """Run a command again and again, killed at random moments, and then let it finish."""
    for _ in range(kills):
        process = start(*words, "--limit-rate", "40M")
        time.sleep(generator.uniform(0.1, 1.2))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            return
    process = start(*words)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


@pytest.mark.parametrize("seed", range(2))
def test_killed_uploads(bucket: Bucket, tmp_path: Path, seed: int) -> None:
    data = make_file(tmp_path / "f", SIZE, seed)
    upload_rounds(bucket, tmp_path, data, random.Random(seed), 3)


@pytest.mark.soak
def test_killed_uploads_hundreds_of_times(bucket: Bucket, tmp_path: Path) -> None:
    data, generator = make_file(tmp_path / "f", SIZE), random.Random(0)
    for _ in range(80):
        upload_rounds(bucket, tmp_path, data, generator, 4)


def upload_rounds(
    bucket: Bucket, folder: Path, data: bytes, generator: random.Random, kills: int
) -> None:
    key = f"k{generator.random()}"
    words = ["upload", str(folder / "f"), bucket.url_of(key), "--resume", "--quiet"]
    killed_and_resumed([*words, "--part-size", str(P), "--exists", "overwrite"], generator, kills)
    assert fetch(bucket, key) == data and not [*bucket.list_uploads(key)]


@pytest.mark.parametrize("seed", range(2))
def test_killed_downloads(bucket: Bucket, tmp_path: Path, seed: int) -> None:
    download_rounds(bucket, tmp_path, random.Random(seed), 3)


@pytest.mark.soak
def test_killed_downloads_hundreds_of_times(bucket: Bucket, tmp_path: Path) -> None:
    generator = random.Random(0)
    for _ in range(80):
        download_rounds(bucket, tmp_path, generator, 4)


def download_rounds(bucket: Bucket, folder: Path, generator: random.Random, kills: int) -> None:
    data = make_file(folder / "f", SIZE, generator.randrange(1 << 30))
    bucket.put("k", Whole(folder / "f"))
    target = folder / "back"
    target.unlink(missing_ok=True)
    words = ["download", bucket.url_of("k"), str(target), "--resume", "--quiet"]
    killed_and_resumed([*words, "--part-size", str(P), "--exists", "overwrite"], generator, kills)
    assert target.read_bytes() == data
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_interrupted(bucket: Bucket, tmp_path: Path) -> None:
    """Ctrl-C ends soon, with 130, and says how to go on."""
    data = make_file(tmp_path / "f", SIZE)
    url = bucket.url_of("k")
    process = start("upload", str(tmp_path / "f"), url, "--part-size", "5M", "--limit-rate", "4M")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        uploads = [*bucket.list_uploads("k")]
        if uploads and [*bucket.list_parts(uploads[0])]:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - started < 5
    assert "--resume" in errors
    process = start("upload", str(tmp_path / "f"), url, "--resume", "--json")
    shown, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert re.search(r'"parts_kept": [1-9]', shown), shown
    assert fetch(bucket, "k") == data


@pytest.mark.parametrize("verb", ["upload", "download", "stream", "pipe"])
def test_memory_is_bounded(bucket: Bucket, tmp_path: Path, verb: str) -> None:
    """96 MiB of the whole process, whatever part size and slots."""
    with open(tmp_path / "f", "wb") as file:
        for _ in range(12):
            file.write(os.urandom(16 << 20))
    url = bucket.url_of("k")
    if verb in ("download", "pipe"):
        bucket.put("k", Whole(tmp_path / "f"))
    words = {
        "upload": ["upload", str(tmp_path / "f"), url, "--part-size", "64M"],
        "download": ["download", url, str(tmp_path / "g"), "--part-size", "64M"],
        "stream": ["upload", "-", url],
        "pipe": ["download", url, "-"],
    }[verb]
    script = (
        "import sys\n"
        "from bams3.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(open('/proc/self/status').read())\n"
    )
    with open(tmp_path / "f", "rb") as source, open(tmp_path / "out", "wb") as out:
        shown = subprocess.run(
            [sys.executable, "-c", script, "transfer", *words, "--quiet", "--slots", "128"],
            stdin=source, stdout=out, stderr=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", shown.stderr)[1]) >> 10
    assert peak <= 96


class Whole:
    """A file as one body."""

    def __init__(self, path: Path) -> None:
        from bams3.transfer import FileSource

        self._source = FileSource(path)
        self.size = self._source.size

    def open(self):  # type: ignore[no-untyped-def]
        return self._source.open(0, self.size)
