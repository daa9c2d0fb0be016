"""Section 5.3 of docs/reference/format.md: RNEXT, PNEXT and TLEN."""

from __future__ import annotations

from tests.format.core import Record
from tests.format.cursor import Cursor
from tests.format.primitives import integers


def read(cursor: Cursor, records: list[Record]) -> None:
    for group in ([r for r in records if r.mate], [r for r in records if not r.mate]):
        columns = [integers(cursor, len(group)) for _ in range(3)]
        for record, rnext, pnext, tlen in zip(group, *columns, strict=True):
            tid, pos = _place(record)
            record.rnext, record.pnext = rnext + tid, pnext + pos
            record.tlen = tlen + _in_range(_tlen(record))


def _place(record: Record) -> tuple[int, int]:
    if record.mate:
        return record.mate.tid, record.mate.pos
    return (record.tid, record.pos) if record.flag & 1 else (-1, -1)


def _tlen(record: Record) -> int:
    if record.flag & 4 or record.tid < 0 or record.rnext != record.tid:
        return 0
    if record.mate:
        return _span(record, record.mate)
    if not record.flag & 1:
        return 0
    if record.flag & 0x10:
        return record.pnext - record.end
    return record.pnext + record.length - record.pos


def _span(record: Record, mate: Record) -> int:
    if mate.flag & 4:
        return 0
    span = max(record.end, mate.end) - min(record.pos, mate.pos)
    is_left = record.pos < mate.pos or (record.pos == mate.pos and record.flag & 0x40)
    return span if is_left else -span


def _in_range(tlen: int) -> int:
    return tlen if -(2**31) <= tlen < 2**31 else 0
