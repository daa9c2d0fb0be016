"""The compiled core: bytes in, bytes out, GIL released. Coordinates are 0-based half-open.

A *record stream* is BAM records, each preceded by its 32-bit little-endian `block_size`.
Malformed input raises `bams3.errors.InputError`; damaged dataset bytes `bams3.errors.CorruptError`.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, final

Zygosity = Literal["het", "hom", "hemi"]

__version__: str

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

def bgzf_store(data: bytes) -> bytes:
    """Pack into blocks of 65,280 bytes without compression, each 31 bytes longer."""

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
    def overlapping(self, tid: int, intervals: Sequence[tuple[int, int]]) -> bytes:
        """Return those of a contig that overlap any of the sorted, disjoint intervals."""

# ---- objects (python/blobs.rs) ------------------------------------------------------------------
VERSION: str

def hash64(data: bytes) -> int:
    """Return XXH3-64."""

def crc64nvme(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """Return the CRC-64/NVME of what had `crc` before, followed by `data`."""

def crc64nvme_combine(first: int, second: int, length: int) -> int:
    """Return the CRC-64/NVME of two pieces in sequence; the second has `length` bytes."""

def zstd_compress(data: bytes, level: int) -> bytes: ...
def zstd_decompress(data: bytes, max_size: int) -> bytes:
    """Decompress with checksum. More than `max_size` bytes raise CorruptError."""

# ---- sorting (bins.rs, sort.rs, merge.rs, cut.rs) -----------------------------------------------
@final
class Bins:
    """Bins of `width` bases by contig; neighbouring short contigs share one, unplaced are last."""
    def __new__(cls, contigs: Sequence[tuple[str, int]], width: int) -> Bins: ...
    count: int

@final
class Parts:
    """A record stream with its records in order of bin."""

def partition(records: Records, bins: Bins) -> Parts:
    """The costly half of `Sorter.add`, for any thread."""

@final
class Sorter:
    """Records partitioned into genomic bins, in memory. Blocks are added in input order."""
    def __new__(cls, bins: Bins) -> Sorter: ...
    held: int  # bytes of memory, with what sorting will need
    def add(self, parts: Parts) -> None: ...
    def filled(self) -> list[int]:
        """Return the bins that hold records, ascending."""
    def fullest(self, bytes: int) -> list[int]:
        """Return the largest bins that together hold so much memory, ascending."""
    def take_sorted(self, bin: int) -> Fragment:
        """Take a bin out (an empty fragment where it holds nothing); any thread may sort it."""
    def recycle(self, pages: Fragment) -> None:
        """Reuse the memory of the records of a fragment that were read."""
    def trim(self) -> None:
        """Free unused memory; nothing will be added any more."""

@final
class Fragment:
    """Records of one bin in the order of samtools sort: contig, position, strand, input order."""

    size: int  # bytes of the records
    def sort(self) -> None: ...
    def next_block(self, bytes: int) -> bytes | None:
        """Return the next records, about so many bytes; None at the end. Sorts if need be."""
    def release(self) -> None:
        """Free the memory of the records that were read."""

@final
class Merger:
    """Merge of sorted fragments fed block by block; equal keys in the order of fragments."""
    def __new__(cls, fragments: int) -> Merger: ...
    def needs(self) -> list[int]:
        """Return the fragments to be fed or finished before `take` can go on."""
    def feed(self, fragment: int, block: bytes) -> None: ...
    def finish(self, fragment: int) -> None: ...
    def take(self, bytes: int) -> bytes | None:
        """Return about so many bytes of records; None if a fragment needs more, or at the end."""

@final
class Cut:
    """Place of a tile among the chunks. `first` and `last`: contig number and position.

    `opens`: a new chunk begins. `floor`, `ceiling`: start of the bin of the first record, and end
    of that of the last.
    """

    reads: int
    opens: bool
    first: tuple[int, int]
    last: tuple[int, int]
    floor: int
    ceiling: int

@final
class Cutter:
    """Cuts records in dataset order into tiles. Records that are not in order raise InputError."""
    def __new__(cls, bins: Bins, max_reads: int, max_bytes: int) -> Cutter: ...
    def push(self, records: bytes) -> list[tuple[Cut, bytes]]:
        """Return the tiles that became complete, with their records."""
    def finish(self) -> list[tuple[Cut, bytes]]: ...

# ---- tiles (tile.rs) ----------------------------------------------------------------------------
@final
class TileOptions:
    def __new__(
        cls,
        profile: str = "balanced",
        qualities: str | None = None,
        drop_tags: Sequence[str] = (),
        drop_names: bool = False,
    ) -> TileOptions: ...
    max_reads: int
    max_bytes: int

@final
class Tile:
    """One encoded tile."""

    core: bytes
    rest: bytes
    row: TileRow
    digest_in: bytes
    digest: bytes
    stats: Stats
    slices: list[tuple[int, int, int, int]]
    column_sizes: dict[str, int]

@final
class TileRow:
    """What the index keeps of a tile. `reach` is the largest end on the last contig.

    `starts`: contigs after the first, and where in the record stream of `bytes` each begins.
    """
    def __new__(
        cls,
        reads: int,
        bytes: int,
        first_tid: int,
        first_pos: int,
        last_tid: int,
        reach: int,
        starts: Sequence[tuple[int, int]] = (),
    ) -> TileRow: ...

    reads: int
    bytes: int
    first_tid: int
    first_pos: int
    last_tid: int
    reach: int
    starts: list[tuple[int, int]]

def encode_tile(records: bytes, options: TileOptions) -> Tile: ...

@final
class Selection:
    """Which records: overlap with any interval of contig `tid` (None: all), and flag filters.

    `tid` -1 selects unplaced records. Intervals are sorted, 0-based half-open. `tags`: those that
    records keep, or all.
    """
    def __new__(
        cls,
        tid: int | None = None,
        intervals: Sequence[tuple[int, int]] = (),
        require: int = 0,
        exclude: int = 0,
        exclude_all: int = 0,
        min_mapq: int = 0,
        tags: Sequence[bytes] | None = None,
    ) -> Selection: ...

def decode_tile(
    core: bytes, rest: bytes, selection: Selection | None = None, contigs: int = ...
) -> bytes:
    """Return the selected records as a record stream, in order.

    Records on a contig that is not below `contigs` raise CorruptError.
    """

class DecodedTile:
    """A tile whose columns are decoded. Raises as `decode_tile`, some of it from `blocks` only."""

    def __new__(cls, core: bytes, rest: bytes, contigs: int) -> DecodedTile: ...
    def blocks(self, start: int, end: int) -> bytes:
        """Return records [start, end) in blocks as of `bgzf_store`."""

def count_tile(core: bytes, selection: Selection) -> int: ...
def first_position(core: bytes, selection: Selection) -> int | None:
    """Return where the first of the selected records begins, 0-based."""

# ---- slices (slices.rs) -------------------------------------------------------------------------
class Slices:
    """The slices of all tiles of a dataset: records, position of the first one, reach, bytes.

    Attributes:
        tiles: Number of tiles.
    """

    tiles: int
    def __new__(cls) -> Slices: ...
    @staticmethod
    def from_bytes(data: bytes) -> Slices:
        """Raise CorruptError where it is damaged."""

    def to_bytes(self) -> bytes: ...
    def __bool__(self) -> bool:
        """Whether any tile has slices."""

    def add(self, slices: Sequence[tuple[int, int, int, int]]) -> None:
        """Append those of the next tile."""

    def of(self, tile: int) -> list[tuple[int, int, int, int]]:
        """Return those of a tile: none where it is in one piece, or not known."""

def measure_slices(records: bytes, reads: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return what lies in slices of so many records each."""

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
    """Contigs, chunks and tiles of a dataset.

    Tiles of contigs that have a table are not there before it is loaded: `size`, `rows`, `tiles`
    and `overlapping` raise RuntimeError where they would have to know them.
    """
    def __new__(cls, contigs: Sequence[tuple[str, int]]) -> Index: ...
    def add_chunk(
        self,
        start: int,
        end: int,
        digest: int,
        tiles: Sequence[tuple[TileRow, int, int]],
    ) -> None:
        """Append a chunk of tiles (row, core length, rest length). Chunks come in dataset order."""
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes) -> Index: ...
    contigs: list[tuple[str, int]]
    chunks: list[ChunkRow]
    tables: list[TableRow]
    def size(self, chunk: int) -> int:
        """Return the bytes of the object of a chunk."""
    def rows(self, chunk: int) -> list[TileRow]: ...
    def tiles(self, chunk: int) -> list[TilePlace]: ...
    def overlapping(self, tid: int, start: int, end: int) -> list[TilePlace]:
        """Return the tiles that can hold records of contig `tid` overlapping [start, end)."""
    def tiles_alone(self) -> list[tuple[int, int]]:
        """Return the contigs, in dataset order, that have chunks to themselves in no table.

        With each goes the number of their tiles.
        """
    def table(self, tid: int) -> bytes:
        """Return the bytes of a table of those tiles of a contig."""
    def move_out(self, tid: int, size: int, digest: int) -> None:
        """Leave them, which stay loaded, to a table of that size and XXH3-64.

        Contigs come in dataset order.
        """
    def load(self, tid: int, data: bytes) -> None:
        """Take the tiles of a contig from the bytes of its table. Any thread may."""

