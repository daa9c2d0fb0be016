"""Statistics of calls, counted as they come: memory does not grow with their number.

What is counted are variants: alternative alleles of sites. So the numbers of a file are those of
the file split into one allele a record (`bcftools norm -m -any`), as `variants call` writes it.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bams3 import _core
from bams3.config import StorageOptions
from bams3.variants.histogram import Density, Histogram, Shared
from bams3.variants.observed import Observed, Variant, observe
from bams3.variants.store import Store
from bams3.variants.vcf import TRANSITIONS, Kind, kind_of, substitution

SUBSTITUTIONS = tuple(f"{a}>{b}" for a in "ACGT" for b in "ACGT" if a != b)
SHARES = 50
"""Bins of a share, from 0 to 1."""
LONGEST = 100
"""Indels of so many bases or more are counted together."""
STRONGEST = 200
"""Calls that are listed."""
COMPARED = 40
"""Samples that are compared with each other: the first ones."""
_QUALITY_STEP, _MOST_QUALITY = 10, 500
_MOST_HELD = 1_000_000
"""Different counts of carriers, before they are summed up."""


@dataclass(slots=True)
class SampleCounts:
    """What one sample carries.

    Attributes:
        variants: Alternative alleles.
        kinds: The same by kind.
        het: Those beside another allele.
        hom: Those that are all that was called, with two copies or more.
        hemi: Those that are all that was called, with one copy.
        transitions: Among the SNVs.
        transversions: Among the SNVs.
        alone: Those that no other sample carries.
        depth: Reads over them.
    """

    variants: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    het: int = 0
    hom: int = 0
    hemi: int = 0
    transitions: int = 0
    transversions: int = 0
    alone: int = 0
    depth: Histogram = field(default_factory=Histogram)

    @property
    def ti_tv(self) -> float | None:
        """Transitions for each transversion; None where there is no transversion."""
        return ratio(self.transitions, self.transversions)

    @property
    def het_hom(self) -> float | None:
        """Heterozygous for each homozygous one; None where there is no homozygous one."""
        return ratio(self.het, self.hom)


@dataclass(slots=True)
class Statistics:
    """Counts of calls.

    Attributes:
        source: Where the calls are.
        samples: What each sample carries, by its name.
        lengths: Of contigs, in bases, as far as they are known.
        records: Records, those without a variant included; of a store, sites.
        variants: Alternative alleles.
        multiallelic: Records with more than one.
        kinds: Variants by kind.
        filters: Variants by each filter; "PASS", or "." where none was applied.
        substitutions: SNVs by reference and alternative base, "A>C".
        indel_lengths: Variants by bases inserted (positive) or deleted (negative); the outermost
            lengths, `LONGEST`, are of that many bases or more.
        consequences: Variants by what they do, where they were annotated.
        quality: QUAL by "SNVs", "indels" and "others"; each variant once.
        depth: Reads of samples over the variants that they carry.
        fractions: Share of reads that show the variant, by "het" and "hom", in `SHARES` bins.
        frequencies: Frequency among the samples, in `SHARES` bins.
        quality_by_fraction: Calls of samples by bin of quality and of fraction.
        density: Along the contigs.
        shared: What the first `COMPARED` samples have in common.
        strongest: Variants of the greatest quality; the first ones where there is no quality.
    """

    source: str
    samples: dict[str, SampleCounts]
    lengths: dict[str, int]
    shared: Shared
    records: int = 0
    variants: int = 0
    multiallelic: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    filters: Counter[str] = field(default_factory=Counter)
    substitutions: Counter[str] = field(default_factory=Counter)
    indel_lengths: Counter[int] = field(default_factory=Counter)
    consequences: Counter[str] = field(default_factory=Counter)
    quality: dict[str, Histogram] = field(default_factory=dict)
    depth: Histogram = field(default_factory=Histogram)
    fractions: dict[str, Counter[int]] = field(default_factory=dict)
    frequencies: Counter[int] = field(default_factory=Counter)
    quality_by_fraction: Counter[tuple[int, int]] = field(default_factory=Counter)
    density: Density = field(default_factory=Density)
    strongest: list[Variant] = field(default_factory=list)

    @property
    def transitions(self) -> int:
        """SNVs within the purines, or within the pyrimidines."""
        return sum(self.substitutions[name] for name in TRANSITIONS)

    @property
    def transversions(self) -> int:
        """SNVs from a purine to a pyrimidine, or back."""
        return sum(self.substitutions.values()) - self.transitions

    @property
    def ti_tv(self) -> float | None:
        """Transitions for each transversion; None where there is no transversion."""
        return ratio(self.transitions, self.transversions)

    def total(self, count: Callable[[SampleCounts], int]) -> int:
        """Return a count summed over the samples."""
        return sum(map(count, self.samples.values()))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; bins of shares are named by where they begin."""
        return {
            "source": self.source, "records": self.records, "variants": self.variants,
            "multiallelic": self.multiallelic, "kinds": dict(self.kinds),
            "transitions": self.transitions, "transversions": self.transversions,
            "ti_tv": self.ti_tv, "filters": dict(self.filters),
            "substitutions": {name: self.substitutions[name] for name in SUBSTITUTIONS},
            "indel_lengths": {n: self.indel_lengths[n] for n in sorted(self.indel_lengths)},
            "consequences": dict(self.consequences),
            "quality": {kind: values.to_json() for kind, values in self.quality.items()},
            "depth": self.depth.to_json(),
            "allele_fractions": {name: shares(bins) for name, bins in self.fractions.items()},
            "allele_frequencies": shares(self.frequencies),
            "density": self.density.to_json(),
            "samples": {name: _sample_json(sample) for name, sample in self.samples.items()},
            "shared": self.shared.matrix(),
        }  # fmt: skip


