"""Alignments to call from: BAM, CRAM and BAMS3, on disk or in a store, all read in one way.

Whatever the format, a reader gives the records that overlap some intervals as record streams, and
reads only the parts of the file that the index names. A caller gets them as BAM through a pipe.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import BinaryIO, Protocol

from bams3 import _core
from bams3.config import StorageOptions
from bams3.errors import CorruptError, InputError, NotFoundError
from bams3.reads.compressed import END_OF_FILE, whole_pieces
from bams3.reads.dataset import Dataset
from bams3.reads.dataset import open as open_dataset
from bams3.reads.fetch import pools
from bams3.reads.headers import sam_text
from bams3.reads.inputs import Input
from bams3.reads.manifest import METADATA
from bams3.reads.query import Query
from bams3.regions import Interval, Region
from bams3.storage import open_store
from bams3.variants.index import BinnedIndex, Chunk, CramIndex, Weight, inflated
from bams3.variants.objects import Object, read_beside

_FIRST, _PART = 1 << 16, 4 << 20
"""Bytes of the first request, and of the last ones: each is twice as large as the one before."""
_STEP = 1 << 18
"""Bytes that are inflated at a time: what comes of them stays in the cache of a CPU."""
_NEAR = 1 << 16
_LARGEST_BLOCK = 1 << 16
_FIRST_POSITION = struct.Struct("<4xii")
Intervals = Sequence[tuple[int, Sequence[Interval]]]
"""Contig numbers, ascending, with sorted and disjoint intervals."""


class Alignments(Protocol):
    """Sorted, indexed alignments."""

    url: str
    identity: str
    """Changes whenever the content does."""

    @property
    def header(self) -> _core.Header:
        """The SAM header."""

    def weights(self, contig: str) -> list[Weight]:
        """Return about how many bytes of reads begin where."""

    def records(self, intervals: Intervals, tags: Sequence[str] | None = None) -> Iterator[bytes]:
        """Yield the records that overlap any interval as record streams, in order, each once.

        `tags`: the only ones that are wanted; others may be left out.
        """

    def leftmost(self, tid: int, position: int) -> int:
        """Return where the first read begins that overlaps a position; that position without."""

    def close(self) -> None:
        """Let go of connections."""


def open_alignments(
    url: str, storage: StorageOptions | None = None, reference: str | None = None
) -> Alignments:
    """Open BAM, CRAM or BAMS3.

    Args:
        url: Path or address.
        storage: How to reach stores.
        reference: Local FASTA for CRAM.

    Raises:
        NotFoundError: There is no such file or dataset, or it has no index.
        InputError: It is none of these, or cut off.
        CorruptError: The index is damaged.
    """
    name = url.rstrip("/")
    if name.endswith(".bam"):
        return BamFile(name, storage)
    if name.endswith(".cram"):
        return CramFile(name, storage, reference)
    store = open_store(name, storage)
    try:
        store.head(METADATA)
    except NotFoundError:
        raise NotFoundError(
            f"{url}: there are no alignments", "give a .bam, a .cram or a BAMS3 dataset"
        ) from None
    finally:
        store.close()
    return DatasetReads(open_dataset(name, storage))


def contigs_of(alignments: Alignments) -> dict[str, int]:
    """Return the lengths of the contigs by name, in the order of the header."""
    return dict(alignments.header.contigs)


def fields_of(header: _core.Header, kind: str) -> list[dict[str, str]]:
    """Return the fields of the header lines of one kind, such as "SQ"."""
    lines = sam_text(header).decode(errors="replace").splitlines()
    parts = [line.split("\t")[1:] for line in lines if line.startswith(f"@{kind}\t")]
    return [{field[:2]: field[3:] for field in line} for line in parts]


def samples_of(alignments: Alignments) -> list[str]:
    """Return the samples of the read groups, each once; the file's name where there is none."""
    groups = fields_of(alignments.header, "RG")
    named = [group.get("SM", "") for group in groups]
    return [*dict.fromkeys(name for name in named if name)] or [stem(alignments.url)]


def stem(url: str) -> str:
    """Return the name of a file without folders and ending: the sample, where nobody says."""
    return url.rstrip("/").rpartition("/")[2].rpartition(".")[0] or "sample"


