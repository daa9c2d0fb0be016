"""Say what variants do to genes: INFO/BCSQ, by `bcftools csq` as a process of its own."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bams3.config import StorageOptions
from bams3.errors import CallError, ExistsError, InputError, NotFoundError, UsageError
from bams3.storage import open_input
from bams3.variants.callers import bcftools
from bams3.variants.merge import digest_of, publish
from bams3.variants.objects import Object, blocks
from bams3.variants.observed import observe
from bams3.variants.pipes import run
from bams3.variants.reference import Reference, open_reference
from bams3.variants.vcf import indexed, open_vcf

_CALLS, _GENES = "calls", "genes.gff3"
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class AnnotateSummary:
    """What was annotated.

    Attributes:
        output: Where the calls are.
        records: How many there are, all that were given.
        annotated: Those that are in a gene.
        digest: SHA-256 of the output.
    """

    output: str
    records: int
    annotated: int
    digest: str


def annotate(
    calls: str | os.PathLike[str],
    genes: str,
    reference: str,
    output: str,
    *,
    overwrite: bool = False,
    storage: StorageOptions | None = None,
) -> AnnotateSummary:
    """Add the consequences of variants (INFO/BCSQ and FORMAT/BCSQ) to calls.

    Each variant is looked at by itself, as genotypes need not be phased. All records stay as they
    are otherwise, and in their order; those on contigs that have no gene are not annotated.

    Args:
        calls: Address of a VCF or BCF file, sorted.
        genes: Address of a GFF3 file with genes, transcripts, exons and CDS as of Ensembl.
        reference: Address of the indexed FASTA that the calls were made with.
        output: Where they go, `.vcf.gz` or `.bcf`, an index beside them; nothing is seen of it
            before all is done.
        overwrite: Replace an output that is there.
        storage: How to reach stores.

    Raises:
        ExistsError: The output is there already.
        InputError: The calls, the genes or the reference do not fit each other; or the genes are
            not of that form.
        NotFoundError: One of them is not there, or the reference has no index.
        UsageError: The output is no name for calls.
    """
    place, ending = _place(output, overwrite, storage), _ending(output)
    url, fasta = os.fspath(calls), open_reference(reference, storage)
    with observe(url, storage) as observed:
        lengths = observed.lengths
    _check_contigs(url, lengths, fasta)
    with closing(place.store), tempfile.TemporaryDirectory(prefix="bams3-annotate-") as name:
        folder = Path(name)
        named = _copy_genes(genes, folder / _GENES, storage)
        _check_genes(genes, named, url, lengths)
        _name_contigs(folder / _GENES, fasta.contigs.keys() - named)
        path = fasta.local((contig for contig in lengths if contig in fasta.contigs), folder)
        made = f"out.{ending}"
        options, index = indexed(made, lengths.values())
        _annotated(folder, os.path.abspath(path), url, options, storage)
        records, annotated = _count(folder / made)
        publish(place.store, place.key, (folder / made, folder / index))
        digest = digest_of(folder / made)
        return AnnotateSummary(place.store.url_of(place.key), records, annotated, digest)


def _ending(output: str) -> str:
    for ending in ("vcf.gz", "bcf"):
        if output.endswith(f".{ending}"):
            return ending
    raise UsageError(f"{output}: is no name for calls", "end it with .vcf.gz or .bcf")


def _place(output: str, overwrite: bool, storage: StorageOptions | None) -> Object:
    place = Object.at(output, storage)
    try:
        place.head()
    except NotFoundError:
        return place
    if not overwrite:
        raise ExistsError(f"{output}: exists already", "--overwrite, or another name")
    return place


# ---- what has to fit -----------------------------------------------------------------------------
def _check_contigs(url: str, lengths: dict[str, int], fasta: Reference) -> None:
    common = [contig for contig in lengths if contig in fasta.contigs]
    if lengths and not common:
        raise InputError(
            f"{url} and {fasta.url} share no contig", _first_names(lengths, fasta.contigs)
        )
    for contig in common:
        ours, theirs = lengths[contig], fasta.contigs[contig].length
        if ours and ours != theirs:
            raise InputError(
                f"{fasta.url}: {contig} has {theirs:,} bases, but {ours:,} in {url}",
                "give the FASTA that the calls were made with",
            )


def _check_genes(genes: str, named: set[str], url: str, lengths: dict[str, int]) -> None:
    if not named:
        raise InputError(f"{genes}: has no features", "give a GFF3 file, as that of Ensembl")
    if lengths and not named & lengths.keys():
        raise InputError(f"{url} and {genes} share no contig", _first_names(lengths, sorted(named)))


def _first_names(one: Iterable[str], other: Iterable[str]) -> str:
    return f"one has {next(iter(one))!r}, the other {next(iter(other))!r}"


def _copy_genes(genes: str, path: Path, storage: StorageOptions | None) -> set[str]:
    """Write the features to a file, plain. Return the contigs that they are on."""
    names: set[str] = set()
    try:
        with open_input(genes, storage) as file:
            is_packed = file.read(len(_GZIP)) == _GZIP
        with open_input(genes, storage) as file, open(path, "wb") as out:
            for line in gzip.open(file) if is_packed else file:
                if not line.startswith(b"#") and b"\t" in line:
                    names.add(line.split(b"\t", 1)[0].decode(errors="replace"))
                out.write(line.rstrip(b"\r\n") + b"\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{genes}: is damaged: {error}") from error
    return names


def _name_contigs(path: Path, contigs: Iterable[str]) -> None:
    """Name contigs that have no genes; csq fails at calls on contigs that it does not know."""
    with open(path, "a") as out:
        for contig in sorted(contigs):
            out.write(f"{contig}\t.\tregion\t1\t1\t.\t+\t.\tID=region:{contig}\n")


# ---- the work ------------------------------------------------------------------------------------
def _annotated(
    folder: Path, fasta: str, url: str, options: Sequence[str], storage: StorageOptions | None
) -> None:
    csq = ("csq", "--no-version", "--local-csq", "-f", fasta, "-g", _GENES, *options, _CALLS)
    try:
        run([bcftools(*csq)], {_CALLS: blocks(url, storage)}, folder)
    except CallError as error:
        said = error.message.rpartition("Error: ")[2].rstrip("' ")
        raise InputError(f"{url}: cannot be annotated: {said}", _hint(error)) from error


def _hint(error: CallError) -> str | None:
    if "No usable transcripts" in error.message or "parse" in error.message:
        return "the GFF3 has no transcripts as Ensembl writes them: gene, mRNA, exon, CDS by Parent"
    if "REF allele" in error.message:
        return "give the FASTA that the calls were made with"
    return error.hint


def _count(path: Path) -> tuple[int, int]:
    records = annotated = 0
    with open_vcf(path) as file:
        for record in file:
            records += 1
            annotated += "BCSQ" in record.info
    return records, annotated
