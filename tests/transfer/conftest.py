"""Buckets and sources that the tests of transfers share."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bams3.config import StorageOptions
from bams3.storage.bucket import Bucket
from tests.servers.ftp import FtpServer
from tests.servers.localstack import LocalStack
from tests.servers.proxy import FaultProxy
from tests.transfer.places import Place, open_place, serve_sizes

P = 5 << 20
"""The least part size, which makes several parts of little data."""


@pytest.fixture
def bucket(real_s3: str) -> Iterator[Bucket]:
    """A new bucket on the real server."""
    with Bucket(real_s3.removeprefix("s3://")) as bucket:
        yield bucket


@pytest.fixture
def faulty(
    bucket: Bucket, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """The bucket of `bucket`, reached through the fault proxy."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", fault_proxy.url)
    options = StorageOptions.resolve({"backoff": 0.01, "timeout": 3.0, "retries": 3})
    with Bucket(bucket.name, options) as faulty:
        yield faulty


@pytest.fixture
def place(localstack_server: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Two buckets in two regions on the server with customer keys."""
    yield from open_place(localstack_server, monkeypatch)


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[FtpServer]:
    """An FTP server with a file of each size."""
    yield from serve_sizes(tmp_path / "ftp")


def make_file(path: Path, size: int, seed: int = 0) -> bytes:
    """Write `size` random bytes, and return them."""
    data = random.Random(seed).randbytes(size) if size < 1 << 24 else os.urandom(size)
    path.write_bytes(data)
    return data


def fetch(bucket: Bucket, key: str) -> bytes:
    """Return an object, byte for byte."""
    pieces: list[bytes] = []
    size = bucket.head(key).size
    bucket.read(key, 0, size, lambda piece: pieces.append(bytes(piece)))
    return b"".join(pieces)


def parts_sent(proxy: FaultProxy) -> list[int]:
    """Return the numbers of the parts that came through the proxy."""
    found = [line.partition("partNumber=")[2] for line in proxy.requests if line.startswith("PUT")]
    return sorted(int(text.partition("&")[0]) for text in found if text)
