"""S3 through the proxy that the environment names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bams3.config import StorageOptions
from bams3.errors import StorageError
from bams3.storage import open_store
from bams3.storage.bucket import Bucket
from tests.cli.run import bams3_
from tests.servers import versitygw
from tests.servers.certificates import issue, make_authority
from tests.servers.forward import ForwardProxy

DATA = os.urandom(700_001)
QUICK = {"retries": 1, "backoff": 0.01}


class Place(NamedTuple):
    """A bucket, and how its server is spoken to."""

    scheme: str
    url: str

    @property
    def name(self) -> str:
        return self.url.removeprefix("s3://")


@pytest.fixture(params=["http", "https"])
def place(request: pytest.FixtureRequest) -> Place:
    """A bucket on a real server; the environment leads there."""
    fixture = "real_s3" if request.param == "http" else "secure_s3"
    return Place(request.param, request.getfixturevalue(fixture))


@pytest.fixture
def secure_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    program = versitygw.find()
    if program is None or not shutil.which("openssl"):
        pytest.skip("versitygw or openssl is not installed")
    certificate = issue(make_authority(tmp_path), tmp_path)
    with versitygw.Versitygw(tmp_path / "server", program, certificate) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "lab.pem"))
        yield server.make_bucket("bucket")


def go_through(proxy: ForwardProxy, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login = f"{proxy.login.replace('@', '%40')}@" if proxy.login else ""
    address = f"http://{login}127.0.0.1:{proxy.server_address[1]}"
    monkeypatch.setenv(f"{scheme}_proxy".upper(), address)


@pytest.mark.parametrize("login", ["", "lab:s3cr@t"])
def test_all_goes_through(
    place: Place, login: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(DATA)
    with ForwardProxy(login) as proxy:
        go_through(proxy, place.scheme, monkeypatch)
        assert bams3_("transfer", "upload", tmp_path / "f", f"{place.url}/k").code == 0
        done = bams3_("transfer", "download", f"{place.url}/k", "-")
        assert done.out == DATA, done.err
        store = open_store(f"{place.url}/x")
        store.put("y", DATA)
        assert store.get("y") == DATA
        seen = proxy.requests
    if place.scheme == "http":
        assert [line for line in seen if line.startswith("PUT http://127.0.0.1:")]
        assert len(seen) > 4
    else:
        assert {line.split(":")[0] for line in seen} == {"CONNECT 127.0.0.1"}


def test_no_proxy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with ForwardProxy() as proxy:
        go_through(proxy, place.scheme, monkeypatch)
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        with Bucket(place.name) as opened:
            assert [*opened.list("nothing")] == []
        assert not proxy.requests


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses(place: Place, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with ForwardProxy(refuse=status) as proxy:
        go_through(proxy, place.scheme, monkeypatch)
        with Bucket(place.name, StorageOptions.resolve(QUICK)) as bucket:
            with pytest.raises(StorageError, match=str(status)) as caught:
                [*bucket.list()]
    assert place.scheme == "http" or "the proxy does not connect to 127.0.0.1" in str(caught.value)


def test_a_proxy_that_is_not_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with ForwardProxy() as proxy:
        go_through(proxy, place.scheme, monkeypatch)
    with Bucket(place.name, StorageOptions.resolve(QUICK)) as bucket:
        with pytest.raises(StorageError, match="refused"):
            [*bucket.list()]


def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@127.0.0.1:1080")
    done = bams3_("transfer", "cancel", "s3://bucket/k", "--no-sign-request")
    assert done.code == 2
    assert "socks5://127.0.0.1: not a proxy that can be used" in done.err
    assert "secret" not in done.err
