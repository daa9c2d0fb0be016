"""Plots of statistics as Vega-Lite specifications: the page draws them, and so do PNG and SVG.

A specification says nothing of width or colours of the ground: who draws it adds `theme`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bams3.variants.histogram import Histogram
from bams3.variants.statistics import COMPARED, SHARES, SUBSTITUTIONS, TRANSITIONS, Statistics

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

BARS = 50
"""Bars of a histogram, about."""
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
    spec = _bars(rows, "kind", "variants", horizontal=True)
    return _plot("kinds", "Kinds", "Alternative alleles by what they are.", rows, spec)


def _substitutions(counts: Statistics) -> Plot:
    rows = [
        {
            "change": name.replace(">", "→"), "count": counts.substitutions[name],
            "class": "transition" if name in TRANSITIONS else "transversion",
        }
        for name in SUBSTITUTIONS
    ]  # fmt: skip
    spec = _bars(rows, "change", "SNVs", colour="class", horizontal=True)
    spec["height"] = 17 * len(rows)
    note = "SNVs by reference and alternative base."
    shown = rows if counts.kinds["snv"] else []
    return _plot("substitutions", "Substitutions", note, shown, spec)


def _indel_lengths(counts: Statistics) -> Plot:
    edge = _edge(counts.indel_lengths)
    bars: Counter[int] = Counter()
    for length, count in counts.indel_lengths.items():
        bars[max(-edge, min(edge, length))] += count
    rows = [
        {
            "from": n - 0.5, "to": n + 0.5, "length": n, "count": bars[n],
            "kind": "insertion" if n > 0 else "deletion",
        }
        for n in sorted(bars)
    ]  # fmt: skip
    x = {
        "field": "from", "type": "quantitative", "bin": {"binned": True},
        "scale": {"domain": [-edge - 1, edge + 1], "nice": False},
        "axis": _axis("bases deleted (-) or inserted (+)"),
    }  # fmt: skip
    spec = _histogram(rows, x, "variants", "kind", ["length", "kind", "count"])
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
        spec = _bars(rows, "consequence", "variants", horizontal=True)
        note = "What variants do to genes, as annotated; the first one of each."
        yield _plot("consequences", "Consequences", note, rows, spec)


# ---- how well ------------------------------------------------------------------------------------
def _quality(counts: Statistics) -> Plot:
    rows, note = _binned(counts.quality, "kind")
    spec = _histogram(rows, _binned_x("QUAL (Phred)"), "variants", "kind", _TOLD)
    return _plot("quality", "Quality", f"QUAL of the records.{note}", rows, spec)


def _depth(counts: Statistics) -> Plot:
    rows, note = _binned({"": counts.depth}, "kind")
    spec = _histogram(rows, _binned_x("reads (DP)"), "calls", None, _TOLD)
    text = f"Reads of samples over the variants that they carry.{note}"
    return _plot("depth", "Depth", text, rows, spec)


def _fractions(counts: Statistics) -> Plot:
    rows = [
        {"from": n / SHARES, "to": (n + 1) / SHARES, "genotype": name, "count": bins[n]}
        for name, bins in counts.fractions.items()
        for n in sorted(bins)
    ]
    x = _share_x("reads that show the variant")
    spec = _histogram(rows, x, "calls", "genotype", ["from", "to", "genotype", "count"])
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
                  "axis": _axis("QUAL (Phred; 500 and more together)")},
            "x2": {"field": "quality_to"},
            "y": {"field": "from", "type": "quantitative", "bin": {"binned": True},
                  "scale": {"domain": [0, 1]}, "axis": _axis("allele fraction", ".0%")},
            "y2": {"field": "to"},
            "color": {**_heat("calls"), "scale": {"type": "log"}},
            "tooltip": _tooltip(["quality", "from", "count"]),
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
        x = _share_x("frequency among the samples")
        spec = _histogram(rows, x, "variants", None, ["from", "to", "count"])
        note = "Copies of the allele among all that were called (AC of AN)."
        yield _plot("allele-frequency", "Allele frequency", note, rows, spec)


# ---- where ---------------------------------------------------------------------------------------
def _density(counts: Statistics) -> Plot:
    names = _drawn_contigs(counts)
    start, end = _span(counts, names)
    window = counts.density.window * _nice((end - start) / counts.density.window / WINDOWS)
    unit, name = (1e6, "Mb") if end - start >= 2e6 else (1e3, "kb")
    rows = [row for contig in names for row in _windows(counts, contig, window, unit)]
    one = f" on {names[0]}" if len(names) == 1 else ""
    x = {
        "field": "from", "type": "quantitative", "bin": {"binned": True},
        "scale": {"domain": [start / unit, end / unit], "nice": False},
        "axis": _axis(f"position{one} ({name})"),
    }  # fmt: skip
    if one:
        spec = _histogram(rows, x, "variants", None, ["window", "count"])
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
            "color": _heat("variants"), "tooltip": _tooltip(["window", "count"]),
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
    ]
    spec = _bars(rows, "sample", "variants", colour="genotype", horizontal=True)
    few = (
        f" The first {COMPARED} of {len(counts.samples):,}."
        if len(counts.samples) > COMPARED
        else ""
    )
    note = f"Variants that each sample carries, by genotype.{few}"
    yield _plot("samples", "Samples", note, rows, spec)
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
            "color": {**_heat("shared"), "field": "share", "scale": {"domain": [0, 1]}},
            "tooltip": _tooltip(["sample", "other", "count", "share"]),
        },
    }  # fmt: skip
    together["encoding"]["color"]["legend"] = {"format": ".0%"}  # type: ignore[index]
    note = f"Variants of two samples that both carry, of those that at least one carries.{few}"
    yield _plot("shared", "In common", note, pairs, together)


def _jaccard(matrix: Sequence[Sequence[int]], a: int, b: int) -> float:
    either = matrix[a][a] + matrix[b][b] - matrix[a][b]
    return matrix[a][b] / either if either else 0.0


# ---- parts of specifications ---------------------------------------------------------------------
_TOLD = ("from", "to", "kind", "count")
_FORMATS = {"count": ",d", "share": ".1%"}
_NUMBER = ",.6~f"


def _plot(name: str, title: str, note: str, rows: Rows, spec: Spec, wide: bool = False) -> Plot:
    if not any(row["count"] for row in rows):
        return Plot(name, title, "There is nothing to be drawn: no such values.", None, wide)
    whole = {"$schema": _SCHEMA, "data": {"values": rows}, "height": 220, **spec}
    return Plot(name, title, note, whole, wide)


def _bars(
    rows: Rows, field: str, title: str, colour: str | None = None, horizontal: bool = False
) -> Spec:
    """Return bars of named things, in the order of the rows."""
    names = {"field": field, "type": "nominal", "sort": None,
             "axis": {"title": None, "labelAngle": 0, "labelLimit": 180}}  # fmt: skip
    counts = {"field": "count", "type": "quantitative", "axis": _counts(title)}
    fields = [field, *([colour] if colour else []), "count"]
    spec: Spec = {
        "mark": {"type": "bar", "tooltip": True, "cornerRadiusEnd": 2},
        "encoding": {
            **({"y": names, "x": counts} if horizontal else {"x": names, "y": counts}),
            "tooltip": _tooltip(fields),
        },
    }
    if horizontal:
        spec["height"] = 26 * len({row[field] for row in rows})
    if colour:
        spec["encoding"]["color"] = _colour(colour, rows)
    return spec


def _histogram(rows: Rows, x: Spec, title: str, colour: str | None, told: Sequence[str]) -> Spec:
    """Return bars between the fields `from` and `to`, one on the other where there are colours."""
    known = [name for name in told if rows and name in rows[0]]
    spec: Spec = {
        "mark": {"type": "bar", "tooltip": True, "binSpacing": 1},
        "encoding": {
            "x": x, "x2": {"field": "to"},
            "y": {"field": "count", "type": "quantitative", "axis": _counts(title), "stack": True},
            "tooltip": _tooltip(known),
        },
    }  # fmt: skip
    if colour:
        spec["encoding"]["color"] = _colour(colour, rows)
    return spec


def _binned(histograms: Mapping[str, Histogram], field: str) -> tuple[Rows, str]:
    """Return bars over equal bins, and a note where the last one is open."""
    filled = {name: values for name, values in histograms.items() if values.count}
    if not filled:
        return [], ""
    width = max(values.width for values in filled.values())
    edge = max(values.quantile(0.995) or 0 for values in filled.values()) + width
    step = width * _nice(edge / width / BARS)
    last = math.ceil(edge / step) - 1
    rows = []
    for name, values in filled.items():
        bars: Counter[int] = Counter()
        for number, count in values.counts.items():
            bars[min(last, number * values.width // step)] += count
        label = {field: name} if name else {}
        rows += [
            {"from": n * step, "to": (n + 1) * step, **label, "count": bars[n]}
            for n in sorted(bars)
        ]
    greatest = max(values.greatest or 0 for values in filled.values())
    over = greatest >= (last + 1) * step
    return rows, f" The last bar holds all above, up to {greatest:,.0f}." if over else ""


def _nice(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, ... that is not below."""
    power = 1
    while True:
        for number in (power, 2 * power, 5 * power):
            if number >= least:
                return number
        power *= 10


