"""Uploads against a real server: decisions, resuming, proof, faults; every byte compared."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from bams3._core import crc64nvme
from bams3.errors import (
    Bams3Error,
    CorruptError,
    InputError,
    ManyUploadsExistError,
    NotFoundError,
    ObjectExistsError,
    PartSizeError,
    StorageError,
    UploadExistsError,
    UsageError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, Reader
from bams3.transfer import FileSource, Item, Outcome, Settings, upload, upload_many
from bams3.transfer.body import SourceBody
from tests.servers.proxy import FaultProxy, Handler, fail, reset
from tests.transfer import s3
from tests.transfer.conftest import P, fetch, make_file, parts_sent

ONE_BY_ONE = Settings(slots=1, part_size=P)


class Stream:
    """A source that comes once and has no size."""

    url = name = "-"
    size = None
    seekable = False
    digests: ClassVar[dict[str, str]] = {}

    def __init__(self, data: bytes) -> None:
        self.data = data

    def fingerprint(self) -> str:
        return ""

    @contextmanager
    def open(self, start: int, end: int | None) -> Iterator[Reader]:
        assert (start, end) == (0, None)
        yield io.BytesIO(self.data)  # type: ignore[misc]


class Watched:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sizes: list[int | None] = []
        self.bytes = 0
        self.parts: list[tuple[int, bool]] = []

    def begin(self, size: int | None) -> None:
        self.sizes.append(size)

    def advance(self, count: int) -> None:
        with self.lock:
            self.bytes += count

    def part(self, number: int, size: int, kept: bool) -> None:
        with self.lock:
            self.parts.append((number, kept))


def interrupted(
    faulty: Bucket, proxy: FaultProxy, path: Path, parts: int = 3, key: str = "k"
) -> None:
    """Leave an unfinished upload of `path` with `parts` finished parts."""
    proxy.plan(*[None] * parts, *[fail(500, "InternalError")] * 9, match="partNumber")
    with pytest.raises(StorageError, match="InternalError") as caught:
        upload(FileSource(path), faulty, key, ONE_BY_ONE)
    assert caught.value.hint
    proxy.plan()


# ---- sizes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, P - 1, P, P + 1, 2 * P, int(2.5 * P)])
def test_all_sizes(bucket: Bucket, tmp_path: Path, size: int) -> None:
    data = make_file(tmp_path / "f", size)
    watched = Watched()
    outcome = upload(
        FileSource(tmp_path / "f"), bucket, "a b#/é", Settings(part_size=P), progress=watched
    )
    assert fetch(bucket, "a b#/é") == data
    assert outcome.size == size and outcome.crc64nvme == crc64nvme(data)
    assert outcome.proof == "crc64nvme" and outcome.etag == bucket.head("a b#/é").etag
    count = max(1, -(-size // P))
    assert outcome.parts == (count if count > 1 else 0)
    assert watched.bytes == size and watched.sizes == [size]
    assert sorted(watched.parts) == [(n, False) for n in range(1, count + 1)]
    assert not [*bucket.list_uploads()]


@pytest.mark.parametrize("size", [0, 1, P - 1, P, P + 1, 2 * P, int(2.5 * P)])
def test_streams_of_all_sizes(bucket: Bucket, size: int) -> None:
    data = os.urandom(size)
    outcome = upload(Stream(data), bucket, "k", Settings(part_size=P, memory=2 * P))
    assert fetch(bucket, "k") == data and outcome.size == size
    assert outcome.crc64nvme == crc64nvme(data) and outcome.proof == "crc64nvme"
    assert not [*bucket.list_uploads()]


def test_attributes_arrive(bucket: Bucket, tmp_path: Path) -> None:
    given = Attributes({"content-type": "x/y"}, {"run": "7"}, {"lab": "a b"})
    for size in (3, P + 3):
        make_file(tmp_path / "f", size)
        settings = Settings(part_size=P, exists="overwrite")
        upload(FileSource(tmp_path / "f"), bucket, "k", settings, attributes=given)
        found = bucket.head("k").attributes
        assert found.content == {"content-type": "x/y"}
        mtime = (tmp_path / "f").stat().st_mtime_ns
        assert found.metadata["run"] == "7"
        assert found.metadata["mtime"].replace(".", "") == str(mtime)
    bucket.put("tagged", SourceBody(FileSource(tmp_path / "f"), 0, P + 3), given)
    assert bucket.tags("tagged") == {"lab": "a b"}


# ---- what is there already -----------------------------------------------------------------------
def test_object_exists(bucket: Bucket, tmp_path: Path) -> None:
    old = make_file(tmp_path / "f", 10, seed=1)
    upload(FileSource(tmp_path / "f"), bucket, "k")
    new = make_file(tmp_path / "f", 11, seed=2)
    source = FileSource(tmp_path / "f")
    with pytest.raises(ObjectExistsError) as caught:
        upload(source, bucket, "k")
    assert caught.value.exit_code == 3
    assert upload(source, bucket, "k", Settings(exists="skip")).skipped
    assert fetch(bucket, "k") == old
    assert upload(source, bucket, "k", Settings(exists="overwrite", dry_run=True)).skipped
    assert fetch(bucket, "k") == old
    assert not upload(source, bucket, "k", Settings(exists="overwrite")).skipped
    assert fetch(bucket, "k") == new


def test_skip_identical(bucket: Bucket, tmp_path: Path) -> None:
    path, settings = tmp_path / "f", Settings(exists="skip-identical", part_size=P)
    data = make_file(path, P + 10)
    assert not upload(FileSource(path), bucket, "k", settings).skipped
    assert upload(FileSource(path), bucket, "k", settings).skipped
    os.utime(path, (1, 1))  # another time, the same bytes: the checksum tells
    assert upload(FileSource(path), bucket, "k", settings).skipped
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not upload(FileSource(path), bucket, "k", settings).skipped
    assert fetch(bucket, "k") == path.read_bytes()
    time = path.stat().st_mtime_ns
    path.write_bytes(data[:-1])
    os.utime(path, ns=(time, time))  # of the same time, but cut
    assert not upload(FileSource(path), bucket, "k", settings).skipped
    assert fetch(bucket, "k") == data[:-1]


def test_who_may_not_look_may_write_what_is_not_there(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    """S3 says 403 of an object that does not exist to who may not list."""
    data = make_file(tmp_path / "f", 10)
    fault_proxy.plan(fail(403, "AccessDenied"), match="HEAD")
    assert not upload(FileSource(tmp_path / "f"), faulty, "k").skipped
    assert fault_proxy.faults == 1 and fetch(faulty, "k") == data


def test_an_object_that_appears_meanwhile_is_not_overwritten(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (10, P + 10):
        key, body = f"k{size}", SourceBody(FileSource(make(tmp_path / "other", 7)), 0, 7)
        make_file(tmp_path / "f", size)
        head = Bucket.head
        monkeypatch.setattr(
            "bams3.transfer.decide.existing", lambda *_, k=key, b=body: bucket.put(k, b) and None
        )
        with pytest.raises(ObjectExistsError):
            upload(FileSource(tmp_path / "f"), bucket, key, ONE_BY_ONE)
        assert head(bucket, key).size == 7


def make(path: Path, size: int) -> Path:
    make_file(path, size)
    return path


# ---- unfinished uploads --------------------------------------------------------------------------
def test_resume_sends_only_what_is_missing(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    data = make_file(tmp_path / "f", 4 * P + 7)
    interrupted(faulty, fault_proxy, tmp_path / "f")
    source = FileSource(tmp_path / "f")
    with pytest.raises(UploadExistsError) as caught:
        upload(source, faulty, "k")
    assert caught.value.exit_code == 4
    with pytest.raises(PartSizeError) as wrong:
        upload(source, faulty, "k", Settings(unfinished="resume", part_size=2 * P))
    assert wrong.value.exit_code == 8
    fault_proxy.plan()
    watched = Watched()
    outcome = upload(source, faulty, "k", Settings(unfinished="resume"), progress=watched)
    assert parts_sent(fault_proxy) == [4, 5] and outcome.kept == 3 and outcome.parts == 5
    assert sorted(n for n, kept in watched.parts if kept) == [1, 2, 3]
    assert watched.bytes == len(data)
    assert fetch(faulty, "k") == data and outcome.crc64nvme == crc64nvme(data)
    assert not [*faulty.list_uploads()]


def test_a_source_that_changed_is_refused(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    data = bytearray(make_file(tmp_path / "f", 4 * P))
    interrupted(faulty, fault_proxy, tmp_path / "f")
    data[P + 5] ^= 1
    (tmp_path / "f").write_bytes(data)
    for size in (4 * P, 4 * P + 1, 3 * P - 1):
        (tmp_path / "f").write_bytes(data.ljust(size)[:size])
        with pytest.raises(InputError, match="changed") as caught:
            upload(FileSource(tmp_path / "f"), faulty, "k", Settings(unfinished="resume"))
        assert "--force" in (caught.value.hint or "")
        with pytest.raises(NotFoundError):
            faulty.head("k")
    upload(FileSource(tmp_path / "f"), faulty, "k", Settings(unfinished="restart"))
    assert fetch(faulty, "k") == (tmp_path / "f").read_bytes()
    assert not [*faulty.list_uploads()]


def test_holes_and_foreign_uploads(bucket: Bucket, tmp_path: Path) -> None:
    """T1, T3: parts 2 and the short last one are there, and the upload has no checksums."""
    data = make_file(tmp_path / "f", 3 * P + 3)
    begun = bucket.create_upload("k", checked=False)
    source = FileSource(tmp_path / "f")
    for number, span in ((2, (P, 2 * P)), (4, (3 * P, 3 * P + 3))):
        bucket.put_part(begun, number, SourceBody(source, *span))
    outcome = upload(source, bucket, "k", Settings(unfinished="resume"))
    assert outcome.kept == 2 and outcome.parts == 4 and fetch(bucket, "k") == data
    lone = bucket.create_upload("lone")
    bucket.put_part(lone, 4, SourceBody(source, 3 * P, 3 * P + 3))
    outcome = upload(source, bucket, "lone", Settings(unfinished="resume"))
    assert (outcome.kept, outcome.parts) == (1, 4) and fetch(bucket, "lone") == data


def test_several_unfinished_uploads(bucket: Bucket, tmp_path: Path) -> None:
    data = make_file(tmp_path / "f", P + 1)
    source = FileSource(tmp_path / "f")
    bucket.create_upload("k"), bucket.create_upload("k"), bucket.create_upload("k2")
    for settings in (Settings(), Settings(unfinished="resume")):
        with pytest.raises(ManyUploadsExistError) as caught:
            upload(source, bucket, "k", settings)
        assert caught.value.exit_code == 13
    upload(source, bucket, "k", Settings(unfinished="restart", part_size=P))
    assert fetch(bucket, "k") == data
    assert [left.key for left in bucket.list_uploads()] == ["k2"]  # other keys are left alone
    bucket.create_upload("k")
    with pytest.raises(ObjectExistsError):  # the object comes before the upload
        upload(source, bucket, "k")
    with pytest.raises(UploadExistsError):
        upload(source, bucket, "k", Settings(exists="overwrite"))
    for unfinished in ("resume", "restart"):
        if unfinished == "restart":
            bucket.create_upload("k")
        upload(source, bucket, "k", Settings(exists="overwrite", unfinished=unfinished))  # type: ignore[arg-type]
        assert fetch(bucket, "k") == data


def test_a_stream_is_resumed(faulty: Bucket, fault_proxy: FaultProxy) -> None:
    data = os.urandom(3 * P + 9)
    settings = Settings(part_size=P, memory=P, slots=1)
    fault_proxy.plan(None, None, *[fail(500)] * 9, match="partNumber")
    with pytest.raises(StorageError):
        upload(Stream(data), faulty, "k", settings)
    fault_proxy.plan()
    with pytest.raises(InputError, match="differs"):
        upload(Stream(data[1:]), faulty, "k", Settings(unfinished="resume"))
    fault_proxy.plan()
    outcome = upload(Stream(data), faulty, "k", Settings(unfinished="resume"))
    assert parts_sent(fault_proxy) == [3, 4] and outcome.kept == 2
    assert fetch(faulty, "k") == data


# ---- sources that misbehave ----------------------------------------------------------------------
class Mutating(FileSource):
    """A file that is changed while part 2 of it is read."""

    def __init__(self, path: Path, change: bytes | int) -> None:
        super().__init__(path)
        self.change = change

    @contextmanager
    def open(self, start: int, end: int | None) -> Iterator[Reader]:
        with super().open(start, end) as reader:
            if start or (end or 0) < P:
                if isinstance(self.change, int):
                    os.truncate(self.path, self.change)
                else:
                    Path(self.path).write_bytes(self.change)
            yield reader


@pytest.mark.parametrize("change", [P + 7, 1, b"x" * (2 * P + 9), b"x" * 3 * P])
@pytest.mark.parametrize("size", [1000, 2 * P + 9])
def test_a_source_that_changes_while_it_is_read(
    bucket: Bucket, tmp_path: Path, size: int, change: bytes | int
) -> None:
    make_file(tmp_path / "f", size)
    with pytest.raises(InputError, match=r"shorter|changed"):
        upload(Mutating(tmp_path / "f", change), bucket, "k", ONE_BY_ONE)
    with pytest.raises(NotFoundError):
        bucket.head("k")


def test_bad_sources_begin_nothing(bucket: Bucket, tmp_path: Path) -> None:
    for path, error in ((tmp_path / "no", NotFoundError), (tmp_path, InputError)):
        with pytest.raises(error):
            FileSource(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="regular"):
        FileSource(tmp_path / "pipe")
    make_file(tmp_path / "f", 5)
    with pytest.raises(UsageError, match="part-size"):
        upload(FileSource(tmp_path / "f"), bucket, "k", Settings(part_size=1))
    assert not [*bucket.list_uploads()]


def test_a_wrong_digest_of_the_source(bucket: Bucket, tmp_path: Path) -> None:
    make_file(tmp_path / "f", P + 5)
    source = FileSource(tmp_path / "f")
    source.digests = {"crc64nvme": f"{7:016x}"}
    with pytest.raises(InputError, match="checksum"):
        upload(source, bucket, "k", ONE_BY_ONE)
    with pytest.raises(NotFoundError):
        bucket.head("k")


# ---- faults --------------------------------------------------------------------------------------
def test_faults_on_the_way(faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "f", 4 * P + 1)
    faults = [
        fail(503), reset(), fail(500, "InternalError", arrive=True), None, reset(arrive=True),
        fail(429, "TooManyRequests"), None, reset(), fail(503), None, reset(arrive=True),
    ]  # fmt: skip
    fault_proxy.plan(*faults)
    watched = Watched()
    outcome = upload(
        FileSource(tmp_path / "f"), faulty, "k", Settings(part_size=P), progress=watched
    )
    assert fault_proxy.faults == 8 and fetch(faulty, "k") == data and watched.bytes == len(data)
    assert outcome.proof == "crc64nvme"
    faulty_uploads = [*faulty.list_uploads()]
    for left in faulty_uploads:  # a create whose answer was lost
        assert not [*faulty.list_parts(left)]


def test_an_upload_without_parts_is_dropped(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    """T10: nothing is left behind that the next run would stumble over."""
    make_file(tmp_path / "f", 2 * P)
    fault_proxy.plan(*[fail(500)] * 40, match="partNumber")
    with pytest.raises(StorageError):
        upload(FileSource(tmp_path / "f"), faulty, "k", ONE_BY_ONE)
    fault_proxy.plan()
    assert not [*faulty.list_uploads()]


def test_a_server_that_stores_something_else(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_file(tmp_path / "f", P + 5)
    told = Bucket.complete

    def lying(self: Bucket, *args: object, crc64nvme: int | None, **kwargs: object) -> object:
        return told(self, *args, crc64nvme=None, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "complete", lying)
    monkeypatch.setattr(sys.modules[upload.__module__], "combined", lambda _: 7)
    with pytest.raises(CorruptError, match="removed"):
        upload(FileSource(tmp_path / "f"), bucket, "k", ONE_BY_ONE)
    with pytest.raises(NotFoundError):
        bucket.head("k")


def test_spoilt_on_the_way_is_sent_again(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    """The server's own check of a body that arrives with one byte flipped."""
    data = make_file(tmp_path / "f", 2 * P)

    def spoil(handler: object) -> bool:
        body = bytearray(handler.body)  # type: ignore[attr-defined]
        body[1000] ^= 0xFF
        handler.body = bytes(body)  # type: ignore[attr-defined]
        return False

    fault_proxy.plan(spoil, match="partNumber")  # type: ignore[arg-type]
    upload(FileSource(tmp_path / "f"), faulty, "k", ONE_BY_ONE)
    assert parts_sent(fault_proxy) == [1, 1, 2] and fetch(faulty, "k") == data