def statistics(
    calls: str | os.PathLike[str] | Store,
    *,
    storage: StorageOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Count what there is in a VCF or BCF file, or in a store.

    Args:
        calls: Address of the file, or the store.
        storage: How to reach it.
        progress: Told how many records were seen.

    Raises:
        InputError, CorruptError, NotFoundError, StorageError: The calls cannot be read.
    """
    with observe(calls, storage) as observed:
        return _counted(observed, progress or (lambda records: None))


def _counted(observed: Observed, progress: Callable[[int], None]) -> Statistics:
    counts = Statistics(
        observed.source,
        {name: SampleCounts() for name in observed.samples},
        observed.lengths,
        Shared(min(len(observed.samples), COMPARED)),
        quality={name: Histogram() for name in ("SNVs", "indels", "others")},
        fractions={name: Counter() for name in ("het", "hom")},
    )
    carried, strongest = _Carried(counts), _Strongest()
    for site in observed.sites:
        counts.records += 1
        counts.multiallelic += len(site) > 1
        for variant in site:
            _count(counts, variant, carried)
            strongest.see(variant)
        if counts.records % 10_000 == 0:
            progress(counts.records)
    carried.sum_up()
    counts.strongest = strongest.sorted()
    return counts


def _count(counts: Statistics, variant: Variant, carried: _Carried) -> None:
    kind = kind_of(variant.ref, variant.alt)
    change = substitution(variant.ref, variant.alt)
    counts.variants += 1
    counts.kinds[kind] += 1
    counts.filters.update(variant.filter.split(";"))
    counts.quality[group_of(kind)].add(variant.qual)
    counts.density.add(variant.contig, variant.pos)
    if change:
        counts.substitutions[change] += 1
    if kind in ("insertion", "deletion"):
        counts.indel_lengths[_clipped(len(variant.alt) - len(variant.ref))] += 1
    if variant.frequency is not None:
        counts.frequencies[share_bin(variant.frequency)] += 1
    if variant.consequence:
        counts.consequences[variant.consequence] += 1
    carried.see(variant, kind, change)
    counts.shared.add(variant.carriers.samples(COMPARED))


class _Carried:
    """Counts of what samples carry, made in the core, and summed up now and then."""

    def __init__(self, counts: Statistics) -> None:
        self._counts = counts
        self._samples = [*counts.samples.values()]
        self._held = _core.CarrierCounts(SHARES)
        self._numbers: dict[tuple[Kind, str | None], int] = {}

    def see(self, variant: Variant, kind: Kind, change: str | None) -> None:
        """Count the carriers of a variant."""
        number = self._numbers.setdefault((kind, change), len(self._numbers))
        quality = None if variant.qual is None else quality_bin(variant.qual)
        self._held.add(variant.carriers, number, quality)
        if len(self._held) > _MOST_HELD:
            self.sum_up()

    def sum_up(self) -> None:
        """Add what is held to the counts."""
        names = [*self._numbers]
        for number, name, zygosity, is_alone, count in self._held.take_kinds():
            sample, (kind, change) = self._samples[number], names[name]
            sample.variants += count
            sample.kinds[kind] += count
            setattr(sample, zygosity, getattr(sample, zygosity) + count)
            sample.alone += count if is_alone else 0
            if change in TRANSITIONS:
                sample.transitions += count
            elif change:
                sample.transversions += count
        for number, depth, count in self._held.take_depths():
            self._samples[number].depth.add(depth, count)
            self._counts.depth.add(depth, count)
        for is_het, share, quality, count in self._held.take_shares():
            self._counts.fractions["het" if is_het else "hom"][share] += count
            if quality is not None:
                self._counts.quality_by_fraction[quality, share] += count


class _Strongest:
    """Keeps the variants of the greatest quality; of equals, those that came first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Variant]] = []
        self._seen = 0

    def see(self, variant: Variant) -> None:
        self._seen += 1
        quality = -1.0 if variant.qual is None else variant.qual
        if len(self._heap) < STRONGEST:
            heapq.heappush(self._heap, (quality, -self._seen, variant))
        elif quality > self._heap[0][0]:
            heapq.heapreplace(self._heap, (quality, -self._seen, variant))

    def sorted(self) -> list[Variant]:
        return [variant for _, _, variant in sorted(self._heap, reverse=True)]


