"""What the older serverless example got wrong, by the numbers of its list of defects."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pysam
import pytest

from bams3.storage import open_store
from bams3.variants.call import call
from bams3.variants.vcf import read_calls
from tests.cli.run import bams3_
from tests.servers.fake_s3 import FakeS3
from tests.variants.sample import Kind, Sample, make_sample, plain, read_lines

SMALL = Kind({"chr20": 14_000, "b:7": 6_000, "b": 6_000}, 25, 400, 400)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="module")
def calls(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("calls") / "out.vcf.gz"
    call([small.bam], small.reference, made)
    return made


def test_c1_ref_is_that_of_the_reference(small: Sample, calls: Path) -> None:
    with pysam.FastaFile(small.reference) as fasta, pysam.VariantFile(str(calls)) as file:
        found = [(r.ref, fasta.fetch(r.contig, r.start, r.stop)) for r in file]
    assert found and all(ref == bases for ref, bases in found)
    assert len({ref[0] for ref, _ in found}) == 4


def test_c2_positions_lie_in_the_region_and_indels_are_found(small: Sample, out: Path) -> None:
    call([small.bam], small.reference, out, regions=["chr20:5,000-10,000"])
    rows = [*read_calls(out)]
    assert rows and all(4_999 <= row.pos < 10_000 for row in rows)
    assert {"snv", "insertion", "deletion"} <= {row.kind for row in rows}


def test_c3_values_are_numbers_that_any_store_takes(calls: Path) -> None:
    for row in read_calls(calls):
        assert row.qual and row.depth and row.alt_depth and 0 < (row.allele_fraction or 0) <= 1
        json.dumps([json.loads(row.info), json.loads(row.format)], allow_nan=False)


def test_c4_a_missing_index_is_an_error(small: Sample, tmp_path: Path, out: Path) -> None:
    bare = tmp_path / "x.bam"
    bare.write_bytes(Path(small.bam).read_bytes())
    done = bams3_("variants", "call", bare, "-f", small.reference, "-o", out)
    assert done.code == 1 and "has no index" in done.err and "samtools index" in done.err


def test_c5_what_is_no_bam_is_an_error(small: Sample, tmp_path: Path, out: Path) -> None:
    raw = tmp_path / "x.bam"
    raw.write_bytes(b"BAM\1" + bytes(1000))
    (tmp_path / "x.bam.bai").write_bytes(Path(f"{small.bam}.bai").read_bytes())
    done = bams3_("variants", "call", raw, "-f", small.reference, "-o", out)
    assert done.code == 1 and "not a BAM file" in done.err and not out.exists()


def test_c6_nothing_called_is_summed_up_too(small: Sample, out: Path) -> None:
    done = bams3_("variants", "call", small.bam, "-f", small.reference, "-o", out, "-r", "b:7:1-9")
    assert done.code == 0 and "0 records of child" in done.err


def test_c7_failures_are_errors(small: Sample, out: Path) -> None:
    caller = "cat {reads} > /dev/null; exit 1"
    done = bams3_(
        "variants", "call", small.bam, "-f", small.reference, "-o", out, "--caller", caller
    )
    assert done.code == 1 and "shards failed" in done.err and not out.exists()


def test_c8_a_repeated_run_gives_the_same_bytes(small: Sample, calls: Path, out: Path) -> None:
    call([small.bam], small.reference, out, tile_bases=3_000)
    assert out.read_bytes() == calls.read_bytes()


def test_c12_a_region_reads_its_part_of_the_file(
    fake_s3: FakeS3, small: Sample, out: Path, tmp_path: Path
) -> None:
    large = make_sample(tmp_path / "large", Kind({"chr1": 400_000}, 12, 400, 3_000))
    store = open_store("s3://bucket")
    for name in ("x.bam", "x.bam.bai"):
        store.put(name, (large.folder / name).read_bytes())
    size = (large.folder / "x.bam").stat().st_size
    fake_s3.reset()
    call(["s3://bucket/x.bam"], large.reference, out, regions=["chr1:70,001-71,000"])
    assert 0 < fake_s3.bytes_out < size / 2  # by windows of 16 kb, thrice


@pytest.mark.parametrize(
    ("text", "contig", "first", "last"),
    [
        ("chr20", "chr20", 1, 14_000), ("chr20:1,001-2,000", "chr20", 1_001, 2_000),
        ("{b:7}", "b:7", 1, 6_000), ("{b}:7-3000", "b", 7, 3_000),
        ("b:7:100-4k", "b:7", 100, 4_000), ("chr20:0-3000", "chr20", 1, 3_000),
    ],
)  # fmt: skip
def test_c13_regions_are_read_as_samtools_reads_them(
    text: str, contig: str, first: int, last: int, small: Sample, calls: Path, out: Path
) -> None:
    call([small.bam], small.reference, out, regions=[text])
    fields = [(line.split("\t")[0], int(line.split("\t")[1]), line) for line in read_lines(calls)]
    expected = [line for name, at, line in fields if name == contig and first <= at <= last]
    assert read_lines(out) == expected != []


def test_c15_more_parts_than_a_page_of_a_listing(
    fake_s3: FakeS3, small: Sample, tmp_path: Path
) -> None:
    fake_s3.page = 5
    done = call(
        [small.bam],
        small.reference,
        "s3://bucket/o.vcf.gz",
        tile_bases=2_500,
        folder="s3://bucket/j",
    )
    assert done.shards == 12
    call([small.bam], small.reference, "s3://bucket/p.vcf.gz", folder="s3://bucket/j")
    assert [key for key in fake_s3.buckets["bucket"] if key.startswith("j/")] == []


def test_c16_the_file_has_contigs_and_an_index_and_true_genotypes(
    small: Sample, calls: Path
) -> None:
    with pysam.VariantFile(str(calls)) as file:
        lengths = {c.name: c.length for c in file.header.contigs.values()}
        assert lengths == SMALL.contigs
        assert 0 < len([*file.fetch("chr20", 5_000, 9_000)]) < len(read_lines(calls))
        genotypes = {r.samples[0]["GT"] for r in file.fetch("chr20")}
        counted = {r.info["AN"] for r in file.fetch("chr20")}
    assert {(0, 1), (1, 1)} <= genotypes and counted == {2}
    assert read_lines(calls) == plain(small.reference, small.bam)


def test_c10_what_the_package_asks_for_is_what_it_imports() -> None:
    """Each extra that an error names is in pyproject.toml (C9 and C11 are for `bams3 cloud`)."""
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    text = (root / "python/bams3/variants/executors.py").read_text()
    assert {"dask", "lambda"} == set(re.findall(r"bams3\[(\w+)\]", text)) <= extras.keys()


def test_c14_every_option_of_the_help_is_taken() -> None:
    for name in ("call", "verify-scatter", "compare", "stats", "report", "annotate"):
        assert bams3_("variants", name, "--help").code == 0
    done = bams3_("variants", "call", "--reigon", "x")
    assert done.code == 2 and "--region" in done.err
