"""zstd frames by the zstandard package, which plays the part of another team's library."""

from __future__ import annotations

import zstandard

from tests.format.cursor import Corrupt


def decode(frame: bytes, size: int | None = None) -> bytes:
    """The content of one frame."""
    decoder = zstandard.ZstdDecompressor().decompressobj()
    raw = decoder.decompress(frame)
    if not decoder.eof or decoder.unused_data:
        raise Corrupt("not exactly one zstd frame")
    if size is not None and len(raw) != size:
        raise Corrupt("a zstd frame of another size")
    return raw
