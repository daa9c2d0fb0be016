"""Depth is that of samtools depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bams3
from bams3.errors import UsageError
from bams3.reads.dataset import Dataset
from bams3.regions import Region
from tests.reads.sample import make_bam, make_dataset, samtools


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("depth"), count=25_000)


@pytest.fixture(scope="module")
def dataset(bam: Path) -> Iterator[Dataset]:
    with bams3.open(make_dataset(bam)) as dataset:
        yield dataset


@pytest.mark.parametrize("options", [[], ["-a"], ["-aa"], ["-Q", "30"], ["-G", "0x10"]], ids=str)
def test_whole(bam: Path, dataset: Dataset, options: list[str]) -> None:
    filters = {"-Q": {"min_mapq": 30}, "-G": {"exclude": 0x714}}.get("".join(options[:1]), {})
    zeros, unused = "-a" in "".join(options), "-aa" in options
    lines = b"".join(dataset.depth(**filters).text(zeros, unused)).decode()
    assert lines == samtools("depth", *options, bam)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(
    "region",
    ["chr1:400,100-400,200", "chr1:65,530-65,540", "empty", "{b:7}", "chr1:999,990-", "chr2"],
)
def test_region(bam: Path, dataset: Dataset, region: str, zeros: bool) -> None:
    lines = b"".join(dataset.depth(region).text(zeros)).decode()
    assert lines == samtools("depth", *["-a"][: int(zeros)], "-r", region, bam)


@pytest.mark.parametrize("zeros", [False, True])
def test_bed(bam: Path, dataset: Dataset, zeros: bool) -> None:
    bed = bam.with_suffix(".bed")
    bed.write_text(
        "chr2\t100\t200\nchr1\t400100\t400150\nchr1\t900000\t900020\nchr1\t400140\t400160\n"
    )
    lines = b"".join(dataset.depth(bed=bed).text(zeros)).decode()
    assert lines == samtools("depth", *["-a"][: int(zeros)], "-b", bed, bam)


def test_means(bam: Path, dataset: Dataset) -> None:
    depths = [0] * 1000
    for line in samtools("depth", "-r", "{b:7}", bam).splitlines():
        position, depth = map(int, line.split("\t")[1:])
        if position <= len(depths):  # reads hang over the end
            depths[position - 1] = depth
    windows = [(0, 300), (300, 600), (600, 900), (900, 1000)]
    expected = "".join(_mean("b:7", depths, start, end) for start, end in windows)
    assert b"".join(dataset.depth("{b:7}").means(300)).decode() == expected
    regions = [Region("b:7", 500, 700), Region("b:7", 0, 1000), Region("b:7", 3, 4)]
    expected = "".join(_mean("b:7", depths, *region.interval) for region in regions)
    assert b"".join(dataset.depth().means(regions)).decode() == expected


def test_windows_have_a_width(dataset: Dataset) -> None:
    for width in (0, -5):  # an endless loop, which ate all memory
        with pytest.raises(UsageError, match="1 base or more"):
            next(dataset.depth().means(width))


def _mean(contig: str, depths: list[int], start: int, end: int) -> str:
    return f"{contig}\t{start}\t{end}\t{sum(depths[start:end]) / (end - start):.2f}\n"


def test_reads_only_cores(bam: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    store = dataset.store
    get_many = store.get_many
    monkeypatch.setattr(store, "get_many", lambda spans: asked.extend(spans) or get_many(spans))
    list(dataset.depth().text())
    total = sum(map(dataset.index.size, range(len(dataset.index.chunks))))
    assert 0 < sum(end - start for _, start, end in asked) < total / 3
