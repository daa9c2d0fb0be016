"""Folders on another web server as roots: ranges, versions, failures, redirects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import CONTENT, LARGE
from tests.server.running import Running, everything, serving
from tests.server.test_clients import run
from tests.server.test_remote import impatient
from tests.servers.files import FileServer, Redirect

PATH = "/files/r/x.bam"


@pytest.fixture
def web() -> Iterator[FileServer]:
    with FileServer() as server:
        server.files["/data/x.bam"], server.files["/data/x.bam.bai"] = LARGE, b"index"
        server.modified = "Sat, 28 Nov 2026 12:00:00 GMT"
        yield server


@pytest.fixture
def server(web: FileServer) -> Iterator[Running]:
    with serving(("r", f"{web.url}/data/")) as running:
        yield running


def test_ranges(server: Running) -> None:
    answer = server.ask(PATH, {"Range": "bytes=70000-70009"})
    assert (answer.status, answer.body) == (206, LARGE[70000:70010])
    assert answer.headers["Content-Range"] == f"bytes 70000-70009/{len(LARGE)}"
    assert answer.headers["ETag"] == '"v1"'
    assert server.ask(PATH).body == LARGE
    assert server.ask(PATH, {"Range": "bytes=-9"}).body == LARGE[-9:]
    assert server.ask(PATH, {"Range": f"bytes={len(LARGE)}-"}).status == 416
    assert server.ask(PATH, {"If-None-Match": '"v1"'}).status == 304
    assert server.ask(PATH, method="HEAD").headers["Content-Length"] == str(len(LARGE))


def test_what_is_not_there_or_not_served(server: Running, web: FileServer) -> None:
    web.files["/secret.bam"] = web.files["/data/notes.txt"] = CONTENT
    for path in ("no.bam", "notes.txt", "../secret.bam", "..%2fsecret.bam", "http:%2f%2fh/x.bam"):
        assert server.ask(f"/files/r/{path}").status in (400, 404)
    assert all(not query for query in web.queries)


def test_samtools_reads_through_it(genomics: Path, tmp_path: Path) -> None:
    with FileServer() as web:
        for path in genomics.iterdir():
            web.files[f"/{path.name}"] = path.read_bytes()
        with serving(("r", f"{web.url}/")) as server:
            got = run(["samtools", "view", f"{server.url}/files/r/s.bam", "chr1:100-900"], tmp_path)
            htsget = f"{server.url}/reads/r/s?referenceName=chr1&start=99&end=900"
            assert got == run(["samtools", "view", htsget], tmp_path)
    assert got == run(["samtools", "view", str(genomics / "s.bam"), "chr1:100-900"], tmp_path)


def test_a_file_replaced_midway_is_cut(server: Running, web: FileServer) -> None:
    with server.connect() as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        found = client.recv(1000)
        web.replace("/data/x.bam", LARGE[::-1], '"v2"')
        found += everything(client)
    body = found.partition(b"\r\n\r\n")[2]
    assert len(body) < len(LARGE) and LARGE.startswith(body)


def test_a_server_without_ranges_is_no_root(web: FileServer) -> None:
    web.ranges = False
    with serving(("r", f"{web.url}/data/")) as server:
        answer = server.ask(PATH, {"Range": "bytes=70000-70009"})
        assert answer.status in (502, 503) and str(web.url) not in answer.body.decode()


def test_redirects_of_a_configured_server_are_followed(web: FileServer) -> None:
    """Such a server is trusted, as docs/concepts/server.md says; no client can choose it."""
    with Redirect(f"{web.url}/data/") as redirect:
        with serving(("r", f"{redirect.url}/")) as server:
            assert server.ask(PATH, {"Range": "bytes=9-19"}).body == LARGE[9:20]


def test_nobody_is_there(web: FileServer) -> None:
    url = web.url
    web.close()
    with serving(("r", f"{url}/data/"), storage=impatient()) as server:
        answer = server.ask(PATH)
        assert answer.status == 503 and "Retry-After" in answer.headers


def test_the_page_does_without_a_listing(server: Running) -> None:
    answer = server.ask("/page/samples")
    assert (answer.status, answer.json["samples"]) == (200, [])