# ---- many files ----------------------------------------------------------------------------------
def test_many_files(bucket: Bucket, tmp_path: Path) -> None:
    sizes = [0, 1, 1000, P + 1, 2 * P, 300_000, 17]
    blobs = {f"run/{n} é#.bin": make_file(tmp_path / str(n), s, n) for n, s in enumerate(sizes)}
    items = [Item(tmp_path / str(n), key) for n, key in enumerate(blobs)]
    items.append(Item(tmp_path / "gone", "run/gone"))
    outcomes: list[Outcome] = []
    settings = Settings(part_size=P)
    totals = upload_many(items, bucket, settings, outcomes.append)
    assert (totals.files, totals.failed, totals.skipped) == (8, 1, 0)
    assert totals.bytes == sum(sizes)
    failed = [outcome for outcome in outcomes if outcome.error]
    assert [type(outcome.error) for outcome in failed] == [NotFoundError]
    for key, data in blobs.items():
        assert fetch(bucket, key) == data
    for outcome in outcomes:
        if not outcome.error:
            key = outcome.destination.removeprefix(f"{bucket.url}/")
            assert (outcome.size, outcome.crc64nvme) == (len(blobs[key]), crc64nvme(blobs[key]))
            assert outcome.etag == bucket.head(key).etag
    again = upload_many(items[:-1], bucket, Settings(exists="skip-identical"))
    assert (again.skipped, again.failed, again.bytes) == (7, 0, 0)
    refused = upload_many(items[:-1], bucket, settings)
    assert refused.failed == 7
    assert upload_many([], bucket).files == 0


