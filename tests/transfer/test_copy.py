"""Copies on the server's side; every byte compared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bams3.errors import (
    CorruptError,
    ExistsError,
    NotFoundError,
    ObjectExistsError,
    UploadExistsError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, ObjectInfo
from bams3.transfer import FileSource, Settings, copy, upload
from bams3.transfer.body import SourceBody
from tests.servers.versitygw import Versitygw
from tests.transfer.conftest import P, fetch, make_file

GIVEN = Attributes({"content-type": "x/y", "cache-control": "no-store"}, {"m": "1"}, {"t": "a b"})
PARTS = Settings(part_size=P, exists="overwrite")


@pytest.fixture
def other(real_s3: str, s3_server: Versitygw) -> Iterator[Bucket]:
    s3_server.make_bucket("copies.of-others")
    with Bucket("copies.of-others") as other:
        yield other


def put(bucket: Bucket, folder: Path, size: int, key: str = "a #é") -> bytes:
    data = make_file(folder / "f", size)
    settings = Settings(exists="overwrite", part_size=P)
    upload(FileSource(folder / "f"), bucket, key, settings, attributes=GIVEN)
    return data


@pytest.mark.parametrize("size", [0, 1, P - 1, P, P + 1, 2 * P, int(2.5 * P)])
def test_all_sizes(bucket: Bucket, other: Bucket, tmp_path: Path, size: int) -> None:
    data = put(bucket, tmp_path, size)
    source = bucket.head("a #é")
    for settings in (PARTS, Settings(exists="overwrite")):
        outcome = copy(bucket, "a #é", other, "to/ü", settings)
        assert fetch(other, "to/ü") == data and outcome.proof == "crc64nvme"
        info = other.head("to/ü")
        assert info.etag == outcome.etag and info.crc64nvme == source.crc64nvme
        assert info.attributes.content == source.attributes.content
        assert info.attributes.metadata == source.attributes.metadata
        assert other.tags("to/ü") == bucket.tags("a #é")
    assert not [*other.list_uploads()]


def test_other_attributes(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, tmp_path, P + 1)
    given = Attributes({"content-type": "new/type"}, {"n": "2"}, {"u": "v"})
    for settings in (PARTS, Settings(exists="overwrite")):
        copy(bucket, "a #é", bucket, "k", settings, attributes=given)
        found = bucket.head("k").attributes
        assert found.content == {"content-type": "new/type"} and found.metadata == {"n": "2"}


def test_decisions(bucket: Bucket, tmp_path: Path) -> None:
    data = put(bucket, tmp_path, P + 1)
    with pytest.raises(NotFoundError):
        copy(bucket, "none", bucket, "k")
    copy(bucket, "a #é", bucket, "k")
    with pytest.raises(ObjectExistsError):
        copy(bucket, "a #é", bucket, "k")
    assert copy(bucket, "a #é", bucket, "k", Settings(exists="skip")).skipped
    assert copy(bucket, "a #é", bucket, "k", Settings(exists="skip-identical")).skipped
    bucket.create_upload("k")
    with pytest.raises(UploadExistsError):
        copy(bucket, "a #é", bucket, "k", Settings(exists="overwrite"))
    copy(bucket, "a #é", bucket, "k", Settings(exists="overwrite", unfinished="restart"))
    assert fetch(bucket, "k") == data and not [*bucket.list_uploads()]


def test_onto_itself(bucket: Bucket, tmp_path: Path) -> None:
    data = put(bucket, tmp_path, P + 1)
    with pytest.raises(ObjectExistsError):
        copy(bucket, "a #é", bucket, "a #é")
    given = Attributes({"content-type": "new/type"}, {"n": "2"})
    copy(bucket, "a #é", bucket, "a #é", Settings(exists="overwrite"), attributes=given)
    assert fetch(bucket, "a #é") == data
    # versitygw keeps cache-control where the copy is onto itself.
    assert bucket.head("a #é").attributes.content["content-type"] == "new/type"


def test_resume_keeps_parts_of_the_same_source(bucket: Bucket, tmp_path: Path) -> None:
    data = put(bucket, tmp_path, 3 * P + 1)
    time.sleep(1.1)  # times of objects have whole seconds
    begun = bucket.create_upload("k", checked=False)
    bucket.copy_part(begun, 2, bucket, "a #é", (P, 2 * P))
    outcome = copy(bucket, "a #é", bucket, "k", Settings(unfinished="resume"))
    assert (outcome.kept, outcome.parts) == (1, 4) and fetch(bucket, "k") == data


def test_resume_copies_the_parts_of_a_newer_source_again(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, tmp_path, 3 * P + 1)
    begun = bucket.create_upload("k", checked=False)
    bucket.copy_part(begun, 2, bucket, "a #é", (P, 2 * P))
    time.sleep(1.1)
    (tmp_path / "f").unlink()
    make_file(tmp_path / "f", 3 * P + 1, seed=9)
    upload(FileSource(tmp_path / "f"), bucket, "a #é", Settings(exists="overwrite"))
    outcome = copy(bucket, "a #é", bucket, "k", Settings(unfinished="resume"))
    assert outcome.kept == 0 and fetch(bucket, "k") == (tmp_path / "f").read_bytes()


def test_a_source_that_is_replaced_meanwhile(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, tmp_path, 3 * P)
    copy_part, calls = Bucket.copy_part, []

    def replacing(self: Bucket, *args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            make_file(tmp_path / "f", 3 * P, seed=5)
            upload(FileSource(tmp_path / "f"), bucket, "a #é", Settings(exists="overwrite"))
        return copy_part(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "copy_part", replacing)
    with pytest.raises(ExistsError, match="replaced"):
        copy(bucket, "a #é", bucket, "k", Settings(part_size=P, slots=1))
    with pytest.raises(NotFoundError):
        bucket.head("k")


def test_an_object_that_appears_meanwhile_is_not_overwritten(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, tmp_path, 2 * P)
    small = make_file(tmp_path / "small", 7)
    written, complete = [], Bucket.complete

    def late(self: Bucket, *args: object, **kwargs: object) -> object:
        written.append(bucket.put("k", SourceBody(FileSource(tmp_path / "small"), 0, 7)))
        return complete(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "complete", late)
    with pytest.raises(ObjectExistsError):
        copy(bucket, "a #é", bucket, "k", Settings(part_size=P))
    assert len(written) == 1 and fetch(bucket, "k") == small


def test_a_copy_that_is_not_the_source_is_removed(bucket: Bucket, tmp_path: Path) -> None:
    """A part of the unfinished copy is of something else: the checksums of the whole tell."""
    put(bucket, tmp_path, 2 * P)
    (tmp_path / "f").unlink()
    make_file(tmp_path / "f", 2 * P, seed=9)
    upload(FileSource(tmp_path / "f"), bucket, "other")
    time.sleep(1.1)  # times of objects have whole seconds
    begun = bucket.create_upload("k", checked=False)
    bucket.copy_part(begun, 1, bucket, "other", (0, P))
    with pytest.raises(CorruptError, match="was removed"):
        copy(bucket, "a #é", bucket, "k", Settings(unfinished="resume"))
    with pytest.raises(NotFoundError):
        bucket.head("k")


def test_parts_of_a_source_without_a_checksum_are_copied_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 dates what came in parts by its beginning: such a source may be newer than the copy."""
    data = put(bucket, tmp_path, 3 * P + 1)
    time.sleep(1.1)
    begun = bucket.create_upload("k", checked=False)
    bucket.copy_part(begun, 2, bucket, "a #é", (P, 2 * P))
    head = Bucket.head

    def unchecked(self: Bucket, *args: object, **kwargs: object) -> ObjectInfo:
        return replace(head(self, *args, **kwargs), checksums={})  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "head", unchecked)  # as of a source of many years ago
    outcome = copy(bucket, "a #é", bucket, "k", Settings(unfinished="resume"))
    assert outcome.kept == 0 and fetch(bucket, "k") == data
