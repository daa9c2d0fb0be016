"""Web and FTP servers as sources: ranges, none, failures, changes, reuse of connections."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bams3.config import StorageOptions
from bams3.errors import InputError, NotFoundError, PermissionDenied, StorageError
from bams3.transfer.addresses import Remote
from bams3.transfer.remote import RemoteSource
from tests.servers.files import FileServer
from tests.servers.ftp import PASSWORD, USER, FtpServer

DATA = random.Random(5).randbytes(3_000_017)
QUICK = StorageOptions(retries=2, backoff=0.01, timeout=5)


@pytest.fixture
def web() -> Iterator[FileServer]:
    with FileServer() as server:
        server.files |= {"/a b#%.bin": DATA, "/empty": b"", "/one": b"x"}
        yield server


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[FtpServer]:
    (tmp_path / "a b#%.bin").write_bytes(DATA)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "one").write_bytes(b"x")
    with FtpServer(tmp_path) as server:
        yield server


@pytest.fixture(params=["web", "ftp"])
def server(request: pytest.FixtureRequest) -> FileServer | FtpServer:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def source(server: FileServer | FtpServer, name: str = "a%20b%23%25.bin") -> RemoteSource:
    return RemoteSource(Remote(f"{server.url}/{name}"), QUICK)


def read(source: RemoteSource, start: int = 0, end: int | None = None, step: int = 70_000) -> bytes:
    buffer, found = memoryview(bytearray(step)), bytearray()
    with source.open(start, end) as reader:
        while count := reader.readinto(buffer):
            found += buffer[:count]
    return bytes(found)


def test_size_name_and_ranges(server: FileServer | FtpServer) -> None:
    found = source(server)
    assert (found.size, found.seekable, found.name) == (len(DATA), True, "a b#%.bin")
    assert read(found) == DATA
    last = len(DATA)
    for start, end in ((0, 1), (1, 2), (5, 1_000_000), (last - 1, last), (7, 7), (999, last)):
        assert read(found, start, end) == DATA[start:end]


@pytest.mark.parametrize(("name", "data"), [("empty", b""), ("one", b"x")])
def test_small_files(server: FileServer | FtpServer, name: str, data: bytes) -> None:
    found = source(server, name)
    assert (found.size, found.seekable) == (len(data), True)
    assert read(found) == read(found, 0, len(data)) == data


def test_connections_are_used_again(web: FileServer) -> None:
    found = source(web)
    for start in range(0, len(DATA), 300_000):
        assert read(found, start, min(start + 300_000, len(DATA)))
    assert web.connections == 1


def test_several_threads_read_at_once(server: FileServer | FtpServer) -> None:
    found = source(server)
    spans = [(start, min(start + 200_000, len(DATA))) for start in range(0, len(DATA), 200_000)]
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda span: read(found, *span), spans)
    assert b"".join(parts) == DATA


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    web: FileServer, ftp: FtpServer
) -> None:
    for server in (web, ftp):
        found = source(server)
        server.fail_at = 1_000_000
        got, buffer = bytearray(), memoryview(bytearray(30_000))
        with found.open(0, None) as reader:
            while len(got) < 900_000:
                got += buffer[: reader.readinto(buffer)]
            server.fail_at = None
            while count := reader.readinto(buffer):
                got += buffer[:count]
        assert bytes(got) == DATA


def test_one_that_breaks_again_and_again_is_an_error(server: FileServer | FtpServer) -> None:
    found = source(server)
    server.fail_at = 1_000_000
    with pytest.raises(StorageError) as caught:
        read(found)
    assert found.url in str(caught.value)
    assert read(found, 0, 1_000_000) == DATA[:1_000_000]


def test_missing(server: FileServer | FtpServer) -> None:
    with pytest.raises(NotFoundError, match="not found"):
        source(server, "nothing")


def test_nobody_there() -> None:
    for scheme in ("http", "ftp"):
        with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
            RemoteSource(Remote(f"{scheme}://127.0.0.1:9/x"), QUICK)


# ---- web -----------------------------------------------------------------------------------------
def test_t8_a_server_without_ranges_is_read_once_as_a_stream(web: FileServer) -> None:
    web.ranges = False
    found = source(web)
    assert (found.size, found.seekable) == (len(DATA), False)
    web.spans.clear()
    assert read(found) == DATA
    assert web.spans == [None]


def test_a_server_that_does_not_tell_the_size(web: FileServer) -> None:
    web.ranges = web.length = False
    found = source(web)
    assert (found.size, found.seekable) == (None, False)
    assert read(found) == DATA


def test_a_stream_that_breaks_is_an_error(web: FileServer) -> None:
    web.ranges = False
    found = source(web)
    web.fail_at = 1_000_000
    with pytest.raises(StorageError):
        read(found)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_file_that_changes_midway_is_refused(
    web: FileServer, ranges: bool, etag: str | None
) -> None:
    web.ranges, web.etag = ranges, etag
    web.modified = "Sat, 21 Nov 2026 09:00:00 GMT"
    found = source(web)
    before = found.fingerprint()
    web.etag = etag and etag.replace("v1", "v2")
    web.modified = "Sat, 21 Nov 2026 09:00:01 GMT"
    assert found.fingerprint() != before
    if ranges or etag:
        with pytest.raises(InputError, match="changed while it was read"):
            read(found, 0, 1000 if ranges else None)


def test_a_file_of_another_size_is_refused(web: FileServer) -> None:
    web.etag = None
    found = source(web)
    web.files["/a b#%.bin"] = DATA[:-1]
    with pytest.raises(InputError, match="changed"):
        read(found, 0, 1000)


def test_a_password_is_never_shown(web: FileServer) -> None:
    address = web.url.replace("http://", "http://me:geheim@") + "/nothing?X-Signature=geheim"
    with pytest.raises(NotFoundError) as caught:
        RemoteSource(Remote(address), QUICK)
    assert "geheim" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(("status", "error"), [(403, PermissionDenied), (400, InputError)])
def test_what_a_status_means(web: FileServer, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        source(web, "one").check(status)


def test_digests_that_a_server_states(web: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from bams3.transfer.remote import _digests

    md5 = hashlib.md5(b"x").hexdigest()
    stated = {"x-goog-hash": "crc32c=AAAAAA==,md5=nd0OTi4iNK8fVTsUBIbm0w=="}
    text = __import__("base64").b64encode(hashlib.md5(b"x").digest()).decode()
    assert _digests({"content-md5": text}, whole=True) == {"md5": md5}
    assert _digests({"content-md5": text}, whole=False) == {}
    assert len(_digests(stated, whole=False)["md5"]) == 32
    assert _digests({"content-md5": "!"}, whole=True) == _digests({}, whole=True) == {}


# ---- FTP -----------------------------------------------------------------------------------------
def test_ftp_with_a_login(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    with FtpServer(tmp_path, login=True) as server:
        host = server.url.removeprefix("ftp://")
        right = PASSWORD.replace("@", "%40").replace(":", "%3A")
        found = RemoteSource(Remote(f"ftp://{USER}:{right}@{host}/x"), QUICK)
        assert read(found) == DATA
        assert found.url == f"ftp://{host}/x"
        with pytest.raises(PermissionDenied) as caught:
            RemoteSource(Remote(f"ftp://{USER}:falsch@{host}/x"), QUICK)
        assert "falsch" not in str(caught.value)


def test_an_ftp_file_that_changes_shows_in_the_fingerprint(ftp: FtpServer, tmp_path: Path) -> None:
    found = source(ftp)
    before = found.fingerprint()
    assert found.fingerprint() == before
    os.utime(tmp_path / "a b#%.bin", (1, 1))
    assert found.fingerprint() != before


def test_an_ftp_file_that_shrinks_is_an_error(ftp: FtpServer, tmp_path: Path) -> None:
    found = source(ftp)
    (tmp_path / "a b#%.bin").write_bytes(DATA[:1000])
    for act in (lambda: read(found, 0, 2000), lambda: read(found, 2000, 3000)):
        fails(act)


def fails(act: Callable[[], bytes]) -> None:
    with pytest.raises((InputError, StorageError)):
        act()
