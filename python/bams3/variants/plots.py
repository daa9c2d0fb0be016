"""Plots of statistics as Vega-Lite specifications: the page draws them, and so do PNG and SVG.

A specification says nothing of width or colours of the ground: who draws it adds `theme`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bams3.variants.charts import (
    TOLD,
    Rows,
    Spec,
    axis,
    bars,
    binned,
    binned_x,
    heat,
    histogram,
    nice,
    share_x,
    tooltip,
)  # fmt: skip
from bams3.variants.statistics import COMPARED, SHARES, SUBSTITUTIONS, Statistics
from bams3.variants.vcf import TRANSITIONS

CONTIGS = 30
"""Contigs that are drawn: those with the most variants."""
WINDOWS = 240
"""Windows along the longest contig."""
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_KINDS = {
    "snv": "SNVs", "insertion": "insertions", "deletion": "deletions", "mnv": "MNVs",
    "complex": "complex", "symbolic": "symbolic",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: a name for files, what it shows, how to read it, and its specification.

    `spec` is None where there is nothing to be drawn; `note` says then why.
    """

    name: str
    title: str
    note: str
    spec: Spec | None
    wide: bool = False


def plots(counts: Statistics) -> list[Plot]:
    """Return all plots of statistics, in the order of a page."""
    return [
        _density(counts), _kinds(counts), _substitutions(counts), _indel_lengths(counts),
        _quality(counts), _depth(counts), _fractions(counts), _quality_by_fraction(counts),
        *_frequencies(counts), *_consequences(counts), *_samples(counts),
    ]  # fmt: skip


# ---- what was called -----------------------------------------------------------------------------
def _kinds(counts: Statistics) -> Plot:
    rows = [{"kind": _KINDS[kind], "count": n} for kind, n in counts.kinds.most_common()]
    spec = bars(rows, "kind", "variants")
    return _plot("kinds", "Kinds", "Alternative alleles by what they are.", rows, spec)


def _substitutions(counts: Statistics) -> Plot:
    rows = [
        {
            "change": name.replace(">", "→"), "count": counts.substitutions[name],
            "class": "transition" if name in TRANSITIONS else "transversion",
        }
        for name in SUBSTITUTIONS
    ]  # fmt: skip
    spec = bars(rows, "change", "SNVs", colour="class")
    spec["height"] = 17 * len(rows)
    note = "SNVs by reference and alternative base."
    shown = rows if counts.kinds["snv"] else []
    return _plot("substitutions", "Substitutions", note, shown, spec)


def _indel_lengths(counts: Statistics) -> Plot:
    edge = _edge(counts.indel_lengths)
    joined: Counter[int] = Counter()
    for length, count in counts.indel_lengths.items():
        joined[max(-edge, min(edge, length))] += count
    rows = [
        {
            "from": n - 0.5, "to": n + 0.5, "length": n, "count": joined[n],
            "kind": "insertion" if n > 0 else "deletion",
        }
        for n in sorted(joined)
    ]  # fmt: skip
    x = {
        "field": "from", "type": "quantitative", "bin": {"binned": True},
        "scale": {"domain": [-edge - 1, edge + 1], "nice": False},
        "axis": axis("bases deleted (-) or inserted (+)"),
    }  # fmt: skip
    spec = histogram(rows, x, "variants", "kind", ["length", "kind", "count"])
    note = f"Insertions and deletions; {edge} stands for {edge} bases or more."
    return _plot("indel-lengths", "Indel lengths", note, rows, spec)


def _edge(lengths: Counter[int]) -> int:
    """Return the length that 99 of 100 indels do not exceed, 10 at least."""
    by_size = Counter[int]()
    for length, count in lengths.items():
        by_size[abs(length)] += count
    seen = 0
    for size in sorted(by_size):
        seen += by_size[size]
        if seen >= 0.99 * by_size.total():
            return max(10, size)
    return 10


def _consequences(counts: Statistics) -> Iterator[Plot]:
    if counts.consequences:
        rows = [
            {"consequence": name.replace("_", " "), "count": n}
            for name, n in counts.consequences.most_common(15)
        ]
        spec = bars(rows, "consequence", "variants")
        note = "What variants do to genes, as annotated; the first one of each."
        yield _plot("consequences", "Consequences", note, rows, spec)


