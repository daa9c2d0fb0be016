"""Records of BAM as lines of SAM (SAMv1 sections 1.4 and 4.2)."""

from __future__ import annotations

import struct

from tests.format.cursor import Cursor

CODES = "=ACMGRSVTWYHKDBN"
OPERATIONS = "MIDNSHP=X"
FORMATS = {
    "c": "b", "C": "B", "s": "h", "S": "H", "i": "i", "I": "I", "f": "f", "d": "d",
}  # fmt: skip


def line(packed: bytes, contigs: list[bytes]) -> bytes:
    """One line, with its line break."""
    cursor = Cursor(packed[4:])
    tid, pos, name_size, mapq, _, operations, flag, length, rnext, pnext, tlen = struct.unpack(
        "<iiBBHHHiiii", cursor.take(32)
    )
    name = cursor.take(name_size)[:-1].decode()
    cigar = _cigar(cursor.take(4 * operations))
    bases = "".join(CODES[b >> 4] + CODES[b & 15] for b in cursor.take((length + 1) // 2))
    qualities = cursor.take(length)
    tags = dict(_tags(cursor))
    if "CG:B" in tags and cigar == f"{length}S{cigar.partition('S')[2]}":
        words = [int(word) for word in tags.pop("CG:B").split(",")[1:]]
        cigar = _cigar(struct.pack(f"<{len(words)}I", *words))
    fields = [
        name,
        str(flag),
        _contig(tid, contigs),
        str(pos + 1),
        str(mapq),
        cigar,
        "=" if rnext == tid >= 0 else _contig(rnext, contigs),
        str(pnext + 1),
        str(tlen),
        bases[:length] or "*",
        "*" if not length or qualities[0] == 255 else bytes(q + 33 for q in qualities).decode(),
        *(f"{tag}:{value}" for tag, value in tags.items()),
    ]
    return "\t".join(fields).encode() + b"\n"


def _contig(tid: int, contigs: list[bytes]) -> str:
    return contigs[tid].decode() if tid >= 0 else "*"


def _cigar(raw: bytes) -> str:
    words = struct.unpack(f"<{len(raw) // 4}I", raw)
    return "".join(f"{word >> 4}{OPERATIONS[word & 15]}" for word in words) or "*"


def _tags(cursor: Cursor):
    """Name and type, and value, of each tag."""
    while cursor.left():
        name, kind = cursor.take(2).decode(), chr(cursor.byte())
        if kind in "cCsSiI":
            yield f"{name}:i", _number(cursor, kind)
        elif kind in "fd":
            yield f"{name}:{kind}", _number(cursor, kind)
        elif kind == "A":
            yield f"{name}:A", chr(cursor.byte())
        elif kind == "B":
            element, count = chr(cursor.byte()), cursor.fixed(4)
            values = [_number(cursor, element) for _ in range(count)]
            yield f"{name}:B", ",".join([element, *values])
        else:
            end = cursor.data.index(0, cursor.position)
            yield f"{name}:{kind}", cursor.take(end + 1 - cursor.position)[:-1].decode()


def _number(cursor: Cursor, kind: str) -> str:
    code = FORMATS[kind]
    (value,) = struct.unpack("<" + code, cursor.take(struct.calcsize("<" + code)))
    return f"{value:g}" if kind in "fd" else str(value)
