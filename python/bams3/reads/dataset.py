"""Open a dataset: one GET of the manifest, which carries the index and the statistics."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bams3 import _core
from bams3.errors import Bams3Error, CorruptError, NotFoundError, StorageError
from bams3.reads.fetch import Source
from bams3.reads.manifest import (
    MAX_HEADER,
    METADATA,
    UNMAPPED,
    Manifest,
    chunk_key,
    escape,
    header_key,
)
from bams3.regions import UNPLACED, Region, likely_contig
from bams3.storage import open_store

if TYPE_CHECKING:
    from types import TracebackType

    from bams3._core import Header, Index, Slices, TilePlace
    from bams3.config import StorageOptions
    from bams3.reads.depth import DepthQuery
    from bams3.reads.query import Query
    from bams3.reads.virtual_bam import VirtualBam
    from bams3.storage import Store


class Dataset:
    """An alignment dataset. Made by `bams3.open`.

    Attributes:
        store: The folder that holds it.
        manifest: What `_metadata.json` says.
    """

    def __init__(self, store: Store, manifest: Manifest, digest: int) -> None:
        self.store = store
        self.manifest = manifest
        self._digest = digest

    def __repr__(self) -> str:
        return (
            f"<Dataset {self.url}: {self.manifest.records:,} records, {len(self.contigs)} contigs>"
        )

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self.store.close()

    @property
    def url(self) -> str:
        """Where the dataset lies."""
        return self.store.url

    @property
    def index(self) -> Index:
        """Contigs, chunks and tiles, these as far as they are loaded."""
        return self.manifest.index

    def load(self, tids: Collection[int] | None = None) -> None:
        """Read what is missing of the index, of some contigs or of all, in one round.

        Only the manifests of large datasets leave anything out. Queries load what they need.

        Raises:
            CorruptError: A tile table is missing or damaged.
            StorageError: The dataset was replaced.
        """
        if any(not table.loaded for table in self.index.tables):
            from bams3.reads import tables

            try:
                tables.load(self.store, self.index, tids)
            except NotFoundError as error:
                raise self._gone(error) from error

    @cached_property
    def header(self) -> Header:
        """The SAM header, verbatim; one GET when first asked for."""
        key = header_key(self.manifest.header_digest)
        try:
            data = self.store.get(key)
        except NotFoundError as error:
            raise self._gone(error) from error
        if _core.hash64(data) != self.manifest.header_digest:
            raise CorruptError(f"{self.store.url_of(key)}: the header fails its checksum")
        return _core.Header(_core.zstd_decompress(data, MAX_HEADER), self.index.contigs)

    @cached_property
    def slices(self) -> Slices:
        """The slices of all tiles; one GET when first asked for, where there are any.

        Raises:
            CorruptError: They are missing or damaged.
            StorageError: The dataset was replaced.
        """
        table = self.manifest.slices
        if table is None:
            return _core.Slices()
        from bams3.reads.tables import read_slices

        try:
            return read_slices(self.store, table)
        except NotFoundError as error:
            raise self._gone(error) from error

    @cached_property
    def first_tiles(self) -> list[int]:
        """How many tiles come before each chunk; all tables must be loaded."""
        counts = (len(self.index.rows(chunk)) for chunk in range(len(self.index.chunks)))
        return [0, *accumulate(counts)][:-1]

    def slices_of(self, place: TilePlace) -> list[tuple[int, int, int, int]]:
        """Return the slices of a tile: records, position of the first one, reach, bytes.

        None where the tile is in one piece. Raises as `slices`.
        """
        return self.slices.of(self.first_tiles[place.chunk] + place.tile)

    @cached_property
    def contigs(self) -> dict[str, int]:
        """Lengths by name, in the order of the header."""
        return dict(self.index.contigs)

    @cached_property
    def tids(self) -> dict[str, int]:
        """Numbers of the contigs by name."""
        return {name: tid for tid, name in enumerate(self.contigs)}

    @cached_property
    def source(self) -> Source:
        """Where the chunks lie."""
        contigs, chunks = self.index.contigs, self.index.chunks
        return Source(
            self.store,
            chunks,
            lambda chunk: chunk_key(contigs, chunks[chunk]),
            self.index.size,
            len(contigs),
            self._gone,
        )

    @property
    def etag(self) -> str:
        """What changes with anything in the dataset: the XXH3-64 of its manifest."""
        return f"{self._digest:016x}"

    def as_bam(self) -> VirtualBam:
        """Return the dataset as the bytes of a BAM file with its index, read where asked for.

        Reads what is missing of the index, and the header.
        """
        from bams3.reads.virtual_bam import VirtualBam

        return VirtualBam(self)

    def is_replaced(self) -> bool:
        """Whether another dataset, or none, stands now where this one was opened; one GET."""
        try:
            return _core.hash64(self.store.get(METADATA)) != self._digest
        except NotFoundError:
            return True

    def _gone(self, error: NotFoundError) -> Bams3Error:
        """Say why an object is not there."""
        if self.is_replaced():
            return StorageError(
                f"{self.url}: the dataset was replaced while it was read", "start again"
            )
        return CorruptError(error.message, "the dataset is damaged: restore it, or convert again")

    def query(
        self,
        *regions: str | Region,
        bed: Iterable[Region] | str | os.PathLike[str] | None = None,
        require: int = 0,
        exclude: int = 0,
        exclude_all: int = 0,
        min_mapq: int = 0,
        keep_tags: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        once: bool = False,
        threads: int | None = None,
    ) -> Query:
        """Select records, as `samtools view` does; nothing is read until the result is used.

        Args:
            regions: Texts as for samtools (1-based closed) or `Region`s (0-based half-open).
                Each is answered in turn: a record in two regions comes twice. None: everything.
            bed: Regions, or the path of a BED file. Records that overlap any, once, in file order.
            require: FLAG bits that must all be set (-f).
            exclude: FLAG bits of which none may be set (-F).
            exclude_all: FLAG bits that may not all be set (-G).
            min_mapq: Least mapping quality (-q).
            keep_tags: Only these tags of the records (--keep-tag); others are not decoded.
            columns: Columns of the Arrow stream; see `bams3.reads.arrow.COLUMNS`. Names of tags
                (`"NM"`, `"XY:i"`, `"XY:f"`, `"XY:Z"`) are columns too.
            once: Each record once and in file order, whatever the regions (-M).
            threads: Decoding threads; by default one for each CPU.

        Raises:
            RegionError: A region or a contig does not exist.
            UsageError: There is no such column.
        """
        from bams3.reads.query import Filters, Query

        tags = None if keep_tags is None else tuple(tag.encode() for tag in keep_tags)
        filters = Filters(require, exclude, exclude_all, min_mapq, tags)
        return Query(self, regions, bed, filters, columns=columns, once=once, threads=threads)

    def depth(
        self,
        *regions: str | Region,
        bed: Iterable[Region] | str | os.PathLike[str] | None = None,
        require: int = 0,
        exclude: int = 0x704,
        min_mapq: int = 0,
        threads: int | None = None,
    ) -> DepthQuery:
        """Ask for the depth: aligned bases (M, =, X) over each position.

        Reads only positions, flags, mapping qualities and CIGARs. By default unmapped, secondary,
        duplicate reads and those that fail quality control do not count, as for `samtools depth`.

        Raises:
            RegionError: A region or a contig does not exist.
        """
        from bams3.reads.depth import DepthQuery

        return DepthQuery(self, regions, bed, require, exclude, min_mapq, threads)

    def stats(self) -> dict[str, Any]:
        """Return flagstat, idxstats, bases, depth, insert sizes and sizes; reads nothing more."""
        from bams3.reads.stats import summary

        return summary(self)


def open(
    url: str | os.PathLike[str],
    options: StorageOptions | None = None,
    *,
    regions: Iterable[str | Region] = (),
) -> Dataset:
    """Open a dataset on disk, S3 or HTTP, in one round of requests.

    Args:
        url: Where it lies.
        options: How to reach object stores.
        regions: What will be asked first: the index of a large dataset that this needs is fetched
            at the same time. Whatever is asked, the answer is the same.

    Raises:
        NotFoundError: There is no dataset.
        CorruptError: The manifest is damaged.
        VersionError: The dataset was written by a newer format.
    """
    from bams3.reads.tables import Hints

    store = open_store(url, options)
    hints = Hints(store, _names(regions))
    try:
        data = store.get(METADATA)
        manifest = Manifest.from_bytes(data, store.url_of(METADATA))
        hints.use(manifest.index)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no dataset at {store.url}", hint="a dataset is a folder with _metadata.json"
        ) from error
    finally:
        hints.stop()
    return Dataset(store, manifest, _core.hash64(data))


def _names(regions: Iterable[str | Region]) -> Iterable[str]:
    """Return the contigs that regions seem to lie on, as they are named in keys."""
    contigs = [likely_contig(region) for region in regions]
    names = {name for name in contigs if name and name.isascii() and name.isprintable()}
    return [UNMAPPED if name == UNPLACED.contig else escape(name) for name in names]
