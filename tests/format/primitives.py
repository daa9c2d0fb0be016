"""Section 4 of docs/reference/format.md: varints, streams, columns of integers and texts."""

from __future__ import annotations

import xxhash

from tests.format import arith, mixing, rans, tokens, zstd
from tests.format.cursor import Corrupt, Cursor


def stream(cursor: Cursor) -> bytes:
    """The bytes of a stream, with any of the general methods."""
    length, coded = open_stream(cursor)
    return decode_stream(length, coded)


def open_stream(cursor: Cursor) -> tuple[int, bytes]:
    """The raw length and the coded bytes (method and payload) of a stream."""
    length = cursor.varint()
    return length, cursor.take(cursor.varint())


def decode_stream(length: int, coded: bytes) -> bytes:
    method, payload = coded[0], coded[1:]
    if method == 0:
        raw = payload
    elif method == 1:
        raw = payload * length if len(payload) == 1 else b""
    elif method == 2:
        raw = zstd.decode(payload, length)
    elif method == 3:
        raw = rans.decode(payload)
    elif method == 4:
        raw = arith.decode(payload)
    elif method == 5:
        raw = tokens.decode(payload)
    else:
        raise Corrupt(f"stream method {method}")
    if len(raw) != length:
        raise Corrupt(f"method {method} gave {len(raw)} bytes instead of {length}")
    return raw


def mixed_stream(cursor: Cursor, lengths: list[int]) -> bytes:
    """The bytes of a stream that section 6 codes, of records of these lengths."""
    size, coded = open_stream(cursor)
    if size != sum(lengths):
        raise Corrupt("a mixed stream of another length")
    return mixing.decode(coded, lengths)


def integers(cursor: Cursor, count: int) -> list[int]:
    """A column of `count` signed integers."""
    values = _integers(cursor, count)
    if len(values) != count:
        raise Corrupt(f"{len(values)} integers instead of {count}")
    return values


def _integers(cursor: Cursor, count: int) -> list[int]:
    mode = cursor.varint()
    if mode == 0:
        return [unzigzag(v) for v in _escaped(cursor)]
    if mode == 1:
        planes = [stream(cursor) for _ in range(cursor.varint())]
        return [unzigzag(sum(p[i] << 8 * k for k, p in enumerate(planes))) for i in range(count)]
    if mode == 2:
        values = [unzigzag(cursor.varint()) for _ in range(cursor.varint())]
        return [values[i] for i in stream(cursor)]
    raise Corrupt(f"integer mode {mode}")


def _escaped(cursor: Cursor) -> list[int]:
    small, large = stream(cursor), Cursor(stream(cursor))
    return [b if b < 255 else 255 + large.varint() for b in small]


def texts(cursor: Cursor, count: int) -> list[bytes]:
    """A column of `count` byte strings."""
    mode = cursor.varint()
    if mode == 0:
        distinct = terminated(stream(cursor))
        return [distinct[i] for i in stream(cursor)]
    if mode == 1:
        return terminated(stream(cursor))
    if mode in (2, 3):
        lengths = integers(cursor, count)
        joined = Cursor(stream(cursor) if mode == 2 else mixed_stream(cursor, lengths))
        return [joined.take(length) for length in lengths]
    raise Corrupt(f"text mode {mode}")


def terminated(raw: bytes) -> list[bytes]:
    """The strings of NUL-terminated `raw`."""
    if raw and raw[-1]:
        raise Corrupt("no NUL at the end")
    return raw.split(b"\0")[:-1]


def unzigzag(v: int) -> int:
    return (v >> 1) ^ -(v & 1)


def open_section(raw: bytes) -> Cursor:
    """A section without its checksum, which is verified."""
    body, checksum = raw[:-8], raw[-8:]
    if xxhash.xxh3_64_intdigest(body) != int.from_bytes(checksum, "little"):
        raise Corrupt("the checksum of a section is wrong")
    return Cursor(body)
