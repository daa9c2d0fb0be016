"""Where calls are kept: one interface over SQLite, DuckDB and Parquet, DynamoDB.

Calls are put under a *generation*, a name made of what they were computed from. They show up all at
once, when the generation is committed, in place of the generation that the same samples had before.
So a load that is repeated changes nothing, and one that is killed leaves nothing to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bams3.regions import Region
from bams3.variants.vcf import Call, Kind


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


@runtime_checkable
class Store(Protocol):
    """Keeps calls. All methods raise StorageError where the store fails, after retries."""

    @property
    def url(self) -> str:
        """The address that opens it."""

    def put_calls(self, generation: str, samples: Sequence[str], calls: Iterable[Call]) -> int:
        """Write calls of a generation, in any order; they are not seen before `commit`.

        Returns:
            How many there were. Putting the same calls again changes nothing.
        """

    def commit(self, generation: str) -> None:
        """Show a generation, in place of the one that its samples had; atomic."""

    def query(self, selection: Selection, *, page: str | None = None) -> Iterator[Call]:
        """Yield calls by contig (in the order of the file loaded), position, alleles, sample.

        Args:
            selection: Which.
            page: Go on after a call: what `page_after` gave for it.
        """

    def page_after(self, call: Call) -> str:
        """Return the text with which `query` goes on after a call."""

    def stats(self) -> dict[str, Any]:
        """Return counts: calls, samples, contigs, kinds, Ti/Tv, without reading all calls."""

    def close(self) -> None:
        """Let go of connections."""