def _binned_x(title: str) -> Spec:
    return {"field": "from", "type": "quantitative", "bin": {"binned": True}, "axis": _axis(title)}


def _share_x(title: str) -> Spec:
    return {
        "field": "from", "type": "quantitative", "bin": {"binned": True},
        "scale": {"domain": [0, 1]}, "axis": _axis(title, ".0%"),
    }  # fmt: skip


def _axis(title: str, numbers: str = _NUMBER) -> Spec:
    return {"title": title, "format": numbers}


def _counts(title: str) -> Spec:
    return {**_axis(title), "tickMinStep": 1, "tickCount": 5}


def _colour(field: str, rows: Rows) -> Spec:
    order = list(dict.fromkeys(row[field] for row in rows))
    legend = {"title": None, "orient": "top"}
    return {"field": field, "type": "nominal", "scale": {"domain": order}, "legend": legend}


def _heat(title: str) -> Spec:
    return {"field": "count", "type": "quantitative", "title": title, "legend": {"format": ",d"}}


def _tooltip(fields: Sequence[str]) -> Rows:
    quantities = {"count", "share", "from", "to", "quality", "length"}
    return [
        {"field": name, "type": "quantitative" if name in quantities else "nominal",
         **({"format": _FORMATS[name]} if name in _FORMATS else {})}
        for name in fields
    ]  # fmt: skip


