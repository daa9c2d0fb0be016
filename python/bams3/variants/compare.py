"""Compare calls with the truth: exact alleles, both sides normalised, in confident regions."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bams3.config import StorageOptions
from bams3.errors import InputError, UsageError
from bams3.reads.query import bed_regions
from bams3.regions import Interval, Region, by_contig
from bams3.variants.callers import bcftools
from bams3.variants.objects import check_whole
from bams3.variants.pipes import run
from bams3.variants.reference import open_reference
from bams3.variants.tile import shared_folder
from bams3.variants.vcf import Site, contigs_of, kind_of, open_vcf, read_calls, trimmed

Alleles = dict[Site, tuple[int, ...]]
"""Alleles that a sample carries, with its genotype there, sorted: (0, 1), (1, 1), ..."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How calls of one kind do.

    Attributes:
        true_positives: Alleles in both.
        false_positives: Alleles that only the calls have.
        false_negatives: Alleles that only the truth has.
        genotypes: Of the alleles in both, those with the same genotype, phase set aside.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    genotypes: int

    @property
    def precision(self) -> float:
        """Share of the calls that are true; 1 where there are none."""
        return _share(self.true_positives, self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the truth that was called; 1 where there is none."""
        return _share(self.true_positives, self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The counts for SNVs and for indels; other kinds are not compared."""

    snv: Counts
    indel: Counts


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else 1.0


def compare(
    calls: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    reference: str,
    *,
    confident: Iterable[Region] | str | os.PathLike[str] | None = None,
    sample: str | None = None,
    storage: StorageOptions | None = None,
) -> Comparison:
    """Compare calls with the truth.

    Both are split into one allele a record and left-aligned; alleles are equal where contig,
    position and bases are. An allele counts where its first base lies in a confident region. Calls
    with a filter other than PASS do not count.

    Args:
        calls: VCF or BCF file.
        truth: VCF or BCF file with one sample.
        reference: Address of the FASTA.
        confident: Where the truth is known: regions, or a BED file; None for everywhere.
        sample: Whose calls; needed where there are several samples.
        storage: How to reach stores.

    Raises:
        CorruptError: A file is cut off.
        InputError: Records do not fit the reference; or calls and truth share no contig.
        UsageError: There are several samples, or none of that name.
    """
    fasta = open_reference(reference, storage)
    inside = None if confident is None else by_contig(bed_regions(confident))
    for path in (calls, truth):
        check_whole(os.fspath(path), None)
    _check_contigs(calls, truth)
    found = []
    for path, wanted in ((truth, None), (calls, sample)):
        names = [name for name in contigs_of(path) if name in fasta.contigs]
        local = fasta.local(names, shared_folder())
        found.append(_alleles(os.fspath(path), local, inside, _sample(path, wanted)))
    return Comparison(*(_counts(found[1], found[0], kinds) for kinds in KINDS))


KINDS = ({"snv"}, {"insertion", "deletion", "complex"})


def _check_contigs(calls: str | os.PathLike[str], truth: str | os.PathLike[str]) -> None:
    ours, theirs = contigs_of(calls), contigs_of(truth)
    if ours and theirs and not ours.keys() & theirs.keys():
        raise InputError(
            f"{os.fspath(calls)} and {os.fspath(truth)} share no contig",
            f"one has {next(iter(ours))!r}, the other {next(iter(theirs))!r}",
        )


def _sample(path: str | os.PathLike[str], wanted: str | None) -> str:
    with open_vcf(path) as file:
        names = [str(name) for name in file.header.samples]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise UsageError(
            f"{os.fspath(path)}: which sample? It has {', '.join(names[:8]) or 'none'}", "--sample"
        )
    return str(wanted)


def _alleles(
    path: str, reference: str, inside: Mapping[str, list[Interval]] | None, sample: str
) -> Alleles:
    """Return what a sample carries, normalised, in the regions."""
    found: Alleles = {}
    with tempfile.TemporaryDirectory(prefix="bams3-compare-") as name:
        folder, options = Path(name), ["norm", "-f", reference, "-c", "e", "-m", "-any"]
        source = os.path.abspath(path)
        run([bcftools(*options, "-Oz1", source)], {}, folder, "norm.vcf.gz")
        for call in read_calls(folder / "norm.vcf.gz"):
            if call.sample == sample and call.filter in (".", "PASS"):
                site = Site(call.contig, *trimmed(call.pos, call.ref.upper(), call.alt.upper()))
                if inside is None or _is_inside(inside.get(site.contig, []), site.pos):
                    parts = call.genotype.replace("|", "/").split("/")
                    found[site] = tuple(sorted(int(part) for part in parts if part.isdigit()))
    return found


def _is_inside(intervals: list[Interval], position: int) -> bool:
    after = bisect_right(intervals, position, key=lambda interval: interval[0])
    return after > 0 and position < intervals[after - 1][1]


def _counts(calls: Alleles, truth: Alleles, kinds: set[str]) -> Counts:
    ours = {site for site in calls if kind_of(site.ref, site.alt) in kinds}
    theirs = {site for site in truth if kind_of(site.ref, site.alt) in kinds}
    both = ours & theirs
    same = sum(calls[site] == truth[site] for site in both)
    return Counts(len(both), len(ours - theirs), len(theirs - ours), same)
