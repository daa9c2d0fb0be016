"""What statistics are made of: the variants of each site, from a file or a store, as they come."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bams3 import _core
from bams3.config import StorageOptions
from bams3.errors import InputError
from bams3.variants.genes import Annotations, Told
from bams3.variants.objects import blocks, check_whole
from bams3.variants.pipes import Feeder
from bams3.variants.store import Selection, Store
from bams3.variants.vcf import Call, open_vcf

if TYPE_CHECKING:
    import pysam

_NO_VARIANTS = {".", "*", "<*>", "<NON_REF>", "<X>"}


class Variant(NamedTuple):
    """One alternative allele; `pos` is 0-based, `frequency` that among the samples, 0 to 1.

    `carriers` are numbers of samples, by their order.
    """

    contig: str
    pos: int
    ref: str
    alt: str
    qual: float | None
    filter: str
    carriers: _core.Carriers
    frequency: float | None
    gene: str | None
    consequence: str | None


Sites = Iterator[Sequence[Variant]]
"""The variants of each record; none where it holds the reference alone."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Calls to be looked at, once.

    Attributes:
        source: Where they are.
        samples: Names.
        lengths: Of contigs, as far as they are known.
        sites: What there is.
    """

    source: str
    samples: Sequence[str]
    lengths: dict[str, int]
    sites: Sites


@contextmanager
def observe(
    calls: str | os.PathLike[str] | Store, storage: StorageOptions | None = None
) -> Iterator[Observed]:
    """Open calls: the address of a VCF or BCF file, or a store.

    Raises:
        InputError: It is not VCF, or damaged.
        CorruptError: The file is cut off.
        NotFoundError: There is no such file.
    """
    if isinstance(calls, Store):
        yield _of_store(calls)
        return
    url = os.fspath(calls)
    with _opened(url, storage) as file:
        lengths = _lengths(file.header)
        samples = [str(name) for name in file.header.samples]
        yield Observed(url, samples, lengths, _of_file(file, url))


# ---- a file --------------------------------------------------------------------------------------
def _lengths(header: pysam.VariantHeader) -> dict[str, int]:
    """Return the lengths of contigs; pysam's own mapping fails where numbers of contigs lack."""
    lines = (record for record in header.records if record.type == "CONTIG")
    return {line["ID"]: int(line.get("length") or 0) for line in lines}


@contextmanager
def _opened(url: str, storage: StorageOptions | None) -> Iterator[pysam.VariantFile]:
    check_whole(url, storage)
    if "://" not in url:
        with open_vcf(url) as file:
            yield file
        return
    with tempfile.TemporaryDirectory(prefix="bams3-calls-") as name:
        path = Path(name) / "calls"
        feeder = Feeder(path, blocks(url, storage))
        feeder.start()
        try:
            with open_vcf(path) as file:
                yield file
        except InputError as error:
            feeder.let_go()
            feeder.check()  # the store's failure, where it is that
            raise InputError(error.message.replace(str(path), url), error.hint) from error
        finally:
            feeder.close()


def _of_file(file: pysam.VariantFile, url: str) -> Sites:
    annotated = _annotation(file)
    try:
        for record in file:
            yield _variants(record, annotated)
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: {error}") from error


def _variants(record: pysam.VariantRecord, annotated: Annotation) -> Sequence[Variant]:
    alts = [pair for pair in enumerate(record.alts or (), 1) if pair[1] not in _NO_VARIANTS]
    if not alts:
        return []
    genotypes = _core.Genotypes(_line(record))
    qual = _quality(record.qual)
    filters = ";".join(map(str, record.filter.keys())) or "."
    found = []
    for number, alt in alts:
        carriers, called = genotypes.carriers(number), genotypes.called
        frequency = carriers.copies / called if called else _stated(record, number)
        place = (record.contig, record.start, record.ref or "N", alt, qual, filters)
        found.append(Variant(*place, carriers, frequency, *annotated(record)))
    return found


def _line(record: pysam.VariantRecord) -> bytes:
    """Return the line of a record; what is not UTF-8 is in no genotype."""
    import pysam

    try:
        return str(record).encode()
    except UnicodeDecodeError:
        before = pysam.set_encoding_error_handler("replace")
        try:
            return str(record).encode()
        finally:
            pysam.set_encoding_error_handler(before)


def _quality(value: float | None) -> float | None:
    """Return QUAL with the digits that 32 bits have; None where it is no finite number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.7g}")


def _stated(record: pysam.VariantRecord, number: int) -> float | None:
    """Return the frequency that INFO states: AF, or AC of AN; None where that is no share."""
    frequency = _at(_info(record, "AF"), number)
    if frequency is None:
        count, called = _at(_info(record, "AC"), number), _at(_info(record, "AN"), 1)
        frequency = count / called if count is not None and called else None
    return frequency if frequency is not None and 0 <= frequency <= 1 else None


def _info(record: pysam.VariantRecord, name: str) -> Any:
    """Return a value of INFO; None where the header does not know it, which pysam refuses."""
    return record.info.get(name) if name in record.header.info else None


def _at(values: Any, number: int) -> float | None:
    """Return the value of an allele; None where there is none, or no number."""
    if isinstance(values, tuple):
        values = values[number - 1] if number <= len(values) else None
    return values if isinstance(values, int | float) else None


Annotation = Callable[["pysam.VariantRecord"], Told]
"""Returns gene and consequence of a record."""


def _annotation(file: pysam.VariantFile) -> Annotation:
    if "BCSQ" not in file.header.info:
        return lambda record: (None, None)
    notes = Annotations()
    return lambda record: notes.of(record.contig, record.info.get("BCSQ"))


# ---- a store -------------------------------------------------------------------------------------
def _of_store(store: Store) -> Observed:
    header = store.header()
    numbers = {name: number for number, name in enumerate(header.samples)}
    sites = _sites(store.query(Selection()), numbers)
    return Observed(store.url, header.samples, dict(header.contigs), sites)


def _sites(calls: Iterator[Call], numbers: Mapping[str, int]) -> Sites:
    for _, site in groupby(calls, key=lambda call: (call.contig, call.pos, call.ref)):
        yield [
            _of_calls([*group], numbers) for _, group in groupby(site, key=lambda call: call.alt)
        ]


def _of_calls(calls: Sequence[Call], numbers: Mapping[str, int]) -> Variant:
    """Join the calls of one allele. Samples without it count as having the reference."""
    first = calls[0]
    counted = [_copies(call.genotype) for call in calls]
    ploidies = [ploidy for _, ploidy in counted]
    called = sum(ploidies) + max(ploidies) * (len(numbers) - len(calls))
    carriers = _core.Carriers(
        sorted(
            (numbers[call.sample], copies, ploidy, call.depth, call.allele_fraction)
            for call, (copies, ploidy) in zip(calls, counted, strict=True)
        )
    )
    frequency = carriers.copies / called if called else None
    return Variant(
        first.contig, first.pos, first.ref, first.alt, first.qual, first.filter, carriers,
        frequency, first.gene, first.consequence,
    )  # fmt: skip


def _copies(genotype: str) -> tuple[int, int]:
    """Return copies of the allele, and of all that were called."""
    alleles = [part for part in genotype.replace("|", "/").split("/") if part.isdigit()]
    others = {part for part in alleles if part != "0"}
    return sum(part != "0" for part in alleles) if len(others) == 1 else 1, len(alleles)
