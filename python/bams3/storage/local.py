"""A folder on a local disk.

An object is written under a temporary name (`.TOKEN.partial`, in the same directory) and moved into
place, so that no reader sees half of one. `put` leaves the flushing to the kernel; a conditional
put first flushes everything that was put before it, then its own object, then the directories: when
the commit is there, so is all that it refers to.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO

from bams3.errors import (
    Bams3Error,
    CorruptError,
    ExistsError,
    NotFoundError,
    PermissionDenied,
    StorageError,
    UsageError,
)
from bams3.storage.store import Data, Entry, Head, Span, check_key, check_span

_LOCK = ".lock.partial"


class LocalStore:
    """A directory; made when the first object is written. See `Store` for the methods."""

    def __init__(self, root: str) -> None:
        if not root:
            raise UsageError("an empty path is not a folder")
        self._root = os.path.realpath(os.path.abspath(root))
        self._unflushed: set[str] = set()
        self._guard = threading.Lock()

    @property
    def url(self) -> str:
        """The absolute path of the directory."""
        return self._root

    def url_of(self, key: str) -> str:
        """Return the path of an object."""
        return os.path.join(self._root, check_key(key))

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read an object or the range [start, end) of it."""
        span = check_span(start, end)
        path = self._path(key)
        with _errors(path), open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            start, end = span or (0, size)
            if end > size:
                raise CorruptError(
                    f"{path}: has {size} bytes, [{start}, {end}) was asked for",
                    "the object was cut short or replaced: restore it",
                )
            return _read(file.fileno(), path, start, end)

    def get_many(self, spans: Sequence[Span]) -> builtins.list[bytes]:
        """Read several ranges."""
        return [self.get(key, start, end) for key, start, end in spans]

    def put(self, key: str, data: Data) -> str:
        """Write an object, replacing what is there."""
        path = self._path(key)

        def place(partial: str) -> None:
            with self._guard:
                self._unflushed.add(path)
            os.replace(partial, path)

        return self._write(path, data, place, flush=False)

    def put_if_absent(self, key: str, data: Data) -> str:
        """Write an object where there is none."""
        path = self._path(key)
        if os.path.lexists(path):
            raise _exists(path)
        self._flush()
        return self._write(path, data, lambda partial: _link(partial, path), flush=True)

    def put_if_match(self, key: str, data: Data, etag: str) -> str:
        """Replace an object that still has `etag`."""
        path = self._path(key)
        self._flush()

        def place(partial: str) -> None:
            with _locked(os.path.dirname(path)):
                if self.head(key).etag != etag:
                    raise ExistsError(
                        f"{path}: was changed by another writer", "look at it, then start again"
                    )
                os.replace(partial, path)

        self.head(key)
        return self._write(path, data, place, flush=True)

    def head(self, key: str) -> Head:
        """Return size and etag."""
        path = self._path(key)
        with _errors(path):
            stat = os.stat(path)
        if not os.path.isfile(path):
            raise NotFoundError(f"{path}: is not a file")
        return Head(stat.st_size, file_etag(stat), _time(stat.st_mtime))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all objects below the folder `prefix`, files left by killed writers included."""
        folder = self._path(prefix) if prefix else self._root
        with _errors(folder):
            yield from self._walk(folder)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects, and directories that this leaves empty."""
        folders = set()
        for key in keys:
            path = self._path(key)
            with _errors(path), suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
            with self._guard:
                self._unflushed.discard(path)
            folders.add(os.path.dirname(path))
        for folder in sorted(folders, key=len, reverse=True):
            self._prune(folder)

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store."""
        self.put(target, self.get(source))

    def close(self) -> None:
        """Nothing to let go of."""

    def _path(self, key: str) -> str:
        """Return the path of `key`, which no symbolic link may lead out of the directory."""
        path = self.url_of(key)
        parent = os.path.realpath(os.path.dirname(path))
        if os.path.commonpath((parent, self._root)) != self._root:
            raise UsageError(f"{path}: a symbolic link leads out of {self._root}")
        if os.path.islink(path):
            raise UsageError(f"{path}: is a symbolic link")
        return path

    def _write(self, path: str, data: Data, place: Callable[[str], None], *, flush: bool) -> str:
        """Write `data` beside `path` and call `place` to give it its name."""
        folder = os.path.dirname(path)
        partial = os.path.join(folder, f".{secrets.token_hex(8)}.partial")
        with _errors(path):
            descriptor = _create(partial)
            try:
                try:
                    _write_all(descriptor, data)
                    if flush:
                        os.fsync(descriptor)
                    etag = file_etag(os.fstat(descriptor))
                finally:
                    os.close(descriptor)
                place(partial)
                if flush:
                    self._flush_folders({folder})
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(partial)
        return etag

    def _flush(self) -> None:
        """Make durable what was put so far."""
        with self._guard:
            paths, self._unflushed = self._unflushed, set()
        for path in paths:
            with _errors(path), suppress(FileNotFoundError):
                _fsync(path)
        self._flush_folders({os.path.dirname(path) for path in paths})

    def _flush_folders(self, folders: set[str]) -> None:
        """Make durable the names in `folders` and in all directories up to the root's parent."""
        chain = set()
        for folder in folders:
            while len(folder) >= len(self._root) and folder not in chain:
                chain.add(folder)
                folder = os.path.dirname(folder)
        for folder in (*chain, os.path.dirname(self._root)):
            with suppress(OSError):  # some file systems cannot flush a directory
                _fsync(folder)

    def _walk(self, folder: str) -> Iterator[Entry]:
        try:
            items = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for item in items:
            if item.is_dir(follow_symlinks=False):
                yield from self._walk(item.path)
                continue
            try:
                stat = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            key = os.path.relpath(item.path, self._root).replace(os.sep, "/")
            yield Entry(key, stat.st_size, _time(stat.st_mtime))

    def _prune(self, folder: str) -> None:
        while len(folder) > len(self._root):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)


