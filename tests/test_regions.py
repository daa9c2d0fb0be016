"""Regions mean what they mean to samtools view."""

import re
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bams3.errors import InputError, RegionError
from bams3.regions import (
    EVERYTHING,
    UNPLACED,
    Region,
    by_contig,
    intersect,
    likely_contig,
    merge_intervals,
    parse_bed,
    parse_region,
)

CONTIGS = {"b": 3000, "b:7": 50, "HLA-A*01:01:01:01": 60, "c": 40, "chr1": 30, "k-1": 20}


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One read of one base at each position of each contig, and three without place."""
    path = tmp_path_factory.mktemp("regions") / "each.bam"
    header = {"SQ": [{"SN": n, "LN": length} for n, length in CONTIGS.items()]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for contig, length in CONTIGS.items():
            for position in range(length):
                out.write(_read(out.header, f"{contig}/{position}", contig, position))
        for number in range(3):
            out.write(_read(out.header, f"*/{number}", None, -1))
    pysam.index(str(path))
    return path


def _read(
    header: pysam.AlignmentHeader, name: str, contig: str | None, position: int
) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(header)
    read.query_name, read.query_sequence = name, "A"
    read.flag = 0 if contig else 4
    read.reference_name, read.reference_start = contig, position
    read.cigartuples = [(0, 1)] if contig else None
    return read


def samtools_names(bam: Path, text: str) -> list[str] | None:
    """Names that samtools view prints; None where it refuses the region."""
    try:
        out = pysam.view(str(bam), text)
    except pysam.SamtoolsError:
        return None
    if "invalid region" in pysam.samtools.view.get_messages():
        return None
    return [line.split("\t")[0] for line in out.splitlines()]


def our_names(text: str) -> list[str] | None:
    try:
        region = parse_region(text, CONTIGS)
    except RegionError:
        return None
    unplaced = [f"*/{n}" for n in range(3)]
    if region == UNPLACED:
        return unplaced
    if region == EVERYTHING:
        return [f"{c}/{p}" for c, n in CONTIGS.items() for p in range(n)] + unplaced
    start, end = region.interval
    return [f"{region.contig}/{p}" for p in range(start, min(end, CONTIGS[region.contig]))]


KNOWN = [
    "b", "c", "chr1", "k-1", "HLA-A*01:01:01:01", "HLA-A*01:01:01:01:5-9", "*", ".", "b:7", "b:8",
    "{b:7}", "{b}:7", "{b:7}:7", "{b:7}:3-5", "{b", "{b}x", "{b}", "b:5", "b:5-5", "b:5-", "b:-5",
    "b:0-5", "b:0", "b:", "b:-", "b:--5", "b:1,000-2,000", "b:1k-2k", "b:1.5k-2K", "b:1M", "b:1G",
    "b:0.001M-2e3", "b:2e3", "b:20e-1", "b:7-3", "b: 5", "b:3-5 ", "b:3- 5", "b:3-5,", "b:3-5,9",
    "b:+5", "b:3-+5", "b:5x", "b:x", "b:3-x", "b:2999-", "b:3000-", "b:3001", "b:4000-5000", "z",
    "chr", "HLA", "b:-5-9", "b:-5,", "b:3--5", "c:", "c:1-0", "c:0-0", "c:1,0-2,0", "c:,5",
    "b:1e", "b:.5k", "b:k", "b:00005-0009", "b:5-9-11", "b:5k-6k", "c:1-1000000000", "c::5",
]  # fmt: skip


@pytest.mark.parametrize("text", KNOWN)
def test_means_what_samtools_means(bam: Path, text: str) -> None:
    assert our_names(text) == samtools_names(bam, text)


number = st.one_of(
    st.integers(0, 4000).map(str),
    st.integers(1000, 4000).map("{:,}".format),
    st.text("0123456789,.kKmMeE+- ", max_size=6),
)
spans = st.builds("".join, st.tuples(number, st.sampled_from(["-", "", "--", ",", " "]), number))
texts = st.builds(
    "{}{}{}".format,
    st.sampled_from([*CONTIGS, "{b}", "{b:7}", "z", "{c"]),
    st.sampled_from(["", ":", ":", ":", "::"]),
    st.one_of(number, spans),
).filter(lambda text: not re.search("[eE][+-]?[0-9]{2}", text))  # there samtools overflows


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_any_text_means_what_samtools_means(bam: Path, text: str) -> None:
    assert our_names(text) == samtools_names(bam, text)


@given(text=texts)
def test_a_contig_is_guessed_without_the_contigs(text: str) -> None:
    try:
        contig = parse_region(text, CONTIGS).contig
    except RegionError:
        return
    assert likely_contig(text) == (None if contig == "." else contig) or ":" in contig


def test_guessed_contigs() -> None:
    regions = [UNPLACED, EVERYTHING, Region("b:7", 1, 2), "{b:7}:5", "b:7", "b:7:1-2", ":", "", "{"]
    guesses = ["*", None, "b:7", "b:7", "b", "b:7", ":", "", ""]
    assert [likely_contig(region) for region in regions] == guesses


@given(
    contig=st.sampled_from(list(CONTIGS)),
    start=st.integers(0, 100),
    length=st.one_of(st.none(), st.integers(1, 9)),
)
def test_text_of_a_region_parses_back(contig: str, start: int, length: int | None) -> None:
    region = Region(contig, start, None if length is None else start + length)
    if ":" in contig or contig != "b":
        assert parse_region(str(region), CONTIGS) == region


def test_messages_name_the_contig_and_near_ones() -> None:
    with pytest.raises(RegionError, match="no contig '1'") as error:
        parse_region("1:5-9", ["chr1", "chr2", "b"])
    assert "chr1" in (error.value.hint or "")
    with pytest.raises(RegionError, match="ambiguous") as error:
        parse_region("b:7", CONTIGS)
    assert error.value.hint == "write {b:7} or {b}:7"


def test_bed() -> None:
    text = "track name=x\nbrowser position chr1\n# c\n\nb\t5\t9\tname\nc 3\nb\t0\t5\n"
    regions = parse_bed(text)
    assert regions == [Region("b", 5, 9), Region("c", 2, 3), Region("b", 0, 5)]
    assert by_contig(regions) == {"b": [(0, 9)], "c": [(2, 3)]}


@pytest.mark.parametrize("line", ["b\t9\t5", "b", "b\tx\ty"])
def test_bad_bed(line: str) -> None:
    with pytest.raises(InputError, match=r"x\.bed, line 2"):
        parse_bed(f"b 1 2\n{line}\n", "x.bed")


intervals = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda p: (p[0], sum(p))))


@given(intervals, intervals)
def test_intervals_are_sets_of_positions(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    def positions(pairs: list[tuple[int, int]]) -> set[int]:
        return {p for start, end in pairs for p in range(start, end)}

    merged = merge_intervals(left), merge_intervals(right)
    assert positions(merged[0]) == positions(left)
    assert positions(intersect(*merged)) == positions(left) & positions(right)
