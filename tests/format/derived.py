"""The derived values of section 5.7 of docs/reference/format.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.format.core import (
    INS,
    LONGEST_COVERED_DELETION,
    MATCHES,
    ON_READ,
    Cigar,
    D,
    H,
    Record,
    S,
    covered,
)

CODES = b"=ACMGRSVTWYHKDBN"
OPERATIONS = b"MIDNSHP=X"


@dataclass
class Differences:
    """How an aligned record differs from the reference."""

    md: bytes
    bases: int
    gaps: int
    gap_bases: int
    matched: int


def differences(record: Record) -> Differences | None:
    """None if the record is not laid out, or has a D that is not covered."""
    if not record.laid_out or any(
        op == D and n > LONGEST_COVERED_DELETION for op, n in record.cigar
    ):
        return None
    gaps = [n for op, n in record.cigar if op in (INS, D)]
    matched = sum(n for op, n in record.cigar if op in MATCHES)
    md, differing = _md(record)
    return Differences(md, differing, len(gaps), sum(gaps), matched)


def _md(record: Record) -> tuple[bytes, int]:
    """MD, and the number of differing bases."""
    out, run, differing = bytearray(), 0, 0
    for op, bases, reference in _operations(record):
        if op == D:
            out += b"%d^%b" % (run, bytes(CODES[code] for code in reference))
            run = 0
            continue
        for base, code in zip(bases, reference, strict=True):
            if base == 0 or base == code != 15:
                run += 1
            else:
                out += b"%d%c" % (run, CODES[code])
                run, differing = 0, differing + 1
    return bytes(out + b"%d" % run), differing


def _operations(record: Record) -> Iterator[tuple[int, list[int], list[int]]]:
    """Each covered operation, with the bases and the reference under it."""
    read, place = 0, 0
    for op, length in record.cigar:
        if covered(op, length):
            yield op, record.bases[read : read + length], record.reference[place : place + length]
            place += length
        if op in ON_READ:
            read += length


def number(tag: bytes, record: Record) -> int:
    """The derived value of an integer tag, 0 if there is none."""
    if tag in (b"MQ", b"ms", b"mc"):
        return _of_mate(tag, record.mate) if record.mate else 0
    found = differences(record)
    if found is None:
        return 0
    if tag == b"AS":
        return found.matched - 5 * found.bases - 6 * found.gaps - found.gap_bases
    return {
        b"NM": found.bases + found.gap_bases,
        b"XM": found.bases,
        b"XO": found.gaps,
        b"XG": found.gap_bases,
    }[tag]


def text(tag: bytes, record: Record) -> bytes | None:
    """The derived value of MD or MC, None if there is none."""
    if tag == b"MC":
        return cigar_text(record.mate.cigar) if record.mate else None
    found = differences(record)
    return found.md if found else None


def _of_mate(tag: bytes, mate: Record) -> int:
    if tag == b"MQ":
        return mate.mapq
    if tag == b"ms":
        return sum(q for q in mate.qualities if 15 <= q <= 254)
    if mate.flag & 4:
        return 0
    if mate.flag & 0x10:
        return mate.end + _clipped(mate.cigar[::-1])
    return mate.pos + 1 - _clipped(mate.cigar)


def _clipped(cigar: Cigar) -> int:
    total = 0
    for op, length in cigar:
        if op not in (S, H):
            break
        total += length
    return total


def cigar_text(cigar: Cigar) -> bytes:
    return b"".join(b"%d%c" % (n, OPERATIONS[op]) for op, n in cigar) or b"*"
