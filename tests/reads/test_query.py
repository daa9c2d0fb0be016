"""Queries return what samtools view returns: the same records in the same order."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bams3
from bams3 import _core
from bams3.errors import CorruptError, NotFoundError, RegionError, UsageError
from bams3.reads.convert import convert
from bams3.reads.dataset import Dataset
from bams3.reads.query import Query
from tests.reads.sample import CONTIGS, make_bam, make_dataset, samtools


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("query"))


@pytest.fixture(scope="module")
def dataset(bam: Path) -> Iterator[Dataset]:
    with bams3.open(make_dataset(bam)) as dataset:
        assert len(dataset.index.chunks) > 3
        yield dataset


def text(query: Query) -> str:
    header = query.dataset.header
    return b"".join(_core.format_sam(block, header) for block in query.blocks()).decode()


REGIONS = [
    [],
    ["chr1"],
    ["chr2"],
    ["chr1:400,500"],
    ["chr1:400,100-400,200"],
    ["chr1:1-1"],
    ["chr1:-300"],
    ["chr1:999,990-"],
    ["chr1:65536-65537"],
    ["chr1:65537-65537"],
    ["chr1:131072-131072"],
    ["chr1:100k-200k"],
    ["chr1:0.2M-0.3M"],
    ["HLA-A*01:01"],
    ["HLA-A*01:01:100-200"],
    ["{b:7}"],
    ["{b}:7"],
    ["{b:7}:20-30"],
    ["empty"],
    ["chrM:16,500-20,000"],
    ["*"],
    ["."],
    ["chr2:100-200", "chr1:5000-6000"],
    ["chr1:5000-6000", "chr1:5500-6500", "*"],
    ["chr1", "chr1:5000-6000"],
]


@pytest.mark.parametrize("regions", REGIONS, ids=" ".join)
def test_regions(bam: Path, dataset: Dataset, regions: list[str]) -> None:
    expected = samtools("view", bam, *regions)
    assert text(dataset.query(*regions)) == expected
    assert dataset.query(*regions).count() == expected.count("\n")


# With -M samtools parses regions by older rules: no colons in names, no `:-300`, no `:5-`.
PLAIN = [r for r in REGIONS if r and r != ["."] and not any(re.search("[{A]|:-|-$", t) for t in r)]


@pytest.mark.parametrize("regions", PLAIN, ids=" ".join)
def test_once(bam: Path, dataset: Dataset, regions: list[str]) -> None:
    assert text(dataset.query(*regions, once=True)) == samtools("view", "-M", bam, *regions)


FILTERS = [
    {"require": 0x10},
    {"exclude": 0x704},
    {"exclude_all": 0x404},
    {"min_mapq": 30},
    {"require": 1, "exclude": 16, "exclude_all": 0x600, "min_mapq": 1},
]
OPTIONS = {"require": "-f", "exclude": "-F", "exclude_all": "-G", "min_mapq": "-q"}


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("region", ["chr1:400,000-400,500", "*", "chr2"])
def test_filters(bam: Path, dataset: Dataset, filters: dict[str, int], region: str) -> None:
    options = [part for name, value in filters.items() for part in (OPTIONS[name], str(value))]
    expected = samtools("view", *options, bam, region)
    assert text(dataset.query(region, **filters)) == expected
    assert dataset.query(region, **filters).count() == expected.count("\n")


def test_kept_tags(bam: Path, dataset: Dataset) -> None:
    """Of all types, those in few records, those that are derived, and none."""
    with pysam.AlignmentFile(str(bam)) as file:
        tags = sorted({name for read in file for name, _ in read.get_tags()})
    assert {*tags} == {"MD", "NM", "RG", "XA", "XB", "XF"}
    for kept in [*([tag] for tag in tags), tags[::2], tags[1::2], tags]:
        expected = samtools("view", "--keep-tag", ",".join(kept), bam)
        assert text(dataset.query(keep_tags=kept)) == expected
    bare = samtools("view", "--keep-tag", "QQ", bam)
    assert text(dataset.query(keep_tags=[])) == text(dataset.query(keep_tags=["QQ"])) == bare


positions = st.one_of(
    st.integers(0, 1_000_000),
    st.integers(399_900, 401_100),
    st.integers(1, 15).flatmap(lambda chunk: st.integers(chunk * 65536 - 2, chunk * 65536 + 2)),
)
spans = st.tuples(
    st.sampled_from([*CONTIGS, "chr1"]), positions, st.sampled_from([1, 2, 50, 1000, 70_000])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(spans, min_size=1, max_size=3))
def test_any_regions(bam: Path, dataset: Dataset, chosen: list[tuple[str, int, int]]) -> None:
    regions = [f"{{{name}}}:{start + 1}-{start + length}" for name, start, length in chosen]
    assert text(dataset.query(*regions)) == samtools("view", bam, *regions)


empty_too = st.tuples(
    st.sampled_from([*CONTIGS, "chr1"]), positions, st.sampled_from([0, 1, 2, 50, 1000, 70_000])
)


@settings(max_examples=40, deadline=None)
@given(st.lists(empty_too, min_size=1, max_size=30))
def test_any_bed(bam: Path, dataset: Dataset, chosen: list[tuple[str, int, int]]) -> None:
    bed = bam.with_suffix(".bed")
    lines = (f"{name}\t{start}\t{start + length}\n" for name, start, length in chosen)
    bed.write_text("track x\n" + "".join(lines))
    expected = samtools("view", "-L", bed, bam)
    assert text(dataset.query(bed=bed)) == expected
    assert dataset.query(bed=bed).count() == expected.count("\n")
    assert dataset.query(bed=bed).first_position() == first_position(expected)
    region = "chr1:400,100-400,300"
    inside = samtools("view", "-L", bed, bam, region)
    assert text(dataset.query(region, bed=bed)) == inside
    assert dataset.query(region, bed=bed).first_position() == first_position(inside)


def first_position(sam: str) -> int | None:
    return int(sam.split("\t", 4)[3]) - 1 if sam else None


def test_empty_intervals_of_a_bed(bam: Path, dataset: Dataset) -> None:
    """They are places between two bases, and records that lie over them overlap."""
    bed = bam.with_suffix(".empty.bed")
    bed.write_text("chr1\t400100\t400100\nchr1\t400400\t400400\nchr2\t900\t900\nchr2\t0\t5\n")
    for region in ("chr1", "chr1:400,001-400,300", "chr1:399,900-400,500"):
        expected = samtools("view", "-M", "-L", bed, bam, region)
        assert expected
        assert text(dataset.query(region, bed=bed, once=True)) == expected


def test_bed_of_other_contigs(dataset: Dataset) -> None:
    with pytest.raises(RegionError, match="none of the contigs"):
        dataset.query(bed=[bams3.Region("chr9", 0, 5)])


def test_records_are_what_pysam_reads(bam: Path, dataset: Dataset) -> None:
    import pysam

    with pysam.AlignmentFile(str(bam)) as file:
        for ours, theirs in zip(dataset.query(), file.fetch(until_eof=True), strict=True):
            assert (ours.name, ours.flag, ours.mapq) == (
                theirs.query_name, theirs.flag, theirs.mapping_quality,
            )  # fmt: skip
            assert (ours.contig, ours.cigar) == (theirs.reference_name, theirs.cigarstring)
            assert ours.pos == (None if theirs.reference_id < 0 else theirs.reference_start)
            assert ours.mate_contig == theirs.next_reference_name
            assert ours.template_length == theirs.template_length
            assert ours.sequence == theirs.query_sequence
            assert ours.qualities == (
                None if theirs.query_qualities is None else bytes(theirs.query_qualities)
            )
            assert list(ours.tags) == [name for name, _ in theirs.get_tags()]
            assert ours.tags.get("NM") == (theirs.get_tag("NM") if theirs.has_tag("NM") else None)


ODD = (
    b"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:c\tLN:900\n"
    b"a\xff\t0\tc\t5\t9\t4M2B4M\t*\t0\t0\tACGTACGT\t*\tXX:Z:\xfe\tXD:d:0.5\tXA:A:!\n"
    b"b\t0\tc\t6\t9\t4S4M\t*\t0\t0\tACGTACGT\t*\tCG:B:I,5,7\n"
    b"c\t0\tc\t7\t9\t8S4N\t*\t0\t0\tACGTACGT\t*\tXB:B:f,1.5,inf\n"
)
ODD_RECORDS = [
    ("a\ufffd", "4M2B4M", {"XX": "\ufffd", "XD": 0.5, "XA": "!"}),
    ("b", "4S4M", {"CG": [5, 7]}),
    ("c", "8S4N", {"XB": [1.5, float("inf")]}),
]


def test_records_of_odd_but_legal_content(tmp_path: Path) -> None:
    """Text that is not UTF-8, CIGAR B, doubles, and CG and clips that mean nothing more."""
    convert(io.BytesIO(ODD), str(tmp_path / "x"), workers=1)
    with bams3.open(tmp_path / "x") as odd:
        assert [(r.name, r.cigar, r.tags) for r in odd.query()] == ODD_RECORDS


def test_unknown_contig(dataset: Dataset) -> None:
    with pytest.raises(RegionError, match="no contig '1'") as error:
        dataset.query("1:5-6")
    assert error.value.hint == "did you mean chr1?"


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no dataset"):
        bams3.open(tmp_path)


def test_no_such_column(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="no column 'colour'"):
        dataset.query(columns=["colour"])


def test_damage_is_found_and_named(bam: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "damaged.bams3"
    shutil.copytree(bam.with_suffix(".bams3"), copy)
    chunk = max(copy.glob("data/*/*.chunk"), key=lambda path: path.stat().st_size)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with bams3.open(copy) as damaged, pytest.raises(CorruptError, match=chunk.name):
        list(damaged.query().blocks())
