"""What the server serves: something with a size, a version and bytes to read.

A local file, an object in S3 and a virtual BAM look the same to the code that answers ranges
(`bams3.server.app`). A root (`bams3.server.roots`) turns a key into a `Resource`; whoever asked for
it closes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

BINARY = "application/octet-stream"
"""The media type of all data: nobody shall render it, sniff it or unpack it."""


@runtime_checkable
class Resource(Protocol):
    """One version of something that can be read by byte range."""

    @property
    def name(self) -> str:
        """Its last path part, with which a client would save it: `sample.bam`."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def etag(self) -> str:
        """Strong and quoted; the same etag under the same key means the same bytes."""

    @property
    def modified(self) -> datetime:
        """Last modification, with time zone."""

    @property
    def media_type(self) -> str:
        """Media type of the whole; `BINARY` for all data."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [start, end), 0 <= start <= end <= size, in pieces of at most 4 MiB.

        Called from a worker thread; each step may block. Nothing is read ahead of the caller by
        more than a piece, and nothing more after the iterator's `close`, so the first pieces are
        small where the end is far away: most clients leave early.

        Raises:
            StorageError, CorruptError: The bytes of this version are no longer to be had. The
                caller cuts the connection: it never pads, and never goes on with another version.
        """

    def close(self) -> None:
        """Let go of files and connections; safe to call twice."""


class Root(Protocol):
    """A named place whose keys a client may ask for."""

    def open(self, key: str) -> Resource:
        """Return the current version of what `key` names, after all checks of the key.

        Raises:
            NotFoundError: There is no such thing, or clients may not know of it.
            PermissionDenied: The server itself may not read it.
            StorageError: The store failed.
        """
