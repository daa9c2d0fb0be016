"""Read BAI, CSI and TBI: which parts of a file can hold records of a region.

SAMv1 section 5.2, and the specifications of CSI and Tabix in hts-specs. All numbers are checked
against the length of the index; a damaged one raises InputError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from bams3 import _core
from bams3.errors import InputError

Chunk = tuple[int, int]
MAX_SIZE = 1 << 30
_TABIX = struct.Struct("<7i")


@dataclass
class _Contig:
    """Where the chunks of each bin stand in the index, and the linear index of BAI and TBI."""

    bins: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    windows: tuple[int, ...] = ()


class BinIndex:
    """A parsed index.

    Attributes:
        names: Contigs by number, where the index has them (Tabix and CSI of text files).
    """

    def __init__(self, data: bytes) -> None:
        if data[:2] == b"\x1f\x8b":
            data = _core.bgzf_inflate(data)
        if len(data) > MAX_SIZE:
            raise InputError(f"an index of {len(data):,} bytes is too large")
        self._data = data
        self._at = 4
        self._shift, self._levels, self._linear = 14, 5, True
        self.names: list[str] = []
        try:
            self._contigs = list(self._read())
        except (struct.error, UnicodeDecodeError) as error:
            raise InputError(f"the index is damaged: {error}") from error

    def chunks(self, contig: int, start: int, end: int) -> list[Chunk]:
        """Return sorted, disjoint ranges of virtual offsets that hold all records in [start, end).

        They may hold others as well.
        """
        if not 0 <= contig < len(self._contigs) or start >= end:
            return []
        of_contig = self._contigs[contig]
        window = min(start >> self._shift, len(of_contig.windows) - 1)
        least = of_contig.windows[window] if window >= 0 else 0
        found = [
            (max(begin, least), until)
            for number in self._bins(start, end)
            if number in of_contig.bins
            for begin, until in self._of_bin(*of_contig.bins[number][:2])
            if until > least
        ]
        return _joined(sorted(found))

    def last_offset(self) -> int:
        """Return the virtual offset behind all records that have a place; 0 where there is none."""
        bins = (place for contig in self._contigs for place in contig.bins.values())
        return max((until for at, n, _ in bins for _, until in self._of_bin(at, n)), default=0)

    # ---- parsing ---------------------------------------------------------------------------------
    def _read(self) -> Iterator[_Contig]:
        magic = self._data[:4]
        if magic == b"CSI\1":
            self._linear = False
            self._shift, self._levels, extra = self._take("<3i")
            if not (0 < self._shift < 31 and 0 < self._levels < 11 and extra >= 0):
                raise InputError("the index is damaged: it has impossible bins")
            end = self._at + extra
            if extra >= _TABIX.size:
                self._tabix()
            self._at = end
            (count,) = self._take("<i")
        elif magic == b"TBI\1":
            (count,) = self._take("<i")
            self._tabix()
        elif magic == b"BAI\1":
            (count,) = self._take("<i")
        else:
            raise InputError("this is no BAI, CSI or TBI")
        for _ in range(count):
            yield self._contig()

    def _take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def _tabix(self) -> None:
        # Tabix counts contigs before this structure, CSI after it.
        layout = "<7i"
        size = self._take(layout)[-1]
        names = self._data[self._at : self._at + size]
        self.names = [name.decode() for name in names.split(b"\0")[:-1]]
        self._at += size

    def _contig(self) -> _Contig:
        contig = _Contig()
        pseudo = ((1 << 3 * (self._levels + 1)) - 1) // 7 + 1
        for _ in range(self._take("<i")[0]):
            (number,) = self._take("<I")
            offset = 0 if self._linear else self._take("<Q")[0]
            (count,) = self._take("<i")
            if count < 0 or self._at + 16 * count > len(self._data):
                raise InputError("the index is damaged: it is cut short")
            if number != pseudo:
                contig.bins[number] = (self._at, count, offset)
            self._at += 16 * count
        if self._linear:
            (count,) = self._take("<i")
            contig.windows = self._take(f"<{count}Q")
        return contig

    def _of_bin(self, at: int, count: int) -> Iterator[Chunk]:
        return struct.iter_unpack("<QQ", self._data[at : at + 16 * count])

    def _bins(self, start: int, end: int) -> Iterator[int]:
        """Yield the numbers of all bins that meet [start, end)."""
        end = min(end, 1 << self._shift + 3 * self._levels)
        for level in range(self._levels + 1):
            first = ((1 << 3 * level) - 1) // 7
            shift = self._shift + 3 * (self._levels - level)
            yield from range(first + (start >> shift), first + ((end - 1) >> shift) + 1)


def _joined(chunks: list[Chunk]) -> list[Chunk]:
    """Join ranges that overlap or lie in neighbouring blocks."""
    joined: list[Chunk] = []
    for begin, until in chunks:
        if joined and begin >> 16 <= (joined[-1][1] >> 16) + (1 << 16):
            joined[-1] = joined[-1][0], max(joined[-1][1], until)
        else:
            joined.append((begin, until))
    return [chunk for chunk in joined if chunk[0] < chunk[1]]
