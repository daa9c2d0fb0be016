"""Conversions that are killed, race with each other, or are short of memory."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bams3.errors import ExistsError
from bams3.reads.clean import clean
from bams3.reads.convert import convert
from bams3.reads.tables import Table
from bams3.reads.writer import Destination
from tests.reads import made

MIB = 1 << 20
PROGRAM = """
import sys
from bams3.reads.convert import convert
source, url, buffer, overwrite, profile, workers = sys.argv[1:]
convert(
    source, url, sort_buffer=int(buffer), overwrite=overwrite == "yes", profile=profile,
    workers=int(workers),
)
status = open("/proc/self/status").read()
print(status.split("VmHWM:")[1].split()[0])
"""


def start(
    source: str,
    url: str,
    buffer: int,
    overwrite: bool = False,
    profile: str = "balanced",
    workers: int = 2,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, source, url, str(buffer)]
    command += ["yes" if overwrite else "no", profile, str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def peak_memory(source: str, url: str, buffer: int, **options: Any) -> int:
    child = start(source, url, buffer, **options)
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


def test_the_slower_conversion_leaves_nothing_although_the_faster_one_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_hints = Destination._put_hints

    def late(self: Destination, tables: list[Table]) -> None:
        time.sleep(1)  # between the commit and the end of the faster one
        put_hints(self, tables)

    monkeypatch.setattr(Destination, "_put_hints", late)
    test_of_two_conversions_to_one_place_one_succeeds((1, 2), tmp_path)


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


def write_varied(path: Path, lines: list[str], size: int, order: str) -> None:
    """Write the lines again and again, each time with other bases and qualities."""
    chance = random.Random(2)
    values = [chr(code) for code in range(35, 74)]
    pools = ["".join(chance.choices(chars, k=4 * MIB)) for chars in ("ACGT", values)]
    with open(path, "w") as out:
        out.write(made.header(order, GENOME))
        while out.tell() < size:
            for line in lines:
                fields = line.split("\t")
                length = int(fields[5][:-1])
                for column, pool in zip((9, 10), pools, strict=True):
                    at = chance.randrange(len(pool) - length)
                    fields[column] = pool[at : at + length]
                out.write("\t".join(fields))


GENOME = [("chr1", 3_000_000)] + [(f"c{number}", 120_000_000) for number in range(25)]
SHAPES = {
    "one hot bin": [made.line("r", position=1 + n * 7 % 900, length=150) for n in range(999)],
    "shuffled": [made.line("r", position=1 + n * 7919 % 2_900_000, length=150) for n in range(999)],
    "genome": [made.line("r", f"c{n % 25}", 1 + n * 7919 % 119_000_000, 0, 150)
               for n in range(50_000)],
    "200 kb": [made.line("r", position=1 + n * 7919 % 900_000, length=200_000) for n in range(9)],
    "2 Mb": [made.line("r", length=2_000_000)],
    "sorted": [made.line("r", position=9, length=150)],
}  # fmt: skip


@pytest.fixture(scope="module", params=[64, 256])
def buffer(request: pytest.FixtureRequest) -> int:
    return int(request.param) * MIB


@pytest.fixture(scope="module", params=SHAPES)
def big_input(
    request: pytest.FixtureRequest, buffer: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Input of a shape, 2.5 times the sort buffer; gone when the next one is made."""
    shape = request.param
    path = tmp_path_factory.mktemp("big") / f"{shape}.sam"
    order = "coordinate" if shape == "sorted" else "unsorted"
    write_varied(path, SHAPES[shape], 5 * buffer // 2, order)
    yield str(path)
    path.unlink()


@pytest.mark.soak
@pytest.mark.parametrize("workers", [2, 8])
@pytest.mark.parametrize("profile", ["fast", "balanced", "small"])
def test_memory_is_bounded_whatever_the_input(
    big_input: str, buffer: int, profile: str, workers: int, tmp_path: Path
) -> None:
    url = tmp_path / "out"
    peak = peak_memory(big_input, str(url), buffer, profile=profile, workers=workers)
    shutil.rmtree(url)
    print(f"{peak / MIB:.0f} MiB, {(peak - buffer) / MIB:.0f} beside the sort buffer")
    assert peak < buffer + 512 * MIB


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
