"""SAM, BAM or CRAM into a dataset, in one pass and bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from bams3 import _core
from bams3.errors import Bams3Error, InputError, UsageError
from bams3.reads.inputs import Input
from bams3.reads.limits import cpus, memory
from bams3.reads.manifest import Manifest
from bams3.reads.pipeline import give_memory_back, ordered
from bams3.reads.spill import Spill, take_bin
from bams3.reads.writer import ChunkWriter, Destination, sizes
from bams3.storage import StorageOptions, Store, open_store

PROFILES = ("fast", "balanced", "small")
QUALITIES = ("bin8", "bin4", "crumble")
Progress = Callable[[str, int, int, int], None]
Made = TypeVar("Made")

_MODULUS = 1 << 128
_UPLOADS = 4
_LOOK_AHEAD = 96 << 20
_ENCODING = 320 << 20
# Memory that encoding takes for each byte of a tile. Measured, one tile of each profile in a fresh
# process: 14 with "small" and reads of 150 bases, 9 with the others, 6 to 7 with long reads.
_PER_TILE_BYTE = 15
# Freed blocks that the C library may keep for reuse: for all threads, and for each of "small". Less
# costs system time, which is nothing beside that of "small", whose blocks are four times as large.
_KEPT = 128 << 20
_KEPT_SMALL = 1 << 20


@dataclass(frozen=True)
class ConvertSummary:
    """What a conversion did. Sizes are bytes.

    Attributes:
        destination: URL of the dataset.
        records: Number of alignment records.
        bytes_read: Bytes of input as it came (compressed where it was).
        bytes_written: Size of the dataset.
        bytes_spilled: Bytes of temporary fragments, which are deleted.
        digest: Sum modulo 2**128 of the XXH3-128 of the records, in hex.
        seconds: Wall time.
    """

    destination: str
    records: int
    chunks: int
    tiles: int
    bytes_read: int
    bytes_written: int
    bytes_spilled: int
    column_sizes: dict[str, int]
    digest: str
    seconds: float


@dataclass(frozen=True)
class _Options:
    profile: str
    workers: int
    sort_buffer: int
    chunk_size: int
    qualities: str | None
    drop_tags: Sequence[str]
    drop_names: bool

    def __post_init__(self) -> None:
        _require(self.profile in PROFILES, f"profile {self.profile!r} is none of {PROFILES}")
        known = self.qualities in (None, *QUALITIES)
        _require(known, f"qualities {self.qualities!r} is none of {QUALITIES}")
        _require(1 <= self.workers <= 1024, "workers must be from 1 to 1024")
        _require(self.sort_buffer >= 1 << 20, "the sort buffer must be at least 1 MiB")
        _require(
            1 << 10 <= self.chunk_size <= 1 << 30, "the chunk size must be from 1 KiB to 1 GiB"
        )
        tags = all(len(tag) == 2 for tag in self.drop_tags)
        _require(tags, "tags to drop are two characters each")

    def tile_options(self) -> _core.TileOptions:
        return _core.TileOptions(self.profile, self.qualities, self.drop_tags, self.drop_names)

    def loss(self) -> dict[str, Any]:
        """Return what the manifest says of information given up."""
        loss = {
            "qualities": self.qualities,
            "drop_tags": sorted(self.drop_tags),
            "drop_names": self.drop_names,
        }
        return {name: value for name, value in loss.items() if value}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def convert(
    source: str | BinaryIO,
    destination: str,
    *,
    profile: str = "balanced",
    workers: int | None = None,
    sort_buffer: int | None = None,
    chunk_size: int = 1 << 20,
    overwrite: bool = False,
    spill_dir: str | None = None,
    qualities: str | None = None,
    drop_tags: Sequence[str] = (),
    drop_names: bool = False,
    reference: str | None = None,
    storage: StorageOptions | None = None,
    progress: Progress | None = None,
) -> ConvertSummary:
    """Convert SAM, BAM or CRAM into a dataset.

    Input whose header says SO:coordinate keeps its order; all other input is sorted as
    `samtools sort` does. Nothing is visible at the destination before all of it is there.

    Args:
        source: Path, URL, "-" for standard input, or a binary file object, which is closed.
        destination: Folder of the dataset: a path or s3:// URL.
        profile: "fast", "balanced" or "small"; all lossless.
        workers: Threads; by default the CPUs that this process may use.
        sort_buffer: Bytes of records held for sorting; by default a quarter of the memory.
        chunk_size: Chunks begin at multiples of so many bases on a contig.
        overwrite: Replace the dataset that is there.
        spill_dir: Where what exceeds the sort buffer goes; by default beside the destination.
        qualities: Give up detail of qualities: "bin8", "bin4" or "crumble".
        drop_tags: Leave out these tags.
        drop_names: Leave out read names.
        reference: FASTA for CRAM input that needs one: a path, or a URL with a .fai beside it.
        storage: How to reach object stores.
        progress: Called now and then with stage, bytes read, records read, bytes written.

    Raises:
        InputError: The input is malformed or cut short.
        ExistsError: The destination holds a dataset, and `overwrite` is false.
        UsageError: An option has no meaning.
        StorageError: The destination cannot be written.
    """
    options = _Options(
        profile=profile,
        workers=workers or cpus(),
        sort_buffer=sort_buffer or default_sort_buffer(),
        chunk_size=chunk_size,
        qualities=qualities,
        drop_tags=tuple(drop_tags),
        drop_names=drop_names,
    )
    kept = _KEPT // max(options.workers, 2)
    give_memory_back(_KEPT_SMALL if profile == "small" else kept)
    job = _Conversion(options, open_store(destination, storage), overwrite, progress)
    spill = open_store(spill_dir, storage) if spill_dir else job.store
    with job:
        return job.run(source, spill, storage, reference)


def default_sort_buffer() -> int:
    """Return a quarter of the memory that this process may use, 256 MiB to 8 GiB."""
    return max(256 << 20, min(8 << 30, memory() // 4))


@dataclass
class _Totals:
    """What was read, to compare with what was encoded."""

    records: int = 0
    digest: int = 0

    def add(self, records: _core.Records) -> None:
        self.records += records.count
        self.digest += int.from_bytes(records.digest, "little")


@dataclass
class _Conversion:
    """One conversion: reads, sorts, encodes and publishes, or leaves nothing behind."""

    options: _Options
    store: Store
    overwrite: bool
    progress: Progress | None
    totals: _Totals = field(default_factory=_Totals)

    def __enter__(self) -> _Conversion:
        self._stack = ExitStack()
        try:
            uploads = self._stack.enter_context(ThreadPoolExecutor(_UPLOADS))
            self._uploads = uploads
            self._pool = ThreadPoolExecutor(self.options.workers)
            self._stack.callback(self._pool.shutdown, cancel_futures=True)
            self._destination = Destination(self.store, self.overwrite, uploads)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is not None:
                self._destination.abandon()

    def run(
        self,
        source: str | BinaryIO,
        spill_store: Store,
        storage: StorageOptions | None,
        reference: str | None,
    ) -> ConvertSummary:
        began = time.monotonic()
        workers = self.options.workers
        with Input(source, self._pool, workers, storage, reference) as input:
            spill = Spill(spill_store, self._pool, self._uploads, workers)
            self._stack.callback(_quietly, spill.delete)
            writer = self._write(input, spill)
            written = self._publish(input.header, writer)
            return self._summary(input, writer, written, spill, time.monotonic() - began)

    def _write(self, input: Input, spill: Spill) -> ChunkWriter:
        header = input.header
        bins = _core.Bins(header.contigs, self.options.chunk_size)
        if is_sorted(header):
            records = self._streamed(input)
        else:
            records = self._sorted(input, bins, spill)
        writer = ChunkWriter(header.contigs, self._destination.uploads.put)
        for cut, tile in self._encoded(records, bins, input.name):
            writer.add(cut, tile)
            self._report("encoding", input)
        writer.finish()
        self._compare(writer)
        return writer

    def _streamed(self, input: Input) -> Iterator[bytes]:
        for batch in input.batches(lambda records: None):
            self.totals.add(batch.records)
            yield batch.records.data

    def _sorted(self, input: Input, bins: _core.Bins, spill: Spill) -> Iterator[bytes]:
        sorter = _core.Sorter(bins)
        buffer = self.options.sort_buffer
        for batch in input.batches(lambda records: _core.partition(records, bins)):
            self.totals.add(batch.records)
            sorter.add(batch.made)
            if sorter.held > buffer:
                spill.write(sorter, sorter.fullest(sorter.held - buffer // 2))
            self._report("sorting", input)
        spill.reduce()
        sorter.trim()
        yield from self._bins(sorter, spill)

    def _bins(self, sorter: _core.Sorter, spill: Spill) -> Iterator[bytes]:
        """Yield the sorted records of all bins; small bins are prepared by the workers."""
        workers = self.options.workers
        most = _LOOK_AHEAD // (workers + 1)
        numbers = sorted({*sorter.filled(), *spill.bins()})
        prepared = ordered(
            self._pool, lambda bin: take_bin(sorter, spill, bin, most), numbers, workers
        )
        for blocks in prepared:
            yield from blocks

    def _encoded(
        self, records: Iterator[bytes], bins: _core.Bins, name: str
    ) -> Iterator[tuple[_core.Cut, _core.Tile]]:
        options = self.options.tile_options()
        cutter = _core.Cutter(bins, options.max_reads, options.max_bytes)

        def work(cut: tuple[_core.Cut, bytes]) -> tuple[_core.Cut, _core.Tile]:
            return cut[0], _core.encode_tile(cut[1], options)

        cuts = _cut(records, cutter, name)
        return ordered(self._pool, work, cuts, self._encode_ahead(options.max_bytes))

    def _encode_ahead(self, tile: int) -> int:
        """Return how many tiles to encode ahead: what fits beside the sort buffer, or in it."""
        fitting = (_ENCODING + self.options.sort_buffer // 2) // (_PER_TILE_BYTE * tile)
        return max(0, min(self.options.workers, fitting - 1))

    def _compare(self, writer: ChunkWriter) -> None:
        """Refuse to publish anything but what was read."""
        read = (self.totals.records, self.totals.digest % _MODULUS)
        if read != (writer.records, writer.digest_in % _MODULUS):
            raise Bams3Error(
                f"internal error: {read[0]} records were read and {writer.records} encoded, "
                "or their digests differ; nothing was published"
            )

    def _publish(self, header: _core.Header, writer: ChunkWriter) -> int:
        uploads = self._destination.uploads
        data = uploads.bytes_written
        digest, size = self._destination.put_header(header.text)
        written = sizes(writer, uploads.bytes_written - data, data)
        manifest = Manifest(
            created_by=f"bams3 {_core.VERSION}",
            samples=samples(header.text),
            input_order=is_sorted(header),
            profile=self.options.profile,
            loss=self.options.loss(),
            chunk_size=self.options.chunk_size,
            records=writer.records,
            digest=writer.digest % _MODULUS,
            header_digest=digest,
            header_size=size,
            counts={"records": writer.records, "chunks": writer.chunks, "tiles": writer.tiles},
            sizes=written,
            index=writer.index,
            stats=writer.stats,
            slices=self._destination.put_slices(writer.slices),
        )
        return self._destination.publish(manifest) + uploads.bytes_written

    def _summary(
        self, input: Input, writer: ChunkWriter, written: int, spill: Spill, seconds: float
    ) -> ConvertSummary:
        return ConvertSummary(
            destination=self.store.url,
            records=writer.records,
            chunks=writer.chunks,
            tiles=writer.tiles,
            bytes_read=input.bytes_read,
            bytes_written=written,
            bytes_spilled=spill.bytes_written,
            column_sizes=dict(writer.column_sizes),
            digest=f"{writer.digest % _MODULUS:032x}",
            seconds=seconds,
        )

    def _report(self, stage: str, input: Input) -> None:
        if self.progress is not None:
            written = self._destination.uploads.bytes_written
            self.progress(stage, input.bytes_read, self.totals.records, written)


def _cut(
    records: Iterator[bytes], cutter: _core.Cutter, name: str
) -> Iterator[tuple[_core.Cut, bytes]]:
    for block in records:
        try:
            yield from cutter.push(block)
        except InputError as error:
            raise InputError(
                f"{name}: {error.message}, but the header says SO:coordinate",
                "sort it (samtools sort), or correct SO in its @HD line",
            ) from None
    yield from cutter.finish()


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except (Bams3Error, OSError):
        pass


def is_sorted(header: _core.Header) -> bool:
    """Tell whether the input claims to be in coordinate order."""
    return header.sort_order == "coordinate"


def samples(text: bytes) -> tuple[str, ...]:
    """Return SM of the @RG lines, sorted, each once."""
    groups = [line.split(b"\t") for line in text.splitlines() if line.startswith(b"@RG\t")]
    names = {part[3:] for group in groups for part in group if part.startswith(b"SM:")}
    return tuple(sorted(name.decode(errors="replace") for name in names))