def open_file(path: str) -> BinaryIO:
    """Open a file for reading in sequence. Raises NotFoundError, PermissionDenied."""
    with _errors(path):
        return open(path, "rb", buffering=1 << 20)


def _create(partial: str) -> int:
    """Create the file and the directories above it; another process may be pruning them."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            os.makedirs(os.path.dirname(partial), exist_ok=True)
            return os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    raise FileNotFoundError(errno.ENOENT, "the directory is being deleted", partial)


def _write_all(descriptor: int, data: Data) -> None:
    view = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, path: str, start: int, end: int) -> bytes:
    """Read exactly [start, end)."""
    first = os.pread(descriptor, end - start, start)
    if len(first) == end - start:
        return first
    parts, position = [first], start + len(first)
    while position < end and parts[-1]:
        parts.append(os.pread(descriptor, end - position, position))
        position += len(parts[-1])
    if position < end:
        raise CorruptError(f"{path}: ends at byte {position}, {end} expected", "restore it")
    return b"".join(parts)


def _link(partial: str, path: str) -> None:
    """Give the file its final name unless that is taken; atomic between processes."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        with _locked(os.path.dirname(path)):  # a file system without hard links
            if os.path.lexists(path):
                raise _exists(path) from None
            os.replace(partial, path)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Hold the lock of a directory against all threads and processes; it dies with its holder."""
    path = os.path.join(folder, _LOCK)
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(descriptor)


def _lock(path: str) -> int:
    """Lock the file that `path` names, even where an earlier holder has just deleted it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_etag(stat: os.stat_result) -> str:
    """Return the etag of a file: of its inode, its time and its size."""
    return f'"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"'


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _exists(path: str) -> ExistsError:
    return ExistsError(f"{path}: exists already", "choose another destination, or --overwrite")


@contextmanager
def _errors(path: str) -> Iterator[None]:
    """Turn what the system raises into our errors."""
    try:
        yield
    except Bams3Error:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFoundError(f"{path}: {os.strerror(error.errno or errno.ENOENT)}") from error
    except PermissionError as error:
        raise PermissionDenied(f"{path}: permission denied", "check owner and mode") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room, or choose another place" if full else "check the disk"
        raise StorageError(f"{path}: {error.strerror or error}", hint) from error
