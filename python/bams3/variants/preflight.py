"""What is checked once, before anything is called: reads, index, order, reference, request."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bams3.config import StorageOptions
from bams3.errors import InputError, RegionError, UsageError
from bams3.reads.query import bed_regions
from bams3.regions import EVERYTHING, UNPLACED, Region, intersect, parse_region
from bams3.variants.alignments import (
    Alignments,
    contigs_of,
    fields_of,
    open_alignments,
    samples_of,
)
from bams3.variants.reference import Reference, open_reference
from bams3.variants.shards import Piece, request


@dataclass(frozen=True, slots=True)
class Prepared:
    """What passed the checks.

    Attributes:
        inputs: The alignments, open.
        reference: The reference.
        pieces: The request, in the order of the contigs.
        checksums: M5 of the contigs of the request.
        samples: Names of the samples, in the order of the inputs.
        unnamed: Inputs without a sample in their read groups: they are named after the file.
    """

    inputs: tuple[Alignments, ...]
    reference: Reference
    pieces: tuple[Piece, ...]
    checksums: tuple[tuple[str, str], ...]
    samples: tuple[str, ...]
    unnamed: tuple[str, ...]

    def close(self) -> None:
        """Let go of connections."""
        for reads in self.inputs:
            reads.close()


def prepare(
    inputs: Sequence[str],
    reference: str,
    *,
    regions: Sequence[str | Region] = (),
    bed: Iterable[Region] | str | os.PathLike[str] | None = None,
    storage: StorageOptions | None = None,
) -> Prepared:
    """Open and check everything.

    Args:
        inputs: Addresses of BAM, CRAM or BAMS3, of one or more samples.
        reference: Address of an indexed FASTA.
        regions: What to call, as texts (1-based closed) or `Region`s; none is everything.
        bed: Regions or a BED file; with `regions`, what both have in common.
        storage: How to reach stores.

    Raises:
        NotFoundError: Something, or an index, is not there.
        InputError: Reads are cut off, not sorted, or not of this reference.
        RegionError: A region is not in the reads or not in its contig, or nothing is asked for.
        UsageError: No inputs.
    """
    if not inputs:
        raise UsageError("no alignments to call from")
    fasta = open_reference(reference, storage)
    local = fasta.url if fasta.is_local else None
    opened = tuple(open_alignments(url, storage, local) for url in inputs)
    for reads in opened:
        _check_order(reads)
    contigs = _same_contigs(opened)
    _check_lengths(contigs, fasta, opened[0].url)
    pieces = _pieces(regions, bed, contigs)
    _check_names(pieces)
    pieces = _in_reference(pieces, fasta, opened, everything=not regions and bed is None)
    names = dict.fromkeys(piece.contig for piece in pieces)
    checksums = tuple((name, fasta.checksum(name)) for name in names)
    for reads in opened:
        _check_m5(reads, dict(checksums), fasta)
    samples = dict.fromkeys(name for reads in opened for name in samples_of(reads))
    unnamed = tuple(
        r.url for r in opened if not any(g.get("SM") for g in fields_of(r.header, "RG"))
    )
    return Prepared(opened, fasta, tuple(pieces), checksums, tuple(samples), unnamed)


def _check_order(reads: Alignments) -> None:
    if not reads.header.contigs:
        raise InputError(f"{reads.url}: has no contigs (@SQ)", "align it to a reference")
    if reads.header.sort_order == "queryname":
        raise InputError(f"{reads.url}: is sorted by name", "samtools sort, then samtools index")


def _same_contigs(opened: Sequence[Alignments]) -> dict[str, int]:
    first = opened[0]
    for other in opened[1:]:
        if other.header.contigs != first.header.contigs:
            raise InputError(
                f"{first.url} and {other.url} have different contigs",
                "call samples together that were aligned to the same reference",
            )
    return contigs_of(first)


def _check_lengths(contigs: Mapping[str, int], fasta: Reference, url: str) -> None:
    shared = [name for name in contigs if name in fasta.contigs]
    if not shared:
        theirs, ours = next(iter(fasta.contigs), "none"), next(iter(contigs))
        raise InputError(
            f"{fasta.url} is not the reference of {url}: they share no contig",
            f"the reads have {ours!r} and the reference {theirs!r}",
        )
    for name in shared:
        if contigs[name] != fasta.contigs[name].length:
            raise InputError(
                f"{fasta.url} is not the reference of {url}: {name} has "
                f"{fasta.contigs[name].length:,} bases there and {contigs[name]:,} here",
                "give the FASTA that the reads were aligned to",
            )


def _check_names(pieces: Sequence[Piece]) -> None:
    """Refuse names that VCF and BED take for comments: what is on them would be lost."""
    for piece in pieces:
        if piece.contig.startswith("#"):
            raise InputError(
                f"calls on contig {piece.contig!r} cannot be written: VCF takes it for a comment",
                "name other regions with -r",
            )


def _check_m5(reads: Alignments, checksums: Mapping[str, str], fasta: Reference) -> None:
    for fields in fields_of(reads.header, "SQ"):
        name, stated = fields.get("SN", ""), fields.get("M5", "").lower()
        if stated and name in checksums and checksums[name] != stated:
            raise InputError(
                f"{fasta.url} is not the reference of {reads.url}: the bases of {name} differ "
                f"(M5 {checksums[name]}, the reads say {stated})",
                "give the FASTA that the reads were aligned to",
            )


def _pieces(
    regions: Sequence[str | Region],
    bed: Iterable[Region] | str | os.PathLike[str] | None,
    contigs: Mapping[str, int],
) -> list[Piece]:
    parsed = [parse_region(r, contigs) if isinstance(r, str) else r for r in regions]
    if UNPLACED in parsed:
        raise RegionError("'*', reads without a place, cannot be called")
    pieces = request([] if EVERYTHING in parsed else parsed, contigs)
    if bed is None:
        return pieces
    inside = list(bed_regions(bed))
    if not inside:
        raise RegionError("the BED names no region: there is nothing to call")
    return list(_common(pieces, request(inside, contigs))) or _nothing()


def _nothing() -> list[Piece]:
    raise RegionError("the regions and the BED have nothing in common: there is nothing to call")


def _common(left: Sequence[Piece], right: Sequence[Piece]) -> Iterable[Piece]:
    for contig in dict.fromkeys(piece.contig for piece in left):
        spans = [[p[1:] for p in pieces if p.contig == contig] for pieces in (left, right)]
        for start, end in intersect(spans[0], spans[1]):
            yield Piece(contig, start, end)


def _in_reference(
    pieces: Sequence[Piece], fasta: Reference, opened: Sequence[Alignments], *, everything: bool
) -> list[Piece]:
    """Leave out contigs that the reference has not, where nobody asked for them or has reads."""
    missing = dict.fromkeys(p.contig for p in pieces if p.contig not in fasta.contigs)
    used = [name for name in missing if any(reads.weights(name) for reads in opened)]
    asked = list(missing) if not everything else used
    if asked:
        raise InputError(
            f"{fasta.url} lacks {', '.join(asked[:5])}{' ...' if len(asked) > 5 else ''}, "
            "which the reads are aligned to",
            "give the FASTA that the reads were aligned to, or name regions with -r",
        )
    return [piece for piece in pieces if piece.contig not in missing]