def test_unfinished_uploads_of_many_files(bucket: Bucket, tmp_path: Path) -> None:
    data = make_file(tmp_path / "big", 2 * P + 1)
    make_file(tmp_path / "small", 10)
    begun = bucket.create_upload("r/big")
    bucket.put_part(begun, 1, SourceBody(FileSource(tmp_path / "big"), 0, P))
    items = [Item(tmp_path / name, f"r/{name}") for name in ("big", "small")]
    outcomes: dict[str, Outcome] = {}

    def note(outcome: Outcome) -> None:
        outcomes[outcome.destination.rpartition("/")[2]] = outcome

    upload_many(items, bucket, Settings(), note)
    assert isinstance(outcomes["big"].error, UploadExistsError) and not outcomes["small"].error
    settings = Settings(exists="overwrite", unfinished="resume")
    upload_many(items, bucket, settings, note)
    assert outcomes["big"].kept == 1 and fetch(bucket, "r/big") == data


def test_what_the_listener_raises_ends_it(bucket: Bucket, tmp_path: Path) -> None:
    items = [Item(make(tmp_path / str(n), 10), f"k{n}") for n in range(50)]

    def refuse(_: Outcome) -> None:
        raise Bams3Error("no more")

    with pytest.raises(Bams3Error, match="no more"):
        upload_many(items, bucket, Settings(slots=2), refuse)


def test_a_part_that_arrives_spoilt_where_no_checksum_goes_with_it(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    """An upload that another tool began has none: the etag of the part is compared."""
    s3.begin(faulty.name, "k", [])
    make_file(tmp_path / "f", P + 10)

    def spoil(handler: Handler) -> bool:
        handler.body = handler.body[:-1] + bytes([handler.body[-1] ^ 1])
        return False

    fault_proxy.plan(spoil, match="PUT")
    settings = Settings(unfinished="resume", part_size=P)
    with pytest.raises(CorruptError, match="arrived spoilt"):
        upload(FileSource(tmp_path / "f"), faulty, "k", settings)
    assert fault_proxy.faults == 1
