"""VCF (with bgzip) and BCF as sources of htsget: records that overlap regions, as bcftools -r."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from bams3.errors import InputError
from bams3.server.bgzf import inflated
from bams3.server.sources import MAX_HEADER, Known, Want

if TYPE_CHECKING:
    from bams3.server.bin_index import BinIndex
    from bams3.server.resources import Resource

_CONTIG = re.compile(rb"^##contig=<.*?\bID=([^,>]+)(?:[^\n]*?\bIDX=(\d+))?", re.MULTILINE)
_END = re.compile(rb"(?:^|;)END=(\d+)")
_MAX_RECORD = 1 << 30
_PLACE = struct.Struct("<IIiii")


class Variants:
    """What VCF and BCF have in common; `reference` is for CRAM alone."""

    native: str
    reference = None

    def __init__(self, resource: Resource, known: Known, index: Callable[[], BinIndex]) -> None:
        self.etag = resource.etag
        self.raw = self.native, resource
        self.contigs = known.contigs
        self.head = known.head
        self._resource = resource
        self._index = index

    def prepare(self) -> None:
        """See `Source`."""
        self._index()

    def close(self) -> None:
        """See `Source`."""
        self._resource.close()

    def records(self, wants: Sequence[Want] | None) -> Iterator[bytes]:
        """See `Source`."""
        if wants is None:
            skip = len(self.head)
            for data in inflated(self._resource):
                yield data[skip:]
                skip = max(0, skip - len(data))
            return
        for want in wants:
            yield from self._of(want)

    def _of(self, want: Want) -> Iterator[bytes]:
        start, end = want.intervals[0][0], want.intervals[-1][1]
        for chunk in self._index().chunks(self._number(want.tid), start, end):
            for records in _cut(inflated(self._resource, *chunk), self.split):
                found, over = self._chosen(records, want, end)
                yield b"".join(found)
                if over:
                    return

    def _chosen(self, records: Sequence[bytes], want: Want, end: int) -> tuple[list[bytes], bool]:
        """Return the records of a want, and whether none can follow."""
        found: list[bytes] = []
        for record in records:
            tid, pos, until = self.place(record)
            if tid != want.tid or pos >= end:
                return found, True
            if pos >= want.first and _overlaps(pos, until, want.intervals):
                found.append(record)
        return found, False

    def _number(self, tid: int) -> int:
        """Return the number of a contig in the index."""
        return tid

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return whole records, and what is left."""
        raise NotImplementedError

    def place(self, record: bytes) -> tuple[int, int, int]:
        """Return contig, start and end."""
        raise NotImplementedError


class Vcf(Variants):
    """VCF with bgzip, and Tabix or CSI."""

    native = "VCF"

    def _number(self, tid: int) -> int:
        name = next(name for name, number in self.contigs.items() if number == tid)
        names = self._index().names
        return names.index(name) if name in names else -1

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """See `Variants`."""
        *lines, rest = data.split(b"\n")
        return [line + b"\n" for line in lines], rest

    def place(self, record: bytes) -> tuple[int, int, int]:
        """See `Variants`."""
        fields = record.rstrip(b"\r\n").split(b"\t", 8)
        try:
            pos = int(fields[1]) - 1
            end = _END.search(fields[7])
            stated = int(end[1]) if end else 0
            tid = self.contigs.get(fields[0].decode(), -1)
        except (IndexError, ValueError) as error:
            raise InputError(f"{self._resource.name}: a line is no VCF") from error
        return tid, pos, stated if stated > pos else pos + len(fields[3])


class Bcf(Variants):
    """BCF with CSI."""

    native = "BCF"

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """See `Variants`."""
        records, at = [], 0
        while len(data) - at >= _PLACE.size:
            shared, individual, *_ = _PLACE.unpack_from(data, at)
            size = 8 + shared + individual
            if size > _MAX_RECORD:
                raise InputError(f"{self._resource.name}: a record of {size:,} bytes")
            if len(data) - at < size:
                break
            records.append(data[at : at + size])
            at += size
        return records, data[at:]

    def place(self, record: bytes) -> tuple[int, int, int]:
        """See `Variants`."""
        _, _, tid, pos, length = _PLACE.unpack_from(record)
        return tid, pos, pos + max(length, 1)


def _overlaps(pos: int, until: int, intervals: Sequence[tuple[int, int]]) -> bool:
    after = bisect_right(intervals, pos, key=lambda interval: interval[1])
    return after < len(intervals) and intervals[after][0] < until


def _cut(
    blocks: Iterator[bytes], split: Callable[[bytes], tuple[list[bytes], bytes]]
) -> Iterator[list[bytes]]:
    held = b""
    for data in blocks:
        records, held = split(held + data)
        yield records
    if held:
        raise InputError("the last record is cut short")


def read_vcf_head(resource: Resource) -> Known:
    """Read the lines before the first record."""
    held = b""
    for data in inflated(resource):
        held += data
        line = re.search(rb"^[^#]", held, re.MULTILINE)
        if line:
            return Known(_contigs(held[: line.start()]), held[: line.start()])
        _check(held, resource)
    return Known(_contigs(held), held)


def read_bcf_head(resource: Resource) -> Known:
    """Read the header of a BCF file."""
    held = b""
    for data in inflated(resource):
        held += data
        size = 9 + int.from_bytes(held[5:9], "little")
        if held[:3] != b"BCF"[: len(held)]:
            break
        if 9 <= size <= len(held):
            return Known(_contigs(held[9:size]), held[:size])
        _check(held, resource)
    raise InputError(f"{resource.name}: there is no BCF header")


def _check(held: bytes, resource: Resource) -> None:
    if len(held) > MAX_HEADER:
        raise InputError(f"{resource.name}: the header is larger than {MAX_HEADER:,} bytes")


def _contigs(text: bytes) -> dict[str, int]:
    found = _CONTIG.finditer(text)
    return {
        match[1].decode(): int(match[2]) if match[2] else number
        for number, match in enumerate(found)
    }
