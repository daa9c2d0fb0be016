"""Standard input as a source, which is read once and in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import BinaryIO

from bams3.errors import InputError
from bams3.storage.objects import Reader


class StreamSource:
    """An open stream, by default standard input; see `Source` for the methods."""

    url = "-"
    name = ""
    size = None
    seekable = False
    digests: Mapping[str, str] = MappingProxyType({})

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = sys.stdin.buffer if stream is None else stream

    def fingerprint(self) -> str:
        """Return nothing: a stream cannot tell."""
        return ""

    @contextmanager
    def open(self, start: int, end: int | None) -> Iterator[Reader]:
        """Return a reader of all that comes. Raises InputError where it does not begin with 0."""
        if start or end is not None:
            raise InputError("standard input is read once, from its beginning")
        yield _Stream(self._stream)


class _Stream:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readinto(self, buffer: memoryview, /) -> int:
        try:
            return self._stream.readinto(buffer) or 0  # type: ignore[attr-defined]
        except OSError as error:
            raise InputError(f"standard input: cannot be read: {error.strerror}") from error
