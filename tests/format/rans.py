"""rANS Nx16 (CRAMcodecs section 3)."""

from __future__ import annotations

from collections.abc import Callable

from tests.format.cursor import Corrupt, Cursor

ORDER, N32, STRIPE, NO_SIZE, CAT, RLE, PACK = 1, 4, 8, 16, 32, 64, 128


def decode(payload: bytes, size: int | None = None) -> bytes:
    """The bytes of one rANS Nx16 stream; `size` where the stream does not tell."""
    cursor = Cursor(payload)
    flags = cursor.byte()
    if not flags & NO_SIZE:
        size = cursor.uint7()
    if size is None:
        raise Corrupt("rANS without a size")
    if flags & STRIPE:
        return stripe(cursor, size, decode)
    return _transformed(cursor, flags, size)


def _transformed(cursor: Cursor, flags: int, size: int) -> bytes:
    lanes = 32 if flags & N32 else 4
    packed_size = size
    if flags & PACK:
        symbols, size = pack_header(cursor)
    run_size = size
    if flags & RLE:
        runs, size = _run_header(cursor, lanes)
    if flags & CAT:
        raw = cursor.take(size)
    elif flags & ORDER:
        raw = _order1(cursor, size, lanes)
    else:
        raw = _order0(cursor, size, lanes)
    if flags & RLE:
        raw = _expand_runs(raw, runs, run_size)
    return unpack(raw, symbols, packed_size) if flags & PACK else raw


def stripe(cursor: Cursor, size: int, decode_part: Callable[[bytes, int], bytes]) -> bytes:
    """The bytes of streams that take turns."""
    count = cursor.byte()
    lengths = [cursor.uint7() for _ in range(count)]
    out = bytearray(size)
    for k, length in enumerate(lengths):
        out[k::count] = decode_part(cursor.take(length), size // count + (size % count > k))
    return bytes(out)


# ---- packing: several symbols a byte -------------------------------------------------------------
def pack_header(cursor: Cursor) -> tuple[bytes, int]:
    """The symbols and the size of the packed data."""
    symbols = cursor.take(cursor.byte())
    return symbols, cursor.uint7()


def unpack(packed: bytes, symbols: bytes, size: int) -> bytes:
    """`size` symbols from bytes that hold 1, 2, 4 or 8 of them, the first lowest."""
    if not 1 <= len(symbols) <= 16:
        raise Corrupt(f"{len(symbols)} packed symbols")
    if len(symbols) == 1:
        return symbols * size
    bits = 1 if len(symbols) <= 2 else 2 if len(symbols) <= 4 else 4
    mask = (1 << bits) - 1
    out = bytes(symbols[byte >> s & mask] for byte in packed for s in range(0, 8, bits))
    return out[:size]


# ---- runs ----------------------------------------------------------------------------------------
def _run_header(cursor: Cursor, lanes: int) -> tuple[Cursor, int]:
    """The run lengths, and the size of the data without runs."""
    meta_size = cursor.uint7()
    size = cursor.uint7()
    if meta_size & 1:
        return Cursor(cursor.take(meta_size >> 1)), size
    coded = Cursor(cursor.take(cursor.uint7()))
    return Cursor(_order0(coded, meta_size >> 1, lanes)), size


def _expand_runs(raw: bytes, runs: Cursor, size: int) -> bytes:
    with_runs = set(runs.take(runs.byte() or 256))
    out = bytearray()
    for symbol in raw:
        count = 1 + runs.uint7() if symbol in with_runs else 1
        out += bytes([symbol]) * count
    if len(out) != size:
        raise Corrupt("runs of another length")
    return bytes(out)


# ---- entropy -------------------------------------------------------------------------------------
Table = tuple[list[int], list[int], list[int]]  # symbol of each slot, frequencies, cumulated ones


def _order0(cursor: Cursor, size: int, lanes: int) -> bytes:
    symbols = _alphabet(cursor)
    symbol_of, frequency, start = _table({s: cursor.uint7() for s in symbols}, 12)
    states = [cursor.fixed(4) for _ in range(lanes)]
    out = bytearray(size)
    for i in range(size):
        lane = i % lanes
        state = states[lane]
        slot = state & 4095
        out[i] = symbol = symbol_of[slot]
        state = frequency[symbol] * (state >> 12) + slot - start[symbol]
        states[lane] = state if state >= 32768 else state << 16 | cursor.fixed(2)
    return bytes(out)


def _order1(cursor: Cursor, size: int, lanes: int) -> bytes:
    tables, bits = _tables(cursor)
    states = [cursor.fixed(4) for _ in range(lanes)]
    last = [0] * lanes
    out = bytearray(size)
    part = size // lanes

    def step(lane: int, where: int) -> None:
        symbol_of, frequency, start = tables[last[lane]]
        state = states[lane]
        slot = state & mask
        out[where] = last[lane] = symbol = symbol_of[slot]
        state = frequency[symbol] * (state >> bits) + slot - start[symbol]
        states[lane] = state if state >= 32768 else state << 16 | cursor.fixed(2)

    mask = (1 << bits) - 1
    for i in range(part):
        for lane in range(lanes):
            step(lane, i + lane * part)
    for i in range(part * lanes, size):
        step(lanes - 1, i)
    return bytes(out)


def _alphabet(cursor: Cursor) -> list[int]:
    """Ascending symbols; after two neighbours comes the number of further ones."""
    symbols = [cursor.byte()]
    while symbol := cursor.byte():
        symbols.append(symbol)
        if symbol == symbols[-2] + 1:
            symbols += range(symbol + 1, symbol + 1 + cursor.byte())
    return symbols


def _tables(cursor: Cursor) -> tuple[dict[int, Table], int]:
    """The tables of order 1, of each symbol before."""
    head = cursor.byte()
    bits = head >> 4
    source = cursor
    if head & 1:
        size, coded = cursor.uint7(), cursor.uint7()
        source = Cursor(_order0(Cursor(cursor.take(coded)), size, 4))
    symbols = _alphabet(source)
    rows = [_row(source, symbols) for _ in symbols]
    return {s: _table(row, bits) for s, row in zip(symbols, rows, strict=True)}, bits


def _row(source: Cursor, symbols: list[int]) -> dict[int, int]:
    """Frequencies of all symbols; after a zero comes the number of further zeros."""
    row: dict[int, int] = {}
    zeros = 0
    for symbol in symbols:
        if zeros:
            zeros -= 1
            continue
        if frequency := source.uint7():
            row[symbol] = frequency
        else:
            zeros = source.byte()
    return row


def _table(frequencies: dict[int, int], bits: int) -> Table:
    total = sum(frequencies.values())
    shift = 0
    while total and total << shift < 1 << bits:
        shift += 1
    symbol_of: list[int] = []
    frequency, start = [0] * 256, [0] * 256
    for symbol, count in frequencies.items():
        frequency[symbol], start[symbol] = count << shift, len(symbol_of)
        symbol_of += [symbol] * (count << shift)
    if total and len(symbol_of) != 1 << bits:
        raise Corrupt("rANS frequencies do not add up")
    return symbol_of, frequency, start
