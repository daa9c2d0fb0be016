"""htsget and BAMS3 as BAM through a running server, by the programs of others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pysam
import pytest

import bams3
from bams3.reads.convert import convert
from bams3.reads.virtual_bam import VirtualBam
from bams3.server.bin_index import BinIndex
from tests.format import make_golden
from tests.reads.sample import make_bam, make_dataset, samtools
from tests.server.running import Running, serving
from tests.server.test_htsget import bcftools, write_variants
from tests.servers.fake_s3 import FakeS3

REGIONS = ["chr1:500,000-500,400", "chr2", "HLA-A*01:01:7-90", "{b:7}", "empty", "*"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("http")
    made = make_bam(folder, count=30_000)
    shutil.copy(made, folder / "reads.bam")
    shutil.copy(f"{made}.bai", folder / "reads.bam.bai")
    shutil.move(make_dataset(made), folder / "sample.bams3")
    write_variants(folder)
    return folder


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Running]:
    with serving(("d", str(data))) as running:
        yield running


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


# ---- BAMS3 as BAM --------------------------------------------------------------------------------
def test_samtools_reads_a_dataset_as_bam(server: Running, data: Path, tmp_path: Path) -> None:
    needs("samtools")
    url = f"{server.url}/files/d/sample.bams3.bam"
    source = data / "reads.bam"
    assert run("samtools", "view", "-h", "--no-PG", url) == samtools(
        "view", "-h", "--no-PG", source
    )
    for index in ("bai", "csi"):
        for region in REGIONS:
            got = run("samtools", "view", "-X", url, f"{url}.{index}", region)
            assert got == samtools("view", source, region)


def test_a_region_touches_the_chunks_concerned(data: Path, fake_s3: FakeS3, tmp_path: Path) -> None:
    needs("samtools")
    convert(str(data / "reads.bam"), "s3://bucket/p/x.bams3", chunk_size=1 << 17)
    with serving(("s", "s3://bucket/p/")) as running:
        url = f"{running.url}/files/s/x.bams3.bam"
        fake_s3.reset()
        got = run("samtools", "view", url, "chrM:100-2000")
        assert got == samtools("view", data / "reads.bam", "chrM:100-2000")
        # htslib asks for everything from a place on and leaves, so a neighbour may be read too.
        first = chunks_read(fake_s3)
        fake_s3.reset()
        assert run("samtools", "view", url, "chrM:100-2000") == got
        assert not first & chunks_read(fake_s3), "decoded tiles are kept"
        index = BinIndex(asked(running, "GET", "/files/s/x.bams3.bam.bai")[2])
    with serving(("s", "s3://bucket/p/")) as running:
        begin, until = index.chunks(6, 100, 2000)[0]
        fake_s3.reset()
        span = f"bytes={begin >> 16}-{(until >> 16) - 1}"
        assert running.ask("/files/s/x.bams3.bam", {"Range": span}).status == 206
        assert len(chunks_read(fake_s3)) == 1, (
            "a range within a tile, as IGV asks, reads its chunk alone"
        )


def test_a_client_that_leaves_has_few_tiles_decoded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tile for a client that has read enough of it, though more would fit into the buffers."""
    convert(str(data / "reads.bam"), str(tmp_path / "x.bams3"))
    made: list[int] = []
    make = VirtualBam._decoded
    monkeypatch.setattr(VirtualBam, "_decoded", lambda *a: made.append(1) or make(*a))
    monkeypatch.setattr("bams3.server.virtual._PAUSE", 2.0)
    with serving(("d", str(tmp_path))) as running:
        size = running.ask("/files/d/x.bams3.bam", method="HEAD").headers["Content-Length"]
        with running.connect() as client:
            client.sendall(b"GET /files/d/x.bams3.bam HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)
    assert int(size) > 4_000_000
    assert len(made) == 1


@pytest.mark.parametrize("case", ["tables.fast", "sliced.small"])
def test_a_dataset_is_read_through_the_server(case: str, tmp_path: Path) -> None:
    """As a dataset, with its tile tables, their hints and its slices."""
    shutil.copytree(max(make_golden.GOLDEN.iterdir()) / case, tmp_path / "x.bams3")
    with serving(("d", str(tmp_path))) as running:
        with (
            bams3.open(f"{running.url}/files/d/x.bams3") as there,
            bams3.open(tmp_path / "x.bams3") as here,
        ):
            for region in ("chr1:500-520", "*"):
                assert list(there.query(region).blocks()) == list(here.query(region).blocks())
            assert there.slices.tiles == here.slices.tiles
            assert b"".join(there.as_bam().read()) == b"".join(here.as_bam().read())


def chunks_read(server: FakeS3) -> set[str]:
    return {request.key for request in server.requests if request.key.endswith(".chunk")}


# ---- htsget --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["reads", "sample"])
def test_samtools_as_a_client(server: Running, data: Path, name: str) -> None:
    needs("samtools")
    url = f"{server.url}/reads/d/{name}"
    assert run("samtools", "view", url) == samtools("view", data / "reads.bam")
    region = f"{url}?referenceName=chr1&start=9999&end=20000"
    assert run("samtools", "view", region) == samtools(
        "view", data / "reads.bam", "chr1:10000-20000"
    )


def test_bcftools_as_a_client(server: Running, data: Path) -> None:
    needs("bcftools")
    for name in ("calls", "binary"):
        url = f"{server.url}/variants/d/{name}"
        assert run("bcftools", "view", "-H", url) == bcftools("view", "-H", data / "v.vcf")
        region = f"{url}?referenceName=chr2&start=999&end=20000"
        assert run("bcftools", "view", "-H", region) == bcftools(
            "view", "-H", "-r", "chr2:1000-20000", data / "calls.vcf.gz"
        )


def test_the_htsget_client_of_pypi(server: Running, data: Path, tmp_path: Path) -> None:
    htsget = pytest.importorskip("htsget", reason="pip install htsget")
    for name in ("reads", "sample"):
        with (tmp_path / "got.bam").open("wb") as out:
            htsget.get(
                f"{server.url}/reads/d/{name}", out, reference_name="chr1", start=5000, end=90_000
            )
        pysam.quickcheck(str(tmp_path / "got.bam"))
        assert samtools("view", tmp_path / "got.bam") == samtools(
            "view", data / "reads.bam", "chr1:5001-90000"
        )


def test_tickets_and_errors_over_http(server: Running) -> None:
    status, headers, body = asked(server, "GET", "/reads/d/reads?referenceName=chr1&start=5&end=9")
    assert status == 200
    assert headers["content-type"] == ("application/vnd.ga4gh.htsget.v1.3.0+json; charset=utf-8")
    assert body.startswith(b'{"htsget":'), "htslib looks for it"
    link = json.loads(body)["htsget"]["urls"][1]["url"]
    parts = urlsplit(link)
    assert asked(server, "GET", f"{parts.path}?{parts.query}")[0] == 200
    assert asked(server, "HEAD", f"{parts.path}?{parts.query}")[::2] == (200, b"")
    assert asked(server, "GET", parts.path)[0] == 401
    assert asked(server, "GET", f"{parts.path}?{parts.query[:-3]}AAA")[0] == 401
    assert asked(server, "GET", f"/htsget/reads/d/sample?{parts.query}")[0] == 403
    for path, error in (
        ("/reads/d/absent", "NotFound"),
        ("/reads/other/reads", "NotFound"),
        ("/reads/d/..%2fx", "InvalidInput"),
        ("/reads/d/reads?format=vcf", "UnsupportedFormat"),
        ("/reads/d/reads?start=4", "InvalidInput"),
        ("/reads/d/v?referenceName=chr1", "NotFound"),
    ):
        status, _, body = asked(server, "GET", path)
        told = json.loads(body)["htsget"]
        assert (told["error"], bool(told["message"])) == (error, True), path
        assert status in (400, 404)
    status, _, body = asked(server, "POST", "/reads/d/reads", b'{"regions":[]}')
    assert (status, json.loads(body)["htsget"]["error"]) == (400, "InvalidInput")
    for kind in ("reads", "variants"):
        status, _, body = asked(server, "GET", f"/{kind}/service-info")
        assert (status, json.loads(body)["type"]["artifact"]) == (200, "htsget")


def asked(
    server: Running, method: str, path: str, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    import http.client

    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(method, path, body)
    response = connection.getresponse()
    got = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, got


# ---- the suite of GA4GH --------------------------------------------------------------------------
def test_the_compliance_suite(shared_data: Path, tmp_path: Path) -> None:
    """$HTSGET_COMPLIANCE is a checkout of ga4gh/htsget-compliance, whose needs are installed."""
    place = os.environ.get("HTSGET_COMPLIANCE")
    if not place:
        pytest.skip("$HTSGET_COMPLIANCE does not name a checkout of ga4gh/htsget-compliance")
    program = "from ga4gh.htsget.compliance.entrypoint import main; main()"
    folder = tmp_path / "fixtures"
    folder.mkdir()
    for path in Path(place, "ga4gh", "htsget", "data").rglob("*.*"):
        if path.parent.name in ("reads", "variants"):
            shutil.copy(path, folder)
    with serving(("d", str(folder))) as running:
        arguments = [running.url, "-r", "/reads/d", "-v", "/variants/d"]
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": place}, check=False,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    report: Any = json.loads(done.stdout[done.stdout.index(b'{"schema_name"') :])
    assert report["summary"] == {
        "unknown": 0, "passed": 12, "warned": 0, "failed": 0, "skipped": 0,
    }, report  # fmt: skip
