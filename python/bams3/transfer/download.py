"""One object down."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bams3._core import crc64nvme, crc64nvme_combine
from bams3.errors import (
    DestinationUrlError,
    DownloadExistsError,
    FileExistsAlreadyError,
    NotFoundError,
    PartSizeError,
    PermissionDenied,
    StorageError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer import decide
from bams3.transfer.engine import Engine, Job, Stopped
from bams3.transfer.files import FileSource
from bams3.transfer.journal import Journal, Wanted
from bams3.transfer.plan import USUAL, Plan
from bams3.transfer.proof import proof
from bams3.transfer.settings import Outcome, Progress, Settings, Silent

_SILENT, _USUAL = Silent(), Settings()
_PIECE = 256 << 10
_log = logging.getLogger(__name__)


def download(
    bucket: Bucket,
    key: str,
    destination: Path | BinaryIO,
    settings: Settings = _USUAL,
    *,
    customer_key: CustomerKey | None = None,
    version_id: str = "",
    progress: Progress = _SILENT,
) -> Outcome:
    """Download one object, all of it and proven, or leave no file of that name.

    Args:
        bucket: Where from.
        key: The key, whole and literal.
        destination: A file, a directory (the last part of the key is appended), or an open binary
            stream, which gets the bytes in order.
        settings: How; `unfinished` is about `.NAME.partial` with its `.NAME.progress`.
        customer_key: SSE-C key.
        version_id: An older version.
        progress: Is told how it goes.

    Raises:
        NotFoundError: There is no such object; nothing was made.
        FileExistsAlreadyError: There is a file (exit 11), from the start or by now.
        DownloadExistsError: There is an unfinished download (exit 12).
        PartSizeError: `settings.part_size` is not that of the download to be resumed (exit 8).
        DestinationUrlError: `.partial` and `.progress` are not for files of yours (exit 6).
        ExistsError: The object was replaced while it was read; start again.
        CorruptError: The bytes are not those of the object's checksum.
        KeyboardInterrupt: Was interrupted; what has arrived can be resumed.
    """
    if not isinstance(destination, Path):
        from bams3.transfer.pipe import download_to

        return download_to(bucket, key, destination, settings, customer_key, version_id, progress)
    path = _file(destination, key)
    info = bucket.head(key, customer_key, version_id)
    outcome = Outcome(
        bucket.url_of(key), str(path), info.size, info.etag, version_id=info.version_id
    )
    existed = path.exists()
    if existed and _left_alone(path, info, settings):
        return replace(outcome, skipped=True)
    if settings.dry_run:
        return replace(outcome, skipped=True, planned=True)
    task = _Download(bucket, info, path, settings, customer_key, version_id, progress)
    return task.run(outcome, existed)


def _file(destination: Path, key: str) -> Path:
    path = destination
    if destination.is_dir():
        name = key.rpartition("/")[2]
        if name in ("", ".", ".."):
            raise DestinationUrlError(f"{destination}: is a directory, and {key!r} has no name")
        path = destination / name
    if path.suffix in (".partial", ".progress"):
        raise DestinationUrlError(
            f"{path}: .partial and .progress are for unfinished downloads", "choose another name"
        )
    return path


def _left_alone(path: Path, info: ObjectInfo, settings: Settings) -> bool:
    if path.is_dir():
        raise DestinationUrlError(f"{path}: is a directory")
    if settings.exists == "fail":
        raise _file_exists(path)
    if settings.exists == "skip-identical":
        return decide.identical(FileSource(path), info)
    return settings.exists == "skip"


def _file_exists(path: Path) -> FileExistsAlreadyError:
    return FileExistsAlreadyError(f"{path}: exists already", "--exists overwrite, or skip")


class _Download:
    """The download of one object to one file."""

    def __init__(
        self,
        bucket: Bucket,
        info: ObjectInfo,
        path: Path,
        settings: Settings,
        customer_key: CustomerKey | None,
        version_id: str,
        progress: Progress,
    ) -> None:
        self._bucket, self._info, self._path, self._settings = bucket, info, path, settings
        self._customer_key, self._version_id = customer_key, version_id
        self._progress = progress
        self._partial = path.with_name(f".{path.name}.partial")
        self._journal_path = path.with_name(f".{path.name}.progress")
        self._lock = threading.Lock()
        self._crcs: dict[int, int] = {}
        self._kept = 0
        self._error: Exception | None = None

    def run(self, outcome: Outcome, existed: bool) -> Outcome:
        """Download, prove, and give the file its name."""
        if self._journal_path.exists() and self._settings.unfinished == "fail":
            raise DownloadExistsError(
                f"{self._path}: there is an unfinished download",
                "--resume takes it up, --force starts over",
            )
        with _explained(self._path):
            self._journal = Journal(self._journal_path)
        done = False
        try:
            with _explained(self._path):
                self._open()
            try:
                outcome = self._fetch(outcome)
                self._publish(existed)
                done = True
            finally:
                os.close(self._file)
        finally:
            nothing = not self._journal.recorded
            if nothing and not done:
                self._partial.unlink(missing_ok=True)
            self._journal.close(remove=done or nothing)
        return outcome

    def _open(self) -> None:
        """Open `.partial`, and find out what of it is to be kept."""
        wanted = self._wanted()
        keep = self._settings.unfinished == "resume" and self._journal.wanted == wanted
        if self._settings.unfinished == "resume" and not keep and self._journal.wanted:
            _log.warning("%s: the object has changed; starting over", self._path)
        self._journal.begin(wanted, keep)
        self._plan = Plan(self._info.size, wanted.part_size)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._partial, flags | (0 if keep else os.O_TRUNC), 0o666)
        os.ftruncate(self._file, self._info.size)

    def _wanted(self) -> Wanted:
        asked, before = self._settings.part_size, self._journal.wanted
        same = before and (before.etag, before.size) == (self._info.etag, self._info.size)
        if before and same and self._settings.unfinished == "resume":
            if asked not in (None, before.part_size):
                raise PartSizeError(
                    f"--part-size {asked}: the unfinished download has parts of "
                    f"{before.part_size} bytes",
                    "leave --part-size away, or start over with --force",
                )
            return before
        return Wanted(self._info.etag, self._info.size, asked or USUAL)

    def _fetch(self, outcome: Outcome) -> Outcome:
        self._progress.begin(self._info.size)
        with Engine(self._settings, self._bucket) as engine:
            self._engine = engine
            if self._info.size:
                engine.add(self._job(*span) for span in self._plan.spans())
            engine.wait()
        if self._error:
            raise self._error
        crc = 0
        for number, start, end in self._plan.spans():
            crc = crc64nvme_combine(crc, self._crcs.get(number, 0), end - start)
        proved = proof(
            self._bucket, self._info, crc, self._partial, self._customer_key, self._version_id
        )
        return replace(
            outcome, crc64nvme=crc, proof=proved, parts=self._plan.count, kept=self._kept
        )

    # ---- parts -----------------------------------------------------------------------------------
    def _job(self, number: int, start: int, end: int) -> Job:
        def job() -> None:
            if self._error:
                return
            try:
                self._part(number, start, end)
            except Stopped:
                raise
            except Exception as error:
                self._error = self._error or error

        return job

    def _part(self, number: int, start: int, end: int) -> None:
        recorded = self._journal.recorded.get(number)
        kept = recorded is not None and self._on_disk(start, end) == recorded
        crc = recorded if kept and recorded is not None else self._get(start, end)
        if not kept:
            self._journal.record(number, crc)
        with self._lock:
            self._crcs[number] = crc
            self._kept += kept
        self._progress.part(number, end - start, kept)

    def _get(self, start: int, end: int) -> int:
        """Write a part to its place in the file; return its CRC64NVME."""
        crc, at = 0, start

        def write(piece: memoryview) -> None:
            nonlocal crc, at
            self._passing(len(piece))
            crc = crc64nvme(piece, crc)
            with _explained(self._path):
                at += _write_at(self._file, piece, at)

        self._bucket.read(
            self._info.key, start, end, write, etag=self._info.etag,
            customer_key=self._customer_key, version_id=self._version_id,
        )  # fmt: skip
        return crc

    def _on_disk(self, start: int, end: int) -> int:
        """Return the CRC64NVME of what the file has there."""
        buffer, crc, size = memoryview(bytearray(_PIECE)), 0, end - start
        while start < end:
            count = os.preadv(self._file, [buffer[: min(_PIECE, end - start)]], start)
            if not count:
                break
            self._engine.passing(0)
            crc = crc64nvme(buffer[:count], crc)
            start += count
        self._progress.advance(size)
        return crc

    def _passing(self, count: int) -> None:
        self._engine.passing(count)
        self._progress.advance(count)

    # ---- the end ---------------------------------------------------------------------------------
    def _publish(self, existed: bool) -> None:
        """Give the file its name, once it is on disk; unless another one has come meanwhile."""
        mtime = self._info.attributes.metadata.get(decide.MTIME, "")
        with suppress(ValueError, OverflowError):
            nanoseconds = decide.nanoseconds(mtime)
            os.utime(self._file, ns=(nanoseconds, nanoseconds))
        os.fsync(self._file)
        if existed or self._settings.exists == "overwrite":
            os.replace(self._partial, self._path)
        else:
            self._publish_new()
        _sync_folder(self._path.parent)

    def _publish_new(self) -> None:
        try:
            os.link(self._partial, self._path)
        except FileExistsError:
            raise _file_exists(self._path) from None
        except OSError:  # a file system without hard links
            if self._path.exists():
                raise _file_exists(self._path) from None
            os.replace(self._partial, self._path)
            return
        self._partial.unlink()


def _write_at(file: int, piece: memoryview, at: int) -> int:
    written = 0
    while written < len(piece):
        written += os.pwrite(file, piece[written:], at + written)
    return written


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems cannot
    finally:
        os.close(handle)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the file system says into our errors."""
    try:
        yield
    except (DownloadExistsError, PartSizeError):
        raise
    except FileNotFoundError:
        raise NotFoundError(f"{path.parent}: no such directory") from None
    except PermissionError as error:
        raise PermissionDenied(f"{path}: may not be written: {error.strerror}") from None
    except OSError as error:
        hint = "make room; what has arrived can be resumed" if error.errno == errno.ENOSPC else None
        raise StorageError(f"{path}: cannot be written: {error.strerror}", hint) from error