# ---- BAMS3 ---------------------------------------------------------------------------------------
class DatasetReads:
    """A BAMS3 dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.url = dataset.url
        self.identity = f"{dataset.manifest.digest:032x}"

    @property
    def header(self) -> _core.Header:
        """The SAM header."""
        return self._dataset.header

    @cached_property
    def _weights(self) -> dict[int, list[Weight]]:
        """Weights by contig: those of the tiles of the dataset."""
        self._dataset.load()
        index, found = self._dataset.index, dict[int, list[Weight]]()
        for chunk in range(len(index.chunks)):
            for row, place in zip(index.rows(chunk), index.tiles(chunk), strict=True):
                size = float(place.core[1] + place.rest[1])
                if row.first_tid == row.last_tid:
                    spans = [(row.first_tid, row.first_pos, row.reach)]
                else:  # a tile of several short contigs: what it holds counts for each
                    spans = [(tid, 0, 1) for tid in range(max(row.first_tid, 0), row.last_tid + 1)]
                for tid, start, end in spans:
                    mine = found.setdefault(tid, [])
                    if mine and mine[-1].end > start:
                        mine[-1] = mine[-1]._replace(end=max(start, mine[-1].start + 1))
                    begin = max(start, mine[-1].end) if mine else start
                    mine.append(Weight(begin, max(end, begin + 1), size / len(spans)))
        return found

    def weights(self, contig: str) -> list[Weight]:
        """Return about how many bytes of reads begin where."""
        return self._weights.get(self._dataset.tids[contig], [])

    def records(self, intervals: Intervals, tags: Sequence[str] | None = None) -> Iterator[bytes]:
        """Yield the records that overlap any interval, with the tags that are wanted alone."""
        return self._query(intervals, tags).blocks()

    def leftmost(self, tid: int, position: int) -> int:
        """Return where the first read begins that overlaps a position."""
        first = self._query([(tid, [(position, position + 1)])]).first_position()
        return position if first is None else min(max(0, first), position)

    def _query(self, intervals: Intervals, tags: Sequence[str] | None = None) -> Query:
        names = list(self._dataset.contigs)
        bed = [Region(names[tid], *span) for tid, spans in intervals for span in spans]
        return self._dataset.query(bed=bed, keep_tags=tags, threads=1)

    def close(self) -> None:
        """Let go of connections."""
        self._dataset.close()


# ---- files with an index beside them -------------------------------------------------------------
class _File(ABC):
    """One object of a store with its index beside it."""

    endings: tuple[str, ...]

    def __init__(self, url: str, storage: StorageOptions | None) -> None:
        self.url, self._storage = url, storage
        self._object = Object.at(url, storage)
        head = self._object.head()
        self.identity, self._size = head.etag.strip('"'), head.size

    def close(self) -> None:
        """Let go of connections."""
        self._object.close()

    @abstractmethod
    def records(self, intervals: Intervals, tags: Sequence[str] | None = None) -> Iterator[bytes]:
        """Yield the records that overlap any interval, with all of their tags."""

    def leftmost(self, tid: int, position: int) -> int:
        """Return where the first read begins that overlaps a position."""
        for block in self.records([(tid, [(position, position + 1)])]):
            _, first = _FIRST_POSITION.unpack_from(block)
            return min(max(0, int(first)), position)
        return position

    def _index(self) -> tuple[bytes, str]:
        """Read the index: beside the file, under either of the usual names."""
        for ending in self.endings:
            for name in (f"{self.url}.{ending}", f"{self.url.rpartition('.')[0]}.{ending}"):
                with suppress(NotFoundError):
                    return read_beside(name, self._storage), name
        raise NotFoundError(
            f"{self.url}: has no index ({' or '.join('.' + name for name in self.endings)})",
            f"samtools index {self.url}",
        )

    def _get(self, start: int, end: int) -> bytes:
        try:
            return self._object.get(start, min(end, self._size))
        except CorruptError as error:
            raise CorruptError(
                f"{self.url}: is shorter than its index says", "copy it again, or index it again"
            ) from error


# ---- BAM -----------------------------------------------------------------------------------------
class BamFile(_File):
    """A BAM file with its .bai or .csi."""

    endings = ("bai", "csi")

    def __init__(self, url: str, storage: StorageOptions | None) -> None:
        super().__init__(url, storage)
        if self._get(max(0, self._size - len(END_OF_FILE)), self._size) != END_OF_FILE:
            raise InputError(
                f"{url}: the end is missing: it is truncated, or not a BAM file",
                "copy or write it again",
            )
        self._found = BinnedIndex.parse(*self._index())

    @cached_property
    def header(self) -> _core.Header:
        """The SAM header."""
        data, part = b"", _FIRST
        while len(data) < self._size:
            data += self._get(len(data), len(data) + part)
            part = min(2 * part, _PART)
            found = _core.bam_header(inflated(data, 0, self.url))
            if found is not None:
                return found[0]
        raise InputError(f"{self.url}: the BAM header is cut short")

    def weights(self, contig: str) -> list[Weight]:
        """Return about how many bytes of reads begin where."""
        return self._found.weights(self._tids[contig])

    @cached_property
    def _tids(self) -> dict[str, int]:
        return {name: tid for tid, (name, _) in enumerate(self.header.contigs)}

    def records(self, intervals: Intervals, tags: Sequence[str] | None = None) -> Iterator[bytes]:
        """Yield the records that overlap any interval, with all of their tags."""
        for tid, spans in intervals:
            for start, skip, end in _runs(self._found.chunks(tid, spans)):
                inside = self._inflated(start, skip, end)
                for block in whole_pieces(_core.bam_complete, inside):
                    checked = _core.parse_bam(block, self.header, 1)
                    if chosen := checked.overlapping(tid, spans):
                        yield chosen

    def _inflated(self, start: int, skip: int, end: int) -> Iterator[bytes]:
        """Yield what the blocks between two places hold, without `skip` bytes of the first."""
        for blocks in whole_pieces(_whole_blocks, self._steps(start, end)):
            yield inflated(blocks, skip, self.url)
            skip = 0

    def _steps(self, start: int, end: int) -> Iterator[bytes]:
        end, size = min(end, self._size), _FIRST
        while start < end:
            part = self._get(start, min(end, start + size))
            yield from (part[at : at + _STEP] for at in range(0, len(part), _STEP))
            start, size = start + len(part), min(2 * size, _PART)


def _whole_blocks(data: bytes) -> int:
    return _core.bgzf_complete(data)[0]


def _runs(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int, int]]:
    """Join near chunks: first byte, what to skip in the first block, end with the last block."""
    run: tuple[int, int, int] | None = None
    for first, last in chunks:
        end = (last >> 16) + (_LARGEST_BLOCK if last & 0xFFFF else 0)
        if run is not None and first >> 16 <= run[2] + _NEAR:
            run = run[0], run[1], max(run[2], end)
            continue
        if run is not None:
            yield run
        run = first >> 16, first & 0xFFFF, end
    if run is not None:
        yield run


# ---- CRAM ----------------------------------------------------------------------------------------
class CramFile(_File):
    """A CRAM file with its .crai; htslib decodes the containers, in a child process."""

    endings = ("crai",)

    def __init__(self, url: str, storage: StorageOptions | None, reference: str | None) -> None:
        super().__init__(url, storage)
        self._reference = reference
        head = self._get(0, min(self._size, 26))
        if head[:4] != b"CRAM":
            raise InputError(f"{url}: is not a CRAM file")
        self._end = self._size - (38 if head[4] >= 3 else 30)
        self._found = CramIndex.parse(*self._index())

    @cached_property
    def header(self) -> _core.Header:
        """The SAM header."""
        with pools(1) as (_, pool, _), self._input([], pool) as opened:
            return opened.header

    def weights(self, contig: str) -> list[Weight]:
        """Return about how many bytes of reads begin where."""
        return self._found.weights([name for name, _ in self.header.contigs].index(contig))

    def records(self, intervals: Intervals, tags: Sequence[str] | None = None) -> Iterator[bytes]:
        """Yield the records that overlap any interval, with all of their tags."""
        for tid, spans in intervals:
            containers = self._found.overlapping(tid, spans)
            if not containers:
                continue
            with pools(1) as (_, pool, _), self._input(containers, pool) as opened:
                for batch in opened.batches(
                    lambda records, tid=tid, spans=spans: records.overlapping(tid, spans)  # type: ignore[misc]
                ):
                    if batch.made:
                        yield batch.made

    def _input(self, containers: Sequence[int], pool: object) -> Input:
        stream: BinaryIO = _Joined(self._parts(containers))  # type: ignore[assignment]
        return Input(stream, pool, 1, reference=self._reference)  # type: ignore[arg-type]

    def _parts(self, containers: Sequence[int]) -> Iterator[bytes]:
        """Yield a CRAM file of some of the containers: what comes first, these, the end."""
        yield self._get(0, self._found.containers[0] if self._found.containers else self._end)
        for container in containers:
            yield self._get(*self._found.range_of(container, self._end))
        yield self._get(self._end, self._size)


class _Joined:
    """A file to read of pieces that come one by one."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._held = parts, b""

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._held += part
        data, self._held = self._held[:size], self._held[size:]
        return data

    def close(self) -> None:
        """Nothing to let go of."""
