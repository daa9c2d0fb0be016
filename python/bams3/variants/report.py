"""The report of calls: one HTML file with everything in it, and its plots as PNG or SVG.

The page asks no host for anything, and its policy lets it ask none: scripts are named by their
digests, and what comes from the calls is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import bams3
from bams3.config import StorageOptions
from bams3.errors import UsageError
from bams3.variants.charts import theme
from bams3.variants.objects import Object
from bams3.variants.plots import Plot, plots
from bams3.variants.statistics import Statistics, ratio
from bams3.variants.vcf import kind_of

if TYPE_CHECKING:
    from types import ModuleType

    from bams3.variants.observed import Variant

PAGE = Path(__file__).with_name("page")
AROUND = 60
"""Bases shown left and right of a variant in the browser."""
_WIDTHS = {False: 520, True: 1080}
_CARRIERS = 2


# ---- pictures ------------------------------------------------------------------------------------
def pictures(
    counts: Statistics, kind: Literal["png", "svg"], *, dark: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield the plots that show something as names of files and their bytes.

    Args:
        counts: What is drawn.
        kind: Form of the files.
        dark: Colours for a dark ground.

    Raises:
        UsageError: The extra `report` is not installed.
    """
    for plot in plots(counts):
        if plot.spec is not None:
            yield f"{plot.name}.{kind}", drawn(plot, kind, dark=dark)


def drawn(plot: Plot, kind: Literal["png", "svg"], *, dark: bool = False) -> bytes:
    """Return a plot that shows something as PNG (twice the size, for sharp screens) or SVG."""
    spec = {
        **(plot.spec or {}), "width": _WIDTHS[plot.wide],
        "title": {"text": plot.title, "anchor": "start", "offset": 12},
    }  # fmt: skip
    config = {**theme(dark, "sans-serif"), "background": "#171e25" if dark else "#ffffff"}
    config["padding"] = 14
    converter = _converter()
    if kind == "png":
        return bytes(converter.vegalite_to_png(spec, scale=2, config=config))
    return str(converter.vegalite_to_svg(spec, config=config)).encode()


def _converter() -> ModuleType:
    try:
        import vl_convert
    except ImportError:
        hint = "pip install 'bams3[report]'"
        raise UsageError("drawing needs vl-convert-python", hint) from None
    return vl_convert


def check_server(server: str | None) -> None:
    """Check that links can lead to an address. Raises UsageError: it is no web address."""
    if server is not None and urlsplit(server).scheme not in ("http", "https"):
        raise UsageError(f"{server}: is no web address", "give that of bams3 serve: http://...")


def check_request(output: str, server: str | None) -> None:
    """Check what was asked before calls are counted, which may take minutes.

    Raises:
        UsageError: The output is no name for a page, the server no web address, or the extra
            `report` is not installed.
    """
    if not output.endswith((".html", ".htm")):
        raise UsageError(f"{output}: is no name for a page", "end it with .html")
    check_server(server)
    _converter()


# ---- the page ------------------------------------------------------------------------------------
def report(counts: Statistics, *, server: str | None = None) -> str:
    """Return the report as HTML.

    Args:
        counts: What it shows.
        server: Address of a page of `bams3 serve`, as the browser shows it; the variants of the
            table are then links to their loci there.

    Raises:
        UsageError: The address is no web address; or the extra `report` is not installed.
    """
    check_server(server)
    all_plots = plots(counts)
    specs = {plot.name: plot.spec for plot in all_plots if plot.spec is not None}
    themes = {"light": theme(dark=False), "dark": theme(dark=True)}
    vega, script = _vega(), (PAGE / "report.js").read_text()
    data = json.dumps({"plots": specs, "themes": themes}).replace("<", "\\u003c")
    return Template((PAGE / "report.html").read_text()).substitute(
        policy=_policy(vega, script),
        name=escape(counts.source.rsplit("/", 1)[-1]),
        source=escape(counts.source),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, bams3 {bams3.__version__}",
        style=(PAGE / "report.css").read_text(),
        numbers=_numbers(counts),
        figures="\n".join(map(_figure, all_plots)) if counts.variants else "",
        samples=_samples(counts),
        strongest=_strongest(counts, server),
        data=data,
        vega=vega,
        script=script,
    )


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    return str(_converter().javascript_bundle()).replace("</script", "<\\/script")


