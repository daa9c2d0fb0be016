"""What can be uploaded: anything with bytes that can be read again from a given place."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from bams3.storage.objects import Reader


class Source(Protocol):
    """Where bytes come from; may be read by several threads at once if it is seekable.

    Opening one (the constructor) finds out that it exists and can be read, before anything is
    begun on the other side.
    """

    @property
    def url(self) -> str:
        """The address, for messages and outcomes; without secrets."""

    @property
    def name(self) -> str:
        """The last part of the address, which is appended to a destination that ends in `/`."""

    @property
    def size(self) -> int | None:
        """Bytes; None where nobody knows (a stream)."""

    @property
    def seekable(self) -> bool:
        """Whether `open` may begin anywhere, and as often as one likes.

        If not, `open(0, None)` is called once and read to the end.
        """

    @property
    def digests(self) -> Mapping[str, str]:
        """Digests that the source itself states, hex by algorithm (`md5`, `crc64nvme`)."""

    def fingerprint(self) -> str:
        """Ask the source now which version of its bytes it has: size and mtime, ETag, ...

        Two different answers mean that it has changed. "" where it cannot tell.
        """

    def open(self, start: int, end: int | None) -> AbstractContextManager[Reader]:
        """Return a reader of the bytes [start, end); `end` None for all that follows.

        Its errors are `Bams3Error`s; a source that ends early simply ends.
        """
