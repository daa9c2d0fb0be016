"""Read BGZF from a resource: what lies between two virtual offsets, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bams3 import _core

if TYPE_CHECKING:
    from bams3.server.resources import Resource

BLOCK = 1 << 16


def inflated(resource: Resource, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the inflated bytes from one virtual offset to another, or to the end of the file.

    Raises:
        InputError: There is no BGZF.
    """
    last = resource.size if end is None else min(end >> 16, resource.size)
    skip = begin & 0xFFFF
    at, held = begin >> 16, b""
    for piece in resource.read(at, min(last + (BLOCK if end else 0), resource.size)):
        held += piece
        length, _ = _core.bgzf_complete(held[: last - at])
        if length:
            yield from _nonempty(_core.bgzf_inflate(held[:length])[skip:])
            at, held, skip = at + length, held[length:], 0
    if end and end & 0xFFFF:
        length, _ = _core.bgzf_complete(held)
        yield from _nonempty(_core.bgzf_inflate(held[:length])[skip : end & 0xFFFF])
    elif at < last:
        yield _core.bgzf_inflate(held[: last - at])[skip:]


def _nonempty(data: bytes) -> Iterator[bytes]:
    if data:
        yield data
