"""Section 6 of docs/reference/format.md: the mixing coder of qualities."""

from __future__ import annotations

from array import array

from tests.format.cursor import Corrupt, Cursor

MASK = 0xFFFFFFFF
MODELS, CONTEXTS = 7, 1 << 14
RATES = [131072 // (2 * count + 3) for count in range(401)]
NEXT_COUNT = [min(count + 1, 400) for count in range(401)]

Tree = list[list[int]]  # of each inner node the two branches: an inner node, or ~symbol


def decode(payload: bytes, lengths: list[int]) -> bytes:
    """The qualities of all records of these lengths, joined."""
    cursor = Cursor(payload)
    symbols = cursor.take(cursor.byte() + 1)
    tree = _tree(cursor.take(len(symbols)))
    coder = _Coder(cursor.rest(), tree, len(symbols))
    out = b"".join(bytes(symbols[i] for i in _record(coder, length)) for length in lengths)
    if coder.position != len(coder.data):
        raise Corrupt("bytes after the qualities")
    return out


# ---- the tree ------------------------------------------------------------------------------------
def _tree(lengths: bytes) -> Tree:
    if len(lengths) == 1:
        return [[~0, ~0]]
    tree: Tree = [[0, 0]]
    code = before = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        code <<= length - before
        _insert(tree, code, length, symbol)
        code, before = code + 1, length
    if code != 1 << before or any(0 in branches for branches in tree):
        raise Corrupt("not a prefix code")
    return tree


def _insert(tree: Tree, code: int, length: int, symbol: int) -> None:
    node = 0
    for k in range(length - 1, 0, -1):
        bit = code >> k & 1
        if not tree[node][bit]:
            tree[node][bit] = len(tree)
            tree.append([0, 0])
        node = tree[node][bit]
    tree[node][code & 1] = ~symbol


# ---- contexts ------------------------------------------------------------------------------------
def _record(coder: _Coder, length: int) -> list[int]:
    last = (0,) * 8
    delta = mean = 0
    out: list[int] = []
    for position in range(length):
        numbers = _contexts(last, position, delta, mean, coder.many)
        symbol = coder.symbol(numbers, last[0])
        if position:
            delta += abs(symbol - last[0])
            mean += symbol - (mean >> 4)
        else:
            mean = 16 * symbol
        last = (symbol, *last[:7])
        out.append(symbol)
    return out


def _contexts(
    last: tuple[int, ...], position: int, delta: int, mean: int, many: bool
) -> tuple[int, ...]:
    a, b, c, d, e, f, _, _ = last
    slow = min(delta >> 1, 31 + (delta >> 5), 63)
    return (
        _hash(1, a, b),
        _hash(2, a, b, c),
        _hash(3, a, max(b, c), slow >> 1),
        _hash(4, a, min(position, 511) >> 1),
        _hash(5, a, max(c, d), mean >> 4),
        _hash(6, a, b, max(c, d), max(e, f) >> 2) if many else _hash(6, *last),
        _hash(7, position >> 2, delta >> 2, a >> 1),
    )


def _hash(*parts: int) -> int:
    s = 0
    for part in parts:
        s = (s ^ part) * 0x9E3779B1 & MASK
        s = (s << 13 | s >> 19) & MASK
    return (s * 0x85EBCA6B & MASK) >> 18


# ---- logistic tables -----------------------------------------------------------------------------
def _squash_table() -> list[int]:
    """squash(x) for -2048 <= x < 2048 at x + 2048."""
    table = [0] * 4096
    p = 1.0
    for x in range(2048):
        q = int(65536 * p / (p + 1))
        table[2048 - x], table[2048 + x] = 65536 - q, min(q, 65535)
        p *= 1.0039138893383475
    table[0] = table[1]
    return table


def _stretch_table() -> list[int]:
    """stretch(p) for 12-bit p."""
    table, x = [], -2048
    for p in range(4096):
        while x < 2047 and SQUASH[x + 2048] < 16 * p + 8:
            x += 1
        table.append(x)
    return table


SQUASH = _squash_table()
STRETCH = _stretch_table()


# ---- bits ----------------------------------------------------------------------------------------
class _Coder:
    def __init__(self, data: bytes, tree: Tree, count: int) -> None:
        self.tree, self.many = tree, count > 8
        self.stride = 1 << (len(tree) - 1).bit_length()
        self.words = array("I", [1 << 31]) * (MODELS * CONTEXTS * self.stride)
        self.weights = [(21845,) * 8] * (256 * self.stride)
        self.data, self.position = data, 4
        self.low, self.high = 0, MASK
        self.value = int.from_bytes(self.data[:4], "big")

    def symbol(self, numbers: tuple[int, ...], a: int) -> int:
        """The number of the next symbol, in these contexts of the models."""
        words, stride = self.words, self.stride
        bases = [(m * CONTEXTS + c) * stride for m, c in enumerate(numbers)]
        node = 0
        while node >= 0:
            at = (a & 255) * stride + node
            places = [base + node for base in bases]
            values = [words[place] for place in places]
            inputs = [STRETCH[value >> 20] for value in values]
            bit = self._bit(inputs, at)
            target = 4194303 * bit
            for place, value in zip(places, values, strict=True):
                chance, count = value >> 10, value & 1023
                chance += (target - chance) * RATES[count] >> 16
                words[place] = chance << 10 | NEXT_COUNT[count]
            node = self.tree[node][bit]
        return ~node

    def _bit(self, inputs: list[int], at: int) -> int:
        """Mix what the models say, decode a bit, and correct the weights."""
        x0, x1, x2, x3, x4, x5, x6 = inputs
        w0, w1, w2, w3, w4, w5, w6, w7 = self.weights[at]
        total = x0 * w0 + x1 * w1 + x2 * w2 + x3 * w3 + x4 * w4 + x5 * w5 + x6 * w6 + 256 * w7
        p = SQUASH[max(-2047, min(2047, total >> 16)) + 2048]
        bit = self._coded(p)
        error, half = 6 * ((bit << 16) - p), 1 << 18
        self.weights[at] = (
            w0 + (x0 * error + half >> 19),
            w1 + (x1 * error + half >> 19),
            w2 + (x2 * error + half >> 19),
            w3 + (x3 * error + half >> 19),
            w4 + (x4 * error + half >> 19),
            w5 + (x5 * error + half >> 19),
            w6 + (x6 * error + half >> 19),
            w7 + (256 * error + half >> 19),
        )
        return bit

    def _coded(self, p: int) -> int:
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.value <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while (self.low ^ self.high) >> 24 == 0:
            self._shift()
        return bit

    def _shift(self) -> None:
        if self.position >= len(self.data):
            raise Corrupt("the mixing coder reads beyond the end")
        self.low = self.low << 8 & MASK
        self.high = self.high << 8 & MASK | 255
        self.value = self.value << 8 & MASK | self.data[self.position]
        self.position += 1