# ---- small questions -----------------------------------------------------------------------------
def group_of(kind: Kind) -> str:
    """Return the name under which a kind is drawn."""
    if kind == "snv":
        return "SNVs"
    return "indels" if kind in ("insertion", "deletion") else "others"


def ratio(one: int, other: int) -> float | None:
    """Return a ratio; None where the other one is 0."""
    return one / other if other else None


def share_bin(share: float) -> int:
    """Return the bin of a share; 1 belongs to the last one."""
    return min(int(round(share * SHARES, 9)), SHARES - 1)


def shares(bins: Counter[int]) -> dict[float, int]:
    """Return counts by where their bins begin."""
    return {number / SHARES: bins[number] for number in sorted(bins)}


def quality_bin(quality: float) -> int:
    """Return where the bin of a quality begins, in the heat map; the last one is open."""
    return int(min(quality, _MOST_QUALITY) // _QUALITY_STEP * _QUALITY_STEP)


def _clipped(length: int) -> int:
    return max(-LONGEST, min(LONGEST, length))


def _sample_json(sample: SampleCounts) -> dict[str, Any]:
    return {
        "variants": sample.variants, "kinds": dict(sample.kinds), "het": sample.het,
        "hom": sample.hom, "hemi": sample.hemi, "het_hom": sample.het_hom,
        "transitions": sample.transitions, "transversions": sample.transversions,
        "ti_tv": sample.ti_tv, "alone": sample.alone, "mean_depth": sample.depth.mean,
    }  # fmt: skip
