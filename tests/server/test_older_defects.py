"""What the older server did wrong, by the numbers of its list: must not happen."""

from __future__ import annotations

import ast
import gzip
import subprocess
from pathlib import Path

import pytest

from bams3.errors import CorruptError, StorageError
from bams3.server.remote import RemoteObject
from tests.server.conftest import CONTENT, LARGE
from tests.server.running import Running, serving
from tests.servers.fake_s3 import FakeS3

PATH = "/files/r/x.bam"
SOURCES = Path(__file__).parents[2] / "python" / "bams3" / "server"


def test_s1_an_open_ended_range(served: Running) -> None:
    assert served.ask(PATH, {"Range": "bytes=990-"}).body == CONTENT[990:]


@pytest.mark.parametrize("text", ["bytes=-10", "bytes=-", "garbage", "bytes=a-b", "\xff\xfe"])
def test_s2_suffixes_and_garbage(served: Running, text: str) -> None:
    answer = served.ask(PATH, {"Range": text})
    assert answer.status == (206 if text == "bytes=-10" else 416)


def test_s3_content_range_has_the_total(served: Running) -> None:
    assert served.ask(PATH, {"Range": "bytes=1-2"}).headers["Content-Range"] == "bytes 1-2/1000"


def test_s4_the_length_is_clamped(served: Running) -> None:
    answer = served.ask(PATH, {"Range": "bytes=900-11899"})
    assert (answer.headers["Content-Length"], answer.body) == ("100", CONTENT[900:])


def test_s5_reversed_ranges_and_several(served: Running) -> None:
    assert served.ask(PATH, {"Range": "bytes=9-0"}).status == 416
    assert served.ask(PATH, {"Range": "bytes=0-9,20-29"}).body.count(b"Content-Range") == 2


def test_s6_errors_come_before_the_head(
    folder: Path, fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_416 = {"Range": "bytes=1000-"}
    (folder / "gone.bam").write_bytes(CONTENT)
    with serving(("r", str(folder)), ("b", "s3://bucket/p/")) as server:
        assert server.ask(PATH, assert_416).status == 416
        (folder / "gone.bam").unlink()
        assert server.ask("/files/r/gone.bam").status == 404
        assert server.ask("/files/b/gone.bam").status == 404

        def fail(*_: object) -> None:
            raise StorageError("the store is down")

        fake_s3.buckets["bucket"] = {"p/x.bam": blob(CONTENT)}
        monkeypatch.setattr(RemoteObject, "read", fail)
        answer = server.ask("/files/b/x.bam")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


def test_s7_head_validators_and_length(served: Running) -> None:
    head, get = served.ask(PATH, method="HEAD"), served.ask(PATH)
    for name in ("ETag", "Last-Modified", "Content-Length", "Accept-Ranges"):
        assert head.headers[name] and head.headers[name] == get.headers[name]


def test_s8_packed_files_stay_packed(tmp_path: Path) -> None:
    packed = gzip.compress(b"##fileformat=VCFv4.3\n" * 1000)
    (tmp_path / "v.vcf.gz").write_bytes(packed)
    with serving(("r", str(tmp_path))) as server:
        whole = server.ask("/files/r/v.vcf.gz")
        assert whole.body == packed and whole.headers["Content-Encoding"] is None
        assert server.ask("/files/r/v.vcf.gz", {"Range": "bytes=5-9"}).body == packed[5:10]


def test_s9_and_s10_no_other_program_is_started(
    local: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert local.ask("/files/r/large.bam", {"Range": "bytes=7-"}).body == LARGE[7:]
    # htsget's children are Python itself, with words that no client chose.
    for source in {*SOURCES.rglob("*.py")} - {SOURCES / "children.py"}:
        names = {
            alias.name
            for node in ast.walk(ast.parse(source.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & {"subprocess", "popen", "system"}, source


def test_s10_only_what_is_in_a_root(local: Running, folder: Path) -> None:
    secret = folder.parent / "secret.bam"
    secret.write_bytes(b"secret")
    for path in (str(secret), f"/files/r{secret}", f"/files/{secret}", "/files/r/../secret.bam"):
        assert local.ask(path).status in (400, 404)


def test_s11_headers_survive_the_way_from_the_store(fake_s3: FakeS3, local: Running) -> None:
    fake_s3.buckets["bucket"] = {"x.bam": blob(CONTENT)}
    with serving(("r", "s3://bucket/")) as server:
        answer = server.ask(PATH, {"Range": "bytes=1-2"})
    assert answer.headers["ETag"] == '"etag"'
    assert answer.headers["Content-Range"] == "bytes 1-2/1000"
    assert answer.headers["Content-Length"] == "2"


def test_s12_requests_to_the_store(fake_s3: FakeS3) -> None:
    fake_s3.buckets["bucket"] = {"x.bam": blob(LARGE), "x.bam.bai.old": blob(b"")}
    with serving(("r", "s3://bucket/")) as server:
        assert server.ask(PATH).body == LARGE
        assert server.ask("/files/r/x.ba").status == 404
        assert server.ask("/files/r/x.bam.bai").status == 404  # a prefix of another key is no file
    gets = [request for request in fake_s3.requests if request.method == "GET"]
    assert {request.method for request in fake_s3.requests} == {"GET", "HEAD"}
    assert not any("list-type" in request.query for request in fake_s3.requests)
    assert all(request.range and request.headers["if-match"] == '"etag"' for request in gets)
    assert len(gets) <= 8  # 3 MB in growing windows, not in kilobytes


def test_s13_a_bam_without_range_comes_whole(served: Running) -> None:
    answer = served.ask("/files/r/large.bam")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "3000000")
    assert answer.body == LARGE


def test_s13_the_first_block_is_for_who_asks_for_it(folder: Path) -> None:
    with serving(("r", str(folder)), first_block=True) as server:
        answer = server.ask("/files/r/large.bam")
        assert (answer.status, answer.body) == (206, LARGE[:65536])
        assert answer.headers["Content-Range"] == "bytes 0-65535/3000000"
        assert server.ask(PATH).headers["Content-Range"] == "bytes 0-999/1000"
        assert server.ask("/files/r/x.bam.bai").status == 200
        assert server.ask("/files/r/large.bam", {"Range": "bytes=9-"}).body == LARGE[9:]
        assert (
            server.ask("/files/r/large.bam", method="HEAD").headers["Content-Length"] == "3000000"
        )


def test_a_file_that_gets_shorter_cuts_the_connection(tmp_path: Path) -> None:
    from bams3.server.local import LocalFolder

    (tmp_path / "x.bam").write_bytes(LARGE)
    folder = LocalFolder(str(tmp_path))
    found = folder.open("x.bam")
    pieces = found.read(0, found.size)
    next(pieces)
    (tmp_path / "x.bam").write_bytes(b"")
    with pytest.raises(CorruptError):
        list(pieces)
    found.close()
    folder.close()


def blob(data: bytes) -> object:
    from tests.servers.fake_s3 import Blob

    return Blob(data, '"etag"')
