"""An account of AWS, as moto plays it, and what goes into a deployment."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import pytest

from bams3.cloud.aws import Aws
from bams3.cloud.deployment import Settings
from tests.servers import moto
from tests.variants.conftest import normal, samples  # noqa: F401  (the reads of these)


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[moto.Moto]:
    """The services of AWS, as far as they do not run anything."""
    if not moto.is_installed():
        pytest.skip(moto.MISSING)
    with moto.Moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def account(moto_server: moto.Moto, monkeypatch: pytest.MonkeyPatch) -> moto.Moto:
    """An empty account; the environment leads there."""
    moto_server.reset()
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    return moto_server


@pytest.fixture
def aws(account: moto.Moto) -> Aws:
    """The account, as the package sees it."""
    return Aws()


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with the form of a layer; moto does not look into it."""
    path = tmp_path_factory.mktemp("layer") / "layer.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("python/bams3/variants/handler.py", "")
    return str(path)


@pytest.fixture
def settings(layer: str) -> Settings:
    """A deployment with all parts."""
    return Settings(layer=layer, arrivals=True)
