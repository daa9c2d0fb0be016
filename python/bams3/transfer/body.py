"""Bytes of a source as they are sent, and the checksums of what was sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bams3._core import crc64nvme, crc64nvme_combine
from bams3.errors import InputError
from bams3.storage.objects import Part, Reader
from bams3.transfer.sources import Source

_PIECE = 256 << 10


class SourceBody:
    """The bytes [start, end) of a source, to be sent.

    With a fingerprint the source is asked for it after the last byte was read; where it differs
    InputError is raised before the request is complete. With `md5` that digest is known afterwards.
    """

    def __init__(
        self, source: Source, start: int, end: int, fingerprint: str = "", md5: bool = False
    ) -> None:
        self._source, self._start, self._end = source, start, end
        self._fingerprint, self._wanted = fingerprint, md5
        self.size = end - start
        self.md5 = ""

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """Return a reader of the bytes, once more."""
        with self._source.open(self._start, self._end) as reader:
            summed = _Summed(reader) if self._wanted else None
            yield summed or reader
        self.md5 = summed.md5.hexdigest() if summed else ""
        if self._fingerprint and self._source.fingerprint() != self._fingerprint:
            raise changed(self._source)


class _Summed:
    """A reader that takes the MD5 of what passes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.md5 = hashlib.md5(usedforsecurity=False)

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._reader.readinto(buffer)
        self.md5.update(buffer[:count])
        return count


def checksum(body: SourceBody, passing: Callable[[int], None]) -> int:
    """Read a body for its CRC64NVME. Raises InputError where it ends early."""
    buffer, left, crc = memoryview(bytearray(_PIECE)), body.size, 0
    with body.open() as reader:
        while left:
            count = reader.readinto(buffer[: min(left, _PIECE)])
            if not count:
                raise InputError("the source ended early: it became shorter", "start again")
            passing(count)
            crc = crc64nvme(buffer[:count], crc)
            left -= count
    return crc


def combined(parts: Sequence[Part]) -> int:
    """Return the CRC64NVME of the parts in sequence."""
    crc = 0
    for part in parts:
        assert part.crc64nvme is not None
        crc = crc64nvme_combine(crc, part.crc64nvme, part.size)
    return crc


def multipart_etag(parts: Sequence[Part]) -> str:
    """Return the ETag that S3 makes of the parts' MD5s; "" where their etags are none."""
    try:
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def changed(source: Source) -> InputError:
    """Return the error of a source that changed while it was read."""
    return InputError(
        f"{source.url}: changed while it was read; nothing was completed",
        "wait until nobody writes to it, then start over with --force",
    )
