"""Load the calls of a VCF or BCF file into a store."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bams3.config import StorageOptions
from bams3.errors import CallError, InputError, NotFoundError, UsageError
from bams3.regions import Region, by_contig, parse_region
from bams3.variants.callers import bcftools
from bams3.variants.genes import Annotations, Genes, read_genes
from bams3.variants.objects import blocks, check_whole, read_beside
from bams3.variants.pipes import run
from bams3.variants.store import Header, open_store
from bams3.variants.store.header import header_of
from bams3.variants.task import RECEIPT
from bams3.variants.vcf import Call, open_vcf, read_calls

if TYPE_CHECKING:
    import pysam

_SPLIT = "split.vcf.gz"


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What was loaded.

    Attributes:
        store: Its address.
        calls: Alleles in samples.
        samples: Names of the samples.
        regions: What was replaced in the store; empty where all of these samples was.
    """

    store: str
    calls: int
    samples: tuple[str, ...]
    regions: tuple[str, ...]


def load(
    calls: str | os.PathLike[str],
    store: str,
    *,
    regions: Sequence[str] = (),
    genes: str | None = None,
    sample: str | None = None,
    storage: StorageOptions | None = None,
) -> LoadSummary:
    """Load calls into a store, in place of what it has of the same samples.

    Records are split into one allele each (`bcftools norm -m -any`). Genes and consequences are
    those of `bcftools csq` (INFO/BCSQ).

    Args:
        calls: Address of a VCF or BCF file, sorted.
        store: Address of the store.
        regions: Load, and replace, only what begins in these regions (1-based closed). By default
            those that `variants call` was asked for, by the receipt beside its calls; else all.
        genes: Address of a GFF3 file: calls without annotation are given the genes they overlap.
        sample: The name under which a file of one sample is kept.
        storage: How to reach stores.

    Raises:
        InputError: The file is damaged, not sorted, or has no samples or genotypes; or the store
            is none.
        CorruptError: The file is cut off.
        NotFoundError, RegionError, UsageError: As they say.
    """
    url = os.fspath(calls)
    target = open_store(store, storage)
    known = None if genes is None else read_genes(genes, storage)
    try:
        check_whole(url, storage)
        with _split(url, storage) as (path, digest):
            header, notes = _survey(path, url)
            scope = _scope(regions, header, url, digest, storage)
            rows = _chosen(read_calls(path), scope)
            rows = _annotated(rows, notes, _fitting(known, header, genes))
            if sample is not None:
                header, rows = _renamed(header, rows, sample, url)
            written = target.replace(header, rows, scope)
    finally:
        target.close()
    texts = tuple(str(region) for region in scope or ())
    return LoadSummary(target.url, written, header.samples, texts)


# ---- the file ------------------------------------------------------------------------------------
@contextmanager
def _split(url: str, storage: StorageOptions | None) -> Iterator[tuple[Path, str]]:
    """Make a file with one allele a record; give its name, and the SHA-256 of what was read."""
    digest = hashlib.sha256()

    def digested() -> Iterator[bytes]:
        for block in blocks(url, storage):
            digest.update(block)
            yield block

    with tempfile.TemporaryDirectory(prefix="bams3-load-") as name:
        folder = Path(name)
        try:
            norm = bcftools("norm", "--no-version", "-m", "-any", "-Oz1", "input")
            run([norm], {"input": digested()}, folder, _SPLIT)
        except CallError as error:
            raise InputError(f"{url}: cannot be read: {error.message}") from error
        yield folder / _SPLIT, digest.hexdigest()


def _survey(path: Path, url: str) -> tuple[Header, Annotations | None]:
    """Read contigs, samples and compound annotations, and see that the file is sorted."""
    with open_vcf(path) as file:
        notes = Annotations() if "BCSQ" in file.header.info else None
        try:
            contigs = _contigs(file, notes, url)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{url}: {error}") from error
        header = header_of(file.header)
    if not header.samples:
        raise InputError(f"{url}: has no samples, and so no calls")
    lengths = dict.fromkeys(contigs, 0) | dict(header.contigs)
    return replace(header, contigs={**header.contigs, **lengths}), notes


def _contigs(file: pysam.VariantFile, notes: Annotations | None, url: str) -> list[str]:
    found: dict[str, int] = {}
    last, has_genotypes = "", False
    for record in file:
        has_genotypes = has_genotypes or "GT" in record.format
        contig = record.contig
        if found.get(contig, -1) > record.pos or (contig in found and contig != last):
            raise InputError(f"{url}: is not sorted at {contig}:{record.pos:,}", "bcftools sort")
        found[contig], last = record.pos, contig
        if notes is not None:
            notes.note(contig, record.pos, record.info.get("BCSQ"))
    if found and file.header.samples and not has_genotypes:
        raise InputError(
            f"{url}: has no genotypes (GT), so nobody can tell which sample carries what",
            "give calls with FORMAT/GT",
        )
    return [*found]


# ---- the calls -----------------------------------------------------------------------------------
def _scope(
    regions: Sequence[str], header: Header, url: str, digest: str, storage: StorageOptions | None
) -> list[Region] | None:
    """Return what is to be replaced; None for everything."""
    if regions:
        return [parse_region(text, header.contigs) for text in regions]
    try:
        receipt = json.loads(read_beside(f"{url}{RECEIPT}", storage))
        request = receipt["request"] if receipt["digest"] == digest else None
    except (NotFoundError, ValueError, KeyError, TypeError):
        return None
    return None if request is None else [parse_region(text, header.contigs) for text in request]


def _chosen(calls: Iterator[Call], scope: Sequence[Region] | None) -> Iterator[Call]:
    """Yield calls that begin in a region, each once: files may repeat a record."""
    inside = None if scope is None else by_contig(scope)
    place: tuple[str, int] | None = None
    seen: set[tuple[str, str, str]] = set()
    for call in calls:
        if place != (call.contig, call.pos):
            place, seen = (call.contig, call.pos), set()
        name = call.sample, call.ref, call.alt
        if name not in seen and (inside is None or _is_in(call.pos, inside.get(call.contig, []))):
            seen.add(name)
            yield call


def _is_in(pos: int, intervals: Sequence[tuple[int, int]]) -> bool:
    after = bisect_right(intervals, pos, key=lambda interval: interval[0])
    return after > 0 and pos < intervals[after - 1][1]


def _annotated(
    calls: Iterator[Call], notes: Annotations | None, genes: Genes | None
) -> Iterator[Call]:
    for call in calls:
        name, consequence = None, None
        if notes is not None:
            name, consequence = notes.of(call.contig, json.loads(call.info).get("BCSQ"))
        if genes is not None and name is None:
            name = genes.over(call.contig, call.pos, call.end)
        yield replace(call, gene=name, consequence=consequence) if name or consequence else call


def _fitting(genes: Genes | None, header: Header, name: str | None) -> Genes | None:
    """Refuse genes of another genome, where contigs are named otherwise."""
    if genes is not None and not header.contigs.keys() & {*genes.contigs}:
        raise InputError(
            f"{name}: has no gene on a contig of the calls",
            f"one has {genes.contigs[0]!r}, the other {next(iter(header.contigs), '')!r}",
        )
    return genes


def _renamed(
    header: Header, calls: Iterator[Call], name: str, url: str
) -> tuple[Header, Iterator[Call]]:
    if len(header.samples) != 1:
        raise UsageError(f"{url}: has {len(header.samples)} samples, which cannot have one name")
    return replace(header, samples=(name,)), (replace(call, sample=name) for call in calls)
