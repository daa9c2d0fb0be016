"""Section 5.5 of docs/reference/format.md: bases, laid over a consensus."""

from __future__ import annotations

from collections.abc import Iterator

from tests.format.core import MATCHES, ON_READ, ON_REFERENCE, Record, covered
from tests.format.cursor import Cursor
from tests.format.primitives import integers, stream

INDEX_TO_CODE = [b"=ACMGRSVTWYHKDBN".index(letter) for letter in b"ACGTN=MRSVWYHKDB"]


def read(cursor: Cursor, records: list[Record]) -> None:
    """Fill in bases, and the reference under records that are laid out."""
    any_laid_out = cursor.varint() == 1
    for record in records:
        record.laid_out = any_laid_out and record.aligned
    aligned = [record for record in records if record.laid_out]
    number = _number_positions(aligned)
    consensus = _unpack(stream(cursor), len(number))
    reference = _reference(cursor, consensus)
    counts = iter(integers(cursor, len(aligned)))
    gaps = iter(integers(cursor, cursor.varint()))
    values = iter(stream(cursor))
    other = iter(stream(cursor))
    for record in records:
        if record.laid_out:
            places = [number.get((record.tid, p)) for p in _positions(record)]
            spots = _spots(next(counts), gaps)
            record.bases = list(_laid(record, places, consensus, spots, values, other))
            record.reference = [15 if p is None else reference[p] for p in places]
        else:
            record.bases = [INDEX_TO_CODE[next(other)] for _ in range(record.length)]


def _number_positions(aligned: list[Record]) -> dict[tuple[int, int], int]:
    positions = set()
    for record in aligned:
        at = record.pos
        for op, length in record.cigar:
            if covered(op, length):
                positions.update((record.tid, p) for p in range(at, at + length))
            if op in ON_REFERENCE:
                at += length
    return {position: i for i, position in enumerate(sorted(positions))}


def _unpack(packed: bytes, count: int) -> list[int]:
    return [byte >> s & 3 for byte in packed for s in (0, 2, 4, 6)][:count]


def _reference(cursor: Cursor, consensus: list[int]) -> list[int]:
    codes = [INDEX_TO_CODE[i] for i in consensus]
    at = -1
    count = cursor.varint()
    for distance, code in zip(integers(cursor, count), stream(cursor), strict=True):
        at += 1 + distance
        codes[at] = code
    return codes


def _positions(record: Record) -> Iterator[int]:
    """The positions under covered operations, as often as the record has them."""
    at = record.pos
    for op, length in record.cigar:
        if covered(op, length):
            yield from range(at, at + length)
        if op in ON_REFERENCE:
            at += length


def _spots(count: int, gaps: Iterator[int]) -> set[int]:
    """Which of a record's matched bases differ from the consensus."""
    at, spots = -1, set()
    for _ in range(count):
        at += 1 + next(gaps)
        spots.add(at)
    return spots


def _laid(
    record: Record,
    places: list[int | None],
    consensus: list[int],
    spots: set[int],
    values: Iterator[int],
    other: Iterator[int],
) -> Iterator[int]:
    place, matches = 0, 0
    for op, length in record.cigar:
        if op in MATCHES:
            for at in range(place, place + length):
                index = consensus[places[at]]
                if matches in spots:
                    index = _substitute(index, next(values))
                matches += 1
                yield INDEX_TO_CODE[index]
        elif op in ON_READ:
            for _ in range(length):
                yield INDEX_TO_CODE[next(other)]
        if covered(op, length):
            place += length


def _substitute(index: int, value: int) -> int:
    return (index + 1 + value) % 4 if value < 3 else value + 1
