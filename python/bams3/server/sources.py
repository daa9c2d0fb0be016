"""What htsget cuts records out of: BAM, CRAM, BAMS3, VCF and BCF look the same from here.

A source knows its contigs and header, and yields the records of regions as they are on the wire
before compression: a BAM record stream, lines of VCF, or BCF records.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from bams3 import _core
from bams3.errors import InputError, NotFoundError
from bams3.reads.compressed import whole_pieces
from bams3.regions import UNPLACED, Interval, Region
from bams3.server.bgzf import inflated
from bams3.server.bin_index import MAX_SIZE, BinIndex

if TYPE_CHECKING:
    from bams3._core import Header
    from bams3.reads.virtual_bam import VirtualBam
    from bams3.server.resources import Resource

T = TypeVar("T")
MAX_HEADER = 64 << 20
ANYWHERE = ((-2, 1 << 62),)
FEW_TILES = 8


class Want(NamedTuple):
    """Records of a contig that overlap intervals and begin at `first` or later.

    `tid` -1: those without a place, whatever the intervals.
    """

    tid: int
    intervals: tuple[Interval, ...]
    first: int = -2


class Source(Protocol):
    """Something of which htsget serves records."""

    @property
    def etag(self) -> str:
        """Names the version."""

    @property
    def native(self) -> str:
        """Format of `head` and `records`: "BAM", "VCF" or "BCF"."""

    @property
    def raw(self) -> tuple[str, Resource] | None:
        """The format of the file and the file itself, if it is one."""

    @property
    def contigs(self) -> dict[str, int]:
        """Numbers by name."""

    @property
    def head(self) -> bytes:
        """The header, as it lies before the records."""

    @property
    def reference(self) -> str | None:
        """FASTA for CRAM."""

    def prepare(self) -> None:
        """Read the index, if there should be one. Raises NotFoundError."""

    def records(self, wants: Sequence[Want] | None) -> Iterator[bytes]:
        """Yield records in file order, all where `wants` is None; whole records at a time."""

    def close(self) -> None:
        """Let go of the file."""


# ---- what is kept from request to request --------------------------------------------------------
@dataclass(frozen=True)
class Known:
    """What was read of one version of a file."""

    contigs: dict[str, int]
    head: bytes
    first: int = 0
    """Where the data of a CRAM file begin."""


class KnownFiles(Generic[T]):
    """Headers or indexes of the files that were asked for last."""

    def __init__(self, files: int = 256) -> None:
        self._files = files
        self._held: OrderedDict[tuple[str, str], T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str, etag: str, read: Callable[[], T]) -> T:
        """Return what is known of a version of a file, or read it."""
        with self._lock:
            if (key, etag) in self._held:
                self._held.move_to_end((key, etag))
                return self._held[key, etag]
        known = read()
        with self._lock:
            self._held[key, etag] = known
            while len(self._held) > self._files:
                self._held.popitem(last=False)
        return known


# ---- reads ---------------------------------------------------------------------------------------
class DatasetReads:
    """A BAMS3 dataset. Small regions come from the tiles that its virtual BAM keeps decoded."""

    native = "BAM"
    raw = None

    def __init__(self, bam: VirtualBam, reference: str | None = None) -> None:
        self.etag = bam.etag
        self.head = bam.head
        self.contigs = bam.dataset.tids
        self.reference = reference
        self._bam = bam

    def records(self, wants: Sequence[Want] | None) -> Iterator[bytes]:
        """See `Source`."""
        if wants is None:
            yield from self._bam.dataset.query(threads=1).blocks()
            return
        for want in wants:
            intervals = want.intervals if want.tid >= 0 else ANYWHERE
            for block in self._blocks(want, intervals):
                yield _core.overlapping_records(block, want.tid, intervals, want.first)

    def _blocks(self, want: Want, intervals: Sequence[Interval]) -> Iterator[bytes]:
        tiles = self._bam.tiles(want.tid, intervals)
        if len(tiles) <= FEW_TILES:
            yield from map(self._bam.records, tiles)
            return
        regions = [UNPLACED]
        if want.tid >= 0:
            name = list(self.contigs)[want.tid]
            regions = [Region(name, *span) for span in intervals]
        yield from self._bam.dataset.query(*regions, once=True, threads=1).blocks()

    def prepare(self) -> None:
        """A dataset is its own index."""

    def close(self) -> None:
        """The dataset stays open."""


class BamReads:
    """A BAM file with BAI or CSI."""

    native = "BAM"

    def __init__(
        self, resource: Resource, known: Known, index: Callable[[], BinIndex], reference: str | None
    ) -> None:
        self.etag = resource.etag
        self.raw = "BAM", resource
        self.contigs = known.contigs
        self.head = known.head
        self.reference = reference
        self._resource = resource
        self._index = index

    def records(self, wants: Sequence[Want] | None) -> Iterator[bytes]:
        """See `Source`."""
        if wants is None:
            yield from _whole_bam(_without(inflated(self._resource), len(self.head)))
            return
        for want in wants:
            yield from self._unplaced() if want.tid < 0 else self._placed(want)

    def _placed(self, want: Want) -> Iterator[bytes]:
        start, end = want.intervals[0][0], want.intervals[-1][1]
        for chunk in self._index().chunks(want.tid, start, end):
            for block in _whole_bam(inflated(self._resource, *chunk)):
                if _bam_place(block) >= (want.tid, end):
                    return
                yield _core.overlapping_records(block, want.tid, want.intervals, want.first)

    def _unplaced(self) -> Iterator[bytes]:
        last = self._index().last_offset()
        data = inflated(self._resource, last)
        for block in _whole_bam(data if last else _without(data, len(self.head))):
            yield _core.overlapping_records(block, -1, ANYWHERE)

    def prepare(self) -> None:
        """See `Source`."""
        self._index()

    def close(self) -> None:
        """See `Source`."""
        self._resource.close()


def read_bam_head(resource: Resource) -> Known:
    """Read the header of a BAM file."""
    header, length, data = _bam_header(inflated(resource), resource.name)
    return Known(contig_numbers(header), data[:length])


def _bam_header(blocks: Iterator[bytes], name: str) -> tuple[Header, int, bytes]:
    held = b""
    for data in blocks:
        held += data
        if found := _core.bam_header(held):
            return *found, held
        if len(held) > MAX_HEADER:
            break
    raise InputError(f"{name}: there is no BAM header")


def contig_numbers(header: Header) -> dict[str, int]:
    """Return the numbers of contigs by name."""
    return {name: tid for tid, (name, _) in enumerate(header.contigs)}


def _whole_bam(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield whole records."""
    if (yield from whole_pieces(_core.bam_complete, blocks)):
        raise InputError("the last record is cut short")


