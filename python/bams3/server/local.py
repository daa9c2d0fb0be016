"""Folders of this machine: files are opened part by part, so that no link leads out of the root."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from bams3.errors import CorruptError, NotFoundError, PermissionDenied, StorageError
from bams3.server.resources import BINARY
from bams3.storage import file_etag

_PIECE = 256 << 10
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class LocalFile:
    """An open file. See `Resource` for the methods."""

    media_type = BINARY

    def __init__(self, descriptor: int, name: str) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise NotFoundError(f"{name}: is not a file")
        self.name, self.size, self.etag = name, found.st_size, file_etag(found)
        self.modified = _date(found.st_mtime)
        self.descriptor = descriptor

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [start, end)."""
        while start < end:
            piece = os.pread(self.descriptor, min(_PIECE, end - start), start)
            if not piece:
                raise CorruptError(f"{self.name}: became shorter while it was read")
            yield piece
            start += len(piece)

    def close(self) -> None:
        """Close the file."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LocalFolder:
    """A directory. Symbolic links are followed where they end inside it."""

    waits = False

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, key: str) -> LocalFile:
        """Open a file.

        Raises:
            NotFoundError: There is no such file, or a link to it leads out of the directory.
            PermissionDenied: The server may not read it.
        """
        try:
            return self._open(key)
        except (FileNotFoundError, NotADirectoryError) as error:
            if isinstance(error, NotFoundError):
                raise
            raise NotFoundError(f"{key}: does not exist") from error
        except PermissionError as error:
            raise PermissionDenied(f"{key}: the server may not read it") from error
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO):
                raise NotFoundError(f"{key}: does not exist") from error
            raise StorageError(f"{key}: {error.strerror}") from error

    def _open(self, key: str) -> LocalFile:
        try:
            return LocalFile(_beneath(self._root, key), key.rpartition("/")[2])
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
                raise
        # A link: where it ends inside, the path without links is opened in the same way.
        real = os.path.realpath(os.path.join(self.path, key))
        inside = os.path.relpath(real, self.path)
        if inside.startswith("..") or os.path.isabs(inside):
            raise NotFoundError(f"{key}: a symbolic link leads out of the root")
        return LocalFile(_beneath(self._root, inside), key.rpartition("/")[2])

    def close(self) -> None:
        """Close the directory."""
        os.close(self._root)


@lru_cache(1024)
def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _beneath(root: int, key: str) -> int:
    """Open a file below a directory without following links. Raises OSError."""
    *folders, name = key.split("/")
    if not folders:
        return os.open(name, _FILE, dir_fd=root)
    at = os.open(folders[0], _FOLDER, dir_fd=root)
    try:
        for folder in folders[1:]:
            below = os.open(folder, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, _FILE, dir_fd=at)
    finally:
        os.close(at)
