"""The object of slices comes and goes with its dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

import bams3
from bams3 import _core
from bams3.reads.clean import clean
from bams3.reads.convert import convert
from bams3.reads.dataset import Dataset
from bams3.reads.merge import merge
from bams3.reads.verify import verify
from tests.reads import made
from tests.reads.sample import make_bam, make_dataset, samtools


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("slices"), 40_000)


def sliced(dataset: Dataset) -> int:
    """The number of slices, which are those of the records."""
    dataset.load()
    count = 0
    for chunk in range(len(dataset.index.chunks)):
        for section in dataset.source.read(dataset.index.tiles(chunk), "both"):
            slices = dataset.slices_of(section.place)
            data = dataset.source.decode(section)
            assert slices in ([], _core.measure_slices(data, [row[0] for row in slices]))
            count += len(slices)
    assert verify(dataset).ok
    return count


def keys(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("_index/*.slices")}


def test_small_tiles_have_none(tmp_path: Path) -> None:
    text = made.header("unsorted") + made.shuffled(500)
    convert(made.write_sam(tmp_path, text, "in.sam"), str(tmp_path / "made"))
    with bams3.open(tmp_path / "made") as dataset:
        assert dataset.manifest.slices is None and sliced(dataset) == 0
    assert keys(tmp_path / "made") == set()


def test_a_dataset_that_is_replaced_takes_its_slices_along(bam: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    convert(str(bam), str(target))
    first = keys(target)
    assert len(first) == 1
    convert(str(bam), str(target), chunk_size=1 << 16, overwrite=True)
    assert len(keys(target)) == 1 and keys(target) != first
    with bams3.open(target) as dataset:
        assert sliced(dataset) > 4
    text = made.header("unsorted") + made.shuffled(50)
    convert(made.write_sam(tmp_path, text, "in.sam"), str(target), overwrite=True)
    assert keys(target) == set()


def test_clean_knows_them(bam: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    convert(str(bam), str(target))
    own = keys(target)
    (target / "_index" / f"{0:016x}.slices").write_bytes(b"left behind")
    assert clean(str(target)).objects == 1
    assert keys(target) == own


def test_merged_tiles_have_slices_copied_or_new(bam: Path, tmp_path: Path) -> None:
    """One source begins where the other has ended: those chunks are copied."""
    halves = []
    for number, regions in enumerate((["chr1"], ["chr2", "HLA-A*01:01", "chrM", "*"])):
        half = tmp_path / f"{number}.bam"
        samtools("view", "--no-PG", "-b", "-o", half, bam, *regions)
        halves.append(make_dataset(half))
    for sources, copied in ((halves, True), ([*halves, halves[0]], False)):
        target = tmp_path / f"merged{copied}"
        done = merge(str(target), sources)
        assert (done.copied > 0) and (copied or done.encoded > 0)
        with bams3.open(target) as dataset:
            assert sliced(dataset) > 4
            virtual = tmp_path / f"{copied}.bam"
            virtual.write_bytes(b"".join(dataset.as_bam().read()))
            (tmp_path / f"{copied}.bam.csi").write_bytes(dataset.as_bam().csi)
        for region in ("chr1:400,000-400,300", "chr2", "chr1:900,000-"):
            expected = [line for url in sources for line in text_of(url, region).splitlines()]
            assert sorted(samtools("view", virtual, region).splitlines()) == sorted(expected)


def text_of(url: str, region: str) -> str:
    with bams3.open(url) as dataset:
        blocks = b"".join(dataset.query(region).blocks())
        return _core.format_sam(blocks, dataset.header).decode()
