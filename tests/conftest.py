"""What all tests share: servers, stores to run over, and the data beside the repository."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import localstack, versitygw
from tests.servers.fake_s3 import FakeS3
from tests.servers.proxy import FaultProxy

ROOT = Path(__file__).parents[1]

# A shell has what it starts in the background ignore Ctrl-C, and all its children with it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep the machine's own AWS settings, its proxy and its instance role out of the tests."""
    for name in list(os.environ):
        ours = name.startswith(("AWS_", "BAMS3_")) and name != "BAMS3_TEST_DATA"
        if ours or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "no-credentials"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "no-xdg"))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[versitygw.Versitygw]:
    """A real S3 server with signature checks; skips where it has not been built."""
    program = versitygw.find()
    if program is None:
        pytest.skip("versitygw is not installed: `make setup` builds it where Go is present")
    with versitygw.Versitygw(tmp_path_factory.mktemp("versitygw"), program) as server:
        yield server


@pytest.fixture
def real_s3(s3_server: versitygw.Versitygw, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new bucket on the real server; the environment leads there."""
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    return s3_server.make_bucket(f"test-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def localstack_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[localstack.LocalStack]:
    """An S3 server with customer keys and all checksums; skips where it is not installed."""
    python = localstack.find()
    if python is None:
        pytest.skip(localstack.MISSING)
    with localstack.LocalStack(tmp_path_factory.mktemp("localstack"), python) as server:
        yield server


@pytest.fixture
def localstack_s3(localstack_server: localstack.LocalStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new bucket on LocalStack; the environment leads there."""
    for name, value in localstack_server.environ.items():
        monkeypatch.setenv(name, value)
    return localstack_server.make_bucket(f"test-{uuid.uuid4().hex}")


@pytest.fixture
def fake_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    """The in-process S3 server; the environment leads there."""
    with FakeS3() as server:
        _point_at(server.url, monkeypatch)
        yield server


@pytest.fixture
def fault_proxy(
    s3_server: versitygw.Versitygw, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """A fault proxy before the real server; the environment leads through it."""
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    with FaultProxy(s3_server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield proxy


@pytest.fixture(params=["local", "fake-s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder to write to: on local disk, and on the in-process S3 server."""
    return _folder(request, tmp_path)


@pytest.fixture(params=["local", "fake-s3", "real-s3"])
def any_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As `store_url`, and on the real S3 server."""
    return _folder(request, tmp_path)


def _folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "store" / "a b%+")
    if request.param == "fake-s3":
        request.getfixturevalue("fake_s3")
        return "s3://bucket/some/pre fix%+"
    return f"{request.getfixturevalue('real_s3')}/some/pre fix%+"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared test data: $BAMS3_TEST_DATA, else ../shared/data beside the repository."""
    named = os.environ.get("BAMS3_TEST_DATA")
    places = [Path(named)] if named else [parent / "shared" / "data" for parent in ROOT.parents]
    for place in places:
        if place.is_dir():
            return place
    pytest.skip(f"no shared test data at {places[0]}: set BAMS3_TEST_DATA")


@pytest.fixture(scope="session")
def simulated_reads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ref.fa, r1.fq and r2.fq: 4,000 pairs of a generated genome of 100 kb."""
    folder = tmp_path_factory.mktemp("reads")
    command = [sys.executable, str(ROOT / "recipes" / "simulate.py"), str(folder)]
    subprocess.run([*command, "--pairs", "4000", "--length", "100000"], check=True)
    return folder


def _point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "throw")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "away")
