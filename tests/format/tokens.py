"""The name tokeniser (CRAMcodecs section 5)."""

from __future__ import annotations

from tests.format import arith, rans
from tests.format.cursor import Corrupt, Cursor

TYPE, STRING, CHAR, DIGITS0, DZLEN, DUP, DIFF, DIGITS, DELTA, DELTA0, MATCH, NOP, END = range(13)

Token = tuple[bytes, int]  # text, and value of a number
Columns = dict[tuple[int, int], Cursor]


def decode(payload: bytes) -> bytes:
    """The names of one stream, each with a NUL behind it."""
    cursor = Cursor(payload)
    size, count, arithmetic = cursor.fixed(4), cursor.fixed(4), cursor.byte()
    columns = _columns(cursor, count, arith.decode if arithmetic else rans.decode)
    history: list[list[Token]] = []
    for _ in range(count):
        history.append(_name(columns, history))
    out = b"".join(b"".join(text for text, _ in tokens) + b"\0" for tokens in history)
    if len(out) != size:
        raise Corrupt("names of another length")
    return out


def _columns(cursor: Cursor, count: int, decompress) -> Columns:
    """The byte streams of each position and type."""
    raw: dict[tuple[int, int], bytes] = {}
    position = -1
    while cursor.left():
        head = cursor.byte()
        kind = head & 63
        if head & 128:
            position += 1
            if kind != TYPE:
                raw[position, TYPE] = bytes([kind]) + bytes([MATCH]) * (count - 1)
        if head & 64:
            raw[position, kind] = raw[cursor.byte(), cursor.byte()]
        else:
            raw[position, kind] = decompress(cursor.take(cursor.uint7()))
    return {key: Cursor(value) for key, value in raw.items()}


def _name(columns: Columns, history: list[list[Token]]) -> list[Token]:
    kind = columns[0, TYPE].byte()
    distance = columns[0, kind].fixed(4)
    if distance > len(history):
        raise Corrupt("a name refers to one before the first")
    before = history[-distance] if distance else []
    if kind == DUP:
        return before
    tokens: list[Token] = [(b"", 0)]
    while kind != END:
        at = len(tokens)
        kind = columns[at, TYPE].byte()
        tokens.append(_token(columns, at, kind, before))
    return tokens


def _token(columns: Columns, at: int, kind: int, before: list[Token]) -> Token:
    if kind == CHAR:
        return columns[at, CHAR].take(1), 0
    if kind == STRING:
        return _string(columns[at, STRING]), 0
    if kind == DIGITS:
        return _number(columns[at, DIGITS].fixed(4), 0)
    if kind == DIGITS0:
        return _number(columns[at, DIGITS0].fixed(4), columns[at, DZLEN].byte())
    if kind == DELTA:
        return _number(before[at][1] + columns[at, DELTA].byte(), 0)
    if kind == DELTA0:
        return _number(before[at][1] + columns[at, DELTA0].byte(), len(before[at][0]))
    if kind == MATCH:
        return before[at]
    return b"", 0


def _number(value: int, width: int) -> Token:
    return b"%0*d" % (width, value), value


def _string(cursor: Cursor) -> bytes:
    end = cursor.data.index(0, cursor.position)
    text = cursor.take(end - cursor.position)
    cursor.take(1)
    return text
