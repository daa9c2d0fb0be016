"""VCF and BCF through pysam: rows of calls, their normal form, and writing them again.

One `Call` is one alternative allele in one sample. Positions are 0-based, as everywhere inside.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bams3.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import pysam

Kind = Literal["snv", "mnv", "insertion", "deletion", "complex", "symbolic"]
Zygosity = Literal["het", "hom", "hemi"]
Genotype = tuple[int | None, ...]

TRANSITIONS = frozenset({"A>G", "G>A", "C>T", "T>C"})
_INDEXED_BY_TBI = 1 << 29
_LARGEST = 3.402823e38


@dataclass(frozen=True, slots=True)
class Call:
    """One alternative allele in one sample.

    Attributes:
        sample: Name of the sample.
        contig: Name of the contig.
        pos: 0-based position of the first base of `ref`.
        ref: Reference allele.
        alt: Alternative allele; "." in a block of a gVCF that holds none.
        qual: Phred-scaled quality of the record; None where the file has none.
        filter: Names of filters joined by ";", "PASS", or "." where none was applied.
        genotype: As in VCF ("0/1", "1|1", "./."), numbers those of the record's alleles.
        depth: Reads of the sample over the position; None where the file does not say.
        ref_depth: Reads that show the reference allele.
        alt_depth: Reads that show this allele.
        allele_fraction: `alt_depth` of the depths of all alleles of the record, 0 to 1.
        end: 0-based exclusive end of the reference allele, or of the block (INFO/END).
        info: INFO of the record as JSON.
        format: FORMAT values of the sample as JSON.
        gene: Name of the gene, where the calls were annotated; several with "," between them.
        consequence: What the allele does to it, e.g. "missense".
        id: Names in databases, as the file has them; "." where it has none.
    """

    sample: str
    contig: str
    pos: int
    ref: str
    alt: str
    qual: float | None = None
    filter: str = "."
    genotype: str = "./."
    depth: int | None = None
    ref_depth: int | None = None
    alt_depth: int | None = None
    allele_fraction: float | None = None
    end: int = 0
    info: str = "{}"
    format: str = "{}"
    gene: str | None = None
    consequence: str | None = None
    id: str = "."

    @property
    def kind(self) -> Kind:
        """What the allele is, by the lengths of its parts after trimming."""
        return kind_of(self.ref, self.alt)

    @property
    def site(self) -> Site:
        """Where and what the allele is."""
        return Site(self.contig, self.pos, self.ref, self.alt)


class Site(NamedTuple):
    """An allele of the reference: contig, 0-based position, alleles."""

    contig: str
    pos: int
    ref: str
    alt: str


def kind_of(ref: str, alt: str) -> Kind:
    """Return what an allele is, as bcftools tells it.

    Insertions and deletions do nothing else: one of their alleles begins or ends with the other.
    What replaces bases by another number of them is `complex`.
    """
    if alt in (".", "*") or alt.startswith("<") or "[" in alt or "]" in alt:
        return "symbolic"
    _, ref, alt = trimmed(0, ref.upper(), alt.upper())
    if len(ref) == len(alt):
        return "snv" if len(ref) == 1 else "mnv"
    shorter, longer = sorted((ref, alt), key=len)
    if len(shorter) > 1 or not (longer.startswith(shorter) or longer.endswith(shorter)):
        return "complex"
    return "insertion" if longer == alt else "deletion"


def trimmed(pos: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Return the shortest form of an allele: shared bases cut from the end, then the beginning.

    Both alleles keep at least one base. Alleles that were left-aligned (`bcftools norm`) and
    trimmed are equal exactly where they mean the same.

    >>> trimmed(99, "TCC", "TC")
    (99, 'TC', 'T')
    """
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        pos, ref, alt = pos + 1, ref[1:], alt[1:]
    return pos, ref, alt


def substitution(ref: str, alt: str) -> str | None:
    """Return what an SNV puts in place of what, "A>C"; None for others, and ambiguous bases."""
    if kind_of(ref, alt) != "snv":
        return None
    _, ref, alt = trimmed(0, ref.upper(), alt.upper())
    return f"{ref}>{alt}" if ref in "ACGT" and alt in "ACGT" else None


# ---- reading -------------------------------------------------------------------------------------
def read_calls(path: str | os.PathLike[str]) -> Iterator[Call]:
    """Yield the calls of a VCF or BCF file, in its order: samples, then alleles, of each record.

    Alleles that a sample does not carry are left out; so are samples without a call.

    Raises:
        InputError: It is not VCF, or damaged.
        NotFoundError: There is no such file.
    """
    with open_vcf(path) as file:
        try:
            for record in file:
                yield from calls_of(record)
        except (OSError, ValueError) as error:
            raise InputError(f"{os.fspath(path)}: {error}") from error


def open_vcf(path: str | os.PathLike[str]) -> pysam.VariantFile:
    """Open a local VCF or BCF file. Raises InputError where it is none."""
    import pysam

    told = pysam.set_verbosity(0)  # htslib would complain that there is no index
    try:
        return pysam.VariantFile(os.fspath(path))
    except FileNotFoundError:
        raise NotFoundError(f"{os.fspath(path)}: no such file") from None
    except ValueError as error:
        hint = "give calls, as a variant caller writes them"
        raise InputError(f"{os.fspath(path)}: this is not VCF or BCF", hint) from error
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: is not VCF or BCF: {error}") from error
    finally:
        pysam.set_verbosity(told)


