"""Parts of Vega-Lite specifications: bars, histograms, axes, and colours for light and dark."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bams3.variants.histogram import Histogram

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

BARS = 50
"""Bars of a histogram, about."""
TOLD = ("from", "to", "kind", "count")
_FORMATS = {"count": ",d", "share": ".1%"}
_NUMBER = ",.6~f"


def bars(rows: Rows, field: str, title: str, colour: str | None = None) -> Spec:
    """Return horizontal bars of named things, in the order of the rows."""
    spec: Spec = {
        "mark": {"type": "bar", "tooltip": True, "cornerRadiusEnd": 2},
        "height": 26 * len({row[field] for row in rows}),
        "encoding": {
            "x": {"field": "count", "type": "quantitative", "axis": counts_axis(title)},
            "y": {
                "field": field, "type": "nominal", "sort": None,
                "axis": {"title": None, "labelLimit": 180},
            },
            "tooltip": tooltip([field, *([colour] if colour else []), "count"]),
        },
    }  # fmt: skip
    if colour:
        spec["encoding"]["color"] = coloured(colour, rows)
    return spec


def histogram(rows: Rows, x: Spec, title: str, colour: str | None, told: Sequence[str]) -> Spec:
    """Return bars between the fields `from` and `to`, one on the other where there are colours."""
    known = [name for name in told if rows and name in rows[0]]
    spec: Spec = {
        "mark": {"type": "bar", "tooltip": True, "binSpacing": 1},
        "encoding": {
            "x": x, "x2": {"field": "to"},
            "y": {
                "field": "count", "type": "quantitative", "axis": counts_axis(title),
                "stack": True,
            },
            "tooltip": tooltip(known),
        },
    }  # fmt: skip
    if colour:
        spec["encoding"]["color"] = coloured(colour, rows)
    return spec


def binned(histograms: Mapping[str, Histogram], field: str) -> tuple[Rows, str]:
    """Return bars over equal bins, and a note where the last one is open."""
    filled = {name: values for name, values in histograms.items() if values.count}
    if not filled:
        return [], ""
    width = max(values.width for values in filled.values())
    edge = max(values.quantile(0.995) or 0 for values in filled.values()) + width
    step = width * nice(edge / width / BARS)
    last = math.ceil(edge / step) - 1
    rows = []
    for name, values in filled.items():
        joined: Counter[int] = Counter()
        for number, count in values.counts.items():
            joined[min(last, number * values.width // step)] += count
        label = {field: name} if name else {}
        rows += [
            {"from": n * step, "to": (n + 1) * step, **label, "count": joined[n]}
            for n in sorted(joined)
        ]
    greatest = max(values.greatest or 0 for values in filled.values())
    over = greatest >= (last + 1) * step
    return rows, f" The last bar holds all above, up to {greatest:,.0f}." if over else ""


def nice(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, ... that is not below."""
    power = 1
    while True:
        for number in (power, 2 * power, 5 * power):
            if number >= least:
                return number
        power *= 10


def binned_x(title: str) -> Spec:
    """Return the axis of values in bins."""
    return {"field": "from", "type": "quantitative", "bin": {"binned": True}, "axis": axis(title)}


def share_x(title: str) -> Spec:
    """Return the axis of shares, from 0 to 1."""
    return {
        "field": "from", "type": "quantitative", "bin": {"binned": True},
        "scale": {"domain": [0, 1]}, "axis": axis(title, ".0%"),
    }  # fmt: skip


def axis(title: str, numbers: str = _NUMBER) -> Spec:
    """Return an axis with a title, and how its numbers are written."""
    return {"title": title, "format": numbers}


def counts_axis(title: str) -> Spec:
    """Return the axis of counts."""
    return {**axis(title), "tickMinStep": 1, "tickCount": 5}


def coloured(field: str, rows: Rows) -> Spec:
    """Return colours by a field, in the order of the rows."""
    order = list(dict.fromkeys(row[field] for row in rows))
    legend = {"title": None, "orient": "top"}
    return {"field": field, "type": "nominal", "scale": {"domain": order}, "legend": legend}


def heat(title: str) -> Spec:
    """Return colours by count."""
    return {"field": "count", "type": "quantitative", "title": title, "legend": {"format": ",d"}}


def tooltip(fields: Sequence[str]) -> Rows:
    """Return what is told of a mark under the pointer."""
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
