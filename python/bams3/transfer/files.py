"""Local files as sources."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bams3.errors import Bams3Error, InputError, NotFoundError, PermissionDenied
from bams3.storage.objects import Reader


class FileSource:
    """A local file. `readinto` reads at a place of its own, without seeking.

    Raises:
        NotFoundError, PermissionDenied, InputError: There is none, it may not be read, or it is a
            directory or device.
    """

    seekable = True
    digests: Mapping[str, str] = {}

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.url = self.path
        self.name = os.path.basename(self.path)
        try:
            info = os.stat(self.path)
        except OSError as error:
            raise self._unreadable(error) from None
        if not stat.S_ISREG(info.st_mode):
            raise InputError(f"{self.path}: not a regular file", "use - for a pipe")
        if not os.access(self.path, os.R_OK):
            raise PermissionDenied(f"{self.path}: may not be read")
        self.size: int = info.st_size
        self.mtime_ns = info.st_mtime_ns

    def fingerprint(self) -> str:
        """Return size, mtime and inode."""
        try:
            info = os.stat(self.path)
        except OSError:
            return "gone"
        return f"{info.st_size}-{info.st_mtime_ns}-{info.st_ino}"

    @contextmanager
    def open(self, start: int, end: int | None) -> Iterator[Reader]:
        """Return a reader of the bytes [start, end)."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            yield _Range(self.path, file, start, self.size if end is None else end)
        finally:
            os.close(file)

    def _unreadable(self, error: OSError) -> Bams3Error:
        if isinstance(error, FileNotFoundError):
            return NotFoundError(f"{self.path}: no such file")
        if isinstance(error, PermissionError):
            return PermissionDenied(f"{self.path}: may not be read")
        return InputError(f"{self.path}: {error.strerror}")


class _Range:
    """The bytes [start, end) of an open file."""

    def __init__(self, path: str, file: int, start: int, end: int) -> None:
        self._path, self._file, self._at, self._end = path, file, start, end

    def readinto(self, buffer: memoryview, /) -> int:
        wanted = min(len(buffer), self._end - self._at)
        if wanted <= 0:
            return 0
        try:
            count = os.preadv(self._file, [buffer[:wanted]], self._at)
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror}") from error
        self._at += count
        return count