# ---- colours -------------------------------------------------------------------------------------
def theme(dark: bool, font: str = "system-ui, sans-serif") -> Spec:
    """Return the Vega configuration for a light or a dark ground."""
    text, soft, line = (
        ("#e4eaf0", "#93a1af", "#2a343e") if dark else ("#17212b", "#5a6875", "#dde3e9")
    )
    colours = (
        ["#2dd4bf", "#f0a35e", "#9aa8ff", "#e879a6"] if dark
        else ["#0f766e", "#d97706", "#4f5bd5", "#be185d"]
    )  # fmt: skip
    heat = ["#17303a", "#2dd4bf", "#f7fee7"] if dark else ["#d9f0ed", "#0f766e", "#072b28"]
    labels = {
        "labelColor": soft, "titleColor": soft, "labelFontSize": 11, "titleFontSize": 11.5,
        "titleFontWeight": 500,
    }  # fmt: skip
    return {
        "background": None,
        "font": font,
        "view": {"stroke": None},
        "title": {"color": text},
        "axis": {**labels, "gridColor": line, "domainColor": line, "tickColor": line},
        "axisBand": {"grid": False},
        "legend": {**labels, "symbolType": "square"},
        "bar": {"color": colours[0]},
        "range": {"category": colours, "heatmap": heat, "ramp": heat},
    }
