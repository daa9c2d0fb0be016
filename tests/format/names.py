"""Section 5.4 of docs/reference/format.md: read names."""

from __future__ import annotations

from tests.format.core import Record
from tests.format.cursor import Corrupt, Cursor
from tests.format.primitives import integers, stream, terminated, texts

TEXT, NUMBERS, STEPS, HUNDREDS, LATTICE = range(5)
# x offset, x pitch, y offset, y pitch of each instrument
INSTRUMENTS = (
    (999.9947, 9.0405267, 1015.9163, 15.6572687),
    (1009.8, 10.15, 1009.9, 17.58),
)


def read(cursor: Cursor, records: list[Record]) -> None:
    heads = [record for record in records if record.is_head]
    for head, name in zip(heads, _names(cursor, len(heads)), strict=True):
        head.name = name
    for i, record in enumerate(records):
        if record.link:
            records[i + record.link].name = record.name


def _names(cursor: Cursor, count: int) -> list[bytes]:
    mode = cursor.varint()
    if mode == 0:
        return terminated(stream(cursor))
    if mode == 1:
        return _from_fields(cursor, count)
    raise Corrupt(f"name mode {mode}")


def _from_fields(cursor: Cursor, count: int) -> list[bytes]:
    separators = stream(cursor)
    fields: list[list[bytes]] = []
    while len(fields) <= len(separators):
        fields += _field(cursor, count)
    names = fields[0]
    for separator, field in zip(separators, fields[1:], strict=True):
        between = bytes([separator])
        names = [name + between + value for name, value in zip(names, field, strict=True)]
    return names


def _field(cursor: Cursor, count: int) -> list[list[bytes]]:
    """The values of one field, or of the two of a lattice."""
    kind = cursor.varint()
    if kind == TEXT:
        return [texts(cursor, count)]
    if kind == NUMBERS:
        return [_decimal(integers(cursor, count))]
    if kind == STEPS:
        return [_decimal(sums(integers(cursor, count)))]
    if kind == HUNDREDS:
        high, low = integers(cursor, count), integers(cursor, count)
        return [_decimal([100 * a + b for a, b in zip(high, low, strict=True)])]
    if kind == LATTICE:
        return _lattice(cursor, count)
    raise Corrupt(f"field of kind {kind}")


def _lattice(cursor: Cursor, count: int) -> list[list[bytes]]:
    offset_x, pitch_x, offset_y, pitch_y = INSTRUMENTS[cursor.varint()]
    kx = integers(cursor, count)
    ky = [2 * h + (k % 2 == 0) for k, h in zip(kx, integers(cursor, count), strict=True)]
    x = _coordinates(cursor, kx, offset_x, pitch_x)
    y = _coordinates(cursor, ky, offset_y, pitch_y)
    return [_decimal(x), _decimal(y)]


def _coordinates(cursor: Cursor, ks: list[int], offset: float, pitch: float) -> list[int]:
    distinct = sorted(set(ks))
    o, p = int(offset * 2**20), int(pitch * 2**20)
    extra = integers(cursor, len(distinct))
    value = {k: (o + k * p + 2**19 >> 20) + e for k, e in zip(distinct, extra, strict=True)}
    return [value[k] for k in ks]


def sums(steps: list[int]) -> list[int]:
    total, out = 0, []
    for step in steps:
        total += step
        out.append(total)
    return out


def _decimal(numbers: list[int]) -> list[bytes]:
    return [b"%d" % number for number in numbers]
