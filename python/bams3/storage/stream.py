"""Reading a whole remote object in sequence, ahead of the reader, in bounded memory."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, CorruptError, StorageError
from bams3.storage.remote import Body, Handle, fetch, reason, request

PART = 8 << 20
"""Bytes of one range of `open_remote`."""
AHEAD = 4
"""Ranges of `open_remote` in flight."""


def open_remote(handle: Handle, options: StorageOptions) -> BinaryIO:
    """Open an object for reading in sequence; see `bams3.storage.open_input`."""
    try:
        answer = request(handle, (0, PART), "")
    except (Bams3Error, OSError) as error:
        return _open_otherwise(handle, options, error)
    size, etag = answer.meta["size"], answer.meta["e_tag"] or ""
    try:
        first = answer.bytes().to_bytes()
    except Exception:
        first = b""  # it broke off: read on from where it did
    raw = _Readahead(handle, options, first, size, etag)
    return io.BufferedReader(raw, 1 << 20)


def _open_otherwise(handle: Handle, options: StorageOptions, error: Exception) -> BinaryIO:
    """Open what does not answer to ranges: an empty object, a server that cannot serve them."""
    if isinstance(error, CorruptError):
        return io.BytesIO()
    if "does not support" not in str(error.__cause__).lower() and "range" not in str(error).lower():
        raise error
    return io.BufferedReader(_Whole(handle, options), 1 << 20)


class _Readahead(io.RawIOBase):
    """An object read by ranges, some of them ahead of the reader."""

    def __init__(
        self, handle: Handle, options: StorageOptions, first: bytes, size: int, etag: str
    ) -> None:
        self._handle, self._options, self._size, self._etag = handle, options, size, etag
        self._current = memoryview(first)
        self._next = len(first)
        self._pending: deque[Future[Body]] = deque()
        self._pool = ThreadPoolExecutor(AHEAD, "bams3-readahead")
        self._ask()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._current and self._pending:
            self._current = memoryview(self._pending.popleft().result().data)
            self._ask()
        count = min(len(buffer), len(self._current))
        buffer[:count] = self._current[:count]
        self._current = self._current[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._current = memoryview(b"")
            self._pending.clear()
        super().close()

    def _ask(self) -> None:
        """Keep ranges in flight."""
        while self._next < self._size and len(self._pending) < AHEAD:
            span = self._next, min(self._next + PART, self._size)
            self._pending.append(
                self._pool.submit(fetch, self._handle, self._options, span, self._etag)
            )
            self._next = span[1]


class _Whole(io.RawIOBase):
    """An object read in one stream, where the server knows no ranges; it cannot be resumed."""

    def __init__(self, handle: Handle, options: StorageOptions) -> None:
        self._handle = handle
        answer = request(handle, None, "")
        self._size = answer.meta["size"]
        self._position = 0
        self._stream = iter(answer.stream(min_chunk_size=1 << 20))
        self._current = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._current:
            self._current = memoryview(self._following())
        count = min(len(buffer), len(self._current))
        buffer[:count] = self._current[:count]
        self._current = self._current[count:]
        return count

    def _following(self) -> bytes:
        try:
            data = bytes(next(self._stream, b""))
        except Exception as error:
            raise self._broken(reason(error)) from error
        self._position += len(data)
        if not data and self._position != self._size:
            raise self._broken(f"{self._position} bytes of {self._size} came")
        return data

    def _broken(self, why: str) -> StorageError:
        return StorageError(
            f"{self._handle.url}: the data broke off: {why}",
            "this server serves no byte ranges, so reading cannot resume: start again, or copy the "
            "file first",
        )
