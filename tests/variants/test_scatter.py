"""The scattered result is that of one run of bcftools over the whole file, record for record."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest

from bams3.reads.convert import convert
from bams3.regions import Region
from bams3.variants.call import call
from bams3.variants.callers import Caller
from bams3.variants.compare import compare
from bams3.variants.gvcf import join_blocks
from bams3.variants.scatter import compared, verify_scatter
from tests.cli.run import bams3_
from tests.variants.sample import Sample, make_sample, plain, read_lines

TILES = {"normal": (20_000, 5_000), "dense": (10_000, 2_500), "deep": (2_000, 1_000)}


@pytest.mark.parametrize("kind", TILES)
def test_shards_of_any_size_give_what_one_run_gives(
    kind: str, samples: Callable[[str], Sample], tmp_path: Path
) -> None:
    sample = samples(kind)
    expected = plain(sample.reference, sample.bam)
    assert len(expected) > 12
    for number, bases in enumerate(TILES[kind]):
        # Each size from another format, so that all are called in pieces.
        source = sample.source(("bam", "bams3")[number])
        made = tmp_path / f"{bases}.vcf.gz"
        done = call([source], sample.reference, made, tile_bases=bases, workers=2)
        assert done.shards == sum(-(-length // bases) for length in sample.kind.contigs.values())
        assert read_lines(made) == expected


def test_a_deletion_over_a_border_belongs_to_the_shard_where_it_begins(
    normal: Sample, tmp_path: Path
) -> None:
    """Merging drops exact doubles, so the lines alone would not tell."""
    lines = [line.split("\t") for line in plain(normal.reference, normal.bam)]
    deletions = [line for line in lines if len(line[3]) > 2 and int(line[1]) > 1_000]
    contig, position = deletions[0][:2]
    counts = []
    for number, bases in enumerate((int(position) + 1, 1_000_000)):
        out = tmp_path / f"{number}.vcf.gz"
        done = call(
            [normal.bam], normal.reference, out, regions=[contig], tile_bases=bases, workers=2
        )
        counts.append(done.records)
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("source", ["bam", "cram", "bams3"])
def test_every_format_gives_the_same_calls(source: str, normal: Sample, out: Path) -> None:
    call([normal.source(source)], normal.reference, out, workers=2)
    assert read_lines(out) == plain(normal.reference, normal.bam)


def test_tags_that_change_qualities_are_not_left_out(
    normal: Sample, out: Path, tmp_path: Path
) -> None:
    """bcftools takes BAQ from BQ, or undoes that of ZQ, and reads of unknown RG are no sample's."""
    chance = random.Random(5)
    made = str(tmp_path / "x.bam")
    with (
        pysam.AlignmentFile(normal.bam) as source,
        pysam.AlignmentFile(made, "wb", template=source) as file,
    ):
        for number, read in enumerate(source):
            length = read.query_length
            text = "".join(chr(chance.randrange(64, 64 + 25)) for _ in range(length))
            read.set_tag(("BQ", "ZQ", "XQ")[number % 3], text)
            file.write(read)
    pysam.index(made)
    expected = plain(normal.reference, made)
    assert expected != plain(normal.reference, normal.bam)
    dataset = str(tmp_path / "x.bams3")
    convert(made, dataset)
    call([dataset], normal.reference, out, workers=2)
    assert read_lines(out) == expected


def test_regions_give_their_part_of_the_whole(normal: Sample, out: Path) -> None:
    whole = plain(normal.reference, normal.bam)
    regions = ["chr1:5,001-15,000", "{HLA-A*01:01}:4,990-9,010", "chr2"]
    call([normal.bams3], normal.reference, out, regions=regions, workers=2)
    # Left-alignment moves some indels; the planted bases are random, so it moves none out.
    spans = {"chr1": (5001, 15_000), "HLA-A*01:01": (4990, 9_010), "chr2": (1, 10_000)}
    expected = []
    for line in whole:
        contig, position = line.split("\t")[:2]
        first, last = spans[contig]
        if first <= int(position) <= last:
            expected.append(line)
    assert read_lines(out) == expected


@pytest.mark.parametrize("kind", ["normal", "dense"])
def test_blocks_of_a_gvcf_are_as_if_never_cut(
    kind: str, samples: Callable[[str], Sample], out: Path
) -> None:
    sample = samples(kind)
    expected = plain(sample.reference, sample.bam, gvcf="5,10,20")
    call(
        [sample.bam], sample.reference, out, caller=Caller(gvcf="5,10,20"), workers=2,
        tile_bases=4_000,
    )  # fmt: skip
    assert read_lines(out) == expected


