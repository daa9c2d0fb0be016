"""BGZF and gzip streams, cut for worker threads; whatever is cut short raises `InputError`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator

from bams3 import _core
from bams3.errors import InputError

END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that ends a BGZF file (SAMv1 4.1.2)."""
TRUNCATED = "the input is truncated: copy or write it again"


def is_bgzf(head: bytes) -> bool:
    """Tell whether a gzip stream begins with a BGZF block."""
    return head[:4] == b"\x1f\x8b\x08\x04" and head[12:16] == b"BC\x02\x00"


def whole_pieces(
    complete: Callable[[bytes], int], data: Iterable[bytes]
) -> Generator[bytes, None, bytes]:
    """Yield pieces of a stream that are whole, in order; return what is left at its end.

    Args:
        complete: Returns how many of the first bytes are whole: blocks, records, lines.
        data: The stream.
    """
    held = b""
    for more in data:
        held += more
        if length := complete(held):
            yield held[:length]
            held = held[length:]
    return held


def bgzf_blocks(data: Iterator[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Yield offsets and runs of whole BGZF blocks; at the end there must be the end marker."""
    held, tail, offset = b"", b"", 0
    for more in data:
        held = held + more if held else more
        whole = _whole(held, offset, name)
        tail = (tail + held[max(0, whole - len(END_OF_FILE)) : whole])[-len(END_OF_FILE) :]
        if whole:
            yield offset, held[:whole]
        held, offset = held[whole:], offset + whole
    if held:
        raise InputError(f"{name}: the last BGZF block is cut off", TRUNCATED)
    if tail != END_OF_FILE:
        raise InputError(f"{name}: the BGZF end-of-file marker is missing", TRUNCATED)


def _whole(held: bytes, offset: int, name: str) -> int:
    try:
        return _core.bgzf_complete(held)[0]
    except InputError as error:
        raise _placed(error, offset, name) from None


def inflate(blocks: tuple[int, bytes], name: str) -> bytes:
    """Inflate what `bgzf_blocks` yielded."""
    try:
        return _core.bgzf_inflate(blocks[1])
    except InputError as error:
        raise _placed(error, blocks[0], name) from None


def _placed(error: InputError, offset: int, name: str) -> InputError:
    return InputError(f"{name}: {error.message} (counted from byte {offset})", error.hint)


def gunzip(data: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    """Inflate a plain gzip stream of one or more members, in blocks of about `size`."""
    inflater, fresh = zlib.decompressobj(31), True
    try:
        for more in data:
            while more:
                if inflater.eof:
                    inflater = zlib.decompressobj(31)
                block = inflater.decompress(more, size)
                more = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                fresh = False
                if block:
                    yield block
    except zlib.error as error:
        raise InputError(f"{name}: damaged gzip data: {error}") from error
    if fresh or not inflater.eof:
        raise InputError(f"{name}: the gzip data is cut off", TRUNCATED)
