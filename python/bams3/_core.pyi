"""The compiled core: bytes in, bytes out, GIL released. Coordinates are 0-based half-open.

A *record stream* is BAM records, each preceded by its 32-bit little-endian `block_size`.
Malformed input raises `bams3.errors.InputError`; damaged dataset bytes `bams3.errors.CorruptError`.
"""

from collections.abc import Sequence
from typing import final

# ---- header -------------------------------------------------------------------------------------
@final
class Header:
    """SAM header: verbatim text and contig dictionary."""
    def __new__(cls, text: bytes, contigs: Sequence[tuple[str, int]] | None = None) -> Header: ...
    text: bytes
    contigs: list[tuple[str, int]]
    sort_order: str  # SO of @HD; "unknown" where absent

# ---- SAM, BAM, BGZF (sam.rs, bam.rs, bgzf.rs) ---------------------------------------------------
def sam_header_length(data: bytes, final: bool) -> int | None:
    """Return the length of the header lines at the start of `data`; None if more data is needed."""

def parse_sam(data: bytes, header: Header, first_line: int) -> Records:
    """Parse whole alignment lines as htslib does. Errors name the line and field."""

def format_sam(records: bytes, header: Header) -> bytes: ...
def bgzf_complete(data: bytes) -> tuple[int, int]:
    """Return (length of the whole BGZF blocks at the start, their inflated size)."""

def bgzf_inflate(data: bytes) -> bytes: ...
def bgzf_deflate(data: bytes, level: int) -> bytes:
    """Compress to BGZF blocks, without the end-of-file marker."""

def bam_header(data: bytes) -> tuple[Header, int] | None:
    """Parse magic, text and contigs; (header, bytes consumed) or None if more data is needed."""

def bam_header_bytes(header: Header) -> bytes: ...
def bam_complete(data: bytes) -> int:
    """Return the length of the whole records at the start of `data`."""

def parse_bam(data: bytes, header: Header, first_record: int) -> Records:
    """Check whole BAM records field by field and bring them into canonical form."""

def records_digest(records: bytes) -> bytes:
    """Return the digest (as in `Records`) of a record stream that is canonical already."""

@final
class Records:
    """A parsed record stream."""
    data: bytes
    count: int
    digest: bytes  # 16 bytes little-endian, sum mod 2**128 of XXH3-128 of each canonical record

# ---- sorting (bins.rs) --------------------------------------------------------------------------
@final
class Sorter:
    """Records partitioned into genomic bins, in memory."""
    def __new__(cls, header: Header, bin_size: int) -> Sorter: ...
    def add(self, records: Records) -> None: ...
    held: int  # bytes of memory
    # ... see bins.rs

# ---- tiles (tile.rs) ----------------------------------------------------------------------------
@final
class TileOptions:
    def __new__(
        cls, profile: str = "balanced", qualities: str | None = None,
        drop_tags: Sequence[str] = (), drop_names: bool = False,
    ) -> TileOptions: ...
    max_reads: int
    max_bytes: int

def split_records(records: bytes, max_reads: int, max_bytes: int) -> list[int]:
    """Return the end offsets of runs of at most so many records and bytes (at least one record)."""

@final
class Tile:
    """One encoded tile."""
    core: bytes
    rest: bytes
    row: TileRow
    digest_in: bytes
    digest: bytes
    stats: Stats
    column_sizes: dict[str, int]

@final
class TileRow:
    """What the index keeps of a tile. `reach` is the largest end on the last contig."""
    reads: int
    first_tid: int
    first_pos: int
    last_tid: int
    reach: int

def encode_tile(records: bytes, options: TileOptions) -> Tile: ...

@final
class Selection:
    """Which records: overlap with any interval of contig `tid` (None: all), and flag filters.

    `tid` -1 selects unplaced records. Intervals are sorted, 0-based half-open.
    """
    def __new__(
        cls, tid: int | None = None, intervals: Sequence[tuple[int, int]] = (),
        require: int = 0, exclude: int = 0, exclude_all: int = 0, min_mapq: int = 0,
    ) -> Selection: ...

def decode_tile(core: bytes, rest: bytes, selection: Selection | None = None) -> bytes:
    """Return the selected records as a record stream, in order."""

def count_tile(core: bytes, selection: Selection) -> int: ...

# ---- statistics and index (stats.rs, index.rs) --------------------------------------------------
@final
class Stats:
    def __new__(cls) -> Stats: ...
    def merge(self, other: Stats) -> None: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> Stats: ...
    def to_dict(self) -> dict[str, object]: ...

@final
class Index:
    """Contigs, chunks and tiles of a dataset."""
    def __new__(cls, contigs: Sequence[tuple[str, int]]) -> Index: ...
    def add_chunk(
        self, start: int, end: int, digest: int,
        tiles: Sequence[tuple[TileRow, int, int]],
    ) -> None:
        """Append a chunk of tiles (row, core length, rest length). Chunks come in dataset order."""
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> Index: ...
    contigs: list[tuple[str, int]]
    chunks: list[ChunkRow]
    def tiles(self, chunk: int) -> list[TilePlace]: ...
    def overlapping(self, tid: int, start: int, end: int) -> list[TilePlace]:
        """Return the tiles that can hold records of contig `tid` overlapping [start, end)."""

@final
class ChunkRow:
    first_tid: int
    last_tid: int
    start: int
    end: int
    digest: int
    size: int
    reads: int
    tiles: int

@final
class TilePlace:
    """Where a tile lies: chunk number and byte ranges inside that object."""
    chunk: int
    tile: int
    reads: int
    core: tuple[int, int]  # (offset, length)
    rest: tuple[int, int]
