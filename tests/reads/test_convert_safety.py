"""Conversions that are killed, race with each other, or are short of memory."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bams3.errors import ExistsError
from bams3.reads.clean import clean
from bams3.reads.convert import convert
from tests.reads import made

MIB = 1 << 20
PROGRAM = """
import sys
from bams3.reads.convert import convert
source, url, buffer, overwrite = sys.argv[1:]
convert(source, url, workers=2, sort_buffer=int(buffer), overwrite=overwrite == "yes")
status = open("/proc/self/status").read()
print(status.split("VmHWM:")[1].split()[0])
"""


def start(source: str, url: str, buffer: int, overwrite: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, source, url, str(buffer)]
    command.append("yes" if overwrite else "no")
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def peak_memory(source: str, url: str, buffer: int) -> int:
    child = start(source, url, buffer)
    output, _ = child.communicate()
    assert child.returncode == 0
    return int(output) * 1024


def test_killed_at_any_time_there_is_no_dataset_or_a_whole_one(tmp_path: Path) -> None:
    chance = random.Random(5)
    texts = [made.header() + made.shuffled(20_000, seed) for seed in (1, 2)]
    paths = [made.write_sam(tmp_path, text, f"{n}.sam") for n, text in enumerate(texts)]
    whole = [made.samtools_sorted(path, tmp_path) for path in paths]
    url = str(tmp_path / "out")
    began = time.monotonic()
    start(paths[0], url, MIB).communicate()
    longest = time.monotonic() - began
    assert made.dataset(url)[1] == whole[0]
    for turn in range(12):
        child = start(paths[turn % 2], url, MIB, overwrite=True)
        time.sleep(chance.uniform(0.3, 1.1) * longest)
        child.kill()
        child.communicate()
        assert made.dataset(url)[1] in whole
    clean(url)
    assert set(made.objects(url)) == made.manifest_of(url).keys() | {"_metadata.json"}


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_of_two_conversions_to_one_place_one_succeeds(
    seeds: tuple[int, int], tmp_path: Path
) -> None:
    url = str(tmp_path / "out")
    texts = [(made.header() + made.shuffled(8000, seed)).encode() for seed in seeds]

    def run(text: bytes) -> bool:
        try:
            convert(io.BytesIO(text), url, workers=1, sort_buffer=MIB)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(run, texts)) == [False, True]
    lines = made.dataset(url)[1]
    assert any(len(lines) == 8000 and lines == expected(text, tmp_path) for text in texts)
    assert set(made.objects(url)) == made.manifest_of(url).keys() | {"_metadata.json"}


def expected(text: bytes, folder: Path) -> list[str]:
    return made.samtools_sorted(made.write_sam(folder, text.decode()), folder)


def repeated(lines: str, times: int, order: str = "unsorted") -> str:
    return made.header(order) + lines * times


@pytest.mark.parametrize("shape", ["shuffled", "one hot bin", "ultra-long", "sorted"])
def test_memory_is_bounded(shape: str, tmp_path: Path) -> None:
    hot = "".join(made.line(f"r{n}", position=1 + n * 7 % 900, length=150) for n in range(5000))
    text = {
        "shuffled": lambda: repeated(made.shuffled(4000), 60),
        "one hot bin": lambda: repeated(hot, 120),
        "ultra-long": lambda: repeated(made.line("long", length=2_000_000), 60),
        "sorted": lambda: repeated(made.line("r", position=9, length=150), 600_000, "coordinate"),
    }[shape]()
    path = made.write_sam(tmp_path, text)
    size = Path(path).stat().st_size
    del text
    assert size > 100 * MIB
    peak = peak_memory(path, str(tmp_path / "out"), 16 * MIB)
    assert peak < (16 + 512) * MIB, f"{peak / MIB:.0f} MiB"


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    url = tmp_path / "out"
    calls = 0

    def interrupt(stage: str, read: int, records: int, written: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    text = (made.header() + made.shuffled(60_000)).encode()
    with pytest.raises(KeyboardInterrupt):
        convert(io.BytesIO(text), str(url), workers=2, sort_buffer=MIB, progress=interrupt)
    assert not [path for path in url.rglob("*") if path.is_file()]
