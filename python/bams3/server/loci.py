"""From bytes to places on the genome: which loci a byte range of an indexed file holds.

An index says where in the file the records of a place begin. Turned round, and since records are in
order of place, it says between which places the bytes between two offsets lie: in windows of 16 kb
(BAI, TBI, CSI), slices (CRAI), or single bases (FAI). The answer holds every record that begins in
the bytes; it may be wider by two windows.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeAlias, TypeVar
from urllib.parse import unquote

from bams3.errors import InputError
from bams3.reads.manifest import UNMAPPED
from bams3.regions import MAX_END, UNPLACED, Region

T = TypeVar("T")

HEADER = "header"
"""What stands for the bytes before the first record."""

_LARGEST = 256 << 20
"""Bytes of an index, unpacked, that are read; what is larger is not mapped."""
_SHIFT, _LEVELS = 14, 5
_CHUNK = re.compile(r"\.bams3/data/([^/]+)/([0-9]+)-([0-9]+)\.[0-9a-f]+\.chunk$")

Point: TypeAlias = tuple[int, int, int, int]
"""File offset, contig number, and two bases: records of this contig that begin at the offset or
after it begin at the first or after it; those that begin before it, before the second."""


@dataclass(frozen=True)
class LocusMap:
    """What is known of places by file offset, ascending.

    Attributes:
        offsets: Where in the file a point lies.
        lows: Contig and base; records from this offset on begin there or later.
        highs: Contig and base; records before this offset begin before it.
        names: Of the contigs.
    """

    offsets: Sequence[int]
    lows: Sequence[tuple[int, int]]
    highs: Sequence[tuple[int, int]]
    names: Sequence[str]

    def loci(self, spans: Iterable[tuple[int, int]]) -> list[str]:
        """Return the places that bytes [start, end) hold, as regions, neighbours merged."""
        found: list[tuple[int, int, int]] = []
        header = False
        for start, end in spans:
            if start >= end:
                continue
            header = header or not self.offsets or start < self.offsets[0]
            if self.offsets and end > self.offsets[0]:
                found += self._between(start, end)
        return [HEADER] * header + [self._text(*place) for place in _merged(sorted(found))]

    def _between(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        at = bisect_right(self.offsets, start) - 1
        # The block in which a point lies may hold records that begin before it.
        at = bisect_left(self.offsets, self.offsets[at]) - 1 if at >= 0 else -1
        first, low = self.lows[at] if at >= 0 else (0, 0)
        after = bisect_left(self.offsets, end)
        last, high = self.highs[after] if after < len(self.offsets) else (len(self.names), 1)
        for contig in range(first, last + 1):
            yield contig, low if contig == first else 0, high if contig == last else MAX_END

    def _text(self, contig: int, start: int, end: int) -> str:
        if contig >= len(self.names):
            return str(UNPLACED)
        return str(Region(self.names[contig], start, None if end == MAX_END else end))


def dataset_loci(key: str) -> list[str] | None:
    """Return the places that an object of a BAMS3 dataset holds, by its key.

    Returns:
        None where the key does not say it: chunks of several contigs, or of very long names.
    """
    found = _CHUNK.search(key)
    if found is None:
        return [HEADER] if "/_header." in key else []
    folder, start, end = found[1], int(found[2]), int(found[3])
    if folder == UNMAPPED:
        return [str(UNPLACED)]
    return None if "+" in folder or "%~" in folder else [str(Region(unquote(folder), start, end))]


def _merged(places: Iterable[tuple[T, int, int]]) -> list[tuple[T, int, int]]:
    merged: list[tuple[T, int, int]] = []
    for contig, start, end in places:
        if merged and merged[-1][0] == contig and merged[-1][1] <= start <= merged[-1][2]:
            merged[-1] = contig, merged[-1][1], max(end, merged[-1][2])
        else:
            merged.append((contig, start, end))
    return merged


def build(index: bytes, names: Sequence[str]) -> LocusMap:
    """Return the map that an index makes.

    Args:
        index: BAI, CSI, TBI or CRAI, as stored.
        names: Of the contigs, in the order of the data file's header; TBI brings its own.

    Raises:
        InputError: It is no such index.
    """
    data = _unpacked(index)
    try:
        if data[:4] == b"BAI\1":
            return located(_binned(data, 4), names)
        if data[:4] == b"TBI\1":
            length = struct.unpack_from("<i", data, 32)[0]
            own = data[36 : 36 + length].decode().split("\0")[:-1]
            return located(_binned(data, 36 + length, at=4), own)
        if data[:4] == b"CSI\1":
            return located(_csi(data), _csi_names(data) or names)
        return located(_crai(data), names)
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(f"this is no index: {error}") from error


def located(points: Iterable[Point], names: Sequence[str]) -> LocusMap:
    """Return the map that points make; contigs below 0 stand for reads without a place."""
    ordered = sorted(points)
    contigs = [contig if 0 <= contig < len(names) else len(names) for _, contig, _, _ in ordered]
    lows = [(contig, point[2]) for contig, point in zip(contigs, ordered, strict=True)]
    highs = [(contig, point[3]) for contig, point in zip(contigs, ordered, strict=True)]
    return LocusMap(
        array("Q", (point[0] for point in ordered)),
        list(accumulate(lows, max)),
        list(accumulate(reversed(highs), min))[::-1],
        names,
    )


def _binned(data: bytes, start: int, *, at: int | None = None) -> list[Point]:
    """Return the points of a BAI or TBI."""
    (contigs,) = struct.unpack_from("<i", data, start if at is None else at)
    cursor = start + (4 if at is None else 0)
    points: list[Point] = []
    for contig in range(contigs):
        cursor = _bins(data, cursor, contig, (_SHIFT, _LEVELS), 4, points)
        (windows,) = struct.unpack_from("<i", data, cursor)
        cursor += 4 + 8 * windows
    return points


def _csi(data: bytes) -> list[Point]:
    shift, depth, aux = struct.unpack_from("<iii", data, 4)
    (contigs,) = struct.unpack_from("<i", data, 16 + aux)
    cursor = 20 + aux
    points: list[Point] = []
    for contig in range(contigs):
        cursor = _bins(data, cursor, contig, (shift, depth), 12, points)
    return points


def _bins(
    data: bytes, cursor: int, contig: int, shape: tuple[int, int], fixed: int, points: list[Point]
) -> int:
    """Append the points of a contig's bins; return where they end. `fixed`: bytes before a count.

    Records in order of place that lie in a bin begin in it: so does the first of its first range,
    and all before the end of its last one begin before its end.
    """
    (bins,) = struct.unpack_from("<i", data, cursor)
    cursor += 4
    for _ in range(bins):
        (number,) = struct.unpack_from("<I", data, cursor)
        (chunks,) = struct.unpack_from("<i", data, cursor + fixed)
        cursor += fixed + 4
        place = _bin(number, *shape)
        if place and chunks:
            (first,) = struct.unpack_from("<Q", data, cursor)
            (last,) = struct.unpack_from("<Q", data, cursor + 16 * chunks - 8)
            points += [(first >> 16, contig, *place), (last >> 16, contig, *place)]
        cursor += 16 * chunks
    return cursor


def _bin(number: int, shift: int, depth: int) -> tuple[int, int] | None:
    """Return the bases of a bin; None for the one that holds counts."""
    for level in range(depth + 1):
        first, count = ((1 << 3 * level) - 1) // 7, 1 << 3 * level
        if first <= number < first + count:
            width = shift + 3 * (depth - level)
            return (number - first) << width, (number - first + 1) << width
    return None


def _csi_names(data: bytes) -> list[str]:
    """Return the contig names that a CSI of a VCF carries."""
    (aux,) = struct.unpack_from("<i", data, 12)
    return data[16 + 28 : 16 + aux].decode().split("\0")[:-1] if aux > 28 else []


def _crai(data: bytes) -> list[Point]:
    points = []
    for line in data.decode("ascii").splitlines():
        contig, start, _, container, *_ = map(int, line.split("\t"))
        points.append((container, contig, max(0, start - 1), max(1, start)))
    return points


def _unpacked(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            found = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"this is no index: {error}") from error
    if len(found) > _LARGEST:
        raise InputError("the index is too large to be read")
    return found


# ---- FASTA ---------------------------------------------------------------------------------------
def fasta_loci(fai: bytes, gzi: bytes | None, spans: Iterable[tuple[int, int]]) -> list[str]:
    """Return the bases that bytes of a FASTA hold; with `gzi`, of one packed with bgzip.

    Raises:
        InputError: These are no such indexes.
    """
    try:
        lines = [line.split("\t") for line in fai.decode().splitlines()]
        contigs = [
            _Contig(name, int(length), int(offset), int(bases), int(width))
            for name, length, offset, bases, width, *_ in lines
        ]
        if gzi is not None:
            spans = _unpacked_spans(gzi, spans)
        return _fasta(contigs, spans)
    except (struct.error, ValueError, IndexError, TypeError) as error:
        raise InputError(f"this is no index of a FASTA: {error}") from error


class _Contig(NamedTuple):
    """A line of a FAI."""

    name: str
    length: int
    offset: int
    bases: int
    width: int


def _fasta(contigs: Sequence[_Contig], spans: Iterable[tuple[int, int]]) -> list[str]:
    found = []
    for start, end in spans:
        for contig in contigs:
            first = _base(start - contig.offset, contig.bases, contig.width)
            last = min(_base(end - contig.offset, contig.bases, contig.width), contig.length)
            if first < last:
                found.append((contig.name, first, last))
    return [str(Region(*place)) for place in _merged(found)]


def _base(offset: int, bases: int, width: int) -> int:
    """Return the base at an offset of a contig's lines, which end after `bases` of `width`."""
    offset = max(0, offset)
    return offset // width * bases + min(offset % width, bases)


