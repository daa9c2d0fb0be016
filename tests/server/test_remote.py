"""Objects in S3: windows, versions, failures, vanished clients, redirects."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bams3.config import StorageOptions
from bams3.errors import StorageError
from bams3.server import remote
from bams3.server.cache import BLOCK, BlockCache
from bams3.server.limits import Limits
from bams3.server.remote import LARGEST_WINDOW
from bams3.storage import open_store
from tests.server.conftest import LARGE
from tests.server.running import Running, everything, serving
from tests.servers.fake_s3 import Blob, FakeS3
from tests.servers.proxy import FaultProxy, cut, delay, fail

PATH = "/files/r/x.bam"
HUGE = 64 << 20


@pytest.fixture
def bucket(fake_s3: FakeS3) -> dict[str, Blob]:
    return fake_s3.buckets.setdefault("bucket", {})


@pytest.fixture
def server(bucket: dict[str, Blob]) -> Iterator[Running]:
    bucket["x.bam"] = Blob(LARGE, '"one"')
    with serving(("r", "s3://bucket/")) as running:
        yield running


def impatient() -> StorageOptions:
    given = {"retries": 1, "retry_seconds": 2.0, "timeout": 5.0}
    return replace(StorageOptions.resolve(given), backoff=0.01)


def wait_until(condition: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def spans(fake_s3: FakeS3) -> list[tuple[int, int]]:
    found = [r.range.removeprefix("bytes=").split("-") for r in fake_s3.requests if r.range]
    return [(int(first), int(last) + 1) for first, last in found]


def test_windows_grow(server: Running, fake_s3: FakeS3) -> None:
    assert server.ask(PATH).body == LARGE
    asked = spans(fake_s3)
    assert [start for start, _ in asked[1:]] == [end for _, end in asked[:-1]]
    sizes = [end - start for start, end in asked]
    assert sizes[:4] == [BLOCK, 2 * BLOCK, 4 * BLOCK, 8 * BLOCK]
    assert max(sizes) <= LARGEST_WINDOW


def test_a_range_of_a_window_is_one_request(server: Running, fake_s3: FakeS3) -> None:
    assert server.ask(PATH, {"Range": "bytes=70000-970000"}).body == LARGE[70000:970001]
    assert spans(fake_s3) == [(BLOCK, 15 * BLOCK)]
    assert server.ask(PATH, {"Range": "bytes=80000-80009"}).body == LARGE[80000:80010]
    assert len(spans(fake_s3)) == 1


def test_a_client_that_leaves_stops_the_reading(bucket: dict[str, Blob], fake_s3: FakeS3) -> None:
    bucket["x.bam"] = Blob(bytes(HUGE), '"one"')
    with serving(("r", "s3://bucket/")) as server:
        for _ in range(5):
            client = server.connect()
            client.sendall(b"GET /files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            client.close()
        wait_until(lambda: server.connections == 0 and server.server.app.streams == 0)
        assert not server.server.app._busy
        seen = len(fake_s3.requests)
        time.sleep(0.3)
        assert len(fake_s3.requests) == seen
    assert fake_s3.bytes_out < HUGE / 2


def test_a_client_that_reads_slowly_holds_the_reading_back(
    bucket: dict[str, Blob], fake_s3: FakeS3
) -> None:
    bucket["x.bam"] = Blob(bytes(HUGE), '"one"')
    with serving(("r", "s3://bucket/")) as server, server.connect() as client:
        client.sendall(b"GET /files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(1000)
        time.sleep(1.5)
        assert fake_s3.bytes_out < 8 << 20  # what the client's kernel takes, and a window or two


def test_one_client_does_not_take_all(bucket: dict[str, Blob]) -> None:
    """Beyond its share a client is told to wait; beyond the server's, everybody."""
    bucket["x.bam"] = Blob(bytes(HUGE), '"one"')
    request = b"GET /files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for limits, status in (
        (Limits(per_client=2), 429),
        (Limits(streams=2, wait=0.2), 503),
    ):
        with serving(("r", "s3://bucket/"), limits=limits) as server:
            slow = [server.connect() for _ in range(2)]
            for client in slow:
                client.sendall(request)
                assert client.recv(100).startswith(b"HTTP/1.1 200")
            answer = server.ask(PATH, {"Range": "bytes=0-9"})
            assert (answer.status, bool(answer.headers["Retry-After"])) == (status, True)
            assert answer.json["error"]["hint"]
            for client in slow:
                client.close()
            wait_until(lambda: server.ask(PATH, {"Range": "bytes=0-9"}).status == 206)


