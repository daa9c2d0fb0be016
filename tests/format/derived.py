"""The derived values of section 5.7 of docs/reference/format.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.format.core import LONGEST_COVERED_DELETION, MATCHES, Cigar, D, H, I, Record, S, covered

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
    """None if the record is not aligned, or has a D that is not covered."""
    if not record.aligned or any(
        op == D and n > LONGEST_COVERED_DELETION for op, n in record.cigar
    ):
        return None
    gaps = [n for op, n in record.cigar if op in (I, D)]
    matched = sum(n for op, n in record.cigar if op in MATCHES)
    md, differing = _md(record)
    return Differences(md, differing, len(gaps), sum(gaps), matched)


def _md(record: Record) -> tuple[bytes, int]:
    out, run, differing, in_deletion = bytearray(), 0, 0, False
    for op, base, reference in _columns(record):
        if op == D:
            if not in_deletion:
                out += b"%d^" % run
                run = 0
            out.append(CODES[reference])
        elif base == 0 or base == reference != 15:
            run += 1
        else:
            out += b"%d%c" % (run, CODES[reference])
            run, differing = 0, differing + 1
        in_deletion = op == D
    return bytes(out + b"%d" % run), differing


def _columns(record: Record) -> Iterator[tuple[int, int, int]]:
    """Operation, base and reference of each covered position."""
    read, place = 0, 0
    for op, length in record.cigar:
        if covered(op, length):
            for k in range(length):
                base = 0 if op == D else record.bases[read + k]
                yield op, base, record.reference[place + k]
            place += length
        if op in MATCHES or op in (I, S):
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
