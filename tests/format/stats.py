"""Section 9 of docs/reference/format.md: the statistics, and the same counted from records."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.format import zstd
from tests.format.core import MATCHES, Record
from tests.format.cursor import Cursor
from tests.format.primitives import unzigzag

LINES = 16
LONGEST_INSERT = 2000


@dataclass
class Stats:
    """Counts over all records."""

    passed: list[int] = field(default_factory=lambda: [0] * LINES)
    failed: list[int] = field(default_factory=lambda: [0] * LINES)
    bases: int = 0
    longest: int = 0
    contigs: dict[int, list[int]] = field(default_factory=dict)
    mapq: Counter[int] = field(default_factory=Counter)
    inserts: Counter[int] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)


def read(encoded: str) -> Stats:
    """The statistics of a manifest."""
    cursor = Cursor(zstd.decode(base64.b64decode(encoded)))
    flagstat = [cursor.varint() for _ in range(2 * LINES)]
    stats = Stats(flagstat[::2], flagstat[1::2], cursor.varint(), cursor.varint())
    tid = 0
    for _ in range(cursor.varint()):
        tid += unzigzag(cursor.varint())
        stats.contigs[tid] = [cursor.varint() for _ in range(3)]
    stats.mapq, stats.inserts, stats.lengths = (_histogram(cursor) for _ in range(3))
    cursor.finish()
    return stats


def _histogram(cursor: Cursor) -> Counter[int]:
    value, counts = 0, Counter()
    for _ in range(cursor.varint()):
        value += unzigzag(cursor.varint())
        counts[value] = cursor.varint()
    return counts


# ---- counted anew --------------------------------------------------------------------------------
def count(records: Iterable[Record]) -> Stats:
    """The statistics of these records."""
    stats = Stats()
    for record in records:
        _flagstat(stats, record)
        _contig(stats, record)
        stats.bases += record.length
        stats.longest = max(stats.longest, record.length)
        stats.mapq[record.mapq] += 1
        stats.lengths[_rounded(record.length)] += 1
        if record.flag & 0x942 == 0x42:
            stats.inserts[min(abs(record.tlen), LONGEST_INSERT)] += 1
    return stats


def _flagstat(stats: Stats, record: Record) -> None:
    flag = record.flag
    primary, mapped = not flag & 0x900, not flag & 4
    paired = primary and flag & 1
    both = paired and mapped and not flag & 8
    elsewhere = both and record.rnext != record.tid
    answers = (
        True,
        primary,
        flag & 0x100,
        not flag & 0x100 and flag & 0x800,
        flag & 0x400,
        primary and flag & 0x400,
        mapped,
        primary and mapped,
        paired,
        paired and flag & 0x40,
        paired and flag & 0x80,
        paired and flag & 2 and mapped,
        both,
        paired and mapped and flag & 8,
        elsewhere,
        elsewhere and record.mapq >= 5,
    )
    lines = stats.failed if flag & 0x200 else stats.passed
    for i, answer in enumerate(answers):
        lines[i] += bool(answer)


def _contig(stats: Stats, record: Record) -> None:
    row = stats.contigs.setdefault(record.tid, [0, 0, 0])
    unmapped = bool(record.flag & 4)
    row[unmapped] += 1
    if not unmapped:
        row[2] += sum(n for op, n in record.cigar if op in MATCHES)


def _rounded(length: int) -> int:
    """Above 512 with its four highest bits alone."""
    shift = max(0, length.bit_length() - 4) if length > 512 else 0
    return length >> shift << shift
