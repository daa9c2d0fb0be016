"""Section 3 of docs/reference/format.md: records as the canonical bytes of BAM, and as SAM text."""

from __future__ import annotations

import struct

import xxhash

from tests.format.core import ON_REFERENCE, Cigar, N, Record, S

LONGEST_CIGAR = 65535


def pack(record: Record) -> bytes:
    """A record as BAM has it, with its block_size."""
    cigar, tags = record.cigar, record.tags
    if len(cigar) > LONGEST_CIGAR:
        tags += b"CGBI" + struct.pack("<I", len(cigar)) + _cigar(cigar)
        cigar = [(S, record.length), (N, _reference_length(cigar))]
    name = record.name + b"\0"
    body = struct.pack(
        "<iiBBHHHiiii",
        *(record.tid, record.pos, len(name), record.mapq, reg2bin(record.pos, record.end)),
        *(len(cigar), record.flag, record.length, record.rnext, record.pnext, record.tlen),
    )
    body += name + _cigar(cigar) + _bases(record.bases) + record.qualities + tags
    return struct.pack("<I", len(body)) + body


def _reference_length(cigar: Cigar) -> int:
    return sum(n for op, n in cigar if op in ON_REFERENCE)


def _cigar(cigar: Cigar) -> bytes:
    return struct.pack(f"<{len(cigar)}I", *(n << 4 | op for op, n in cigar))


def _bases(codes: list[int]) -> bytes:
    even = codes + [0] * (len(codes) % 2)
    return bytes(a << 4 | b for a, b in zip(even[::2], even[1::2], strict=True))


def reg2bin(start: int, end: int) -> int:
    """The bin of SAMv1 section 5.3."""
    last = end - 1
    for shift, offset in ((14, 4681), (17, 585), (20, 73), (23, 9), (26, 1)):
        if start >> shift == last >> shift:
            return offset + (start >> shift) & 0xFFFF
    return 0


def digest(packed: bytes) -> int:
    """What a record adds to the digest of a dataset."""
    return xxhash.xxh3_128_intdigest(packed[4:14] + b"\0\0" + packed[16:])