def _unpacked_spans(gzi: bytes, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    (count,) = struct.unpack_from("<Q", gzi)
    numbers = (0, 0, *struct.unpack_from(f"<{2 * count}Q", gzi, 8))
    packed, unpacked = numbers[::2], numbers[1::2]
    found = []
    for start, end in spans:
        after = bisect_left(packed, end)
        last = unpacked[after] if after < len(unpacked) else 1 << 62
        found.append((unpacked[max(0, bisect_right(packed, start) - 1)], last))
    return found


# ---- contig names --------------------------------------------------------------------------------
def contig_names(beginning: bytes) -> list[str]:
    """Return the contigs of a BAM, CRAM or BCF, given its first megabytes; those that are there."""
    text = _cram_text(beginning) if beginning[:4] == b"CRAM" else _packed_text(beginning)
    found = re.findall(rb"^@SQ\t(?:.*\t)?SN:([^\t\n]*)|^##contig=<ID=([^,>]*)", text, re.MULTILINE)
    return [(sam or vcf).decode("latin-1") for sam, vcf in found]


def _packed_text(data: bytes) -> bytes:
    """Return the header text of a BAM or BCF."""
    found, rest = b"", data
    while rest[:2] == b"\x1f\x8b" and len(found) < _LARGEST:
        packed = zlib.decompressobj(31)
        try:
            found += packed.decompress(rest)
        except zlib.error:
            break
        rest = packed.unused_data
        at = 5 if found[:3] == b"BCF" else 4
        end = at + 4 + int.from_bytes(found[at : at + 4], "little")
        if at + 4 <= len(found) and end <= len(found):
            return found[at + 4 : end]
    return found


def _cram_text(data: bytes) -> bytes:
    """Return the SAM header of a CRAM 3: the first block of the first container."""
    at = 26 + 4
    for _ in range(4):  # contig, start, span, records
        at += _itf8_length(data[at])
    for _ in range(2):  # record counter, bases
        at += _ltf8_length(data[at])
    at += _itf8_length(data[at])  # blocks
    marks = data[at]  # a header has few landmarks
    at += 1
    for _ in range(marks):
        at += _itf8_length(data[at])
    at += 4  # checksum
    method = data[at]
    at += 2
    for _ in range(3):  # content id, packed size, size
        at += _itf8_length(data[at])
    block = zlib.decompressobj(31).decompress(data[at:]) if method == 1 else data[at:]
    return block[4 : 4 + int.from_bytes(block[:4], "little")]


def _itf8_length(first: int) -> int:
    return next((n for n in range(1, 5) if not first & (0x100 >> n)), 5)


def _ltf8_length(first: int) -> int:
    return next((n for n in range(1, 9) if not first & (0x100 >> n)), 9)
