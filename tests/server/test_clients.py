"""samtools, bcftools and tabix read through the server, all records compared."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import over
from tests.server.running import Running, serving
from tests.servers.versitygw import Versitygw

SAMTOOLS = [
    ["view", "s.bam"], ["view", "-h", "--no-PG", "s.bam"], ["view", "s.bam", "chr1:20,000-30,000"],
    ["view", "s.bam", "chr1:1-1", "chr1:59,000-60,000"], ["view", "-c", "s.bam"],
    ["view", "-T", "ref.fa", "s.cram"], ["view", "-T", "ref.fa", "s.cram", "chr1:20,000-30,000"],
    ["idxstats", "s.bam"], ["flagstat", "s.bam"], ["depth", "-r", "chr1:500-900", "s.bam"],
    ["faidx", "ref.fa", "chr1:1,000-2,000"], ["faidx", "ref.fa.gz", "chrM:900-1,000"],
]  # fmt: skip
BCFTOOLS = [
    ["view", "-H", "v.vcf.gz"], ["view", "-H", "v.vcf.gz", "chr1:20000-30000"],
    ["view", "-H", "v.bcf", "chr2:9000-10000"], ["index", "-s", "v.vcf.gz"],
]  # fmt: skip


def run(words: list[str], place: Path) -> bytes:
    """Run a tool in an empty folder: htslib keeps indexes where it runs."""
    here = place / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    environ = {"PATH": os.environ["PATH"], "REF_PATH": "/nonexistent", "HOME": str(place)}
    done = subprocess.run(words, cwd=here, env=environ, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert b"[E::" not in done.stderr, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module", params=["local", "real-s3"])
def remote(
    request: pytest.FixtureRequest, genomics: Path, s3_server: Versitygw
) -> Iterator[Running]:
    """A server over these files, on disk and on a real S3 server."""
    if request.param == "local":
        with serving(("r", str(genomics))) as running:
            yield running
        return
    with over(s3_server.make_bucket("genomics"), genomics, s3_server.environ) as running:
        yield running


def placed(words: list[str], base: str) -> list[str]:
    names = ("s.bam", "s.cram", "v.vcf.gz", "v.bcf", "ref.fa", "ref.fa.gz")
    return [f"{base}/{word}" if word in names else word for word in words]


@pytest.mark.parametrize("words", SAMTOOLS, ids=" ".join)
def test_samtools(remote: Running, genomics: Path, words: list[str], tmp_path: Path) -> None:
    expected = run(["samtools", *placed(words, str(genomics))], tmp_path)
    over_http = placed(words, f"{remote.url}/files/r")
    if "-T" in words:  # the reference is local: what is tested is the CRAM
        over_http[over_http.index("-T") + 1] = str(genomics / "ref.fa")
    assert expected and run(["samtools", *over_http], tmp_path) == expected


def test_samtools_quickcheck(remote: Running, tmp_path: Path) -> None:
    run(["samtools", "quickcheck", f"{remote.url}/files/r/s.bam"], tmp_path)
    run(["samtools", "quickcheck", f"{remote.url}/files/r/s.cram"], tmp_path)


@pytest.mark.parametrize("words", BCFTOOLS, ids=" ".join)
def test_bcftools(remote: Running, genomics: Path, words: list[str], tmp_path: Path) -> None:
    expected = run(["bcftools", *placed(words, str(genomics))], tmp_path)
    found = run(["bcftools", *placed(words, f"{remote.url}/files/r")], tmp_path)
    assert expected and found == expected


def test_tabix(remote: Running, genomics: Path, tmp_path: Path) -> None:
    region = "chr1:40000-41000"
    expected = run(["tabix", str(genomics / "v.vcf.gz"), region], tmp_path)
    found = run(["tabix", f"{remote.url}/files/r/v.vcf.gz", region], tmp_path)
    assert expected and found == expected


def test_links_carry_their_right_to_the_index(
    remote: Running, genomics: Path, tmp_path: Path
) -> None:
    from bams3.server.auth import User

    links = remote.server.app.authenticator.links
    paths = ["/files/r/s.bam", "/files/r/s.bam.bai"]
    ticket = links.ticket(User("ada"), paths, 60)
    words = ["samtools", "view", f"{remote.url}{paths[0]}?ticket={ticket}", "chr1:500-900"]
    expected = run(["samtools", "view", str(genomics / "s.bam"), "chr1:500-900"], tmp_path)
    assert expected and run(words, tmp_path) == expected
