"""What the tests of transfers share: buckets on two servers, files, an FTP server."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bams3.config import StorageOptions
from bams3.storage import Bucket
from tests.servers.ftp import FtpServer
from tests.servers.localstack import LocalStack
from tests.servers.proxy import FaultProxy

P = 5 << 20
SIZES = [0, 1, P - 1, P, P + 1, 2 * P, 5 * P // 2]
_DATA = random.Random(11).randbytes(5 * P // 2)


def data_of(size: int) -> bytes:
    """Return the first bytes of the tests' data."""
    return _DATA[:size]


@dataclass
class Place:
    """A bucket in us-west-1 with a dot in its name, another in us-east-1, and the way there."""

    bucket: str
    other: str
    proxy: FaultProxy

    @property
    def parts_sent(self) -> int:
        """How many parts have been uploaded or copied since `proxy.plan()`."""
        return sum("PUT" in line and "partNumber=" in line for line in self.proxy.requests)


@pytest.fixture
def place(localstack_server: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in localstack_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BAMS3_RETRIES", "2")
    monkeypatch.setenv("BAMS3_BACKOFF", "0.01")
    number = uuid.uuid4().hex[:12]
    bucket, other = f"s3am-unit-tests.foo-{number}", f"s3am-source-{number}"
    localstack_server.make_bucket(bucket, "us-west-1")
    localstack_server.make_bucket(other)
    with FaultProxy(localstack_server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield Place(bucket, other, proxy)


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[FtpServer]:
    """An FTP server with a file of each size, named by it."""
    folder = tmp_path / "ftp"
    folder.mkdir()
    for size in SIZES:
        (folder / f"test-{size}.bin").write_bytes(data_of(size))
    with FtpServer(folder) as server:
        yield server


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
