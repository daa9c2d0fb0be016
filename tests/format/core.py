"""Sections 5.1 and 5.2 of docs/reference/format.md: the core of a tile and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.format.cursor import Corrupt, Cursor
from tests.format.primitives import integers, stream, unzigzag

M, INS, D, N, S, H, P, EQUAL, X = range(9)
ON_READ = frozenset((M, INS, S, EQUAL, X))
ON_REFERENCE = frozenset((M, D, N, EQUAL, X))
MATCHES = frozenset((M, EQUAL, X))
LONGEST_COVERED_DELETION = 10_000

Cigar = list[tuple[int, int]]  # operation code, length


@dataclass
class Record:
    """A record while its columns arrive."""

    tid: int
    pos: int
    flag: int = 0
    mapq: int = 0
    length: int = 0
    cigar: Cigar = field(default_factory=list)
    link: int = 0
    is_head: bool = True
    mate: Record | None = None
    name: bytes = b""
    rnext: int = -1
    pnext: int = -1
    tlen: int = 0
    bases: list[int] = field(default_factory=list)
    laid_out: bool = False
    reference: list[int] = field(default_factory=list)
    qualities: bytes = b""
    tags: bytes = b""
    packed: bytes = b""

    @property
    def end(self) -> int:
        """One beyond the last position; that of a record without any is one beyond pos."""
        if self.flag & 4:
            return self.pos + 1
        return self.pos + max(1, sum(n for op, n in self.cigar if op in ON_REFERENCE))

    @property
    def aligned(self) -> bool:
        on_read = sum(n for op, n in self.cigar if op in ON_READ)
        return self.tid >= 0 and self.pos >= 0 and 0 < self.length == on_read


def covered(op: int, length: int) -> bool:
    return op in MATCHES or (op == D and length <= LONGEST_COVERED_DELETION)


def read(cursor: Cursor) -> list[Record]:
    """The records of a core section."""
    records = _places(cursor)
    _links(cursor, records)
    _flags(cursor, records)
    for record, mapq in zip(records, stream(cursor), strict=True):
        record.mapq = mapq
    for record, length in zip(records, integers(cursor, len(records)), strict=True):
        record.length = length
    _cigars(cursor, records)
    cursor.finish()
    _mates(records)
    return records


def _places(cursor: Cursor) -> list[Record]:
    count = cursor.varint()
    runs = [(unzigzag(cursor.varint()), cursor.varint()) for _ in range(cursor.varint())]
    steps = iter(integers(cursor, count))
    records = []
    for tid, length in runs:
        pos = 0
        for _ in range(length):
            pos += next(steps)
            records.append(Record(tid, pos))
    if len(records) != count:
        raise Corrupt("runs of another length")
    return records


def _links(cursor: Cursor, records: list[Record]) -> None:
    for i, link in enumerate(integers(cursor, len(records))):
        records[i].link = link
        if link:
            if link < 0 or not records[i + link].is_head:
                raise Corrupt("a bad link")
            records[i + link].is_head = False


def _flags(cursor: Cursor, records: list[Record]) -> None:
    heads = [record for record in records if record.is_head]
    for record, flag in zip(heads, integers(cursor, len(heads)), strict=True):
        record.flag = flag
    differences = iter(integers(cursor, len(records) - len(heads)))
    others = {i + r.link: r for i, r in enumerate(records) if r.link}
    for i, record in enumerate(records):
        if not record.is_head:
            record.flag = next(differences) ^ _swapped(others[i].flag)


def _swapped(flag: int) -> int:
    """What the other end of a pair has."""
    if not flag & 1:
        return flag
    return flag & ~0xFC | (flag & 0x54) << 1 | (flag & 0xA8) >> 1


def _cigars(cursor: Cursor, records: list[Record]) -> None:
    shapes = integers(cursor, len(records))
    codes = iter(stream(cursor))
    number = sum((s - 1) // 2 - (s % 2 == 0) for s in shapes if s)
    lengths = iter(integers(cursor, number))
    cursor.varint()
    for record, shape in zip(records, shapes, strict=True):
        if shape == 0:
            record.cigar = [(M, record.length)]
        else:
            ops = [next(codes) for _ in range((shape - 1) // 2)]
            record.cigar = _cigar(record, ops, shape % 2 == 0, lengths)


def _cigar(record: Record, ops: list[int], left_out: bool, lengths) -> Cigar:
    hidden = next(i for i, op in enumerate(ops) if op in MATCHES) if left_out else -1
    cigar = [(op, 0 if i == hidden else next(lengths)) for i, op in enumerate(ops)]
    if left_out:
        others = sum(n for op, n in cigar if op in ON_READ)
        cigar[hidden] = ops[hidden], record.length - others
    return cigar


def _mates(records: list[Record]) -> None:
    for i, head in enumerate(records):
        if head.is_head and head.link:
            template = [head]
            while template[-1].link:
                i += template[-1].link
                template.append(records[i])
            _pair(template)


def _pair(template: list[Record]) -> None:
    primary = [r for r in template if not r.flag & 0x900]
    first = next((r for r in primary if r.flag & 0xC0 == 0x40), None)
    second = next((r for r in primary if r.flag & 0xC0 == 0x80), None)
    for record in template:
        record.mate = {0x40: second, 0x80: first}.get(record.flag & 0xC0)