def _bam_place(records: bytes) -> tuple[int, int]:
    """Return contig and position of the first of some records; unplaced ones come last."""
    tid, pos = (int.from_bytes(records[at : at + 4], "little", signed=True) for at in (4, 8))
    return tid if tid >= 0 else 1 << 31, pos


def _without(blocks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Leave out the first bytes."""
    for data in blocks:
        if length < len(data):
            yield data[length:]
        length = max(0, length - len(data))


# ---- CRAM ----------------------------------------------------------------------------------------
class CramReads:
    """A CRAM file with CRAI: htslib decodes the containers that a region needs."""

    native = "BAM"

    def __init__(
        self,
        resource: Resource,
        known: Known,
        index: Callable[[], CramIndex],
        reference: str | None,
    ) -> None:
        self.etag = resource.etag
        self.raw = "CRAM", resource
        self.contigs = known.contigs
        self.head = known.head
        self.reference = reference
        self._resource = resource
        self._first = known.first
        self._index = index

    def records(self, wants: Sequence[Want] | None) -> Iterator[bytes]:
        """See `Source`."""
        if wants is None:
            yield from self._decoded(self._resource.read(0, self._resource.size))
            return
        for want in wants:
            intervals = want.intervals if want.tid >= 0 else ANYWHERE
            spans = self._index().containers(want, self._resource.size)
            for block in self._decoded(self._pieces(spans)) if spans else ():
                yield _core.overlapping_records(block, want.tid, intervals, want.first)

    def _pieces(self, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Yield a CRAM file of some containers."""
        for start, end in [(0, self._first), *spans]:
            yield from self._resource.read(start, end)
        yield cram_end(self.head_bytes())

    def head_bytes(self) -> bytes:
        """Return the first bytes of the file, which tell its version."""
        return b"".join(self._resource.read(0, 26))

    def _decoded(self, cram: Iterator[bytes]) -> Iterator[bytes]:
        from bams3.server.children import from_cram

        bam = _inflated_stream(from_cram(cram, self.reference))
        yield from _whole_bam(_without(bam, len(self.head)))

    def prepare(self) -> None:
        """See `Source`."""
        self._index()

    def close(self) -> None:
        """See `Source`."""
        self._resource.close()


CRAM_END = {
    2: bytes.fromhex("0b000000ffffffffffe0454f460000000001000001000606010001000100"),
    3: bytes.fromhex(
        "0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"
    ),
}


def cram_end(head: bytes) -> bytes:
    """Return the end-of-file container of the version of a CRAM file."""
    if head[:4] != b"CRAM" or head[4] not in CRAM_END:
        raise InputError("this is no CRAM of version 2 or 3")
    return CRAM_END[head[4]]


def read_cram_head(resource: Resource, reference: str | None) -> Known:
    """Read the header of a CRAM file, by htslib."""
    from bams3.server.children import from_cram

    start = b"".join(resource.read(0, min(resource.size, 1 << 16)))
    first = _cram_data(start)
    cram = [*resource.read(0, min(first, resource.size)), cram_end(start)]
    header, length, data = _bam_header(_inflated_stream(from_cram(cram, reference)), resource.name)
    return Known(contig_numbers(header), data[:length], first=first)


def _cram_data(start: bytes) -> int:
    """Return where the container of the header ends (CRAMv3 sections 6 and 7)."""
    cram_end(start)
    at = 26 + 4
    length = int.from_bytes(start[26:30], "little")
    try:
        for _ in range(4):  # contig, start, span, records
            at += _itf8(start[at])
        at += _ltf8(start[at]) if start[4] >= 3 else _itf8(start[at])
        at += _ltf8(start[at])
        at += _itf8(start[at])  # blocks
        landmarks = start[at]
        at += _itf8(landmarks)
        for _ in range(landmarks):
            at += _itf8(start[at])
    except IndexError as error:
        raise InputError("the header of the CRAM file is damaged") from error
    return at + (4 if start[4] >= 3 else 0) + length


def _itf8(first: int) -> int:
    """Return the length of an ITF8 number; the ones at the top of its first byte count more."""
    return min(1 + _leading_ones(first), 5)


def _ltf8(first: int) -> int:
    return 1 + _leading_ones(first)


def _leading_ones(byte: int) -> int:
    return 8 - (byte ^ 0xFF).bit_length()


class CramIndex:
    """A CRAI: where the containers are that hold records of a region."""

    def __init__(self, data: bytes) -> None:
        import zlib

        if data[:2] == b"\x1f\x8b":
            data = zlib.decompress(data, 31)
        try:
            lines = [tuple(map(int, line.split(b"\t"))) for line in data.splitlines()]
            self._slices = sorted((row[3], row[0], row[1] - 1, row[2]) for row in lines)
        except (ValueError, IndexError) as error:
            raise InputError("the CRAM index is damaged") from error

    def containers(self, want: Want, size: int) -> list[tuple[int, int]]:
        """Return the ranges of the file, in order, of the containers that are needed."""
        offsets = sorted({row[0] for row in self._slices})
        ends = dict(zip(offsets, [*offsets[1:], size], strict=True))
        spans: list[tuple[int, int]] = []
        for offset in sorted({row[0] for row in self._slices if _meets(row, want)}):
            if spans and spans[-1][1] == offset:
                spans[-1] = spans[-1][0], ends[offset]
            else:
                spans.append((offset, ends[offset]))
        # The last one ends before the end-of-file container, which is added anyway.
        return spans


def _meets(row: tuple[int, ...], want: Want) -> bool:
    _, tid, start, span = row
    if tid != want.tid:
        return False
    return tid < 0 or any(
        begin < start + max(span, 1) and start < end for begin, end in want.intervals
    )


def _inflated_stream(bam: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate BGZF that comes as a stream."""
    held = b""
    for piece in bam:
        held += piece
        length, _ = _core.bgzf_complete(held)
        if length:
            yield _core.bgzf_inflate(held[:length])
            held = held[length:]
    if held:
        yield _core.bgzf_inflate(held)


def read_whole(resource: Resource) -> bytes:
    """Read an index."""
    if resource.size > MAX_SIZE:
        raise InputError(f"{resource.name}: an index of {resource.size:,} bytes is too large")
    return b"".join(resource.read(0, resource.size))


def missing_index(name: str, endings: Sequence[str]) -> NotFoundError:
    """Say that regions cannot be had."""
    return NotFoundError(
        f"{name} has no index: regions cannot be cut out of it",
        hint=f"make one, and put it beside the file: {name}{endings[0]}",
    )
