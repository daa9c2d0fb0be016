"""Bucket against a real server that checks signatures, and through faults."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, quote_plus, urlsplit

import pytest

from bams3._core import crc64nvme, crc64nvme_combine
from bams3.config import StorageOptions
from bams3.errors import (
    CorruptError,
    ExistsError,
    InputError,
    NotFoundError,
    PermissionDenied,
    StorageError,
    UsageError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey, Reader, crc_number, crc_text
from bams3.storage.sigv4 import Keys, query_text, sign
from bams3.storage.wire import BUFFER
from tests.servers.proxy import FaultProxy, cut, delay, fail, flip, reset, trickle
from tests.servers.threaded import Server

ODD_KEYS = [
    "plain", "a b", "tab#le?x=1&y=%20+%2B", "unié/ß/日本語", "~!*'()=;:@$,[]{}|^`<>\"\\",
    "dots/..x/.y",
]  # fmt: skip


class Bytes:
    """A body of bytes; `claims` another size than it has."""

    def __init__(self, data: bytes, claims: int | None = None) -> None:
        self.data = data
        self.size = len(data) if claims is None else claims
        self.opened = 0

    def open(self) -> AbstractContextManager[Reader]:
        self.opened += 1
        return nullcontext(_Pieces(memoryview(self.data)))


class _Pieces:
    """Reads in small pieces, as a slow disk or a network may."""

    def __init__(self, data: memoryview) -> None:
        self.left = data

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self.left), 70_001)
        buffer[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


def read(bucket: Bucket, key: str, start: int, end: int, **kwargs: str) -> bytes:
    pieces: list[bytes] = []
    bucket.read(key, start, end, lambda piece: pieces.append(bytes(piece)), **kwargs)
    return b"".join(pieces)


@pytest.fixture
def bucket(real_s3: str) -> Iterator[Bucket]:
    with Bucket(real_s3.removeprefix("s3://")) as bucket:
        yield bucket


@pytest.fixture
def faulty(
    fault_proxy: FaultProxy, real_s3: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", fault_proxy.url)
    options = StorageOptions.resolve({"backoff": 0.01, "timeout": 2.0, "retries": 4})
    with Bucket(real_s3.removeprefix("s3://"), options) as faulty:
        yield faulty


# ---- checksums and signatures --------------------------------------------------------------------
def test_crc64nvme_is_that_of_the_catalogue() -> None:
    assert crc64nvme(b"123456789") == 0xAE8B14860A799888
    data = os.urandom(100_003)
    assert crc64nvme(memoryview(data)[7:], crc64nvme(data[:7])) == crc64nvme(data)
    halves = crc64nvme(data[:50_000]), crc64nvme(data[50_000:])
    assert crc64nvme_combine(*halves, 50_003) == crc64nvme(data)
    assert crc64nvme(b"") == 0 and crc64nvme(b"", 7) == 7
    assert crc_number(crc_text(halves[0])) == halves[0]
    with pytest.raises(ValueError, match="contiguous"):
        crc64nvme(memoryview(data)[::2])


def test_signatures_are_those_of_botocore() -> None:
    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class Fixed(auth.S3SigV4Auth):  # type: ignore[misc,name-defined]
        def payload(self, request: object) -> str:
            return "UNSIGNED-PAYLOAD"

    path, query = "/b/a%20b%23/%C3%A9~", {"uploadId": "x/y+z=", "partNumber": "10", "empty": ""}
    url = f"https://s3.eu-west-1.amazonaws.com{path}?{query_text(query)}"
    request = AWSRequest("PUT", url, headers={"x-amz-meta-a": "two  blanks", "content-length": "3"})
    Fixed(Credentials("AK", "SK", "token"), "s3", "eu-west-1").add_auth(request)
    stamp = request.headers["X-Amz-Date"]
    import calendar
    import time

    now = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    headers = {
        "host": "s3.eu-west-1.amazonaws.com", "x-amz-meta-a": "two  blanks", "content-length": "3",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    }  # fmt: skip
    sign(Keys("AK", "SK", "token"), "eu-west-1", "PUT", path, query_text(query), headers, now)
    theirs = request.headers["Authorization"].replace(", ", ",")
    assert headers["authorization"] == theirs


# ---- objects -------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key(bucket: Bucket, key: str) -> None:
    data = os.urandom(1000)
    written = bucket.put(key, Bytes(data))
    assert written.crc64nvme == crc64nvme(data)
    assert read(bucket, key, 3, 999) == data[3:999]
    assert [info.key for info in bucket.list()] == [key]
    upload = bucket.create_upload(key)
    assert [found.key for found in bucket.list_uploads(key)] == [key]
    bucket.abort(upload)
    bucket.copy("copied", bucket, key)
    assert read(bucket, "copied", 0, 1000) == data


@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 5 * BUFFER + 3])
def test_put_and_read(bucket: Bucket, size: int) -> None:
    data = os.urandom(size)
    attributes = Attributes(
        {"content-type": "text/x-test", "content-encoding": "gzip"}, {"a": "1 2"}, {"t": "x y+z@"}
    )
    written = bucket.put("k", Bytes(data), attributes)
    info = bucket.head("k")
    assert (info.size, info.etag, info.crc64nvme) == (size, written.etag, crc64nvme(data))
    assert info.attributes.content == attributes.content
    assert info.attributes.metadata == {"a": "1 2"} and bucket.tags("k") == {"t": "x y+z@"}
    assert read(bucket, "k", 0, size, etag=info.etag) == data
    assert info.md5


def test_conditions(bucket: Bucket) -> None:
    first = bucket.put("k", Bytes(b"one"), if_none_match=True)
    with pytest.raises(ExistsError):
        bucket.put("k", Bytes(b"two"), if_none_match=True)
    second = bucket.put("k", Bytes(b"two"), if_match=first.etag)
    with pytest.raises(ExistsError):
        bucket.put("k", Bytes(b"three"), if_match=first.etag)
    with pytest.raises(ExistsError, match="replaced"):
        read(bucket, "k", 0, 3, etag=first.etag)
    assert read(bucket, "k", 0, 3, etag=second.etag) == b"two"


def test_what_is_not_there(bucket: Bucket) -> None:
    for act in (
        lambda: bucket.head("k"),
        lambda: read(bucket, "k", 0, 1),
        lambda: bucket.tags("k"),
    ):
        with pytest.raises(NotFoundError):
            act()
    with pytest.raises(NotFoundError, match="bucket"):
        with Bucket("no-such-bucket") as nobody:
            nobody.put("k", Bytes(b""))
    bucket.delete("k")
    bucket.put("k", Bytes(b"abc"))
    with pytest.raises(CorruptError, match="shorter"):
        read(bucket, "k", 5, 9)
    with pytest.raises(UsageError, match="control characters"):
        bucket.put("k", Bytes(b""), Attributes(metadata={"a": "x\r\ny: z"}))


def test_wrong_keys(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    stranger = Bucket(bucket.name)
    large = Bytes(b"x" * 3 * BUFFER)
    for act in (lambda: stranger.head("k"), lambda: stranger.put("k", large)):
        with stranger, pytest.raises(PermissionDenied, match="SignatureDoesNotMatch") as caught:
            act()
        assert caught.value.code == "SignatureDoesNotMatch" and caught.value.exit_code == 14


def test_a_body_of_another_size(bucket: Bucket) -> None:
    for size in (10, BUFFER * 2):
        with pytest.raises(InputError, match="shorter"):
            bucket.put("k", Bytes(os.urandom(size), claims=size + 1))
    with pytest.raises(NotFoundError):
        bucket.head("k")


# ---- multipart -----------------------------------------------------------------------------------
def test_multipart(bucket: Bucket) -> None:
    data = os.urandom(11 << 20)
    pieces = data[: 5 << 20], data[5 << 20 : 10 << 20], data[10 << 20 :]
    upload = bucket.create_upload("k", Attributes({"content-type": "x/y"}, {"m": "1"}, {"t": "2"}))
    parts = [bucket.put_part(upload, n + 1, Bytes(piece)) for n, piece in enumerate(pieces)]
    assert [*bucket.list_parts(upload)] == parts
    assert [found.upload_id for found in bucket.list_uploads("k")] == [upload.upload_id]
    with pytest.raises(CorruptError):
        bucket.complete(upload, parts, crc64nvme=crc64nvme(data) ^ 1)
    written = bucket.complete(upload, parts, crc64nvme=crc64nvme(data))
    info = bucket.head("k")
    assert (info.etag, info.size, info.crc64nvme) == (written.etag, len(data), crc64nvme(data))
    assert info.attributes.content == {"content-type": "x/y"} and info.md5 is None
    assert read(bucket, "k", 0, len(data)) == data
    bucket.abort(upload)
    with pytest.raises(NotFoundError, match="gone"):
        [*bucket.list_parts(upload)]


def test_pages_of_parts(bucket: Bucket) -> None:
    upload = bucket.create_upload("k")
    for number in range(1, 1003):
        bucket.put_part(upload, number, Bytes(b"x"))
    assert [part.number for part in bucket.list_parts(upload)] == [*range(1, 1003)]


class _Pages(BaseHTTPRequestHandler):
    """Lists 5 uploads to two keys, two a page; versitygw does not take its own markers."""

    uploads = (("a b", "u1"), ("a b", "u2"), ("a b", "u3"), ("é+", "u4"), ("é+", "u5"))

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        args = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        after = args.get("key-marker", ""), args.get("upload-id-marker", "")
        left = [upload for upload in self.uploads if upload > after]
        rows = "".join(
            f"<Upload><Key>{quote_plus(key)}</Key><UploadId>{name}</UploadId></Upload>"
            for key, name in left[:2]
        )
        key, name = left[:2][-1]
        body = (
            f"<R xmlns='http://x'><EncodingType>url</EncodingType><IsTruncated>"
            f"{str(len(left) > 2).lower()}</IsTruncated><NextKeyMarker>{quote_plus(key)}"
            f"</NextKeyMarker><NextUploadIdMarker>{name}</NextUploadIdMarker>{rows}</R>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_pages_of_uploads() -> None:
    """T5: any number, also of one key."""
    with Server(_Pages) as server:
        options = StorageOptions(endpoint_url=server.url, no_sign_request=True)
        with Bucket("pages", options) as bucket:
            found = [(upload.key, upload.upload_id) for upload in bucket.list_uploads()]
    assert found == [*_Pages.uploads]


def test_copies(bucket: Bucket) -> None:
    data = os.urandom(6 << 20)
    bucket.put("a b#", Bytes(data), Attributes({"content-type": "x/y"}, {"m": "1"}, {"t": "2"}))
    etag = bucket.head("a b#").etag
    bucket.copy("whole", bucket, "a b#", source_etag=etag)
    info = bucket.head("whole")
    assert info.attributes.content == {"content-type": "x/y"}
    assert info.attributes.metadata == {"m": "1"} and bucket.tags("whole") == {"t": "2"}
    with pytest.raises(ExistsError):
        bucket.copy("whole", bucket, "a b#", source_etag='"other"')
    upload = bucket.create_upload("parts", checked=False)
    spans = [(0, 5 << 20), (5 << 20, len(data))]
    parts = [
        bucket.copy_part(upload, n + 1, bucket, "a b#", span, source_etag=etag)
        for n, span in enumerate(spans)
    ]
    bucket.complete(upload, parts)
    assert read(bucket, "parts", 0, len(data)) == data


# ---- faults --------------------------------------------------------------------------------------
FAULTS = {
    "500": fail(500, "InternalError"), "503": fail(503), "429": fail(429, "TooManyRequests"),
    "500 after it arrived": fail(500, arrive=True), "reset": reset(),
    "reset after it arrived": reset(arrive=True), "late": delay(3.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_writes_survive(faulty: Bucket, fault_proxy: FaultProxy, name: str) -> None:
    data = os.urandom(3 * BUFFER + 1)
    body = Bytes(data)
    fault_proxy.plan(FAULTS[name], FAULTS[name])
    passed: list[int] = []
    faulty.put("k", body, if_none_match=True, passing=passed.append)
    assert (fault_proxy.faults == 2 and body.opened == 3) or "arrived" in name
    assert sum(passed) == len(data)
    fault_proxy.plan()
    assert read(faulty, "k", 0, len(data)) == data


@pytest.mark.parametrize("name", FAULTS)
def test_completion_survives(faulty: Bucket, fault_proxy: FaultProxy, name: str) -> None:
    data = os.urandom(1000)
    upload = faulty.create_upload("k")
    part = faulty.put_part(upload, 1, Bytes(data))
    fault_proxy.plan(FAULTS[name], match="POST")
    faulty.complete(upload, [part], crc64nvme=crc64nvme(data))
    assert fault_proxy.faults == 1
    assert read(faulty, "k", 0, 1000) == data and not [*faulty.list_uploads("k")]


def test_reads_survive(faulty: Bucket, fault_proxy: FaultProxy) -> None:
    data = os.urandom(4 * BUFFER + 5)
    faulty.put("k", Bytes(data))
    fault_proxy.plan(
        fail(503), cut(BUFFER + 7), cut(0), reset(), delay(3.0), cut(2 * BUFFER),
        trickle(400_000, 0.01), match="GET",
    )  # fmt: skip
    assert read(faulty, "k", 0, len(data)) == data
    assert fault_proxy.faults == 7 and not fault_proxy.steps
    # What came before a cut was not asked for again.
    assert fault_proxy.bytes_out < 2 * len(data)


def test_a_flipped_byte_is_the_callers_to_find(faulty: Bucket, fault_proxy: FaultProxy) -> None:
    faulty.put("k", Bytes(b"x" * 1000))
    fault_proxy.plan(flip(500), match="GET")
    assert crc64nvme(read(faulty, "k", 0, 1000)) != faulty.head("k").crc64nvme


def test_retries_end(faulty: Bucket, fault_proxy: FaultProxy) -> None:
    slow: list[None] = []
    faulty.on_slow_down(lambda: slow.append(None))
    fault_proxy.plan(*[fail(503)] * 20)
    with pytest.raises(StorageError, match="SlowDown") as caught:
        faulty.put("k", Bytes(b"x"))
    assert len(fault_proxy.requests) == 5 and len(slow) == 5 and caught.value.status == 503
    fault_proxy.plan(*[reset()] * 20)
    with pytest.raises(StorageError, match=r"reset|without response"):
        read(faulty, "k", 0, 1)


def test_nobody_there() -> None:
    options = StorageOptions(
        endpoint_url="http://127.0.0.1:9", retries=1, backoff=0.01, no_sign_request=True
    )
    with pytest.raises(StorageError, match="refused") as caught:
        Bucket("b", options).head("k")
    assert "--endpoint-url" in (caught.value.hint or "")


def test_threads_share_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    blobs = {f"k{n}": os.urandom(50_000 + n) for n in range(64)}
    problems: list[Exception] = []

    def work(keys: list[str]) -> None:
        try:
            for key in keys:
                bucket.put(key, Bytes(blobs[key]))
                assert read(bucket, key, 0, len(blobs[key])) == blobs[key]
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=([*blobs][n::16],)) for n in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not problems
    assert {info.key: info.size for info in bucket.list()} == {k: len(v) for k, v in blobs.items()}


def test_a_key_is_never_shown() -> None:
    key = CustomerKey(b"k" * 32)
    assert "kkk" not in repr(key) and "kkk" not in repr([key])
