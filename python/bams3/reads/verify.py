"""Prove that a dataset is whole, and that it equals the file it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from bams3 import _core
from bams3.errors import CorruptError, StorageError
from bams3.reads.fetch import Section, pools
from bams3.reads.manifest import chunk_key
from bams3.reads.pipeline import ordered

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bams3._core import Header
    from bams3.config import StorageOptions
    from bams3.reads.dataset import Dataset

MODULUS = 1 << 128
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """What was checked. `problems` is empty where all is well.

    `same_header`: whether the header text is that of `against`; None where it was not compared.
    """

    records: int
    objects: int
    bytes: int
    digest: str | None
    against: str | None = None
    problems: list[str] = field(default_factory=list)
    same_header: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    dataset: Dataset,
    *,
    against: str | BinaryIO | None = None,
    reference: str | None = None,
    quick: bool = False,
    threads: int | None = None,
    storage: StorageOptions | None = None,
    progress: Progress | None = None,
) -> VerifySummary:
    """Check a dataset.

    Every object is read, every checksum compared, every tile decoded; records and the sum of their
    digests must be those of the manifest.

    Args:
        dataset: What to check.
        against: A SAM, BAM or CRAM file whose contigs and records must be the same, these in any
            order. Other header lines may differ, for every program adds some.
        reference: FASTA for CRAM: a path, or a URL with a .fai beside it.
        quick: Only compare existence and sizes of the objects.
        threads: By default one for each CPU.
        storage: How to reach `against`.
        progress: Called with the number of records checked so far.

    Returns:
        What was found; damage is in `problems`, and does not raise.
    """
    problems = list(_index(dataset)) or list(_sizes(dataset))
    if problems and dataset.is_replaced():
        raise StorageError(
            f"{dataset.url}: the dataset was replaced while it was read", "start again"
        )
    chunks = range(len(dataset.index.chunks))
    objects = 1 + len(dataset.manifest.keys())
    whole = all(table.loaded for table in dataset.index.tables)
    size = sum(map(dataset.index.size, chunks)) if whole else 0
    manifest = dataset.manifest
    if quick or problems:
        return VerifySummary(manifest.records, objects, size, None, None, problems)
    tally = _Tally()
    problems += _header(dataset)
    problems += _tiles(dataset, tally, threads, progress)
    if not problems:
        problems += _compare_manifest(dataset, tally)
    name, same_header = None, None
    if against is not None and not problems:
        name = against if isinstance(against, str) else "input"
        header, theirs = _read(against, reference, threads, storage)
        same_header = header.text == dataset.header.text
        problems += _compare(dataset, tally, header, theirs)
    digest = f"{tally.digest:032x}"
    return VerifySummary(tally.records, objects, size, digest, name, problems, same_header)


class _Tally:
    """Counts and sum of digests of records."""

    def __init__(self) -> None:
        self.records = 0
        self.digest = 0
        self.contigs: Counter[int] = Counter()

    def add(self, found: tuple[int, bytes, dict[int, int]]) -> None:
        count, digest, contigs = found
        self.records += count
        self.digest = (self.digest + int.from_bytes(digest, "little")) % MODULUS
        self.contigs.update(contigs)


def _index(dataset: Dataset) -> Iterator[str]:
    """Read the tile tables and the slices; hints are not part of the dataset."""
    try:
        dataset.load()
        assert dataset.slices is not None
    except CorruptError as error:
        yield error.message


def _sizes(dataset: Dataset) -> Iterator[str]:
    """Compare the objects that are there with those that should be."""
    contigs = dataset.index.contigs
    found = {entry.key: entry.size for entry in dataset.store.list("data")}
    for number, chunk in enumerate(dataset.index.chunks):
        key, size = chunk_key(contigs, chunk), dataset.index.size(number)
        if key not in found:
            yield f"{dataset.store.url_of(key)}: missing"
        elif found[key] != size:
            yield f"{dataset.store.url_of(key)}: {found[key]:,} bytes instead of {size:,}"


def _header(dataset: Dataset) -> Iterator[str]:
    try:
        assert dataset.header
    except CorruptError as error:
        yield error.message


def _tiles(
    dataset: Dataset, tally: _Tally, threads: int | None, progress: Progress | None
) -> Iterator[str]:
    """Read and decode everything; yield what is wrong."""
    with pools(threads) as (fetching, decoding, workers):
        chunks = range(len(dataset.index.chunks))
        for sections in ordered(fetching, lambda chunk: _chunk(dataset, chunk), chunks, 2):
            yield from _decoded(dataset, sections, tally, decoding, workers)
            if progress:
                progress(tally.records)


def _chunk(dataset: Dataset, chunk: int) -> list[Section] | str:
    """Read a whole chunk, compare its digest with the index, cut it to sections."""
    try:
        data = dataset.source.chunk(chunk)
    except CorruptError as error:
        return error.message
    return [
        Section(tile, data[tile.core[0] :][: tile.core[1]], data[tile.rest[0] :][: tile.rest[1]])
        for tile in dataset.index.tiles(chunk)
    ]


def _decoded(
    dataset: Dataset, sections: list[Section] | str, tally: _Tally, pool: Executor, workers: int
) -> Iterator[str]:
    if isinstance(sections, str):
        yield sections
        return
    for result in ordered(pool, lambda section: _tile(dataset, section), sections, workers + 1):
        if isinstance(result, str):
            yield result
        else:
            tally.add(result)


def _tile(dataset: Dataset, section: Section) -> tuple[int, bytes, dict[int, int]] | str:
    try:
        with dataset.source.naming(section.place):
            records = dataset.source.decode(section)
            if _core.count_records(records) != section.place.reads:
                raise CorruptError("not as many records as the index says")
            if len(records) != section.place.bytes:
                raise CorruptError("records of other sizes than the index says")
            slices = dataset.slices_of(section.place)
            if slices and slices != _core.measure_slices(records, [s[0] for s in slices]):
                raise CorruptError("its slices are not those of the records")
            return section.place.reads, _core.records_digest(records), _core.count_contigs(records)
    except CorruptError as error:
        return error.message


def _compare_manifest(dataset: Dataset, tally: _Tally) -> Iterator[str]:
    manifest = dataset.manifest
    if tally.records != manifest.records:
        yield f"{tally.records:,} records instead of the {manifest.records:,} of the manifest"
    elif tally.digest != manifest.digest:
        yield f"the digest of the records is not that of the manifest ({manifest.digest:032x})"


def _read(
    against: str | BinaryIO,
    reference: str | None,
    threads: int | None,
    storage: StorageOptions | None,
) -> tuple[Header, _Tally]:
    """Read a file through the readers of `convert`."""
    from bams3.reads.inputs import Input

    theirs = _Tally()
    with pools(threads) as (_, pool, workers):
        with Input(against, pool, workers, storage, reference) as source:
            for batch in source.batches(lambda records: _core.count_contigs(records.data)):
                theirs.add((batch.records.count, batch.records.digest, batch.made))
            return source.header, theirs


def _compare(dataset: Dataset, ours: _Tally, header: Header, theirs: _Tally) -> Iterator[str]:
    if header.contigs != dataset.index.contigs:
        yield "the contigs of the two, or their lengths, differ"
    elif (theirs.records, theirs.digest) != (ours.records, ours.digest):
        yield _difference(ours, theirs, list(dataset.contigs))


def _difference(ours: _Tally, theirs: _Tally, names: list[str]) -> str:
    """Say how two sets of records differ, and where first."""
    for tid in [*range(len(names)), -1]:
        here, there = ours.contigs[tid], theirs.contigs[tid]
        if here != there:
            where = names[tid] if tid >= 0 else "no contig"
            return (
                f"the dataset has {ours.records:,} records, the file {theirs.records:,}; "
                f"first on {where}: {here:,} and {there:,}"
            )
    return f"both have {ours.records:,} records, as many on each contig, but not the same ones"
