"""Files to serve, and what serves them."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from bams3.server.config import Config, RootConfig
from bams3.storage import open_store
from tests.server.running import Running, serving
from tests.servers.fake_s3 import FakeS3
from tests.servers.program import Program, free_port
from tests.servers.versitygw import Versitygw

CONTENT = random.Random(7).randbytes(1000)
LARGE = random.Random(8).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test: htslib leaves the indexes it fetches where it is."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with x.bam (1000 bytes), large.bam (3 MB), empty.bam and x.bam.bai."""
    place = tmp_path_factory.mktemp("served")
    for name, data in (("x.bam", CONTENT), ("large.bam", LARGE), ("empty.bam", b"")):
        (place / name).write_bytes(data)
    (place / "x.bam.bai").write_bytes(b"index")
    return place


@pytest.fixture(scope="session")
def local(folder: Path) -> Iterator[Running]:
    """A server over that folder, root `r`."""
    with serving(("r", str(folder))) as running:
        yield running


@pytest.fixture(scope="session")
def over_fake_s3(folder: Path) -> Iterator[Running]:
    """A server over the same files on an in-process S3 server."""
    environ = {"AWS_ACCESS_KEY_ID": "throw", "AWS_SECRET_ACCESS_KEY": "away"}
    with FakeS3() as store:
        environ["AWS_ENDPOINT_URL_S3"] = store.url
        with over("s3://bucket/some/pre fix%+", folder, environ) as running:
            yield running


@pytest.fixture(scope="session")
def over_real_s3(folder: Path, s3_server: Versitygw) -> Iterator[Running]:
    """A server over the same files on a real S3 server."""
    url = f"{s3_server.make_bucket('served')}/pre fix%+"
    with over(url, folder, s3_server.environ) as running:
        yield running


@contextmanager
def over(url: str, folder: Path, environ: Mapping[str, str]) -> Iterator[Running]:
    """Serve a copy of a folder, `environ` leading to its store."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"AWS_REGION": "us-east-1"} | dict(environ)).items():
            patch.setenv(name, value)
        fill(url, folder)
        running = Running(Config(roots=(RootConfig("r", url + "/"),), port=0))
    yield running
    running.close()


@pytest.fixture(params=["local", "over_fake_s3", "over_real_s3"])
def served(request: pytest.FixtureRequest) -> Running:
    """A server over the same files on disk, on an in-process S3 server, and on a real one."""
    return request.getfixturevalue(request.param)


def fill(url: str, folder: Path) -> None:
    """Put the files of a folder into a store."""
    store = open_store(url)
    for path in folder.iterdir():
        store.put(path.name, path.read_bytes())
    store.close()


class Nginx(Program):
    """nginx, whose workers are processes of their own."""

    leads = True


@pytest.fixture(scope="session")
def nginx(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx over that folder."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    place = tmp_path_factory.mktemp("nginx")
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {place}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (place / "conf").write_text(
        f"daemon off; worker_processes 1; pid {place}/pid; error_log {place}/log;"
        f"events {{}} http {{ access_log off; {temporary} default_type application/octet-stream;"
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"
    )
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.stat().st_uid == folder.stat().st_uid and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    words = [program, "-c", str(place / "conf"), "-e", str(place / "log")]
    with Nginx(place, words, port):
        yield port


@pytest.fixture(scope="session")
def genomics(simulated_reads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with BAM, CRAM, VCF, BCF, FASTA and their indexes."""
    for tool in ("samtools", "bcftools", "minimap2", "bgzip", "tabix"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    place = tmp_path_factory.mktemp("genomics")
    shutil.copy(simulated_reads / "ref.fa", place / "ref.fa")
    script = f"""
        minimap2 -ax sr ref.fa {simulated_reads}/r1.fq {simulated_reads}/r2.fq 2>log |
            samtools sort -o s.bam -
        samtools index s.bam
        samtools faidx ref.fa
        samtools view -C -T ref.fa -o s.cram s.bam
        samtools index s.cram
        bgzip -c ref.fa >ref.fa.gz
        samtools faidx ref.fa.gz
        bcftools mpileup -f ref.fa s.bam 2>log | bcftools view -Oz -o v.vcf.gz
        tabix -p vcf v.vcf.gz
        bcftools view -Ob -o v.bcf v.vcf.gz
        bcftools index v.bcf
    """
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=place, check=True)
    (place / "log").unlink()
    return place
