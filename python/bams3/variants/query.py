"""Ask a store for calls, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from bams3.errors import UsageError
from bams3.regions import EVERYTHING, parse_region
from bams3.variants.store import Header, Selection, Store
from bams3.variants.store.pages import page_after
from bams3.variants.vcf import Call, Kind

ZYGOSITIES = ("het", "hom", "hemi")
_SHORT: dict[str, tuple[Kind, ...]] = {"snp": ("snv",), "indel": ("insertion", "deletion")}
KINDS: dict[str, tuple[Kind, ...]] = {**{kind: (kind,) for kind in get_args(Kind)}, **_SHORT}
"""What a type may be called: the kinds, "snp", and "indel" for insertions and deletions."""


def select(
    header: Header,
    *,
    region: str | None = None,
    gene: str | None = None,
    min_qual: float | None = None,
    samples: Sequence[str] = (),
    types: Sequence[str] = (),
    genotypes: Sequence[str] = (),
) -> Selection:
    """Make a selection of what a user writes.

    Args:
        header: Of the store.
        region: 1-based and closed, as everywhere; "." for everything.
        gene: Name of a gene.
        min_qual: Least QUAL.
        samples: Names.
        types: See `KINDS`.
        genotypes: het, hom, hemi, or such as 0/1; phase is set aside.

    Raises:
        RegionError: There is no such contig.
        UsageError: There is no such sample, type or genotype.
    """
    place = None if region is None else parse_region(region, header.contigs)
    for name in samples:
        if name not in header.samples:
            raise UsageError(
                f"there is no sample {name!r}", f"there are {', '.join(header.samples[:8])}"
            )
    for name in types:
        if name not in KINDS:
            raise UsageError(f"there is no type {name!r}", f"there are {', '.join(KINDS)}")
    for text in genotypes:
        if text not in ZYGOSITIES and not _is_genotype(text):
            raise UsageError(f"{text!r} is no genotype", "write het, hom, hemi, or 0/1")
    kinds = tuple(dict.fromkeys(kind for name in types for kind in KINDS[name]))
    place = None if place == EVERYTHING else place
    return Selection(place, gene, min_qual, tuple(samples), kinds, tuple(genotypes))


def _is_genotype(text: str) -> bool:
    return all(part == "." or part.isdigit() for part in text.replace("|", "/").split("/"))


class Page:
    """The calls of a selection, at most so many of them; iterate over it once.

    Attributes:
        count: How many there have been.
        after: When they are through, what gives the next page; None where there is none.
    """

    def __init__(
        self, store: Store, selection: Selection, limit: int | None = None, page: str | None = None
    ) -> None:
        """Prepare to ask.

        Args:
            store: Whom.
            selection: For what.
            limit: Calls, at most.
            page: `after` of the page before.
        """
        self._calls = store.query(selection, page=page)
        self._limit = limit
        self.count = 0
        self.after: str | None = None

    def __iter__(self) -> Iterator[Call]:
        """Yield the calls."""
        last: Call | None = None
        for call in self._calls:
            if last is not None and self.count == self._limit:
                self.after = page_after(last)
                break
            self.count, last = self.count + 1, call
            yield call
        close = getattr(self._calls, "close", None)
        if close is not None:
            close()