def _policy(*scripts: str) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts)
    named = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {named}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _figure(plot: Plot) -> str:
    body = f'<div class="plot" data-plot="{plot.name}"></div>'
    note = f'<p class="note">{escape(plot.note)}</p>'
    if plot.spec is None:
        body, note = f'<p class="empty">{escape(plot.note)}</p>', ""
    kind = ' class="wide"' if plot.wide else ""
    caption = f"<figcaption><h2>{plot.title}</h2>{note}</figcaption>"
    return f"<figure{kind}>{caption}{body}</figure>"


# ---- numbers -------------------------------------------------------------------------------------
def _numbers(counts: Statistics) -> str:
    indels = counts.kinds["insertion"] + counts.kinds["deletion"]
    het, hom = counts.total(lambda s: s.het), counts.total(lambda s: s.hom)
    passed = counts.filters["PASS"]
    filtered = counts.variants - counts.filters["."]
    rows = [
        ("Variants", f"{counts.variants:,}", f"in {counts.records:,} records"),
        ("SNVs", f"{counts.kinds['snv']:,}", share(counts.kinds["snv"], counts.variants)),
        ("Indels", f"{indels:,}", share(indels, counts.variants)),
        ("Ti/Tv", decimal(counts.ti_tv), f"{counts.transitions:,} : {counts.transversions:,}"),
        ("Het/hom", decimal(ratio(het, hom)), f"{het:,} : {hom:,}"),
        ("Mean depth", decimal(counts.depth.mean, 1), "reads over the calls"),
        (
            "Passed",
            share(passed, filtered),
            f"{passed:,} of {filtered:,} with a filter" if filtered else "no filter was applied",
        ),
        (
            "Samples",
            f"{len(counts.samples):,}",
            f"contigs with variants: {len(counts.density.contigs):,}",
        ),
    ]
    tiles = (
        f'<div><dt>{name}</dt><dd class="value">{value}</dd><dd class="note">{note}</dd></div>'
        for name, value, note in rows
    )
    return f'<dl class="numbers">{"".join(tiles)}</dl>'


def decimal(value: float | None, digits: int = 2) -> str:
    """Return a number; a dash where there is none."""
    return "\u2013" if value is None else f"{value:,.{digits}f}"


def share(part: int, whole: int) -> str:
    """Return a share of a whole; a dash where that is nothing."""
    return f"{part / whole:.1%}" if whole else "\u2013"


# ---- tables --------------------------------------------------------------------------------------
Cell = tuple[str, str]
"""What a cell shows, as HTML, and what it is sorted by."""


def _table(name: str, heads: Sequence[str], numbers: int, rows: Iterator[Sequence[Cell]]) -> str:
    """Return a table; the last so many columns are numbers, to the right."""
    first = len(heads) - numbers
    kinds = ["" if n < first else ' class="number"' for n in range(len(heads))]
    head = "".join(
        f'<th scope="col"{kind}><button type="button">{text}</button></th>'
        for text, kind in zip(heads, kinds, strict=True)
    )
    body = "".join("<tr>" + "".join(map(_cell, row, kinds)) + "</tr>" for row in rows)
    table = f"<table id={name}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _cell(cell: Cell, kind: str) -> str:
    shown, value = cell
    return f'<td{kind} data-value="{escape(value)}">{shown}</td>'


def _text(text: str | None) -> Cell:
    return escape(text or ""), text or ""


def _number(value: float | None, digits: int = 0) -> Cell:
    return decimal(value, digits), "-1" if value is None else str(value)


def _samples(counts: Statistics) -> str:
    if not counts.samples:
        return ""
    heads = ("Sample", "Variants", "SNVs", "Indels", "Het", "Hom", "Hemi", "Het/hom", "Ti/Tv",
             "Mean depth", "In no other")  # fmt: skip
    rows = (
        [
            _text(name), _number(row.variants), _number(row.kinds["snv"]),
            _number(row.kinds["insertion"] + row.kinds["deletion"]), _number(row.het),
            _number(row.hom), _number(row.hemi), _number(row.het_hom, 2), _number(row.ti_tv, 2),
            _number(row.depth.mean, 1), _number(row.alone),
        ]
        for name, row in counts.samples.items()
    )  # fmt: skip
    table = _table("samples", heads, len(heads) - 1, rows)
    return f'<section class="card"><div class="head"><h2>By sample</h2></div>{table}</section>'


