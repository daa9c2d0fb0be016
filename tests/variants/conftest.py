"""Samples that many tests call."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bams3.variants.store import Store, open_store
from tests.servers import dynamodb
from tests.servers.proxy import FaultProxy
from tests.variants.sample import KINDS, Sample, make_sample


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sample]:
    """Return the sample of a kind, made once."""
    made: dict[str, Sample] = {}

    def sample(kind: str) -> Sample:
        if kind not in made:
            made[kind] = make_sample(tmp_path_factory.mktemp(kind), KINDS[kind])
        return made[kind]

    return sample


@pytest.fixture
def normal(samples: Callable[[str], Sample]) -> Sample:
    """Two contigs and one whose name has a colon, at 30x."""
    return samples("normal")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where calls go."""
    return tmp_path / "out.vcf.gz"


# ---- stores of calls -----------------------------------------------------------------------------
@pytest.fixture(scope="session")
def tools() -> None:
    """Skip where the tools that stores are compared with are missing."""
    missing = [name for name in ("bcftools", "bgzip") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing: `make setup` installs it")


@pytest.fixture(scope="session")
def dynalite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dynamodb.DynamoServer]:
    """A DynamoDB server with the limits of AWS; skips where it is not installed."""
    command = dynamodb.find()
    if command is None:
        pytest.skip(dynamodb.MISSING)
    with dynamodb.dynalite(tmp_path_factory.mktemp("dynalite"), command) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dynamodb.DynamoServer]:
    """Another DynamoDB server."""
    pytest.importorskip("moto")
    with dynamodb.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def dynalite(
    dynalite_server: dynamodb.DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> dynamodb.DynamoServer:
    """The server; the environment leads there."""
    for name, value in dynalite_server.environ.items():
        monkeypatch.setenv(name, value)
    return dynalite_server


STORES = ("sqlite", "duckdb", "dynalite")
EVERY_STORE = (*STORES, "moto")
"""moto sorts all items of a table for each query: it is for what servers may see differently."""


@pytest.fixture(params=STORES)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """A new store; the environment leads there."""
    opened = new_store(request, tmp_path, monkeypatch)
    yield opened
    opened.close()


def new_store(
    request: pytest.FixtureRequest, folder: Path, environment: pytest.MonkeyPatch
) -> Store:
    """Open a store of the kind that the fixture asks for."""
    if request.param in ("sqlite", "duckdb"):
        pytest.importorskip(request.param.replace("sqlite", "sqlite3"))
        return open_store(f"{request.param}:///{folder / 'a store?.db'}")
    server: dynamodb.DynamoServer = request.getfixturevalue(f"{request.param}_server")
    for name, value in server.environ.items():
        environment.setenv(name, value)
    return open_store(f"dynamodb://calls-{uuid.uuid4().hex}")


@pytest.fixture
def proxied(
    dynalite: dynamodb.DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """A fault proxy before dynalite; pauses are short."""
    monkeypatch.setenv("BAMS3_RETRY_SECONDS", "5")
    with FaultProxy(dynalite.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        yield proxy