@final
class ChunkRow:
    """What names a chunk."""

    first_tid: int
    last_tid: int
    start: int
    end: int
    digest: int

@final
class TableRow:
    """A tile table that is an object of its own: contig, length and XXH3-64."""

    tid: int
    size: int
    digest: int
    loaded: bool

@final
class TilePlace:
    """Where a tile lies: chunk number and byte ranges inside that object.

    `bytes`: length of its record stream.
    """

    chunk: int
    tile: int
    reads: int
    bytes: int
    core: tuple[int, int]  # (offset, length)
    rest: tuple[int, int]

# ---- Arrow and text (arrow.rs) ------------------------------------------------------------------
@final
class Table:
    """Which columns to make of record streams; see `bams3.reads.arrow.COLUMNS`."""
    def __new__(cls, columns: Sequence[str], contigs: Sequence[str]) -> Table: ...
    def batch(self, records: bytes) -> Batch: ...
    def stream(self, batches: Iterator[Batch]) -> object:
        """Return a PyCapsule with an Arrow C stream, which pulls the batches as it is read."""

@final
class Batch:
    """An Arrow record batch: a row for each record."""

    rows: int
    def tsv(self) -> bytes: ...
    def json(self) -> bytes: ...

# ---- record streams -----------------------------------------------------------------------------
def count_records(stream: bytes) -> int: ...
def count_contigs(stream: bytes) -> dict[int, int]:
    """Return the number of records by contig number."""