def calls_of(record: pysam.VariantRecord) -> Iterator[Call]:
    """Yield the calls of one record."""
    shared: dict[str, Any] | None = None
    for name, values in record.samples.items():
        alleles: Genotype = values.get("GT") or ()
        if any(alleles):  # most samples of a cohort have the reference
            shared = shared or _of_record(record)
            yield from _of_sample(str(name), alleles, values, record.alts or (), shared)


def _of_record(record: pysam.VariantRecord) -> dict[str, Any]:
    """Return what all calls of a record have in common."""
    return {
        "contig": record.contig,
        "pos": record.start,
        "ref": record.ref or "N",
        "qual": _quality(record.qual),
        "filter": ";".join(map(str, record.filter.keys())) or ".",
        "end": record.stop,
        "info": _json(_info(record)),
        "id": record.id or ".",
    }


def _info(record: pysam.VariantRecord) -> dict[str, Any]:
    """Return INFO in its order, with END, which pysam keeps apart."""
    if "END" not in record.header.info:
        return dict(record.info)
    parts = (part.partition("=") for part in str(record).split("\t", 8)[7].split(";"))
    return {
        name: int(value) if name == "END" and value.isdigit() else record.info.get(name)
        for name, _, value in parts
        if name != "."
    }


def _of_sample(
    name: str,
    alleles: Genotype,
    values: pysam.VariantRecordSample,
    alts: Sequence[str],
    shared: Mapping[str, Any],
) -> Iterator[Call]:
    depths = [depth or 0 for depth in values.get("AD") or ()]
    total = sum(depths)
    fields = {key: value for key, value in values.items() if key != "GT"}
    own: dict[str, Any] = {
        "genotype": genotype_text(alleles, values.phased),
        "depth": _integer(values.get("DP")),
        "ref_depth": depths[0] if depths else None,
        "format": _json(fields),
    }
    for number, alt in enumerate(alts, 1):
        if number in alleles:
            shown = depths[number] if number < len(depths) else None
            fraction = shown / total if shown is not None and total else None
            yield Call(name, alt=alt, alt_depth=shown, allele_fraction=fraction, **shared, **own)


def genotype_text(alleles: Genotype, phased: bool) -> str:
    """Return a genotype as VCF writes it."""
    between = "|" if phased else "/"
    return between.join("." if allele is None else str(allele) for allele in alleles) or "./."


def unphased(genotype: str) -> str:
    """Return a genotype without its phase, alleles in order; missing ones come first.

    >>> unphased("1|0")
    '0/1'
    """
    alleles = genotype.replace("|", "/").split("/")
    return "/".join(sorted(alleles, key=lambda text: int(text) if text.isdigit() else -1))


def zygosity(genotype: str) -> Zygosity | None:
    """Return what kind of genotype it is; None where alleles are missing."""
    alleles = genotype.replace("|", "/").split("/")
    if "." in alleles:
        return None
    if len(alleles) == 1:
        return "hemi"
    return "hom" if len({*alleles}) == 1 else "het"


def _quality(value: float | None) -> float | None:
    """Return QUAL as the file has it; no number is none, and infinity the largest that there is."""
    if value is None or math.isnan(value):
        return None
    return max(-_LARGEST, min(_as_written(value), _LARGEST))


def _as_written(value: float) -> float:
    """Undo what widening does: 30.1 was read as a number of 32 bits, and would be 30.1000003815."""
    return float(f"{value:.7g}")


def _integer(value: Any) -> int | None:
    value = value[0] if isinstance(value, tuple) else value
    return None if value is None else int(value)


def _json(values: Mapping[str, Any]) -> str:
    """Write values as JSON; numbers that JSON has not (NaN, infinity) become null."""
    return json.dumps({key: _plain(value) for key, value in values.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return _as_written(value) if math.isfinite(value) else None
    return value


# ---- what a file is about ------------------------------------------------------------------------
def contigs_of(path: str | os.PathLike[str]) -> dict[str, int]:
    """Return the contigs of the header and their lengths (0 where it does not say)."""
    with open_vcf(path) as file:
        contigs = file.header.contigs.values()
        return {contig.name: contig.length or 0 for contig in contigs}


def indexed(output: str, lengths: Iterable[int]) -> tuple[list[str], str]:
    """Return how to tell bcftools to write a file and its index, and the name of the index.

    Args:
        output: Name that ends with `.vcf.gz` or `.bcf`.
        lengths: Of the contigs: the index is tabix, unless one is too long for it, or it is BCF.
    """
    is_bcf = output.endswith(".bcf")
    kind = "csi" if is_bcf or any(length > _INDEXED_BY_TBI for length in lengths) else "tbi"
    return ["-Ob" if is_bcf else "-Oz", f"-W={kind}", "-o", output], f"{output}.{kind}"
