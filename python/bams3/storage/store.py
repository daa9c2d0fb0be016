"""What a store can do, and how to open one.

A *store* is one folder: a local directory, `s3://bucket/prefix`, or (read-only) an `http(s)://`
base address. Keys are relative to it, `/`-separated, and cannot lead out of it.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias, runtime_checkable
from urllib.parse import unquote, urlsplit

from bams3.config import StorageOptions
from bams3.errors import UsageError

Data: TypeAlias = bytes | bytearray | memoryview
"""What can be written."""

Span: TypeAlias = tuple[str, int, int]
"""A key, and the first byte and the end (exclusive) of a range in it."""


class Entry(NamedTuple):
    """One object of a listing."""

    key: str
    size: int
    last_modified: datetime


class Head(NamedTuple):
    """What is known of an object without reading it. `etag` changes whenever the object does."""

    size: int
    etag: str
    last_modified: datetime


@runtime_checkable
class Store(Protocol):
    """A folder of objects.

    All methods may be called from several threads. Sizes and positions are bytes, ranges half-open.
    Every method may raise `StorageError` (after retries) and its subclass `PermissionDenied`.
    """

    @property
    def url(self) -> str:
        """The address of the folder, without a trailing slash."""

    def url_of(self, key: str) -> str:
        """Return the address of an object, for messages. Raises UsageError for a bad key."""

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read an object or the range [start, end) of it: exactly that many bytes, or an error.

        Raises:
            NotFoundError: There is no such object.
            CorruptError: The object ends before `end`.
            UsageError: Only one of `start` and `end` is given, or the range is negative.
        """

    def get_many(self, spans: Sequence[Span]) -> builtins.list[bytes]:
        """Read several ranges at the same time: one request for each, none merged or split.

        Returns:
            The bytes in the order of `spans`.

        Raises:
            NotFoundError, CorruptError, UsageError: As for `get`, for the first range that fails.
        """

    def put(self, key: str, data: Data) -> str:
        """Write an object, replacing what is there, all or nothing. Return its etag."""

    def put_if_absent(self, key: str, data: Data) -> str:
        """Write an object where there is none; durably, and after every earlier `put`.

        "Earlier" counts what went through this Store: open another one for what need not last.
        Of several writers exactly one succeeds.

        Returns:
            The new etag.

        Raises:
            ExistsError: Something is there already.
        """

    def put_if_match(self, key: str, data: Data, etag: str) -> str:
        """Replace an object that still has `etag`; durably, and after every earlier `put`.

        Returns:
            The new etag.

        Raises:
            ExistsError: The object has changed.
            NotFoundError: There is no such object.
        """

    def head(self, key: str) -> Head:
        """Return size and etag. Raises NotFoundError."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all objects below the folder `prefix`, at any depth, in no order."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects; those that do not exist are passed over."""

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store, on the server's side. Raises NotFoundError."""

    def close(self) -> None:
        """Let go of threads and connections."""


def check_key(key: str) -> str:
    """Return `key` if it names something inside a store.

    Raises:
        UsageError: It is empty or absolute, has an empty, `.` or `..` part, or control characters.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise UsageError(f"{key!r} is not a key: empty, '.' and '..' parts are not allowed")
    if any(ord(c) < 32 or ord(c) == 127 for c in key):
        raise UsageError(f"{key!r} is not a key: it has control characters")
    return key


def check_span(start: int | None, end: int | None) -> tuple[int, int] | None:
    """Return the range asked for, None for the whole object. Raises UsageError."""
    if start is None and end is None:
        return None
    if start is None or end is None or not 0 <= start <= end:
        raise UsageError(f"[{start}, {end}) is not a bounded range of bytes")
    return start, end


def open_store(url: str | os.PathLike[str], options: StorageOptions | None = None) -> Store:
    """Open a folder; nothing is read or created yet.

    Args:
        url: Path, `file://` address, `s3://bucket/prefix` or `http(s)://` address.
        options: How to reach it; by default from the environment and the configuration file.

    Raises:
        UsageError: The address is not understood.
        PermissionDenied: There are no AWS credentials.
    """
    text = os.fspath(url)
    scheme = scheme_of(text)
    if scheme in ("", "file"):
        from bams3.storage.local import LocalStore

        return LocalStore(local_path(text))
    options = options or StorageOptions.resolve()
    if scheme == "s3":
        from bams3.storage.s3 import S3Store

        return S3Store(text, options)
    from bams3.storage.http import HttpStore

    return HttpStore(text, options)


def open_input(url: str | os.PathLike[str], options: StorageOptions | None = None) -> BinaryIO:
    """Open one whole object for reading from its beginning to its end.

    A remote object is read ahead in ranges of 8 MiB, four in flight, so at most 40 MiB of it are in
    memory. A range that breaks off is asked for again. All ranges are of one version of the object.

    Args:
        url: Path, `file://`, `s3://bucket/key` or `http(s)://` address (with query, if any).
        options: As for `open_store`.

    Returns:
        A binary file object; `read` raises StorageError where the store fails, or where the object
        is replaced while it is read. The end of data is only reported at the object's true end.

    Raises:
        NotFoundError, PermissionDenied, StorageError, UsageError: It cannot be opened.
    """
    text = os.fspath(url)
    scheme = scheme_of(text)
    if scheme in ("", "file"):
        from bams3.storage.local import open_file

        return open_file(local_path(text))
    from bams3.storage.stream import open_remote

    options = options or StorageOptions.resolve()
    if scheme == "s3":
        from bams3.storage.s3 import object_handle
    else:
        from bams3.storage.http import object_handle
    return open_remote(object_handle(text, options), options)


def copy_between(
    source: Store,
    source_key: str,
    target: Store,
    target_key: str,
    check: Callable[[bytes], None] | None = None,
) -> None:
    """Copy an object from one store to another, on the server's side between S3 buckets.

    These have to be reached with the same options. Else it passes through memory, whole: meant for
    the objects of a dataset (at most 64 MiB); `check` may refuse what was read.

    Raises:
        NotFoundError: There is no such object.
    """
    if source is target:
        return target.copy(source_key, target_key)
    from bams3.storage.local import LocalStore

    if not isinstance(source, LocalStore) and not isinstance(target, LocalStore):
        from bams3.storage.s3 import S3Store

        if isinstance(source, S3Store) and isinstance(target, S3Store):
            if target.copy_from(source, source_key, target_key):
                return None
    data = source.get(source_key)
    if check:
        check(data)
    target.put(target_key, data)
    return None


def scheme_of(url: str) -> str:
    """Return the scheme in lower case, "" for a path. Raises UsageError where it is not known."""
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        return ""
    if scheme.lower() not in ("file", "s3", "http", "https"):
        raise UsageError(
            f"{url}: no store for {scheme}://", "use a path, file://, s3:// or http(s)://"
        )
    return scheme.lower()


def local_path(url: str) -> str:
    """Return the path that a path or `file://` address names."""
    if scheme_of(url) != "file":
        return url
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{url}: is on another machine", "write file:///path")
    return unquote(parts.path)