def overlapping_records(
    records: bytes, tid: int, intervals: Sequence[tuple[int, int]], first: int = ...
) -> bytes:
    """Return the records of a contig that overlap any of the sorted, disjoint intervals.

    Only those that begin at `first` or later.
    """

def project_records(
    records: bytes,
    fields: int,
    tags: Sequence[bytes] | None = None,
    without: Sequence[bytes] = (),
) -> bytes:
    """Blank fields and leave out tags of a record stream.

    `fields`: bits of those to keep, in the order of SAM's columns. `tags`: those to keep, or all.
    """

# ---- depth (depth.rs) ---------------------------------------------------------------------------
@final
class Blocks:
    """Aligned stretches and gaps of the filtered alignments of one contig in one tile."""

    first: int | None  # position of the first alignment

def blocks_of_core(core: bytes, tid: int, require: int, exclude: int, min_mapq: int) -> Blocks: ...

@final
class Depth:
    """Depth of [start, end) of a contig, from blocks of tiles in dataset order."""
    def __new__(cls, start: int, end: int) -> Depth: ...
    known: int  # where the alignments added so far end
    def add(self, blocks: Blocks) -> None: ...
    def take(self, until: int) -> Run:
        """Take the depths up to `until`; no alignment to come may begin before it."""

@final
class Run:
    """Depths of the consecutive positions [start, end)."""

    start: int
    end: int
    def text(self, contig: str, start: int, end: int, zeros: bool) -> bytes:
        """Return lines of contig, 1-based position and depth."""
    def sum(self, start: int, end: int) -> int: ...

@final
class Windows:
    """Sums of depth over intervals of a contig, which may overlap."""
    def __new__(cls, intervals: Sequence[tuple[int, int]]) -> Windows: ...
    @staticmethod
    def fixed(start: int, end: int, size: int) -> Windows: ...
    def add(self, run: Run) -> None: ...
    def text(self, contig: str) -> bytes:
        """Return lines of contig, start, end and mean, in the order of the intervals."""

# ---- genotypes (genotypes.rs) -------------------------------------------------------------------
@final
class Genotypes:
    """Genotypes of a line of VCF."""
    def __new__(cls, line: bytes) -> Genotypes: ...
    called: int  # alleles that were called, in all samples
    def carriers(self, allele: int) -> Carriers:
        """Return who has an allele, counted from 1."""

@final
class Carriers:
    """The samples that have an allele, by number; `copies` of it in all of them.

    They are made of sample, copies, copies of all alleles called, depth, and share of the reads.
    """
    def __new__(
        cls, rows: Sequence[tuple[int, int, int, int | None, float | None]]
    ) -> Carriers: ...
    def __len__(self) -> int: ...
    copies: int
    def rows(self) -> list[tuple[int, Zygosity, int | None, float | None]]:
        """Return sample, zygosity, depth, and share of the reads."""
    def samples(self, below: int) -> tuple[int, ...]:
        """Return the samples whose number is less than `below`."""

@final
class CarrierCounts:
    """Counts of carriers; shares of reads are counted in so many bins. What is taken is gone."""
    def __new__(cls, bins: int) -> CarrierCounts: ...
    def __len__(self) -> int:
        """Return how many different counts there are."""
    def add(self, carriers: Carriers, kind: int, quality: int | None) -> None:
        """Count the carriers of an allele; `kind` and `quality` are numbers of the caller's."""
    def take_kinds(self) -> list[tuple[int, int, Zygosity, bool, int]]:
        """Return sample, kind, zygosity, whether nobody else has the allele, and how many."""
    def take_depths(self) -> list[tuple[int, int | None, int]]:
        """Return sample, depth, and how many."""
    def take_shares(self) -> list[tuple[bool, int, int | None, int]]:
        """Return whether it is heterozygous, the share's bin, the quality, and how many."""
