"""Which gene a call lies in: by its annotation (INFO/BCSQ of `bcftools csq`), or by overlap."""

from __future__ import annotations

import gzip
import zlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from bams3.config import StorageOptions
from bams3.errors import InputError
from bams3.storage import open_input

_WORST_FIRST = (
    "frameshift", "stop_gained", "splice_acceptor", "splice_donor", "start_lost", "stop_lost",
    "inframe_insertion", "inframe_deletion", "inframe_altering", "missense", "protein_altering",
    "splice_region", "stop_retained", "start_retained", "synonymous", "coding_sequence",
    "5_prime_utr", "3_prime_utr", "non_coding", "intron", "intergenic",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_WORST_FIRST)}

Told = tuple[str | None, str | None]
"""Names of genes with "," between them, that of the worst consequence first; that consequence."""


# ---- annotations ---------------------------------------------------------------------------------
class Annotations:
    """INFO/BCSQ of a file: `consequence|gene|transcript|...`, or `@POS` of another record.

    What several variants of a haplotype do together is told in the record of one of them, to which
    the others point. So these are to be noted first.
    """

    def __init__(self) -> None:
        self._compound: dict[tuple[str, int], list[str]] = defaultdict(list)

    def note(self, contig: str, pos: int, values: Any) -> None:
        """Note what others may point to, at a 1-based position."""
        for entry in _entries(values):
            if "+" in entry.rpartition("|")[2]:
                self._compound[contig, pos].append(entry)

    def of(self, contig: str, values: Any) -> Told:
        """Return genes and the worst consequence.

        Args:
            contig: Of the record.
            values: INFO/BCSQ.
        """
        entries: list[str] = []
        for entry in _entries(values):
            at = entry[1:]
            linked = entry.startswith("@") and at.isdigit()
            entries += self._compound.get((contig, int(at)), []) if linked else [entry]
        fields = [entry.split("|") for entry in entries]
        told = sorted((parts for parts in fields if len(parts) > 1), key=lambda p: _rank(p[0]))
        genes = dict.fromkeys(parts[1].replace(",", "_") for parts in told if parts[1])
        return ",".join(genes) or None, told[0][0].lstrip("*") if told else None


def _entries(values: Any) -> Iterable[str]:
    if isinstance(values, str):
        return values.split(",")
    return [entry for entry in values or () if entry]


def _rank(consequence: str) -> int:
    """Return the place among consequences, the worst of several that are joined by "&"."""
    names = consequence.lstrip("*").split("&")
    return min(_RANK.get(name.removesuffix("_variant"), len(_RANK)) for name in names)


# ---- overlap -------------------------------------------------------------------------------------
class Genes:
    """Genes of a GFF3 file, by contig."""

    def __init__(self, genes: Iterable[tuple[str, int, int, str]]) -> None:
        """Sort genes: contig, start, end (0-based half-open), name."""
        self._genes: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for contig, start, end, name in genes:
            self._genes[contig].append((start, end, name))
        for found in self._genes.values():
            found.sort()
        self._longest = {
            contig: max(end - start for start, end, _ in found)
            for contig, found in self._genes.items()
        }

    @property
    def contigs(self) -> list[str]:
        """Names of contigs that have genes."""
        return [*self._genes]

    def over(self, contig: str, start: int, end: int) -> str | None:
        """Return the names of genes that overlap [start, end), with "," between them."""
        found = self._genes.get(contig, [])
        first = bisect_left(found, start - self._longest.get(contig, 0), key=lambda gene: gene[0])
        last = bisect_left(found, end, key=lambda gene: gene[0])
        names = dict.fromkeys(name for _, stop, name in found[first:last] if stop > start)
        return ",".join(names) or None


def read_genes(url: str, storage: StorageOptions | None = None) -> Genes:
    """Read the genes of a GFF3 file, which may be compressed.

    Raises:
        InputError: It has no genes, or a line is not GFF3.
        NotFoundError: There is no such file.
    """
    with open_input(url, storage) as raw:
        is_packed = raw.read(2) == b"\x1f\x8b"
    with open_input(url, storage) as raw:
        try:
            genes = [*_genes(gzip.open(raw) if is_packed else raw, url)]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{url}: is damaged: {error}") from error
    if not genes:
        raise InputError(f"{url}: has no genes", "it has to be GFF3, with features named gene")
    return Genes(genes)


def _genes(lines: Iterable[bytes], url: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield the features whose type ends in "gene": contig, start, end, name."""
    for number, line in enumerate(lines, 1):
        fields = line.decode(errors="replace").rstrip("\r\n").split("\t")
        if line.startswith(b"#") or len(fields) < 3 or not fields[2].endswith("gene"):
            continue
        try:
            start, end, attributes = int(fields[3]) - 1, int(fields[4]), fields[8]
        except (ValueError, IndexError):
            raise InputError(f"{url}, line {number}: is not GFF3") from None
        yield unquote(fields[0]), start, end, _name(attributes)


def _name(attributes: str) -> str:
    """Return the name of a gene; a comma would be taken for the end of it."""
    values = dict(part.strip().split("=", 1) for part in attributes.split(";") if "=" in part)
    name = next((values[key] for key in ("gene_name", "Name", "gene", "ID") if key in values), "")
    return unquote(name).replace(",", "_")
