"""The door to the engine: what it sends, over a real server and without some rights."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3.cli import runs as commands
from bams3.errors import NotFoundError, PermissionDenied
from bams3.runs.place import BucketPlace, Outcome
from bams3.runs.upload import Job, upload_run
from bams3.storage import StorageOptions
from bams3.storage.bucket import Bucket
from bams3.transfer.body import SourceBody
from bams3.transfer.files import FileSource
from bams3.transfer.settings import Settings
from tests.runs.made import NOVASEQ, contents, make_run, write
from tests.runs.processes import objects


@pytest.fixture
def place(real_s3: str) -> BucketPlace:
    return BucketPlace(Bucket(real_s3.removeprefix("s3://")), Settings(slots=4))


def test_a_role_that_may_not_list_unfinished_uploads(
    place: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3_upload did not need that right."""
    asked = []

    def denied(self: Bucket, prefix: str = "") -> list[object]:
        asked.append(prefix)
        raise PermissionDenied("may not be listed")

    monkeypatch.setattr(Bucket, "list_uploads", denied)
    run = make_run(tmp_path / "seq")
    assert upload_run(Job(run, "/", tmp_path / "logs"), place).completed
    assert asked
    assert objects(f"s3://{place.bucket}/{NOVASEQ}") == contents(run)
    place.close()


def test_an_unfinished_upload_of_another_version_is_dropped(
    place: BucketPlace, tmp_path: Path
) -> None:
    """Killed while a large file was sent, which has changed since: started over, not mixed."""
    run = make_run(tmp_path / "seq")
    old, new = (bytes([n]) * (40 << 20) for n in (1, 2))
    huge = write(run / "Data/huge.cbcl", old)
    bucket = place._bucket
    upload = bucket.create_upload(f"{NOVASEQ}/Data/huge.cbcl")
    bucket.put_part(upload, 1, SourceBody(FileSource(huge), 0, 16 << 20))
    assert [u.key for u in bucket.list_uploads(NOVASEQ)] == [f"{NOVASEQ}/Data/huge.cbcl"]
    huge.write_bytes(new)
    assert upload_run(Job(run, "/", tmp_path / "logs"), place).completed
    assert objects(f"s3://{place.bucket}/{NOVASEQ}")["Data/huge.cbcl"] == new
    assert not [*bucket.list_uploads(NOVASEQ)]
    place.close()


def test_outcomes(place: BucketPlace, tmp_path: Path) -> None:
    told: dict[str, Outcome] = {}
    there, gone = write(tmp_path / "a", "abc"), tmp_path / "none"
    files = [(there, "k/a b#?%"), (gone, "k/none")]
    place.send(files, "overwrite", "resume", told.__setitem__)
    assert told["k/a b#?%"].error is None and told["k/a b#?%"].size == 3
    assert isinstance(told["k/none"].error, NotFoundError)
    place.send(files[:1], "skip-identical", "resume", told.__setitem__)
    assert told["k/a b#?%"].skipped
    assert [found.key for found in place.list("k/")] == ["k/a b#?%"]
    place.delete("k/a b#?%")
    assert not [*place.list("")]
    place.check()
    place.close()


@pytest.mark.parametrize(
    ("cores", "threads", "slots"),
    [(None, None, 64), (2, 4, 8), (4, None, 32), (None, 3, 3), (64, 64, 64)],
)
def test_cores_times_threads(cores: int | None, threads: int | None, slots: int) -> None:
    options = StorageOptions(no_sign_request=True)
    place = commands._place("lab", options, cores, threads)
    assert isinstance(place, BucketPlace) and place._settings.slots == slots
