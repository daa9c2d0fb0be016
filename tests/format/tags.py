"""Section 5.7 of docs/reference/format.md: tags."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.format import derived
from tests.format.core import Record
from tests.format.cursor import Corrupt, Cursor
from tests.format.primitives import integers, stream, texts

SIZES = {"c": 1, "C": 1, "A": 1, "s": 2, "S": 2, "i": 4, "I": 4, "f": 4, "d": 8}
INTEGERS = {"c": "<b", "C": "<B", "s": "<h", "S": "<H", "i": "<i", "I": "<I"}

Kind = tuple[bytes, str, str]  # letters, type, element type


def read(cursor: Cursor, records: list[Record]) -> None:
    """Give each record its tags as the bytes of BAM."""
    chosen = integers(cursor, len(records))
    lists = _lists(cursor)
    users: dict[Kind, list[Record]] = {}
    for kinds in lists:
        users.update((_key(kind), []) for kind in kinds if _key(kind) not in users)
    for record, which in zip(records, chosen, strict=True):
        for kind in lists[which]:
            users[_key(kind)].append(record)
    columns = {key: _column(cursor, key, group) for key, group in users.items()}
    for record, which in zip(records, chosen, strict=True):
        record.tags = b"".join(_tag(kind, next(columns[_key(kind)])) for kind in lists[which])


def _lists(cursor: Cursor) -> list[list[Kind]]:
    lengths = integers(cursor, cursor.varint())
    joined = Cursor(stream(cursor))
    return [[_kind(joined.take(4)) for _ in range(length // 4)] for length in lengths]


def _kind(raw: bytes) -> Kind:
    return raw[:2], chr(raw[2]), chr(raw[3]) if raw[3] else ""


def _key(kind: Kind) -> Kind:
    letters, type_, element = kind
    return letters, "i" if type_ in INTEGERS else type_, element


def _tag(kind: Kind, value: int | bytes) -> bytes:
    letters, type_, _ = kind
    if type_ in INTEGERS:
        value = struct.pack(INTEGERS[type_], value)
    return letters + type_.encode() + value


# ---- columns -------------------------------------------------------------------------------------
def _column(cursor: Cursor, key: Kind, group: list[Record]) -> Iterator[int | bytes]:
    letters, type_, element = key
    if type_ == "i":
        return iter(_numbers(cursor, letters, group))
    if type_ in "ZH":
        return iter([text + b"\0" for text in _texts(cursor, letters, group)])
    if type_ == "B":
        return iter(_arrays(cursor, element, len(group)))
    return iter(_fixed(cursor, SIZES[type_]))


def _numbers(cursor: Cursor, letters: bytes, group: list[Record]) -> list[int]:
    mode = cursor.varint()
    values = integers(cursor, len(group))
    if mode == 0:
        return values
    if mode != 1:
        raise Corrupt(f"mode {mode} of an integer tag")
    return [v + derived.number(letters, r) for v, r in zip(values, group, strict=True)]


def _texts(cursor: Cursor, letters: bytes, group: list[Record]) -> list[bytes]:
    if letters not in (b"MD", b"MC"):
        return texts(cursor, len(group))
    same = stream(cursor)
    others = iter(texts(cursor, same.count(0)))
    return [
        derived.text(letters, record) if yes else next(others)
        for record, yes in zip(group, same, strict=True)
    ]


def _arrays(cursor: Cursor, element: str, count: int) -> list[bytes]:
    lengths = integers(cursor, count)
    total, size = cursor.varint(), SIZES[element]
    joined = Cursor(_interleave([stream(cursor) for _ in range(size)], total))
    return [
        element.encode() + struct.pack("<I", length) + joined.take(length * size)
        for length in lengths
    ]


def _fixed(cursor: Cursor, size: int) -> Iterator[bytes]:
    count = cursor.varint()
    joined = Cursor(_interleave([stream(cursor) for _ in range(size)], count))
    return (joined.take(size) for _ in range(count))


def _interleave(planes: list[bytes], count: int) -> bytes:
    out = bytearray(len(planes) * count)
    for k, plane in enumerate(planes):
        out[k :: len(planes)] = plane
    return bytes(out)
