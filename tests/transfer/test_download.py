"""Downloads from a real server: partial files, resuming, proof, faults; every byte compared."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest

from bams3._core import crc64nvme
from bams3.errors import (
    CorruptError,
    DestinationUrlError,
    DownloadExistsError,
    ExistsError,
    FileExistsAlreadyError,
    NotFoundError,
    PartSizeError,
    PermissionDenied,
    StorageError,
)
from bams3.storage.bucket import Bucket
from bams3.transfer import FileSource, Settings, download, upload
from bams3.transfer.journal import Journal, Wanted
from tests.servers.proxy import FaultProxy, cut, fail, flip, reset
from tests.transfer.conftest import P, make_file
from tests.transfer.test_upload import Watched

RESUME = Settings(unfinished="resume")
SMALL = Settings(slots=1, part_size=P)


def put(bucket: Bucket, folder: Path, size: int, key: str = "k", seed: int = 0) -> bytes:
    data = make_file(folder / "source", size, seed)
    settings = Settings(exists="overwrite", part_size=P)
    upload(FileSource(folder / "source"), bucket, key, settings)
    return data


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def ranges(proxy: FaultProxy) -> int:
    return sum(line.startswith("GET") for line in proxy.requests)


def broken(faulty: Bucket, proxy: FaultProxy, folder: Path, parts: int = 2) -> None:
    """Leave an unfinished download of k with `parts` parts."""
    proxy.plan(*[None] * parts, *[fail(500)] * 9, match="GET /")
    with pytest.raises(StorageError):
        download(faulty, "k", folder / "f", SMALL)
    proxy.plan()
    assert leftovers(folder) == [".f.partial", ".f.progress"] and not (folder / "f").exists()


@pytest.mark.parametrize("part_size", [1 << 20, P, None])
@pytest.mark.parametrize("size", [0, 1, P - 1, P, P + 1, 2 * P, int(2.5 * P)])
def test_all_sizes(bucket: Bucket, tmp_path: Path, size: int, part_size: int | None) -> None:
    data = put(bucket, tmp_path, size, "dir/é #")
    watched = Watched()
    settings = Settings(part_size=part_size)
    outcome = download(bucket, "dir/é #", tmp_path / "f", settings, progress=watched)
    assert (tmp_path / "f").read_bytes() == data and not leftovers(tmp_path)
    assert (outcome.size, outcome.crc64nvme, outcome.proof) == (size, crc64nvme(data), "crc64nvme")
    assert watched.bytes == size
    stream = io.BytesIO()
    download(bucket, "dir/é #", stream, settings)
    assert stream.getvalue() == data
    assert (tmp_path / "f").stat().st_mtime_ns == (tmp_path / "source").stat().st_mtime_ns


def test_into_a_directory(bucket: Bucket, tmp_path: Path) -> None:
    data = put(bucket, tmp_path, 10, "a/b/name")
    (tmp_path / "d").mkdir()
    download(bucket, "a/b/name", tmp_path / "d")
    assert (tmp_path / "d" / "name").read_bytes() == data
    for name in ("f.partial", "f.progress"):
        with pytest.raises(DestinationUrlError) as caught:
            download(bucket, "a/b/name", tmp_path / name)
        assert caught.value.exit_code == 6
    with pytest.raises(NotFoundError, match="no such directory"):
        download(bucket, "a/b/name", tmp_path / "none" / "f")


def test_a_missing_object_leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        download(bucket, "k", tmp_path / "f")
    assert not [*tmp_path.iterdir()]


def test_file_exists(bucket: Bucket, tmp_path: Path) -> None:
    data = put(bucket, tmp_path, 10)
    (tmp_path / "f").write_bytes(b"mine, and longer")
    with pytest.raises(FileExistsAlreadyError) as caught:
        download(bucket, "k", tmp_path / "f")
    assert caught.value.exit_code == 11
    assert download(bucket, "k", tmp_path / "f", Settings(exists="skip")).skipped
    assert (tmp_path / "f").read_bytes() == b"mine, and longer"
    download(bucket, "k", tmp_path / "f", Settings(exists="overwrite"))
    assert (tmp_path / "f").read_bytes() == data
    settings = Settings(exists="skip-identical")
    assert download(bucket, "k", tmp_path / "f", settings).skipped
    (tmp_path / "f").write_bytes(b"0123456789")
    assert not download(bucket, "k", tmp_path / "f", settings).skipped
    assert (tmp_path / "f").read_bytes() == data


def test_a_file_that_appears_meanwhile(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, tmp_path, 10)
    read = Bucket.read

    def slow(self: Bucket, *args: object, **kwargs: object) -> None:
        (tmp_path / "f").write_bytes(b"theirs")
        read(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "read", slow)
    with pytest.raises(FileExistsAlreadyError):
        download(bucket, "k", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"theirs"


# ---- resuming ------------------------------------------------------------------------------------
def test_resume(faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    data = put(faulty, tmp_path, 4 * P + 3)
    broken(faulty, fault_proxy, tmp_path)
    with pytest.raises(DownloadExistsError) as caught:
        download(faulty, "k", tmp_path / "f")
    assert caught.value.exit_code == 12
    with pytest.raises(PartSizeError) as wrong:
        download(faulty, "k", tmp_path / "f", Settings(part_size=2 * P, unfinished="resume"))
    assert wrong.value.exit_code == 8
    fault_proxy.plan()
    outcome = download(faulty, "k", tmp_path / "f", RESUME)
    assert ranges(fault_proxy) == 3 and (outcome.kept, outcome.parts) == (2, 5)
    assert (tmp_path / "f").read_bytes() == data and not leftovers(tmp_path)


def test_recorded_parts_are_compared_with_the_disk(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    data = put(faulty, tmp_path, 4 * P + 3)
    broken(faulty, fault_proxy, tmp_path)
    with open(tmp_path / ".f.partial", "r+b") as file:
        file.seek(P + 100)
        file.write(b"spoilt")
    outcome = download(faulty, "k", tmp_path / "f", RESUME)
    assert outcome.kept == 1 and (tmp_path / "f").read_bytes() == data


@pytest.mark.parametrize("size", [4 * P + 3, 2 * P, 7])
def test_another_object_starts_over(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path, size: int
) -> None:
    """T12, T13: also a shorter one, of which no old tail may stay."""
    put(faulty, tmp_path, 4 * P + 3)
    broken(faulty, fault_proxy, tmp_path)
    data = put(faulty, tmp_path, size, seed=1)
    outcome = download(faulty, "k", tmp_path / "f", RESUME)
    assert outcome.kept == 0 and (tmp_path / "f").read_bytes() == data


def test_force_starts_over(faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    data = put(faulty, tmp_path, 3 * P)
    broken(faulty, fault_proxy, tmp_path)
    settings = Settings(unfinished="restart", part_size=1 << 20)
    assert download(faulty, "k", tmp_path / "f", settings).kept == 0
    assert (tmp_path / "f").read_bytes() == data


def test_a_record_of_s3am_starts_over(bucket: Bucket, tmp_path: Path) -> None:
    data = put(bucket, tmp_path, 2 * P)
    etag = bucket.head("k").etag.encode()
    record = struct.pack(">IH", P, len(etag)) + etag + b"\x01" * 16
    (tmp_path / ".f.progress").write_bytes(record)
    (tmp_path / ".f.partial").write_bytes(b"old" * P)
    with pytest.raises(DownloadExistsError):
        download(bucket, "k", tmp_path / "f")
    download(bucket, "k", tmp_path / "f", RESUME)
    assert (tmp_path / "f").read_bytes() == data and not leftovers(tmp_path)


def test_a_torn_record(tmp_path: Path) -> None:
    path, wanted = tmp_path / "j", Wanted('"e"', 100, 10)
    journal = Journal(path)
    journal.begin(wanted, False)
    journal.record(1, 7)
    with pytest.raises(DownloadExistsError, match="at work"):
        Journal(path)
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b"2 00000000000000")
    journal = Journal(path)
    assert (journal.wanted, journal.recorded) == (wanted, {1: 7})
    journal.record(3, 9)
    journal.close()
    assert path.read_bytes() == whole + b"3 0000000000000009\n"
    for text in (b"", b"{", b"[]", b'{"format": "bams3-download-1", "more": 1}\n', b"\xff" * 50):
        path.write_bytes(text)
        journal = Journal(path)
        assert (journal.wanted, journal.recorded) == (None, {})
        journal.close(remove=True)
    assert not path.exists()


def test_two_at_once(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, tmp_path, 10)
    other = Journal(tmp_path / ".f.progress")
    with pytest.raises(DownloadExistsError, match="at work"):
        download(bucket, "k", tmp_path / "f", RESUME)
    other.close()


# ---- faults --------------------------------------------------------------------------------------
def test_faults_on_the_way(faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    data = put(faulty, tmp_path, 5 * P + 1)
    fault_proxy.plan(
        fail(503), cut(P // 2), reset(), None, cut(100), fail(500), cut(P - 1, rst=True),
        match="GET /",
    )  # fmt: skip
    download(faulty, "k", tmp_path / "f", Settings(part_size=P))
    assert fault_proxy.faults == 6 and (tmp_path / "f").read_bytes() == data


def test_a_flipped_byte_is_found(faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    """T15: the whole is compared with S3's checksum."""
    put(faulty, tmp_path, 2 * P)
    fault_proxy.plan(None, flip(17), match="GET /")
    with pytest.raises(CorruptError, match="crc64nvme"):
        download(faulty, "k", tmp_path / "f", Settings(part_size=P))
    assert not (tmp_path / "f").exists()
    fault_proxy.plan(flip(17), match="GET /")
    with pytest.raises(CorruptError):
        download(faulty, "k", io.BytesIO())
    again = download(faulty, "k", tmp_path / "f", Settings(unfinished="restart"))
    assert again.proof == "crc64nvme"


