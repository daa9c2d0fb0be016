"""Calls of a store as VCF again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from bams3.variants.store.header import Header
from bams3.variants.vcf import Call

_MISSING = "./."
_FIXED = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")


def vcf_lines(calls: Iterable[Call], header: Header, samples: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a VCF file.

    Records are those that were loaded, one allele each; calls of one allele that come from
    different records (two files, say) stay in records of their own, as their INFO differs. AC and
    AN count the genotypes that are written. A sample that does not carry the allele has "./.".

    Args:
        calls: By contig and position, as a store yields them.
        header: Of the store.
        samples: The columns.
    """
    yield from header.lines()
    yield "\t".join([*_FIXED, *samples])
    for _, site in groupby(calls, key=lambda call: call.site):
        records: dict[tuple[Any, ...], dict[str, Call]] = {}
        for call in site:
            record = call.id, call.qual, call.filter, call.info
            records.setdefault(record, {})[call.sample] = call
        for record_calls in records.values():
            yield _line(record_calls, samples)


def _line(calls: dict[str, Call], samples: Sequence[str]) -> str:
    first = next(iter(calls.values()))
    formats = {name: json.loads(call.format) for name, call in calls.items()}
    keys = [*dict.fromkeys(key for values in formats.values() for key in values)]
    columns = []
    for name in samples:
        values = [_text(formats[name].get(key)) for key in keys] if name in calls else []
        columns.append(":".join([calls[name].genotype if name in calls else _MISSING, *values]))
    fields = (
        first.contig, str(first.pos + 1), first.id, first.ref, first.alt, _text(first.qual),
        first.filter, _info([*calls.values()]), ":".join(["GT", *keys]),
    )  # fmt: skip
    return "\t".join([*fields, *columns])


def _info(calls: Sequence[Call]) -> str:
    first = calls[0]
    values = json.loads(first.info)
    alleles = [a for call in calls for a in call.genotype.replace("|", "/").split("/")]
    if "AC" in values:
        values["AC"] = sum(allele == "1" for allele in alleles)
    if "AN" in values:
        values["AN"] = sum(allele != "." for allele in alleles)
    if "END" not in values and first.kind == "symbolic" and first.end != first.pos + len(first.ref):
        values["END"] = first.end
    texts = [key if value is True else f"{key}={_text(value)}" for key, value in values.items()]
    return ";".join(texts) or "."


def _text(value: Any) -> str:
    """Return a value as VCF writes it."""
    if value is None:
        return "."
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return f"{value:.7g}" if isinstance(value, float) else str(value)