# ---- how well ------------------------------------------------------------------------------------
def _quality(counts: Statistics) -> Plot:
    rows, note = binned(counts.quality, "kind")
    spec = histogram(rows, binned_x("QUAL (Phred)"), "variants", "kind", TOLD)
    return _plot("quality", "Quality", f"QUAL of the records.{note}", rows, spec)


def _depth(counts: Statistics) -> Plot:
    rows, note = binned({"": counts.depth}, "kind")
    spec = histogram(rows, binned_x("reads (DP)"), "calls", None, TOLD)
    text = f"Reads of samples over the variants that they carry.{note}"
    return _plot("depth", "Depth", text, rows, spec)


def _fractions(counts: Statistics) -> Plot:
    rows = [
        {"from": n / SHARES, "to": (n + 1) / SHARES, "genotype": name, "count": bins[n]}
        for name, bins in counts.fractions.items()
        for n in sorted(bins)
    ]
    x = share_x("reads that show the variant")
    spec = histogram(rows, x, "calls", "genotype", ["from", "to", "genotype", "count"])
    note = "Share of the reads (AD) of a sample; about a half where it is heterozygous."
    return _plot("allele-fraction", "Allele fraction", note, rows, spec)


def _quality_by_fraction(counts: Statistics) -> Plot:
    rows = [
        {"quality": quality, "quality_to": quality + 10, "from": n / SHARES, "to": (n + 1) / SHARES,
         "count": count}
        for (quality, n), count in sorted(counts.quality_by_fraction.items())
    ]  # fmt: skip
    spec = {
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "x": {"field": "quality", "type": "quantitative", "bin": {"binned": True},
                  "axis": axis("QUAL (Phred; 500 and more together)")},
            "x2": {"field": "quality_to"},
            "y": {"field": "from", "type": "quantitative", "bin": {"binned": True},
                  "scale": {"domain": [0, 1]}, "axis": axis("allele fraction", ".0%")},
            "y2": {"field": "to"},
            "color": {**heat("calls"), "scale": {"type": "log"}},
            "tooltip": tooltip(["quality", "from", "count"]),
        },
    }  # fmt: skip
    note = "Calls of samples by both."
    return _plot("quality-fraction", "Quality and allele fraction", note, rows, spec)


def _frequencies(counts: Statistics) -> Iterator[Plot]:
    """Yield the spectrum; of one sample it would say no more than how many are homozygous."""
    if len(counts.samples) != 1:
        bins = counts.frequencies
        rows = [
            {"from": n / SHARES, "to": (n + 1) / SHARES, "count": bins[n]} for n in sorted(bins)
        ]
        x = share_x("frequency among the samples")
        spec = histogram(rows, x, "variants", None, ["from", "to", "count"])
        note = "Copies of the allele among all that were called (AC of AN)."
        yield _plot("allele-frequency", "Allele frequency", note, rows, spec)


# ---- where ---------------------------------------------------------------------------------------
def _density(counts: Statistics) -> Plot:
    names = _drawn_contigs(counts)
    start, end = _span(counts, names)
    window = counts.density.window * nice((end - start) / counts.density.window / WINDOWS)
    unit, name = (1e6, "Mb") if end - start >= 2e6 else (1e3, "kb")
    rows = [row for contig in names for row in _windows(counts, contig, window, unit)]
    one = f" on {names[0]}" if len(names) == 1 else ""
    x = {
        "field": "from", "type": "quantitative", "bin": {"binned": True},
        "scale": {"domain": [start / unit, end / unit], "nice": False},
        "axis": axis(f"position{one} ({name})"),
    }  # fmt: skip
    if one:
        spec = histogram(rows, x, "variants", None, ["window", "count"])
    else:
        spec = _strips(x, len(names))
    spec["params"] = [
        {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}
    ]
    more = len(counts.density.contigs) - len(names)
    note = (
        f"Variants in windows of {window:,} bases. Scroll and drag to zoom; double-click to reset."
    )
    note += f" {more:,} contigs with fewer variants are left out." if more else ""
    return _plot("density", "Along the genome", note, rows, spec, wide=True)


def _strips(x: Spec, contigs: int) -> Spec:
    """Return one strip of colour for each contig."""
    return {
        "mark": {"type": "rect", "tooltip": True, "clip": True},
        "height": 20 * contigs,
        "encoding": {
            "x": x, "x2": {"field": "to"},
            "y": {"field": "contig", "type": "nominal", "sort": None, "axis": {"title": None}},
            "color": heat("variants"), "tooltip": tooltip(["window", "count"]),
        },
    }  # fmt: skip


