"""Where calls are kept: one interface over SQLite, DuckDB and DynamoDB.

    sqlite:///calls.db            a file here; sqlite:////data/calls.db one with an absolute path
    duckdb:///calls.duckdb        the same for DuckDB
    dynamodb://table              a table of Amazon DynamoDB

A load replaces what the store has of its samples, in all at once: whoever asks meanwhile sees the
calls that were there before, or the new ones. A load that is repeated changes nothing, and one that
is killed leaves nothing to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bams3.config import StorageOptions
from bams3.errors import UsageError
from bams3.regions import Region
from bams3.variants.store.header import Header
from bams3.variants.vcf import Call, Kind, unphased, zygosity

__all__ = ["Header", "Selection", "Store", "open_store"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which calls: all conditions hold; an empty one is none.

    Attributes:
        region: Calls whose reference allele overlaps it (0-based half-open); so a deletion that
            begins before the region and reaches into it is found.
        gene: Name of a gene.
        min_qual: Least QUAL; calls without one are left out.
        samples: Names of samples.
        kinds: What the allele is.
        genotypes: "het", "hom" or "hemi", or as VCF writes it, phase set aside.
    """

    region: Region | None = None
    gene: str | None = None
    min_qual: float | None = None
    samples: Sequence[str] = ()
    kinds: Sequence[Kind] = ()
    genotypes: Sequence[str] = ()

    def holds(self, call: Call) -> bool:
        """Whether a call is among those selected."""
        return (
            (self.region is None or overlaps(call, self.region))
            and (self.gene is None or self.gene in (call.gene or "").split(","))
            and (self.min_qual is None or (call.qual is not None and call.qual >= self.min_qual))
            and (not self.samples or call.sample in self.samples)
            and (not self.kinds or call.kind in self.kinds)
            and (not self.genotypes or self._has_genotype(call.genotype))
        )

    def _has_genotype(self, genotype: str) -> bool:
        named = {unphased(text) for text in self.genotypes}
        return zygosity(genotype) in self.genotypes or unphased(genotype) in named


def overlaps(call: Call, region: Region) -> bool:
    """Whether the reference allele of a call overlaps a region."""
    start, end = region.interval
    return call.contig == region.contig and call.pos < end and call.end > start


@runtime_checkable
class Store(Protocol):
    """Keeps calls. All methods raise StorageError where the store fails, after retries."""

    @property
    def url(self) -> str:
        """The address that opens it."""

    def replace(
        self, header: Header, calls: Iterable[Call], scope: Sequence[Region] | None = None
    ) -> int:
        """Put calls in place of all that the store has of these samples; atomic.

        Args:
            header: Whose calls, on which contigs.
            calls: By contig and position, each once.
            scope: Replace only what begins in these regions; all calls begin there, too.

        Returns:
            How many calls there were.

        Raises:
            InputError: What is there is no store of calls, or has contigs of another genome.
        """

    def header(self) -> Header:
        """Return contigs, samples and definitions. Raises NotFoundError: there is no store."""

    def query(self, selection: Selection, *, page: str | None = None) -> Iterator[Call]:
        """Yield calls by contig (in the order of the files loaded), position, alleles, sample.

        Args:
            selection: Which.
            page: Go on after a call: what `page_after` gave for it.

        Raises:
            NotFoundError: There is no store.
            UsageError: The page is not one of this store.
        """

    def stats(self) -> dict[str, Any]:
        """Return counts: calls, samples, contigs, kinds, Ti/Tv, without reading all calls.

        See `bams3.variants.store.tally.summary`. Raises NotFoundError: there is no store.
        """

    def close(self) -> None:
        """Let go of connections."""


def open_store(url: str, storage: StorageOptions | None = None) -> Store:
    """Open a store of calls; what is not there is made by the first load.

    Args:
        url: See above.
        storage: AWS region and profile, for DynamoDB; its endpoint is that of the environment
            (`AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL`).

    Raises:
        UsageError: The address is not understood, or what it needs is not installed.
    """
    scheme, _, place = url.partition("://")
    if scheme == "dynamodb" and place and "/" not in place:
        from bams3.variants.store.dynamodb import DynamoStore

        return DynamoStore(place, storage or StorageOptions.resolve())
    if scheme in ("sqlite", "duckdb") and place.startswith("/") and len(place) > 1:
        return _file_store(scheme, place[1:])
    raise UsageError(
        f"{url}: is no store of calls",
        "write sqlite:///calls.db, duckdb:///calls.duckdb or dynamodb://table",
    )


def _file_store(scheme: str, path: str) -> Store:
    if scheme == "sqlite":
        from bams3.variants.store.sqlite import SqliteStore

        return SqliteStore(path)
    from bams3.variants.store.duck import DuckStore

    return DuckStore(path)
