"""Section 5.6 of docs/reference/format.md: qualities."""

from __future__ import annotations

from tests.format.core import Record
from tests.format.cursor import Corrupt, Cursor
from tests.format.primitives import mixed_stream, stream


def read(cursor: Cursor, records: list[Record]) -> None:
    present = stream(cursor)
    having = [record for record, yes in zip(records, present, strict=True) if yes]
    joined = Cursor(_joined(cursor, [record.length for record in having]))
    for record, yes in zip(records, present, strict=True):
        if yes:
            order = -1 if record.flag & 0x10 else 1
            record.qualities = joined.take(record.length)[::order]
        else:
            record.qualities = b"\xff" * record.length
    joined.finish()


def _joined(cursor: Cursor, lengths: list[int]) -> bytes:
    mode = cursor.varint()
    if mode == 0:
        return stream(cursor)
    if mode != 1:
        raise Corrupt(f"quality mode {mode}")
    return mixed_stream(cursor, lengths)
