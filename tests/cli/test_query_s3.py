"""Regions, BED and filters together, of a dataset on S3: what samtools says of the BAM."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3.reads.convert import convert
from tests.cli.run import bams3_
from tests.reads.sample import make_bam, samtools
from tests.servers.proxy import FaultProxy, cut, fail
from tests.servers.versitygw import Versitygw

BED = (
    "chr1\t100000\t180000\tx\nchr1\t400100\t400300\nchr2\t0\t150000\nchrM\t5\t9\nelsewhere\t1\t2\n"
)
REGIONS = ["chr1:90,000-120,000", "chr1:110,000-420,000", "chr2:140,000-160,000", "chrM"]
FILTERS = ["-f", "1", "-F", "0x404", "-G", "0x810", "-q", "10"]


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bam = make_bam(tmp_path_factory.mktemp("query"), count=20_000)
    bam.with_suffix(".bed").write_text(BED)
    return bam


@pytest.fixture
def url(bam: Path, fault_proxy: FaultProxy, s3_server: Versitygw) -> str:
    url = s3_server.make_bucket("query-of-regions") + "/pre fix/x.bams3"
    convert(str(bam), url, profile="fast", chunk_size=1 << 16, workers=1, overwrite=True)
    return url


def test_regions_bed_and_filters(url: str, bam: Path, fault_proxy: FaultProxy) -> None:
    """Each with each; the second time through faults, and the counts too."""
    bed = ["-L", str(bam.with_suffix(".bed"))]
    for regions in ([], REGIONS[:1], REGIONS, REGIONS[::-1]):
        for options in ([], bed, FILTERS, [*bed, *FILTERS]):
            expected = samtools("view", *options, bam, *regions)
            assert expected
            for faults in ([], [fail(503), None, cut(50), None] * 4):
                fault_proxy.plan(*faults, match="GET")
                done = bams3_("query", *options, url, *regions)
                assert (done.code, done.out.decode()) == (0, expected), done.err
                assert bool(faults) == bool(fault_proxy.faults)
            fault_proxy.plan()
            count = bams3_("query", "-c", *options, url, *regions)
            assert int(count.out) == expected.count("\n")


@pytest.mark.parametrize("ending", ["bam", "cram"])
def test_each_record_once_into_a_file(url: str, bam: Path, ending: str, tmp_path: Path) -> None:
    bed, out = ["-L", str(bam.with_suffix(".bed"))], tmp_path / f"out.{ending}"
    for options in (["-M", *FILTERS], ["-M", *bed, *FILTERS]):
        theirs = tmp_path / f"theirs.{ending}"
        kind = ["-b"] if ending == "bam" else ["-C", "--output-fmt-option", "no_ref=1"]
        samtools("view", *kind, "--no-PG", *options, "-o", theirs, bam, *REGIONS)
        done = bams3_("query", *options, "--no-PG", "-o", out, url, *REGIONS)
        assert done.code == 0, done.err
        assert samtools("view", out) == samtools("view", theirs) != ""


def test_depth_of_regions_of_a_bed(url: str, bam: Path) -> None:
    bed = ["-b", str(bam.with_suffix(".bed"))]
    for filters in ([], ["-Q", "10"], ["-G", "0x10"], ["-g", "0x500"], ["-g", "0x100", "-G", "1"]):
        done = bams3_("depth", url, "-L", bed[1], *filters)
        assert done.code == 0, done.err
        assert done.out.decode() == samtools("depth", *bed, *filters, bam)
    for region in REGIONS:
        assert bams3_("depth", url, region).out.decode() == samtools("depth", "-r", region, bam)