def test_another_version_is_seen_soon(
    server: Running, bucket: dict[str, Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "HEAD_SECONDS", 0.2)
    assert server.ask(PATH, {"Range": "bytes=0-9"}).headers["ETag"] == '"one"'
    bucket["x.bam"] = Blob(LARGE[::-1], '"two"')
    wait_until(lambda: server.ask(PATH, {"Range": "bytes=0-9"}).headers["ETag"] == '"two"', 5.0)
    assert server.ask(PATH, {"Range": "bytes=0-9"}).body == LARGE[::-1][:10]


def test_indexes_leave_half_of_the_cache_to_data() -> None:
    cache = BlockCache(8 * BLOCK)

    def read(url: str, number: int, pin: bool) -> bool:
        """Read a block; return whether it had to be fetched."""
        fetched: list[int] = []

        def fetch(start: int, end: int) -> bytes:
            fetched.append(start)
            return bytes(end - start)

        span = number * BLOCK, (number + 1) * BLOCK
        assert sum(map(len, cache.read(url, "e", 99 * BLOCK, *span, fetch, pin))) == BLOCK
        return bool(fetched)

    for number in range(1, 9):
        assert read("index", number, True)
    for number in range(1, 5):
        assert read("data", number, False)
    assert [read("data", number, False) for number in range(1, 5)] == [False] * 4
    assert [read("index", number, True) for number in range(5, 9)] == [False] * 4
    assert read("index", 1, True)


def test_many_clients_fetch_each_block_once(server: Running, fake_s3: FakeS3) -> None:
    fake_s3.latency = 0.1
    answers: list[bytes] = []

    def ask() -> None:
        answers.append(server.ask(PATH, {"Range": "bytes=0-600000"}).body)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [LARGE[:600001]] * 12
    assert spans(fake_s3) == [(0, 10 * BLOCK)]


# ---- versions ------------------------------------------------------------------------------------
def test_a_replaced_object_is_served_anew(
    server: Running, bucket: dict[str, Blob], fake_s3: FakeS3
) -> None:
    assert server.ask(PATH, {"Range": "bytes=0-9"}).headers["ETag"] == '"one"'
    bucket["x.bam"] = Blob(LARGE[::-1], '"two"')
    answer = server.ask(PATH, {"Range": "bytes=2000000-2000009"})  # not in the cache
    assert (answer.headers["ETag"], answer.body) == ('"two"', LARGE[::-1][2000000:2000010])


def test_an_object_replaced_while_it_is_sent_cuts_the_connection(
    bucket: dict[str, Blob], fake_s3: FakeS3
) -> None:
    bucket["x.bam"] = Blob(bytes(HUGE), '"one"')
    with serving(("r", "s3://bucket/")) as server, server.connect() as client:
        client.sendall(b"GET /files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = client.recv(100_000)
        bucket["x.bam"] = Blob(b"\1" * HUGE, '"two"')
        found += everything(client)
        body = found.partition(b"\r\n\r\n")[2]
        assert len(body) < HUGE and not body.strip(b"\0")
    assert fake_s3.requests[-1].headers["if-match"] == '"one"'


# ---- failures ------------------------------------------------------------------------------------
@pytest.fixture
def behind(
    fault_proxy: FaultProxy, s3_server: object, tmp_path: Path
) -> Iterator[tuple[Running, FaultProxy]]:
    """A server whose store is reached through a proxy that fails on schedule."""
    import uuid

    url = s3_server.make_bucket(f"test-{uuid.uuid4().hex}")  # type: ignore[attr-defined]
    store = open_store(url)
    store.put("x.bam", LARGE)
    store.close()
    with serving(("r", f"{url}/"), storage=impatient()) as running:
        yield running, fault_proxy


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [
        (404, "NoSuchKey", 404), (403, "AccessDenied", 403), (403, "InvalidObjectState", 409),
        (400, "ExpiredToken", 502), (403, "InvalidAccessKeyId", 502), (503, "SlowDown", 503),
        (500, "InternalError", 503),
    ],
)  # fmt: skip
def test_failures_of_the_store(
    behind: tuple[Running, FaultProxy], status: int, code: str, answered: int
) -> None:
    server, proxy = behind
    proxy.plan(*[fail(status, code)] * 8, match="GET")
    answer = server.ask(PATH)
    assert answer.status == answered
    assert set(answer.json["error"]) == {"status", "message", "hint"}
    assert "127.0.0.1" not in answer.body.decode() and "test-" not in answer.body.decode()
    proxy.plan()
    assert server.ask(PATH).body == LARGE


def test_short_failures_are_not_seen(behind: tuple[Running, FaultProxy]) -> None:
    server, proxy = behind
    proxy.plan(fail(503), cut(100), match="GET")
    assert server.ask(PATH).body == LARGE
    assert proxy.faults == 2


def test_a_store_that_fails_halfway_cuts_the_connection(
    behind: tuple[Running, FaultProxy],
) -> None:
    server, proxy = behind
    proxy.plan(None, None, *[fail(500)] * 8, match="GET")
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        server.ask(PATH)


def test_a_store_that_is_down(fake_s3: FakeS3, bucket: dict[str, Blob]) -> None:
    bucket["x.bam"] = Blob(LARGE, '"one"')
    with serving(("r", "s3://bucket/"), storage=impatient()) as server:
        fake_s3.close()
        answer = server.ask(PATH)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


def test_a_slow_store_does_not_hold_up_others(
    behind: tuple[Running, FaultProxy], folder: Path
) -> None:
    server, proxy = behind
    proxy.plan(delay(2.0), match="GET")
    slow = threading.Thread(target=server.ask, args=(PATH,))
    slow.start()
    started = time.monotonic()
    assert server.ask("/healthz").json == {"status": "ok"}
    assert time.monotonic() - started < 1.0
    slow.join()


# ---- redirects -----------------------------------------------------------------------------------
def test_redirects_lead_to_the_object(real_s3: str) -> None:
    store = open_store(real_s3)
    store.put("x.bam", LARGE)
    with serving(("r", f"{real_s3}/"), redirect=600) as server:
        answer = server.ask(PATH, {"Range": "bytes=5-9"})
        assert answer.status == 307
        assert answer.headers["Cache-Control"] == "max-age=300"
        wanted = urllib.request.Request(answer.headers["Location"], headers={"Range": "bytes=5-9"})
        with urllib.request.urlopen(wanted, timeout=10) as found:
            assert (found.status, found.read()) == (206, LARGE[5:10])
        assert server.ask(PATH, method="HEAD").headers["Content-Length"] == str(len(LARGE))
        assert server.ask("/files/r/no.bam").status == 404
        assert server.ask("/files/r/x.txt").status == 404
    store.close()


# ---- the cache by itself -------------------------------------------------------------------------
def test_the_cache_is_bounded_and_keeps_indexes() -> None:
    cache = BlockCache(10 * BLOCK)

    def read(url: str, number: int, pin: bool = False) -> int:
        before = cache.stats().misses
        pieces = cache.read(
            url, "e", 100 * BLOCK, number * BLOCK, (number + 1) * BLOCK,
            lambda start, end: bytes(end - start), pin,
        )  # fmt: skip
        assert sum(map(len, pieces)) == BLOCK
        return cache.stats().misses - before

    assert read("i.bai", 3, pin=True) == 1
    assert read("a.bam", 0) == 1
    for number in range(1, 60):
        assert read("a.bam", number) == 1
        assert cache.stats().bytes <= 10 * BLOCK
    assert read("i.bai", 3, pin=True) == 0
    assert read("a.bam", 0) == 0
    assert read("a.bam", 59) == 0
    assert read("a.bam", 1) == 1


def test_an_error_is_not_kept() -> None:
    cache = BlockCache()

    def broken(start: int, end: int) -> bytes:
        raise StorageError("down")

    with pytest.raises(StorageError):
        list(cache.read("u", "e", 10, 0, 10, broken))
    assert b"".join(cache.read("u", "e", 10, 0, 10, lambda s, e: b"0123456789")) == b"0123456789"
    assert b"".join(cache.read("u", "f", 10, 0, 10, lambda s, e: b"abcdefghij")) == b"abcdefghij"
