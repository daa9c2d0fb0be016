"""One alignment record, read from its BAM bytes as it is asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

_FIXED = struct.Struct("<iiBBHHHIiii")
_LETTERS = "MIDNSHP=XB"
_BASES = "=ACMGRSVTWYHKDBN"
_PAIRS = [a + b for a in _BASES for b in _BASES]
_NUMBERS = {"c": "<b", "C": "<B", "s": "<h", "S": "<H", "i": "<i", "I": "<I", "f": "<f", "d": "<d"}
_MOST_OPERATIONS = 0xFFFF


class Record:
    """An alignment. Positions are 0-based; what a record does not have is None."""

    __slots__ = ("_contigs", "_data", "_fixed")

    def __init__(self, data: memoryview, contigs: Sequence[str]) -> None:
        self._data = data
        self._contigs = contigs
        self._fixed: tuple[int, ...] = _FIXED.unpack_from(data)

    def __repr__(self) -> str:
        return f"<Record {self.name} {self.flag} {self.contig}:{self.pos} {self.cigar}>"

    @property
    def name(self) -> str | None:
        """Name of the template."""
        name = _text(self._data[32 : 31 + self._fixed[2]])
        return None if name == "*" else name

    @property
    def flag(self) -> int:
        """FLAG bits."""
        return self._fixed[6]

    @property
    def contig(self) -> str | None:
        """Contig on which the record is placed."""
        return self._name_of(self._fixed[0])

    @property
    def pos(self) -> int | None:
        """First aligned position, 0-based."""
        return None if self._fixed[0] < 0 or self._fixed[1] < 0 else self._fixed[1]

    @property
    def end(self) -> int | None:
        """End of the alignment, exclusive; a read without alignment covers one base."""
        if self.pos is None:
            return None
        span = sum(length for length, letter in self._operations() if letter in "MDN=X")
        return self.pos + (1 if self.flag & 4 else max(span, 1))

    @property
    def mapq(self) -> int:
        """Mapping quality."""
        return self._fixed[3]

    @property
    def cigar(self) -> str | None:
        """CIGAR text."""
        return "".join(f"{length}{letter}" for length, letter in self._operations()) or None

    @property
    def mate_contig(self) -> str | None:
        """Contig on which the mate is placed."""
        return self._name_of(self._fixed[8])

    @property
    def mate_pos(self) -> int | None:
        """Position of the mate, 0-based."""
        return None if self._fixed[8] < 0 or self._fixed[9] < 0 else self._fixed[9]

    @property
    def template_length(self) -> int:
        """Signed observed template length (TLEN)."""
        return self._fixed[10]

    @property
    def sequence(self) -> str | None:
        """Bases, in the direction of the contig."""
        packed = self._data[self._bases_at : self._qualities_at]
        return "".join(map(_PAIRS.__getitem__, packed))[: self._fixed[7]] or None

    @property
    def qualities(self) -> bytes | None:
        """Phred qualities, one byte a base."""
        qualities = bytes(self._data[self._qualities_at : self._tags_at])
        return None if not qualities or qualities[0] == 255 else qualities

    @property
    def tags(self) -> dict[str, Any]:
        """Values by tag name: str, int, float, or list for arrays."""
        tags = dict(_tags(bytes(self._data[self._tags_at :])))
        if self._long_cigar(tags) is not None:
            del tags["CG"]
        return tags

    @property
    def _bases_at(self) -> int:
        return 32 + self._fixed[2] + 4 * self._fixed[5]

    @property
    def _qualities_at(self) -> int:
        return self._bases_at + (self._fixed[7] + 1) // 2

    @property
    def _tags_at(self) -> int:
        return self._qualities_at + self._fixed[7]

    def _name_of(self, tid: int) -> str | None:
        return self._contigs[tid] if tid >= 0 else None

    def _operations(self) -> list[tuple[int, str]]:
        ops = self._stored_operations()
        if self._is_stand_in(ops):
            tags = dict(_tags(bytes(self._data[self._tags_at :])))
            ops = self._long_cigar(tags) or ops
        return [(op >> 4, _LETTERS[op & 15]) for op in ops]

    def _stored_operations(self) -> Sequence[int]:
        at = 32 + self._fixed[2]
        return struct.unpack_from(f"<{self._fixed[5]}I", self._data, at)

    def _is_stand_in(self, ops: Sequence[int]) -> bool:
        """Whether these may stand in for more operations than BAM can count, which are in CG."""
        return len(ops) == 2 and ops[0] == self._fixed[7] << 4 | 4 and ops[1] & 15 == 3

    def _long_cigar(self, tags: dict[str, Any]) -> list[int] | None:
        found = tags.get("CG")
        if not isinstance(found, list) or len(found) <= _MOST_OPERATIONS:
            return None
        return found if self._is_stand_in(self._stored_operations()) else None


def records(block: bytes, contigs: Sequence[str]) -> Iterator[Record]:
    """Yield the records of a record stream."""
    view, at = memoryview(block), 0
    while at < len(view):
        end = at + 4 + int.from_bytes(view[at : at + 4], "little")
        yield Record(view[at + 4 : end], contigs)
        at = end


def _tags(data: bytes) -> Iterator[tuple[str, Any]]:
    at = 0
    while at < len(data):
        name, kind = _text(data[at : at + 2]), chr(data[at + 2])
        value, at = _value(data, at + 3, kind)
        yield name, value


def _value(data: bytes, at: int, kind: str) -> tuple[Any, int]:
    """Return a tag's value and where the next tag begins."""
    if kind in "ZH":
        end = data.index(0, at)
        return _text(data[at:end]), end + 1
    if kind == "A":
        return chr(data[at]), at + 1
    if kind == "B":
        number = struct.Struct(_NUMBERS[chr(data[at])])
        end = at + 5 + number.size * int.from_bytes(data[at + 1 : at + 5], "little")
        return [value for (value,) in number.iter_unpack(data[at + 5 : end])], end
    number = struct.Struct(_NUMBERS[kind])
    return number.unpack_from(data, at)[0], at + number.size


def _text(data: bytes | memoryview) -> str:
    """Decode a name or text; as in Arrow columns, what is not UTF-8 becomes U+FFFD."""
    return str(data, "utf-8", "replace")
