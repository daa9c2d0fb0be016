"""TLS with a private authority, as in-house stores have it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bams3.config import StorageOptions
from bams3.errors import StorageError, UsageError
from bams3.storage import copy_between, open_input, open_store
from tests.cli.run import bams3_
from tests.reads import made
from tests.servers import versitygw
from tests.servers.certificates import Certificate, issue, make_authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[versitygw.Versitygw]:
    program = versitygw.find()
    if program is None:
        pytest.skip("versitygw is not installed: `make setup` builds it where Go is present")
    certificate = issue(make_authority(folder), folder)
    with versitygw.Versitygw(folder / "server", program, certificate) as server:
        yield server


@pytest.fixture
def bucket(server: versitygw.Versitygw, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(folder / "lab.pem"))
    return server.make_bucket(f"tls-{time.time_ns()}")


def test_every_verb(server: versitygw.Versitygw, bucket: str) -> None:
    assert server.url.startswith("https://")
    store, other = open_store(f"{bucket}/x"), open_store(server.make_bucket("other-bucket"))
    etag = store.put_if_absent("k", b"1")
    store.put_if_match("k", b"22", etag)
    store.put("big", bytes(40_000_000))
    assert store.get_many([("k", 0, 1), ("big", 5, 9)]) == [b"2", bytes(4)]
    assert store.head("k").size == 2
    with open_input(f"{bucket}/x/big") as stream:
        assert stream.read() == bytes(40_000_000)
    store.copy("k", "l")
    copy_between(store, "k", other, "m")
    assert other.get("m") == b"22"
    store.delete_many(["k", "big"])
    assert [entry.key for entry in store.list()] == ["l"]


def test_a_dataset(bucket: str, tmp_path: Path) -> None:
    sam = made.write_sam(tmp_path, made.header() + made.shuffled(500))
    assert bams3_("convert", sam, f"{bucket}/x.bams3", "--quiet").code == 0
    done = bams3_("verify", f"{bucket}/x.bams3", "--against", sam)
    assert done.out.startswith(b"ok: 500 records"), done.err


@pytest.mark.parametrize("trusted", ["nobody", "another"])
def test_an_unknown_authority_is_refused(
    trusted: str, bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted == "nobody":
        monkeypatch.delenv("AWS_CA_BUNDLE")
    else:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(make_authority(folder, "another").path))
    options = StorageOptions.resolve({"backoff": 0.01})
    store = open_store(bucket, options)
    began = time.monotonic()
    for act in (
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put_if_absent("k", b""),
        lambda: list(store.list()),
        lambda: open_input(f"{bucket}/k", options),
        lambda: open_store(server_address(), options).get("k"),
    ):
        with pytest.raises(
            StorageError, match=r"certificate .* not trusted: UnknownIssuer"
        ) as caught:
            act()
        assert "AWS_CA_BUNDLE" in str(caught.value.hint)
    assert time.monotonic() - began < 20


def server_address() -> str:
    return str(StorageOptions.resolve().endpoint_url)


def test_the_certificate_of_another_server_is_refused(
    folder: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Certificate(folder / "lab.pem", folder / "lab.key")
    certificate = issue(authority, tmp_path, "DNS:elsewhere.example")
    with versitygw.Versitygw(tmp_path / "server", str(versitygw.find()), certificate) as impostor:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", impostor.url)
        with pytest.raises(StorageError, match="not trusted: NotValidForName"):
            open_store(bucket).get("k")


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_bundle_without_certificates(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    for url in ("s3://bucket/x", "https://127.0.0.1/x"):
        with pytest.raises(UsageError, match=r"AWS_CA_BUNDLE=.*bundle\.pem"):
            open_store(url, StorageOptions(no_sign_request=True))
