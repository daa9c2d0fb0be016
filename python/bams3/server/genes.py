"""Where genes lie, from a GFF3 or GTF: read once, when somebody first looks for one.

Lines whose type ends in `gene` count; where a file has none, transcripts do, taken together by the
name of their gene.
"""

from __future__ import annotations

import re
import threading
import zlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from bams3.errors import InputError
from bams3.server.resources import Resource

MOST_GENES = 500_000
LONGEST_LINE = 1 << 20
_GENES = (b"gene\t", b"\ttranscript\t", b"\tmRNA\t")
_NAMES = re.compile(
    rb"(?:^|;)\s*(gene_name|Name|gene|gene_id|ID|gene_synonym|Alias)[ =]\s*\"?([^\";]+)\"?"
)
_FIRST = ("gene_name", "Name", "gene", "gene_id", "ID")


class Gene(NamedTuple):
    """A name and a place, 0-based half-open."""

    name: str
    contig: str
    start: int
    end: int


@dataclass(frozen=True)
class GeneIndex:
    """Genes by all their names."""

    names: list[tuple[str, int]]
    genes: list[Gene]

    def find(self, text: str, most: int = 12) -> list[Gene]:
        """Return the genes with names that begin with `text`, those that are named so first."""
        wanted = text.strip().casefold()
        if not wanted:
            return []
        at = bisect_left(self.names, (wanted, -1))
        found: OrderedDict[int, None] = OrderedDict()
        while at < len(self.names) and self.names[at][0].startswith(wanted) and len(found) < most:
            found[self.names[at][1]] = None
            at += 1
        return [self.genes[number] for number in found]


def index_genes(resource: Resource) -> GeneIndex:
    """Read a GFF3 or GTF, plain or gzip.

    Raises:
        InputError: It has more genes than `MOST_GENES`, or lines that no such file has.
    """
    genes: list[Gene] = []
    names: set[tuple[str, int]] = set()
    transcripts: dict[tuple[str, str], Gene] = {}
    for line in _lines(resource):
        parsed = _gene(line)
        if parsed is None:
            continue
        kind, gene, known = parsed
        if kind:
            names.update((name.casefold(), len(genes)) for name in known)
            genes.append(gene)
        elif not genes:
            _widen(transcripts, gene)
        if len(genes) + len(transcripts) > MOST_GENES:
            raise InputError(f"{resource.name}: more than {MOST_GENES:,} genes")
    if not genes:
        genes = list(transcripts.values())
        names = {(gene.name.casefold(), number) for number, gene in enumerate(genes)}
    return GeneIndex(sorted(names), genes)


class Genes:
    """The indexes of some files; each is made once at a time."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], GeneIndex] = {}
        self._guard = threading.Lock()

    def of(self, key: str, resource: Resource) -> GeneIndex:
        """Return the index of a version of a file."""
        with self._guard:
            found = self._held.get((key, resource.etag))
            if found is None:
                self._held = {place: index for place, index in self._held.items()
                              if place[0] != key}  # fmt: skip
                found = self._held[key, resource.etag] = index_genes(resource)
            return found


def _gene(line: bytes) -> tuple[bool, Gene, list[str]] | None:
    """Return whether a line is a gene (or a transcript), the gene, and all its names."""
    if not any(mark in line for mark in _GENES) or line.startswith(b"#"):
        return None
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) != 9 or not (fields[3].isdigit() and fields[4].isdigit()):
        return None
    is_gene = fields[2].endswith(b"gene")
    if not is_gene and fields[2] not in (b"transcript", b"mRNA"):
        return None
    named = {key.decode(): _text(value) for key, value in _NAMES.findall(fields[8])}
    known = [name for value in named.values() for name in value.split(",")]
    main = next((named[key] for key in _FIRST if key in named), "")
    if not main:
        return None
    return is_gene, Gene(main, _text(fields[0]), int(fields[3]) - 1, int(fields[4])), known


def _widen(transcripts: dict[tuple[str, str], Gene], gene: Gene) -> None:
    held = transcripts.setdefault((gene.name, gene.contig), gene)
    start, end = min(held.start, gene.start), max(held.end, gene.end)
    transcripts[gene.name, gene.contig] = held._replace(start=start, end=end)


def _text(value: bytes) -> str:
    return unquote(value.decode("utf-8", "replace")).strip()


def _lines(resource: Resource) -> Iterator[bytes]:
    held = b""
    for piece in _inflated(resource.read(0, resource.size)):
        *lines, held = (held + piece).split(b"\n")
        yield from lines
        if len(held) > LONGEST_LINE:
            raise InputError(f"{resource.name}: is no GFF or GTF: a line is too long")
    if held:
        yield held


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield plain bytes; of gzip, all members, at most 1 MiB at a time."""
    inflater, plain = None, False
    for piece in pieces:
        if inflater is None and not plain:
            plain = not piece.startswith(b"\x1f\x8b")
        if plain:
            yield piece
            continue
        while piece:
            inflater = inflater or zlib.decompressobj(31)
            try:
                data = inflater.decompress(piece, 1 << 20)
            except zlib.error as error:
                raise InputError(f"the annotation is damaged: {error}") from error
            if data:
                yield data
            piece = inflater.unconsumed_tail
            if inflater.eof:
                piece, inflater = inflater.unused_data, None