def test_an_object_that_is_replaced_meanwhile(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, tmp_path, 4 * P)
    read, calls = Bucket.read, []

    def replacing(self: Bucket, *args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            put(bucket, tmp_path, 4 * P, seed=3)
        read(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "read", replacing)
    with pytest.raises(ExistsError, match="replaced"):
        download(bucket, "k", tmp_path / "f", SMALL)
    assert not (tmp_path / "f").exists()
    monkeypatch.undo()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, tmp_path, 10)
    (tmp_path / "d").mkdir(mode=0o500)
    with pytest.raises(PermissionDenied):
        download(bucket, "k", tmp_path / "d" / "f")


def test_other_checksums(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What S3 states of older objects: SHA-256, CRC32, or the MD5 in the ETag alone."""
    import base64
    import dataclasses
    import hashlib
    import zlib

    data = put(bucket, tmp_path, 1000)
    head = Bucket.head
    sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    for name, sums in (("sha256", {"sha256": sha}), ("crc32", {"crc32": crc}), ("md5", {})):
        info = dataclasses.replace(head(bucket, "k"), checksums=sums)
        monkeypatch.setattr(Bucket, "head", lambda *_, i=info: i)
        settings = Settings(exists="overwrite")
        assert download(bucket, "k", tmp_path / "f", settings).proof == name
        wrong = dataclasses.replace(
            info, checksums=dict.fromkeys(sums, sha[::-1]), etag=info.etag[:-2] + "0" + '"'
        )
        if name != "md5":
            monkeypatch.setattr(Bucket, "head", lambda *_, i=wrong: dataclasses.replace(i, etag=""))
            with pytest.raises(CorruptError, match=name):
                download(bucket, "k", tmp_path / "g")
            for left in tmp_path.glob(".g*"):
                left.unlink()
