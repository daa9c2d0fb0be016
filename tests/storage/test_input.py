"""Reading whole objects in sequence."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from bams3.errors import NotFoundError, StorageError, UsageError
from bams3.storage import StorageOptions, open_input, open_store
from tests.servers.fake_s3 import FakeS3
from tests.servers.files import FileServer
from tests.servers.proxy import FaultProxy, cut

SIZES = [0, 1, 1000, 8 << 20, (8 << 20) + 1, 20_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_all_stores(any_store_url: str, size: int) -> None:
    data = os.urandom(size)
    open_store(any_store_url).put("dir/in put.bam", data)
    with open_input(f"{any_store_url}/dir/in put.bam") as stream:
        parts = [stream.read(10), stream.read(1_000_000)]
        while part := stream.read(777_777):
            parts.append(part)
        assert b"".join(parts) == data
        assert stream.read(1) == b""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etag", ['"strong"', 'W/"weak"', None])
def test_http(size: int, ranges: bool, etag: str | None) -> None:
    data = os.urandom(size)
    with FileServer(ranges, etag) as server:
        server.files["/a b/x.bam"] = data
        with open_input(f"{server.url}/a%20b/x.bam?signature=a%2Fb&x=1") as stream:
            assert stream.read() == data
        assert set(server.queries) == {"signature=a%2Fb&x=1"}


def test_all_ranges_are_of_one_version(fake_s3: FakeS3) -> None:
    """The server is asked to refuse another version, rather than to send it."""
    etag = open_store("s3://b/x").put("k", bytes(20_000_000))
    fake_s3.reset()
    with open_input("s3://b/x/k") as stream:
        assert stream.read() == bytes(20_000_000)
    conditions = [request.headers.get("if-match") for request in fake_s3.requests]
    assert conditions == [None, etag, etag]


@pytest.mark.parametrize("tags", [('"1"', '"2"'), ('W/"1"', 'W/"2"'), ('"1"', None)])
def test_a_web_server_that_knows_no_conditions(tags: tuple[str, str | None]) -> None:
    """Ranges of another version are noticed by their etag."""
    with FileServer(etag=tags[0]) as server:
        server.files["/x"] = bytes(75_000_000)
        with open_input(f"{server.url}/x") as stream:
            stream.read(1000)
            server.etag, server.files["/x"] = tags[1], b"\1" * 75_000_000
            with pytest.raises(StorageError, match="replaced while it was read"):
                while stream.read(1 << 20):
                    pass


def test_missing(any_store_url: str) -> None:
    with pytest.raises(NotFoundError, match="none"):
        open_input(f"{any_store_url}/none")
    with FileServer() as server, pytest.raises(NotFoundError):
        open_input(f"{server.url}/none")


def test_http_without_ranges_breaks_off_loudly() -> None:
    options = StorageOptions(retries=1, backoff=0.01)
    with FileServer(ranges=False) as server, FaultProxy(server.url) as proxy:
        server.files["/x"] = os.urandom(5_000_000)
        proxy.plan(None, cut(2_000_000), cut(2_000_000), cut(2_000_000))
        with open_input(f"{proxy.url}/x", options) as stream:
            with pytest.raises(StorageError, match="broke off"):
                while stream.read(100_000):
                    pass


def test_a_signature_is_not_shown() -> None:
    options = StorageOptions(retries=0)
    with FileServer() as server:
        address = server.url
    for url in (f"{address}/x?X-Amz-Signature=secret", f"{address}/x?sig=secret"):
        with pytest.raises(StorageError) as caught:
            open_input(url, options)
        assert "secret" not in str(caught.value)


def test_memory_is_bounded(fake_s3: FakeS3) -> None:
    fake_s3.buckets["b"] = {}
    open_store("s3://b/x").put("k", bytes(150_000_000))
    tracemalloc.start()
    try:
        with open_input("s3://b/x/k") as stream:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            total = 0
            while part := stream.read(1 << 20):
                total += len(part)
            peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert total == 150_000_000
    assert peak < 120 << 20  # ranges twice: the server's copies lie in this process too


def test_closing_early(fake_s3: FakeS3) -> None:
    open_store("s3://b/x").put("k", bytes(100_000_000))
    stream = open_input("s3://b/x/k")
    stream.read(10)
    stream.close()
    assert len(fake_s3.requests) < 15
    with pytest.raises(ValueError):
        stream.read(1)


def test_file_addresses(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"x")
    for url in (f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a%20b", tmp_path / "a b"):
        with open_input(url) as stream:
            assert stream.read() == b"x"
    with pytest.raises(UsageError, match="another machine"):
        open_input("file://elsewhere/x")


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "gs://b/k", "s3://", "s3:///k", "s3://b/../k", "http://"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError):
        open_input(url)
