"""Few requests, counted at the server: rounds, bytes, and which parts of which objects."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import bams3
from bams3.reads.convert import convert
from bams3.reads.to_bam import to_bam
from bams3.reads.verify import verify
from tests.reads import genome as whole_genome
from tests.servers.fake_s3 import FakeS3

URL = "s3://bucket/deep.bams3"
LENGTH, READ, DEPTH = 400_000, 150, 30
MEGABYTE = 1_000_000
LATENCY = 0.1  # a request that starts so late on a busy machine counts as a round
CONTIGS = [("chr1", LENGTH + READ)]
# 39 values with an entropy of 2.2 bits, as the qualities of HiSeq reads cost.
QUALITIES = [chr(code) for code in range(35, 74)]
WEIGHTS = [1.8**step for step in range(39)]
# 1.6 bits; the simulated HiSeq X reads of the benchmarks have 1.3.
LATER_WEIGHTS = [2.5**step for step in range(39)]


def deep_sam(
    seed: int = 1,
    contigs: Sequence[tuple[str, int]] = CONTIGS,
    weights: Sequence[float] = WEIGHTS,
) -> str:
    """Reads of 30x depth with errors, and qualities that cost as much as those of a HiSeq.

    Those of 30x are on the first contig; the others have a few each.
    """
    chance = random.Random(seed)
    genome = "".join(chance.choices("ACGT", k=LENGTH + READ))
    starts = sorted(chance.randrange(LENGTH) for _ in range(LENGTH * DEPTH // READ))
    pool = "".join(chance.choices(QUALITIES, weights, k=MEGABYTE))
    lines = ["@HD\tVN:1.6\tSO:coordinate\n"]
    lines += [f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in contigs]
    for number, start in enumerate(starts):
        bases, at = genome[start : start + READ], chance.randrange(READ)
        bases = bases[:at] + chance.choice("ACGT") + bases[at + 1 :]
        offset = chance.randrange(MEGABYTE - READ)
        place = f"chr1\t{start + 1}\t60\t{READ}M\t*\t0\t0"
        lines.append(f"r:{number}\t0\t{place}\t{bases}\t{pool[offset : offset + READ]}\n")
    for name, _ in contigs[1:]:
        for _ in range(chance.randrange(1, 9)):
            size = chance.randrange(30, READ)
            lines.append(f"x\t0\t{name}\t9\t60\t{size}M\t*\t0\t0\t{genome[:size]}\t*\n")
    return "".join(lines)


def converted(folder: Path, sam: str, chunk_size: int) -> dict[str, bytes]:
    """The objects of a dataset of some SAM text."""
    (folder / "in.sam").write_text(sam)
    convert(str(folder / "in.sam"), str(folder / "out"), workers=2, chunk_size=chunk_size)
    paths = [path for path in (folder / "out").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder / "out")): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of a dataset of 30x depth with several chunks."""
    found = converted(tmp_path_factory.mktemp("deep"), deep_sam(), 100_000)
    assert sum(key.startswith("data") for key in found) >= 4
    return found


@pytest.fixture(scope="module", params=[195, 3366], ids=lambda count: f"{count} contigs")
def genome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The same depth in the shape of a whole human genome."""
    sam = deep_sam(1, whole_genome.contigs(request.param), LATER_WEIGHTS)
    return whole_genome.widen(converted(tmp_path_factory.mktemp("genome"), sam, whole_genome.CHUNK))


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


def test_a_hint_that_is_not_there_costs_no_round(server: FakeS3) -> None:
    """A small dataset has none, which a reader cannot know: it asks beside the manifest."""
    with bams3.open(URL, regions=["chr1:130,000-131,000"]) as dataset:
        assert dataset.query("chr1:130,000-131,000").count() > 100
    assert server.rounds <= 2
    missing = [request for request in server.requests if request.key.endswith("/chr1.hint")]
    assert len(server.requests) == 3
    assert [request.bytes_out < 200 for request in missing] == [True]


# ---- a whole genome ------------------------------------------------------------------------------
@pytest.fixture
def whole(fake_s3: FakeS3, genome: dict[str, bytes]) -> FakeS3:
    fill(fake_s3, genome)
    fake_s3.latency = LATENCY
    fake_s3.reset()
    return fake_s3


@pytest.mark.parametrize("start", [1, 130_000, 320_000])
def test_a_query_of_a_whole_genome(whole: FakeS3, start: int) -> None:
    region = f"chr1:{start}-{start + 999}"
    with bams3.open(URL, regions=[region]) as dataset:
        assert sum(table.loaded for table in dataset.index.tables) == 1
        assert len(dataset.index.chunks) > 3000
        count = sum(1 for _ in dataset.query(region))
        assert count > 100
        assert whole.rounds == 2 and len(whole.requests) <= 4
        assert whole.bytes_out <= 0.6 * MEGABYTE
        tile = sum(request.bytes_out for request in whole.requests if "/data/" in request.key)
        assert tile > 300_000
        whole.reset()
        assert sum(1 for _ in dataset.query(region)) == count
        assert whole.rounds == 1 and len(whole.requests) <= 2


def test_a_query_of_a_whole_genome_without_hints(whole: FakeS3) -> None:
    """Right all the same, in one round more; the table is read once."""
    region = "chr1:130,000-131,000"
    with bams3.open(URL, regions=[region]) as dataset:
        count = dataset.query(region).count()
    whole.reset()
    with bams3.open(URL) as dataset:
        assert dataset.query(region).count() == count
        assert whole.rounds == 3
        whole.reset()
        assert dataset.query(region).count() == count
        assert whole.rounds == 1


def test_statistics_of_a_whole_genome(whole: FakeS3) -> None:
    began = time.monotonic()
    with bams3.open(URL) as dataset:
        assert dataset.stats()["records"] > LENGTH * DEPTH // READ
    assert len(whole.requests) == 1
    assert whole.bytes_out < 200_000
    assert time.monotonic() - began < 0.3


# ---- whole datasets ------------------------------------------------------------------------------
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
        assert dataset.manifest.slices
        slices = Counter([dataset.manifest.slices.key])
        expected = Counter(dict.fromkeys(dataset.manifest.keys() | {"_metadata.json"}, 1))
        to_bam(dataset, tmp_path / "out.bam")
    assert read(server) == expected - slices
    server.reset()
    with bams3.open(URL) as dataset:
        assert verify(dataset).ok
    listings = [request for request in server.requests if request.query]
    assert len(listings) == 1
    assert read(server) - Counter([""]) == expected