def test_blocks_of_a_gvcf_are_not_joined_over_a_gap() -> None:
    """Where a request has two regions, nothing is known of what lies between them."""
    line = "c\t{}\t.\tA\t<*>\t.\t.\tEND={};MIN_DP=12\tGT:PL:DP\t0/0:0,36,255:12"
    blocks = [line.format(*span).encode() for span in ((1, 10), (11, 20), (22, 30))]
    joined = b"\n".join([line.format(1, 20).encode(), blocks[2], b""])
    assert b"".join(join_blocks([block + b"\n" for block in blocks], [5, 10, 20])) == joined


def test_several_samples_are_called_together(normal: Sample, out: Path, tmp_path: Path) -> None:
    other = make_sample(tmp_path / "other", normal.kind, seed=1, name="mother")
    expected = plain(normal.reference, normal.bam, other.bam)
    done = call([normal.bams3, other.bam], normal.reference, out, workers=2, tile_bases=30_000)
    assert done.samples == ("child", "mother")
    assert read_lines(out) == expected


def test_ploidy_and_thresholds(normal: Sample, out: Path) -> None:
    expected = [
        line
        for line in plain(normal.reference, normal.bam, more=["--ploidy", "1"])
        if int(line.split("\t")[9].split(":")[2]) >= 30
    ]
    call([normal.bam], normal.reference, out, caller=Caller(ploidy="1", min_depth=30))
    assert read_lines(out) == expected != []


def test_verify_scatter_says_yes_and_no(
    samples: Callable[[str], Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = samples("dense")
    report = verify_scatter([dense.bams3], dense.reference, regions=["chr2"], tile_bases=2_500)
    assert report.is_same and report.records > 50 and report.shards == 4
    monkeypatch.setattr("bams3.variants.tile.padded", lambda _, pieces: [*pieces])
    report = verify_scatter([dense.bams3], dense.reference, regions=["chr1"], tile_bases=800)
    assert report.missing and report.extra


def test_verify_scatter_says_where_nothing_was_cut(normal: Sample) -> None:
    asked = ("variants", "verify-scatter", normal.bam, "-f", normal.reference, "-r", "chr2:1-3,000")
    whole = bams3_(*asked)
    assert whole.code == 0 and whole.out.endswith(b" in one piece and in 1 shard\n")
    assert "note: all of it was one shard, so nothing was cut" in whole.err
    cut = bams3_(*asked, "--tile-size", "1000")
    assert cut.code == 0 and cut.out.endswith(b" in one piece and in 3 shards\n")
    assert "note: " not in cut.err


LINES = ["1\t5\tA\tC", "1\t5\tA\tG", "1\t9\tT\tA"]


@pytest.mark.parametrize(
    ("scattered", "missing", "extra"),
    [
        (LINES, [], []),
        (LINES[1:], LINES[:1], []),
        ([*LINES, "1\t12\tC\tG"], [], ["1\t12\tC\tG"]),
        ([LINES[0], *LINES], [], LINES[:1]),  # from two shards
        ([LINES[1], LINES[0], LINES[2]], LINES[:2], LINES[1::-1]),  # another order
    ],
)
def test_verify_scatter_compares_each_record_in_its_place(
    scattered: list[str], missing: list[str], extra: list[str]
) -> None:
    report = compared(LINES, scattered, 2)
    assert (report.missing, report.extra) == (tuple(missing), tuple(extra))
    assert report.is_same == (scattered == LINES) and report.records == 3


@pytest.mark.skipif(shutil.which("freebayes") is None, reason="freebayes is not installed")
def test_freebayes_as_a_plug_in(normal: Sample, out: Path) -> None:
    region = "chr1:1-10000"
    caller = Caller("freebayes")
    done = call([normal.bams3], normal.reference, out, regions=[region], caller=caller)
    found = compare(out, normal.truth, normal.reference, confident=[Region("chr1", 0, 10_000)])
    assert done.records > 8 and found.snv.recall > 0.9 and found.snv.precision > 0.9


def test_a_command_as_a_plug_in(normal: Sample, out: Path) -> None:
    """The command of the shell gets an indexed BAM file, and its pipe fails as a whole."""
    program = f"{sys.executable} -m bams3.variants.stage"
    pileup = "mpileup -d 1000000 -f {reference} -a FORMAT/AD,FORMAT/DP -Ou {bam}"
    caller = Caller(f"{program} {pileup} | {program} call -mv")
    call([normal.bams3], normal.reference, out, caller=caller, tile_bases=30_000)
    expected = plain(normal.reference, normal.bam)
    assert read_lines(out) == expected
