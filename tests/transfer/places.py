"""Two buckets in two regions, as S3AM's own tests had them, and an FTP server for sources."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

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


def open_place(server: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Yield two new buckets, reached through a proxy; the environment leads there."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BAMS3_RETRIES", "2")
    monkeypatch.setenv("BAMS3_BACKOFF", "0.01")
    number = uuid.uuid4().hex[:12]
    bucket, other = f"s3am-unit-tests.foo-{number}", f"s3am-source-{number}"
    server.make_bucket(bucket, "us-west-1")
    server.make_bucket(other)
    with FaultProxy(server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield Place(bucket, other, proxy)


def serve_sizes(folder: Path) -> Iterator[FtpServer]:
    """Yield an FTP server with a file of each size, named by it."""
    folder.mkdir()
    for size in SIZES:
        (folder / f"test-{size}.bin").write_bytes(data_of(size))
    with FtpServer(folder) as server:
        yield server
