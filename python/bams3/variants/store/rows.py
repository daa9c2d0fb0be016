"""Calls as rows of a relational table, and what is asked of them in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bams3.variants.store import Selection
from bams3.variants.store.pages import Place
from bams3.variants.store.tally import transition
from bams3.variants.vcf import Call, unphased, zygosity

COLUMNS = {
    "contig": "INTEGER NOT NULL", "pos": "BIGINT NOT NULL", "ref": "TEXT NOT NULL",
    "alt": "TEXT NOT NULL", "sample": "TEXT NOT NULL", "id": "TEXT NOT NULL", "qual": "DOUBLE",
    "filter": "TEXT NOT NULL", "genotype": "TEXT NOT NULL", "depth": "BIGINT",
    "ref_depth": "BIGINT", "alt_depth": "BIGINT", "allele_fraction": "DOUBLE",
    "stop": "BIGINT NOT NULL", "info": "TEXT NOT NULL", "format": "TEXT NOT NULL", "gene": "TEXT",
    "consequence": "TEXT", "kind": "TEXT NOT NULL", "zygosity": "TEXT", "unphased": "TEXT NOT NULL",
    "transition": "INTEGER",
}  # fmt: skip
"""`contig` is a number, by the order of contigs; the last four are there to be asked for."""
ORDER = "contig, pos, ref, alt, sample"
LONG = 1000
"""Bases of a reference allele that is looked for apart, to keep the others' search short."""

_OF_CALL = [name for name in COLUMNS if name not in ("kind", "zygosity", "unphased", "transition")]
SELECTED = ", ".join(f"calls.{name}" for name in _OF_CALL)

Condition = tuple[str, list[Any]]
Row = tuple[Any, ...]


def row_of(call: Call, numbers: Mapping[str, int]) -> Row:
    """Return the row of a call, in the order of `COLUMNS`."""
    return (
        numbers[call.contig], call.pos, call.ref, call.alt, call.sample, call.id, call.qual,
        call.filter, call.genotype, call.depth, call.ref_depth, call.alt_depth,
        call.allele_fraction, call.end, call.info, call.format, call.gene, call.consequence,
        call.kind, zygosity(call.genotype), unphased(call.genotype), transition(call),
    )  # fmt: skip


def call_of(row: Row, names: Sequence[str]) -> Call:
    """Return the call of a row of `SELECTED`."""
    values = dict(zip(_OF_CALL, row, strict=True))
    return Call(contig=names[values.pop("contig")], end=values.pop("stop"), **values)


def conditions(
    selection: Selection, after: Place | None, numbers: Mapping[str, int]
) -> list[Condition]:
    """Return what a query asks for, in SQL; all of it has to hold."""
    found: list[Condition] = []
    if selection.region is not None:
        found.append(_in_region(selection, numbers))
    if selection.gene is not None:
        found.append(("instr(',' || gene || ',', ?) > 0", [f",{selection.gene},"]))
    if selection.min_qual is not None:
        found.append(("qual >= ?", [selection.min_qual]))
    if selection.samples:
        # Not by the index of samples where there is a region, which finds fewer rows.
        column = "sample" if selection.region is None else "sample || ''"
        found.append(_one_of(column, selection.samples))
    found += [_one_of("kind", selection.kinds)] if selection.kinds else []
    if selection.genotypes:
        found.append(_has_genotype(selection.genotypes))
    if after is not None:
        contig, *rest = after
        text = "(contig > ? OR (contig = ? AND (pos, ref, alt, sample) > (?, ?, ?, ?)))"
        found.append((text, [numbers[contig], numbers[contig], *rest]))
    return found


def _in_region(selection: Selection, numbers: Mapping[str, int]) -> Condition:
    """Ask for what overlaps: what begins near, by position, and long alleles, which are few."""
    assert selection.region is not None
    number, (start, end) = numbers[selection.region.contig], selection.region.interval
    near = "calls.contig = ? AND pos >= ? AND pos < ? AND stop > ?"
    long = f"calls.contig = ? AND pos < ? AND stop > ? AND stop - pos > {LONG}"
    first = start - LONG
    return f"(({near}) OR ({long}))", [number, first, end, start, number, first, start]


def _one_of(column: str, values: Sequence[str]) -> Condition:
    return f"{column} IN ({', '.join('?' * len(values))})", [*values]


def _has_genotype(genotypes: Sequence[str]) -> Condition:
    zygosities, texts = _one_of("zygosity", genotypes), _one_of("unphased", genotypes)
    return f"({zygosities[0]} OR {texts[0]})", [*genotypes, *map(unphased, genotypes)]
