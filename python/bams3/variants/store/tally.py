"""Counts of calls, kept or computed by the store, and what they sum up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bams3.variants.store.header import Header
from bams3.variants.vcf import TRANSITIONS, Call, substitution

Key = tuple[str, str, str, int | None]
"""Sample, contig, kind, and whether it is a transition (1) or a transversion (0), for SNVs."""
Values = list[float]
"""Calls, then sum and number of QUAL, of depth, and of the allele fraction."""
Tally = dict[Key, Values]


def transition(call: Call) -> int | None:
    """Return 1 for a transition, 0 for a transversion, None for other alleles."""
    change = substitution(call.ref, call.alt)
    return None if change is None else int(change in TRANSITIONS)


def count(tally: Tally, call: Call) -> None:
    """Count a call."""
    key = call.sample, call.contig, call.kind, transition(call)
    values = tally.setdefault(key, [0.0] * 7)
    values[0] += 1
    for at, value in enumerate((call.qual, call.depth, call.allele_fraction)):
        if value is not None:
            values[1 + 2 * at] += value
            values[2 + 2 * at] += 1


def summary(header: Header, rows: Iterable[tuple[Key, Values]]) -> dict[str, Any]:
    """Sum up counts.

    Returns:
        "calls", a number; "samples", "contigs" and "kinds", numbers by name; "transitions",
        "transversions" and "ti_tv" of SNVs; "mean_qual", "mean_depth", "mean_allele_fraction".
        What there is none of is None. A call is an allele in a sample.
    """
    tables: dict[str, dict[str, int]] = {"samples": dict.fromkeys(header.samples, 0)}
    tables |= {"contigs": {}, "kinds": {}}
    changes, sums = [0, 0], [0.0] * 7
    for (sample, contig, kind, change), values in rows:
        calls = int(values[0])
        for table, name in zip(tables.values(), (sample, contig, kind), strict=True):
            table[name] = table.get(name, 0) + calls
        if change is not None:
            changes[change] += calls
        sums = [a + b for a, b in zip(sums, values, strict=True)]
    tables["contigs"] = _in_order(tables["contigs"], header.contigs)
    return {
        "calls": int(sums[0]),
        **tables,
        "transitions": changes[1],
        "transversions": changes[0],
        "ti_tv": _ratio(changes[1], changes[0]),
        "mean_qual": _ratio(sums[1], sums[2]),
        "mean_depth": _ratio(sums[3], sums[4]),
        "mean_allele_fraction": _ratio(sums[5], sums[6]),
    }


def _in_order(found: dict[str, int], order: Mapping[str, int]) -> dict[str, int]:
    return {name: found[name] for name in order if name in found}


def _ratio(part: float, whole: float) -> float | None:
    """Return a quotient in 12 digits: in what order a store adds numbers up changes later ones."""
    return float(f"{part / whole:.12g}") if whole else None
