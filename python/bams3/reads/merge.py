"""Join datasets: chunks that meet no others are copied, the rest is merged and coded anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import bams3
from bams3 import _core
from bams3.config import StorageOptions
from bams3.errors import UsageError
from bams3.reads import headers
from bams3.reads.convert import samples
from bams3.reads.dataset import Dataset, open
from bams3.reads.fetch import pools
from bams3.reads.manifest import Manifest
from bams3.reads.pipeline import ordered
from bams3.reads.writer import ChunkWriter, Destination
from bams3.storage import open_store

MODULUS = 1 << 128
BLOCK = 4 << 20
Progress = Callable[[int], None]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """What was done. `copied` and `encoded` are numbers of chunks."""

    destination: str
    records: int
    copied: int
    encoded: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk of a source, with the places of its first record and of its last at most."""

    first: Place
    source: int
    chunk: int
    last: Place


def merge(
    destination: str,
    sources: Sequence[str],
    *,
    overwrite: bool = False,
    threads: int | None = None,
    storage: StorageOptions | None = None,
    progress: Progress | None = None,
) -> MergeSummary:
    """Join datasets into one.

    The order is that of `samtools merge`: the next record is the first by position, then forward
    before reverse, then by the order of the sources. @RG, @PG and @CO lines are joined.

    Args:
        destination: Folder of the new dataset.
        sources: Datasets with the same contigs.
        overwrite: Replace the dataset that is there.
        threads: By default one for each CPU.
        storage: How to reach object stores.
        progress: Called with the number of records done.

    Raises:
        UsageError: Contigs differ, or a read group or program of one ID does.
        ExistsError: The destination holds a dataset, and `overwrite` is false.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open(source, storage)) for source in sources]
        _check_contigs(opened)
        for dataset in opened:
            dataset.load()
        text = headers.merge([dataset.header.text for dataset in opened])
        fetching, decoding, workers = stack.enter_context(pools(threads))
        uploads = stack.enter_context(ThreadPoolExecutor(4))
        store = open_store(destination, storage)
        stack.callback(store.close)
        job = _Merge(opened, Destination(store, overwrite, uploads), fetching, decoding, workers)
        try:
            return job.run(text, store, progress)
        except BaseException:
            job.destination.abandon()
            raise


def _check_contigs(datasets: Sequence[Dataset]) -> None:
    for dataset in datasets[1:]:
        if dataset.index.contigs != datasets[0].index.contigs:
            raise UsageError(
                f"{datasets[0].url} and {dataset.url} have different contigs",
                hint="align the reads to one reference",
            )


def parts(datasets: Sequence[Dataset]) -> list[Part]:
    """Return the chunks of all datasets, by the place of their first record."""
    found = [part for number, dataset in enumerate(datasets) for part in _parts(number, dataset)]
    return sorted(found, key=attrgetter("first", "source", "chunk"))


def _parts(source: int, dataset: Dataset) -> Iterator[Part]:
    count = len(dataset.source.chunks)
    rows = [dataset.index.rows(chunk) for chunk in range(count)]
    firsts = [_place(tiles[0].first_tid, tiles[0].first_pos) for tiles in rows]
    for chunk, tiles in enumerate(rows):
        last = _place(tiles[-1].last_tid, tiles[-1].reach)
        bound = min(last, firsts[chunk + 1]) if chunk + 1 < count else last
        yield Part(firsts[chunk], source, chunk, bound)


def _place(tid: int, position: int) -> Place:
    """Return what sorts as the dataset does: unplaced records last, and all in one place."""
    return (1 << 32, 0) if tid < 0 else (tid, position)


def groups(chunks: Sequence[Part]) -> Iterator[list[Part]]:
    """Split into runs of chunks; no place is shared by two runs of which one has several sources.

    Neighbouring chunks of one source may share a place: they are in order already.
    """
    held: list[Part] = []
    for part in chunks:
        if held and not _meets(held, part):
            yield held
            held = []
        held.append(part)
    if held:
        yield held


def _meets(held: Sequence[Part], part: Part) -> bool:
    """Whether a chunk begins before the chunks that are held end."""
    return part.first <= max(other.last for other in held)


@dataclass
class _Merge:
    """One merge: copies, merges, and publishes."""

    datasets: list[Dataset]
    destination: Destination
    fetching: Executor
    decoding: Executor
    workers: int
    copied: int = 0

    def run(self, text: bytes, store: Any, progress: Progress | None) -> MergeSummary:
        """Write everything, then the manifest."""
        writer = ChunkWriter(self.datasets[0].index.contigs, self.destination.uploads.put)
        done = 0
        for group in groups(parts(self.datasets)):
            if len({part.source for part in group}) == 1:
                self._copy(group, writer, store)
            else:
                self._encode(group, writer)
            done += sum(row.reads for part in group for row in self._rows(part))
            if progress:
                progress(done)
        encoded = writer.chunks
        written = self.destination.publish(self._manifest(text, writer))
        written += self.destination.uploads.bytes_written
        return MergeSummary(store.url, done, self.copied, encoded, written)

    def _rows(self, part: Part) -> list[_core.TileRow]:
        return self.datasets[part.source].index.rows(part.chunk)

    def _copy(self, group: Sequence[Part], writer: ChunkWriter, store: Any) -> None:
        """Copy chunks as they are."""
        for part in group:
            dataset = self.datasets[part.source]
            row = dataset.source.chunks[part.chunk]
            key = dataset.source.key(part.chunk)
            self.destination.uploads.note(key)
            dataset.source.copy(part.chunk, store)
            tiles = dataset.index.tiles(part.chunk)
            lengths = [(tile.core[1], tile.rest[1]) for tile in tiles]
            rows = zip(self._rows(part), lengths, strict=True)
            entries = [(tile, *pair) for tile, pair in rows]
            writer.index.add_chunk(row.start, row.end, row.digest, entries)
            for tile in tiles:
                writer.slices.add(dataset.slices_of(tile))
            self.copied += 1

    def _encode(self, group: Sequence[Part], writer: ChunkWriter) -> None:
        """Merge the records of chunks and code them anew."""
        first = self.datasets[0].manifest
        options = _core.TileOptions(first.profile)
        bins = _core.Bins(self.datasets[0].index.contigs, first.chunk_size)
        cutter = _core.Cutter(bins, options.max_reads, options.max_bytes)

        def cuts() -> Iterator[tuple[_core.Cut, bytes]]:
            for block in self._merged(group):
                yield from cutter.push(block)
            yield from cutter.finish()

        def encode(cut: tuple[_core.Cut, bytes]) -> tuple[_core.Cut, _core.Tile]:
            return cut[0], _core.encode_tile(cut[1], options)

        for cut, tile in ordered(self.decoding, encode, cuts(), self.workers + 1):
            writer.add(cut, tile)
        writer.finish()

    def _merged(self, group: Sequence[Part]) -> Iterator[bytes]:
        """Yield the records of chunks of several sources in order."""
        sources = sorted({part.source for part in group})
        streams = [
            self._records(source, [part.chunk for part in group if part.source == source])
            for source in sources
        ]
        merger = _core.Merger(len(streams))
        while True:
            for number in merger.needs():
                block = next(streams[number], None)
                if block is None:
                    merger.finish(number)
                else:
                    merger.feed(number, block)
            block = merger.take(BLOCK)
            if block:
                yield block
            elif not merger.needs():
                return

    def _records(self, source: int, chunks: Sequence[int]) -> Iterator[bytes]:
        """Yield the records of some chunks of a source, tile by tile."""
        dataset = self.datasets[source]
        places = [place for chunk in chunks for place in dataset.index.tiles(chunk)]
        for section in dataset.source.sections(places, "both", self.fetching):
            with dataset.source.naming(section.place):
                records = dataset.source.decode(section)
            yield records

    def _manifest(self, text: bytes, writer: ChunkWriter) -> Manifest:
        manifests = [dataset.manifest for dataset in self.datasets]
        digest, size = self.destination.put_header(text)
        stats = _core.Stats()
        for manifest in manifests:
            stats.merge(manifest.stats)
        chunks = range(len(writer.index.chunks))
        tiles = [row.reads for chunk in chunks for row in writer.index.rows(chunk)]
        records, data = sum(tiles), sum(map(writer.index.size, chunks))
        profiles = {manifest.profile for manifest in manifests}
        return Manifest(
            created_by=f"bams3 {bams3.__version__}",
            samples=samples(text),
            input_order=all(manifest.input_order for manifest in manifests),
            profile=profiles.pop() if len(profiles) == 1 else "mixed",
            loss={name: value for manifest in manifests for name, value in manifest.loss.items()},
            chunk_size=manifests[0].chunk_size,
            records=records,
            digest=sum(manifest.digest for manifest in manifests) % MODULUS,
            header_digest=digest,
            header_size=size,
            counts={"records": records, "chunks": len(chunks), "tiles": len(tiles)},
            sizes={"data": data, "header": size, "columns": self._columns(writer)},
            index=writer.index,
            stats=stats,
            slices=self.destination.put_slices(writer.slices),
        )

    def _columns(self, writer: ChunkWriter) -> dict[str, int]:
        """Return the sizes of columns where they are known: all was copied, or all made anew."""
        if not self.copied:
            return dict(writer.column_sizes)
        if writer.chunks:
            return {}
        total: dict[str, int] = {}
        for dataset in self.datasets:
            for name, count in dataset.manifest.sizes["columns"].items():
                total[name] = total.get(name, 0) + count
        return total
