"""Few requests, counted at the server: rounds, bytes, and which parts of which objects."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import bams3
from bams3.reads.convert import convert
from bams3.reads.to_bam import to_bam
from bams3.reads.verify import verify
from tests.servers.fake_s3 import FakeS3

URL = "s3://bucket/deep.bams3"
LENGTH, READ, DEPTH = 400_000, 150, 30
MEGABYTE = 1_000_000
LATENCY = 0.03
# 39 values with an entropy of 2.2 bits, as the qualities of HiSeq reads cost.
QUALITIES = [chr(code) for code in range(35, 74)]
WEIGHTS = [1.8**step for step in range(39)]


def deep_sam(seed: int = 1) -> str:
    """Reads of 30x depth with errors, and qualities that cost as much as those of a HiSeq."""
    chance = random.Random(seed)
    genome = "".join(chance.choices("ACGT", k=LENGTH + READ))
    starts = sorted(chance.randrange(LENGTH) for _ in range(LENGTH * DEPTH // READ))
    pool = "".join(chance.choices(QUALITIES, WEIGHTS, k=MEGABYTE))
    lines = [f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:{LENGTH + READ}\n"]
    for number, start in enumerate(starts):
        bases, at = genome[start : start + READ], chance.randrange(READ)
        bases = bases[:at] + chance.choice("ACGT") + bases[at + 1 :]
        offset = chance.randrange(MEGABYTE - READ)
        place = f"chr1\t{start + 1}\t60\t{READ}M\t*\t0\t0"
        lines.append(f"r:{number}\t0\t{place}\t{bases}\t{pool[offset : offset + READ]}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of a dataset of 30x depth with several chunks."""
    folder = tmp_path_factory.mktemp("deep")
    (folder / "in.sam").write_text(deep_sam())
    summary = convert(str(folder / "in.sam"), str(folder / "out"), workers=2, chunk_size=100_000)
    assert summary.chunks >= 4
    paths = [path for path in (folder / "out").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder / "out")): path.read_bytes() for path in paths}


@pytest.fixture
def server(fake_s3: FakeS3, objects: dict[str, bytes]) -> Iterator[FakeS3]:
    fill(fake_s3, objects)
    fake_s3.latency = LATENCY
    fake_s3.reset()
    yield fake_s3
    for request in fake_s3.requests:
        assert request.method != "GET" or re.fullmatch(r"bytes=\d+-\d+|", request.range or "")


def fill(server: FakeS3, objects: dict[str, bytes]) -> None:
    from bams3.storage import open_store

    store = open_store(URL)
    for key, data in objects.items():
        store.put(key, data)


def read(server: FakeS3) -> Counter[str]:
    """How often each object was asked for."""
    return Counter(r.key.removeprefix("deep.bams3/") for r in server.requests)


@pytest.mark.parametrize("start", [1, 99_500, 130_000, 150_000, 399_000])
def test_a_cold_query_is_two_rounds_and_a_warm_one_is_one(server: FakeS3, start: int) -> None:
    region = f"chr1:{start}-{start + 999}"
    with bams3.open(URL) as dataset:
        assert dataset.query(region).count() > 100
        server.reset()
    with bams3.open(URL) as dataset:
        count = sum(1 for _ in dataset.query(region))
        assert count > 100
        assert server.rounds <= 2
        tiles = 2 if start in (99_500, 150_000) else 1  # two where the region lies over a border
        assert server.bytes_out <= tiles * 0.6 * MEGABYTE
        server.reset()
        assert sum(1 for _ in dataset.query(region)) == count
        assert server.rounds == 1
        assert all(request.range for request in server.requests)


def test_opening_and_stats_are_one_request(server: FakeS3) -> None:
    with bams3.open(URL) as dataset:
        assert dataset.stats()["records"] == LENGTH * DEPTH // READ
    assert len(server.requests) == 1


def test_an_overwritten_dataset_is_opened_with_one_request(server: FakeS3, tmp_path: Path) -> None:
    (tmp_path / "other.sam").write_text(deep_sam(2))
    server.latency = 0
    convert(str(tmp_path / "other.sam"), URL, workers=2, overwrite=True, profile="fast")
    server.latency = LATENCY
    server.reset()
    with bams3.open(URL) as dataset:
        assert len(server.requests) == 1
        assert sum(1 for _ in dataset.query("chr1:50,000-51,000")) > 100
    assert server.rounds == 2


def test_depth_and_count_read_core_sections_only(server: FakeS3) -> None:
    with bams3.open(URL) as dataset:
        cores = {
            dataset.source.key(chunk): sum(place.core[1] for place in dataset.index.tiles(chunk))
            for chunk in range(len(dataset.index.chunks))
        }
        for act in (
            lambda: list(dataset.depth("chr1:120,000-280,000").text()),
            lambda: list(dataset.depth().text()),
            lambda: dataset.query("chr1:120,000-280,000").count(),
        ):
            server.reset()
            assert act()
            assert server.rounds <= 2
            for request in server.requests:
                key = request.key.removeprefix("deep.bams3/")
                assert request.range and int(request.range.split("-")[1]) < cores[key]


def test_to_bam_and_verify_read_each_object_once(server: FakeS3, tmp_path: Path) -> None:
    with bams3.open(URL) as dataset:
        expected = Counter(dict.fromkeys(dataset.manifest.keys() | {"_metadata.json"}, 1))
        to_bam(dataset, tmp_path / "out.bam")
    assert read(server) == expected
    server.reset()
    with bams3.open(URL) as dataset:
        assert verify(dataset).ok
    listings = [request for request in server.requests if request.query]
    assert len(listings) == 1
    assert read(server) - Counter([""]) == expected
