"""The adaptive arithmetic coder (CRAMcodecs section 4)."""

from __future__ import annotations

from collections import defaultdict

from tests.format.cursor import Corrupt, Cursor
from tests.format.rans import CAT, NO_SIZE, ORDER, PACK, RLE, STRIPE, pack_header, stripe, unpack

EXTERNAL = 4
STEP, LIMIT = 16, (1 << 16) - 17


def decode(payload: bytes, size: int | None = None) -> bytes:
    """The bytes of one arithmetic coded stream; `size` where the stream does not tell."""
    cursor = Cursor(payload)
    flags = cursor.byte()
    if not flags & NO_SIZE:
        size = cursor.uint7()
    if size is None or flags & EXTERNAL:
        raise Corrupt(f"arithmetic coder with flags {flags}")
    if flags & STRIPE:
        return stripe(cursor, size, decode)
    full_size = size
    if flags & PACK:
        symbols, size = pack_header(cursor)
    raw = cursor.take(size) if flags & CAT else _entropy(cursor, flags, size)
    return unpack(raw, symbols, full_size) if flags & PACK else raw


def _entropy(cursor: Cursor, flags: int, size: int) -> bytes:
    alphabet = cursor.byte() or 256
    literals = defaultdict(lambda: _Model(alphabet))
    runs = defaultdict(lambda: _Model(4))
    coder = _RangeDecoder(cursor.rest())
    out = bytearray()
    last = 0
    while len(out) < size:
        symbol = literals[last].decode(coder)
        out.append(symbol)
        if flags & RLE:
            out += bytes([symbol]) * _run(coder, runs, symbol)
        last = symbol if flags & ORDER else 0
    if len(out) != size:
        raise Corrupt("a run goes beyond the end")
    return bytes(out)


def _run(coder: _RangeDecoder, runs: dict[int, _Model], symbol: int) -> int:
    """How many more: parts of at most 3, a part of 3 is followed by another."""
    total = part = runs[symbol].decode(coder)
    context = 256
    while part == 3:
        part = runs[context].decode(coder)
        context = 257
        total += part
    return total


class _RangeDecoder:
    def __init__(self, data: bytes) -> None:
        self.data = data + bytes(8)
        self.code = int.from_bytes(self.data[:5], "big") & 0xFFFFFFFF
        self.position = 5
        self.range = 0xFFFFFFFF

    def frequency(self, total: int) -> int:
        self.range //= total
        return self.code // self.range

    def advance(self, start: int, count: int) -> None:
        self.code -= start * self.range
        self.range *= count
        while self.range < 1 << 24:
            if self.position >= len(self.data):
                raise Corrupt("arithmetic coded data ends early")
            self.range <<= 8
            self.code = (self.code << 8 | self.data[self.position]) & 0xFFFFFFFF
            self.position += 1


class _Model:
    """Symbols with adaptive frequencies, frequent ones towards the front."""

    def __init__(self, size: int) -> None:
        self.symbols = list(range(size))
        self.counts = [1] * size
        self.total = size

    def decode(self, coder: _RangeDecoder) -> int:
        target = coder.frequency(self.total)
        if target >= self.total:
            raise Corrupt("arithmetic coded data is broken")
        start, at = 0, 0
        while start + self.counts[at] <= target:
            start += self.counts[at]
            at += 1
        coder.advance(start, self.counts[at])
        return self._learn(at)

    def _learn(self, at: int) -> int:
        symbols, counts = self.symbols, self.counts
        counts[at] += STEP
        self.total += STEP
        if self.total > LIMIT:
            counts[:] = [c - c // 2 for c in counts]
            self.total = sum(counts)
        symbol = symbols[at]
        if at and counts[at] > counts[at - 1]:
            counts[at], counts[at - 1] = counts[at - 1], counts[at]
            symbols[at], symbols[at - 1] = symbols[at - 1], symbols[at]
        return symbol