def _strongest(counts: Statistics, server: str | None) -> str:
    found = counts.strongest
    head = "<h2>Strongest calls</h2>"
    if not found:
        empty = '<p class="empty">No variants were called.</p>'
        return f'<section class="card"><div class="head">{head}</div>{empty}</section>'
    few = f"The {len(found):,} of the highest QUAL" if counts.variants > len(found) else "All"
    how = ", linked to the browser" if server else ""
    head = f'<div>{head}<p class="note">{few}{how}.</p></div>'
    head += '<input type="search" placeholder="Filter" aria-label="Filter" data-table="strongest">'
    annotated = any(variant.gene or variant.consequence for variant in found)
    heads = ["Place", "Ref", "Alt", "Kind", "Samples", "Filter"]
    heads += ["Gene", "Consequence"] if annotated else []
    numbers = ["QUAL", "Depth", "Fraction"]
    names = [*counts.samples]
    rows = (_row(variant, names, server, annotated) for variant in found)
    table = _table("strongest", [*heads, *numbers], len(numbers), rows)
    return f'<section class="card"><div class="head">{head}</div>{table}</section>'


def _row(variant: Variant, names: Sequence[str], server: str | None, annotated: bool) -> list[Cell]:
    carriers = variant.carriers.rows()
    depths = [depth for _, _, depth, _ in carriers if depth is not None]
    fractions = [fraction for *_, fraction in carriers if fraction is not None]
    shown = [f"{names[number]} {zygosity}" for number, zygosity, *_ in carriers[:_CARRIERS]]
    others = len(carriers) - len(shown)
    samples = ", ".join(shown) + (f" and {others:,} more" if others else "")
    more = [_text(variant.gene), _text(variant.consequence)] if annotated else []
    return [
        _place(variant, server), _text(_short(variant.ref)), _text(_short(variant.alt)),
        _text(kind_of(variant.ref, variant.alt)), _text(samples),
        _text(variant.filter), *more, _number(variant.qual, 1),
        _number(sum(depths) / len(depths) if depths else None),
        _number(sum(fractions) / len(fractions) if fractions else None, 2),
    ]  # fmt: skip


def _place(variant: Variant, server: str | None) -> Cell:
    text = escape(f"{variant.contig}:{variant.pos + 1:,}")
    if server:
        link = escape(locus_link(server, variant.contig, variant.pos, len(variant.ref)))
        text = f'<a href="{link}" target="_blank" rel="noopener noreferrer">{text}</a>'
    return text, f"{variant.contig}:{variant.pos:010d}"


def _short(allele: str, most: int = 16) -> str:
    return allele if len(allele) <= most else f"{allele[: most - 6]}… {len(allele):,} b"


# ---- links ---------------------------------------------------------------------------------------
def locus_link(server: str, contig: str, pos: int, bases: int) -> str:
    """Return the address of a place in the page of `bams3 serve`.

    Args:
        server: The page's address; a fragment such as `#sample=run/s1` is kept but for its locus.
        contig: Name of the contig.
        pos: 0-based position.
        bases: How many there are.
    """
    parts = urlsplit(server)
    shown = [(name, value) for name, value in parse_qsl(parts.fragment) if name != "locus"]
    locus = f"{contig}:{max(pos - AROUND, 0) + 1}-{pos + bases + AROUND}"
    fragment = urlencode([*shown, ("locus", locus)], safe="/:,")
    return urlunsplit(parts._replace(path=parts.path or "/", fragment=fragment))


def write(url: str, data: bytes, storage: StorageOptions | None = None) -> None:
    """Write a file on disk or an object, replacing what is there, all or nothing."""
    file = Object.at(url, storage)
    with closing(file.store):
        file.store.put(file.key, data)
