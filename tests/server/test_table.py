"""The table of right answers over HTTP: disk, S3 in memory, a real S3; and nginx beside it."""

from __future__ import annotations

import email
import http.client
import re

import pytest

from tests.server.conftest import CONTENT, LARGE
from tests.server.running import Running

PATH = "/files/r/x.bam"

# Range; status; the bytes of the body, for 206; whether nginx 1.22 does the same.
ROWS = [
    (None, 200, CONTENT, True),
    ("bytes=0-0", 206, CONTENT[:1], True),
    ("bytes=100-199", 206, CONTENT[100:200], True),
    ("bytes=990-5000", 206, CONTENT[990:], True),
    ("bytes=990-", 206, CONTENT[990:], True),
    ("bytes=0-", 206, CONTENT, True),
    ("bytes=-10", 206, CONTENT[-10:], True),
    ("bytes=-5000", 206, CONTENT, True),
    ("bytes=-0", 416, None, True),
    ("bytes=1000-", 416, None, True),
    ("bytes=5000-6000", 416, None, True),
    ("bytes=10-5", 416, None, True),
    ("abc", 416, None, False),
    ("bytes=abc", 416, None, True),
    ("bytes=99999999999999999999999-", 416, None, True),
    ("bytes=0-18446744073709551615", 206, CONTENT, False),
    ("bytes=0-9,2000-", 206, CONTENT[:10], True),
    ("bytes=2000-,3000-", 416, None, True),
    ("items=0-9", 200, CONTENT, True),
    ("BYTES=0-9", 206, CONTENT[:10], True),
    ("bytes = 0-9", 416, None, False),
    ("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(33)), 416, None, False),
]


@pytest.mark.parametrize(("text", "status", "body", "as_nginx"), ROWS)
def test_ranges(
    served: Running, text: str | None, status: int, body: bytes | None, as_nginx: bool
) -> None:
    answer = served.ask(PATH, {"Range": text} if text else None)
    assert answer.status == status
    assert "Content-Encoding" not in answer.headers
    if status == 416:
        assert answer.headers["Content-Range"] == "bytes */1000"
        assert answer.json["error"]["hint"] == "it has 1000"
        return
    assert answer.body == body
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert re.fullmatch('"[^"]+"', answer.headers["ETag"])
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-transform"
    assert answer.headers["Vary"] == "Origin, Authorization"
    start = CONTENT.index(answer.body)
    wanted = f"bytes {start}-{start + len(answer.body) - 1}/1000" if status == 206 else None
    assert answer.headers["Content-Range"] == wanted


@pytest.mark.parametrize(("text", "status", "body", "as_nginx"), ROWS)
def test_nginx_agrees(
    nginx: int, local: Running, text: str | None, status: int, body: bytes | None, as_nginx: bool
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx, timeout=10)
    connection.request("GET", "/x.bam", headers={"Range": text} if text else {})
    theirs = connection.getresponse()
    data = theirs.read()
    connection.close()
    ours = local.ask(PATH, {"Range": text} if text else None)
    same = (theirs.status, theirs.headers["Content-Range"]) == (
        ours.status,
        ours.headers["Content-Range"],
    ) and (ours.status == 416 or data == ours.body)
    assert same == as_nginx


@pytest.mark.parametrize("text", [None, "bytes=0-9", "bytes=5000-", "abc"])
def test_head(served: Running, text: str | None) -> None:
    answer = served.ask(PATH, {"Range": text} if text else None, method="HEAD")
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "1000", b"")
    assert answer.headers["ETag"] == served.ask(PATH).headers["ETag"]


@pytest.mark.parametrize("text", [None, "bytes=0-", "bytes=5-9", "bytes=-5", "abc"])
def test_an_empty_file(served: Running, text: str | None) -> None:
    answer = served.ask("/files/r/empty.bam", {"Range": text} if text else None)
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "0", b"")


def test_several_ranges(served: Running) -> None:
    answer = served.ask("/files/r/large.bam", {"Range": "bytes=5-9,7-20,1000000-1999999,-3"})
    assert answer.status == 206 and answer.headers["Content-Range"] is None
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    kind = answer.headers["Content-Type"]
    assert kind.startswith("multipart/byteranges; boundary=")
    boundary = kind.partition("=")[2].encode()
    parts = answer.body.split(b"--" + boundary)
    assert parts[0] == b"" and parts[-1] == b"--\r\n"
    found = {}
    for part in parts[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = email.message_from_bytes(head)
        assert headers["Content-Type"] == "application/octet-stream"
        found[headers["Content-Range"]] = data.removesuffix(b"\r\n")
    assert found == {
        "bytes 5-20/3000000": LARGE[5:21],
        "bytes 1000000-1999999/3000000": LARGE[1000000:2000000],
        "bytes 2999997-2999999/3000000": LARGE[-3:],
    }


def test_conditions(served: Running) -> None:
    first = served.ask(PATH)
    etag, date = first.headers["ETag"], first.headers["Last-Modified"]

    def status(**headers: str) -> int:
        return served.ask(PATH, {n.replace("_", "-"): v for n, v in headers.items()}).status

    part = "bytes=0-9"
    assert status(If_None_Match=etag) == 304
    assert status(If_None_Match=f"W/{etag}", Range=part) == 304
    assert status(If_None_Match='"other"', Range=part) == 206
    assert status(If_Match='"other"', Range=part) == 412
    assert status(If_Match=etag, Range=part) == 206
    assert status(If_Match="*") == 200
    assert status(If_Modified_Since=date, Range=part) == 304
    assert status(If_Unmodified_Since="Sat, 01 Jan 2000 00:00:00 GMT") == 412
    assert status(If_Range=etag, Range=part) == 206
    assert status(If_Range=date, Range=part) == 206
    for other in (f"W/{etag}", '"other"', "Sat, 01 Jan 2000 00:00:00 GMT"):
        answer = served.ask(PATH, {"If-Range": other, "Range": part})
        assert (answer.status, answer.body) == (200, CONTENT)
    not_modified = served.ask(PATH, {"If-None-Match": etag})
    assert not_modified.body == b"" and not_modified.headers["ETag"] == etag
    assert not_modified.headers["Content-Length"] is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(served: Running, method: str) -> None:
    answer = served.ask(PATH, method=method, body=b"data")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_options(served: Running) -> None:
    answer = served.ask(PATH, method="OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "path",
    ["/files/r/no.bam", "/files/r/no.bam.bai", "/files/r/no/x.bam", "/files/no/x.bam", "/no"],
)
def test_what_is_not_there(served: Running, path: str) -> None:
    answer = served.ask(path)
    assert answer.status == 404 and answer.json["error"]["hint"]


def test_an_index_under_its_other_name(served: Running) -> None:
    assert served.ask("/files/r/x.bai").body == b"index"
    assert served.ask("/files/r/x.csi").status == 404


def test_large_files_come_whole(served: Running) -> None:
    assert served.ask("/files/r/large.bam").body == LARGE
    assert served.ask("/files/r/large.bam", {"Range": "bytes=1234567-"}).body == LARGE[1234567:]


def test_a_client_that_accepts_only_text(served: Running) -> None:
    assert served.ask(PATH, {"Accept": "text/plain", "Accept-Encoding": "gzip"}).body == CONTENT