def _drawn_contigs(counts: Statistics) -> list[str]:
    contigs = counts.density.contigs
    most = sorted(contigs, key=lambda name: -contigs[name].total())[:CONTIGS]
    return [name for name in contigs if name in most]


def _span(counts: Statistics, names: Sequence[str]) -> tuple[int, int]:
    """Return what is drawn: from the beginning, or what was called where that is little."""
    contigs, window = counts.density.contigs, counts.density.window
    start = min((min(contigs[name]) for name in names), default=0) * window
    end = max((max(contigs[name]) + 1 for name in names), default=1) * window
    longest = max((counts.lengths.get(name, 0) for name in names), default=0)
    return (start, end) if 4 * (end - start) < longest else (0, max(longest, end))


def _windows(counts: Statistics, contig: str, window: int, unit: float) -> Iterator[dict[str, Any]]:
    joined: Counter[int] = Counter()
    for number, count in counts.density.contigs[contig].items():
        joined[number * counts.density.window // window] += count
    for number in sorted(joined):
        start, end = number * window, (number + 1) * window
        yield {
            "contig": contig, "from": start / unit, "to": end / unit, "count": joined[number],
            "window": f"{contig}:{start + 1:,}-{end:,}",
        }  # fmt: skip


# ---- whose ---------------------------------------------------------------------------------------
def _samples(counts: Statistics) -> Iterator[Plot]:
    if len(counts.samples) < 2:
        return
    names = list(counts.samples)[:COMPARED]
    rows = [
        {"sample": name, "genotype": genotype, "count": getattr(counts.samples[name], genotype)}
        for name in names
        for genotype in ("het", "hom", "hemi")
        if getattr(counts.samples[name], genotype)
    ]
    spec = bars(rows, "sample", "variants", colour="genotype")
    few = (
        f" The first {COMPARED} of {len(counts.samples):,}."
        if len(counts.samples) > COMPARED
        else ""
    )
    note = f"Variants that each sample carries, by genotype.{few}"
    yield _plot("samples", "Samples", note, rows, spec)
    yield _shared(counts, names, few)


def _shared(counts: Statistics, names: Sequence[str], few: str) -> Plot:
    matrix = counts.shared.matrix()
    pairs = [
        {"sample": one, "other": other, "count": matrix[a][b],
         "share": _jaccard(matrix, a, b)}
        for a, one in enumerate(names)
        for b, other in enumerate(names)
    ]  # fmt: skip
    axes = {"type": "nominal", "sort": None, "axis": {"title": None}}
    together = {
        "mark": {"type": "rect", "tooltip": True},
        "height": 20 * len(names),
        "encoding": {
            "x": {"field": "sample", **axes}, "y": {"field": "other", **axes},
            "color": {**heat("shared"), "field": "share", "scale": {"domain": [0, 1]}},
            "tooltip": tooltip(["sample", "other", "count", "share"]),
        },
    }  # fmt: skip
    together["encoding"]["color"]["legend"] = {"format": ".0%"}  # type: ignore[index]
    note = f"Variants of two samples that both carry, of those that at least one carries.{few}"
    return _plot("shared", "In common", note, pairs, together)


def _jaccard(matrix: Sequence[Sequence[int]], a: int, b: int) -> float:
    either = matrix[a][a] + matrix[b][b] - matrix[a][b]
    return matrix[a][b] / either if either else 0.0


_EMPTY = {
    "substitutions": "There are no SNVs.", "indel-lengths": "There are no indels.",
    "quality": "The records have no QUAL.", "depth": "The calls have no depths (DP).",
    "allele-fraction": "The calls have no depths by allele (AD).",
    "quality-fraction": "The calls lack QUAL, or depths by allele (AD).",
    "allele-frequency": "The records have neither genotypes nor frequencies (AF).",
}  # fmt: skip


def _plot(name: str, title: str, note: str, rows: Rows, spec: Spec, wide: bool = False) -> Plot:
    if not any(row["count"] for row in rows):
        return Plot(name, title, _EMPTY.get(name, "There are no variants."), None, wide)
    whole = {"$schema": _SCHEMA, "data": {"values": rows}, "height": 220, **spec}
    return Plot(name, title, note, whole, wide)
