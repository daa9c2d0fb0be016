"""From bytes to places on the genome: which loci a byte range of an indexed file holds.

An index says where in the file the records of a place begin. Turned round, it says which places the
bytes between two offsets belong to: in windows of 16 kb (BAI, TBI, CSI), slices (CRAI), or single
bases (FAI). The answer holds every record that begins in the bytes; it may be wider by a window.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from bams3.errors import InputError
from bams3.reads.manifest import UNMAPPED
from bams3.regions import UNPLACED, Region

HEADER = "header"
"""What stands for the bytes before the first record."""

_LARGEST = 256 << 20
"""Bytes of an index, unpacked, that are read; what is larger is not mapped."""
_WINDOW = 1 << 14
_CHUNK = re.compile(r"\.bams3/data/([^/]+)/([0-9]+)-([0-9]+)\.[0-9a-f]+\.chunk$")

Entry: TypeAlias = tuple[int, int, int, int]
"""File offset; contig number; first base and end of the place whose records begin there."""


@dataclass(frozen=True)
class LocusMap:
    """Places by file offset, ascending.

    Attributes:
        offsets: Where in the file each place's records begin.
        places: Contig, first base, end; 0-based half-open.
    """

    offsets: Sequence[int]
    places: Sequence[tuple[str, int, int]]

    def loci(self, spans: Iterable[tuple[int, int]]) -> list[str]:
        """Return the places that bytes [start, end) hold, as regions, neighbours merged."""
        found: list[tuple[str, int, int]] = []
        header = False
        for start, end in spans:
            if start >= end:
                continue
            first = bisect_right(self.offsets, start) - 1
            header = header or first < 0
            if first >= 0:  # the block in which a place begins may hold the end of the one before
                first = max(0, bisect_left(self.offsets, self.offsets[first]) - 1)
            first = max(0, first)
            found += self.places[first : bisect_left(self.offsets, end)]
        return [HEADER] * header + [str(Region(*place)) for place in _merged(found)]


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


def _merged(places: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    merged: list[tuple[str, int, int]] = []
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
            return _map(_binned(data, 4, linear=True), names)
        if data[:4] == b"TBI\1":
            length = struct.unpack_from("<i", data, 32)[0]
            own = data[36 : 36 + length].decode().split("\0")[:-1]
            return _map(_binned(data, 36 + length, linear=True, at=4), own)
        if data[:4] == b"CSI\1":
            return _map(_csi(data), _csi_names(data) or names)
        return _map(_crai(data), names)
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(f"this is no index: {error}") from error


def _map(entries: Iterable[Entry], names: Sequence[str]) -> LocusMap:
    ordered = sorted(entries)
    return LocusMap(
        array("Q", (entry[0] for entry in ordered)),
        [(_name(contig, names), start, end) for _, contig, start, end in ordered],
    )


def _name(contig: int, names: Sequence[str]) -> str:
    if contig < 0:
        return "*"
    return names[contig] if contig < len(names) else f"#{contig}"


def _binned(data: bytes, start: int, *, linear: bool, at: int | None = None) -> list[Entry]:
    """Return the linear index of every contig of a BAI or TBI."""
    (contigs,) = struct.unpack_from("<i", data, start if at is None else at)
    cursor = start + (4 if at is None else 0)
    entries: list[Entry] = []
    for contig in range(contigs):
        (bins,) = struct.unpack_from("<i", data, cursor)
        cursor += 4
        for _ in range(bins):
            (chunks,) = struct.unpack_from("<i", data, cursor + 4)
            cursor += 8 + 16 * chunks
        (windows,) = struct.unpack_from("<i", data, cursor)
        offsets = struct.unpack_from(f"<{windows}Q", data, cursor + 4)
        cursor += 4 + 8 * windows
        entries += [
            (offset >> 16, contig, n * _WINDOW, (n + 1) * _WINDOW)
            for n, offset in enumerate(offsets)
            if offset
        ]
    return entries


def _csi(data: bytes) -> list[Entry]:
    """Return where records begin that lie at the beginning of a bin, of any level, or after it."""
    shift, depth, aux = struct.unpack_from("<iii", data, 4)
    (contigs,) = struct.unpack_from("<i", data, 16 + aux)
    cursor = 20 + aux
    entries: list[Entry] = []
    for contig in range(contigs):
        (bins,) = struct.unpack_from("<i", data, cursor)
        cursor += 4
        begins: dict[int, int] = {}
        end = 0
        for _ in range(bins):
            number, offset, chunks = struct.unpack_from("<IQi", data, cursor)
            first = struct.unpack_from("<Q", data, cursor + 16)[0] if chunks else 0
            cursor += 16 + 16 * chunks
            place = _bin(number, shift, depth)
            if place and (offset or first):
                at = (offset or first) >> 16
                begins[place[0]] = min(at, begins.get(place[0], at))
                end = max(end, place[1])
        starts = sorted(begins)
        ends = [*starts[1:], end]
        entries += [
            (begins[first], contig, first, last) for first, last in zip(starts, ends, strict=True)
        ]
    return entries


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


def _crai(data: bytes) -> list[Entry]:
    entries = []
    for line in data.decode("ascii").splitlines():
        contig, start, span, container, *_ = map(int, line.split("\t"))
        entries.append((container, contig, max(0, start - 1), max(0, start - 1) + max(span, 1)))
    return entries


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
