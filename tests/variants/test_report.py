"""The report in headless Chromium: what is drawn, in both themes, and that nobody is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bams3.errors import UsageError
from bams3.storage import open_store
from bams3.variants.annotate import annotate
from bams3.variants.plots import plots
from bams3.variants.report import locus_link, pictures, report
from bams3.variants.statistics import Statistics, statistics
from tests.cli.run import bams3_
from tests.server.browser_data import write_all
from tests.server.chromium import Tab, chromium, missing
from tests.server.running import serving
from tests.variants.made_vcf import write_vcf
from tests.variants.sample import Kind, make_sample
from tests.variants.test_annotate import write_genes

EVIL = "<script>document.title='taken'</script>"
SERVER = "http://127.0.0.1:8080/view?x=1#sample=run/s1&locus=chr9:1-2&tab=browser"
DRAWN = """
const places = [...document.querySelectorAll("[data-plot]")];
if (!window.report || report.drawn.size < places.length) return null;
return Object.fromEntries(places.map((place) => {
  const marks = place.querySelectorAll(".mark-rect path, .mark-rect rect");
  return [place.dataset.plot, {
    marks: marks.length,
    text: place.querySelector("svg")?.textContent ?? "",
    width: place.querySelector("svg")?.getBoundingClientRect().width ?? 0,
    room: place.getBoundingClientRect().width,
  }];
}));
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    path = tmp_path_factory.mktemp("many") / "calls.vcf.gz"
    return statistics(write_vcf(path, ["child", "mother", EVIL], records=300))


@pytest.fixture(scope="module")
def none(tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    path = tmp_path_factory.mktemp("none") / "calls.vcf.gz"
    return statistics(write_vcf(path, ["child"], records=0))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if reason := missing():
        pytest.skip(reason)
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        tab.requested()
        yield tab


@pytest.fixture
def tab(browser: Tab) -> Iterator[Tab]:
    """The browser; afterwards nobody complained, and nobody was asked."""
    browser.complaints()
    yield browser
    assert browser.complaints() == []
    assert browser.requested() == set()


def shown(tab: Tab, counts: Statistics, folder: Path, server: str | None = None) -> None:
    page = folder / "report.html"
    page.write_text(report(counts, server=server))
    tab.open(page.as_uri())


def theme(tab: Tab, name: str) -> None:
    tab.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])


# ---- in the browser ------------------------------------------------------------------------------
def test_every_plot_is_drawn_and_fits(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    shown(tab, many, tmp_path)
    seen = tab.until(DRAWN)
    assert seen.keys() == {plot.name for plot in plots(many)}
    assert len(seen) == 11
    for name, plot in seen.items():
        assert plot["marks"] > 1 and plot["text"], name
        assert 200 < plot["width"] <= plot["room"] + 1, name
        assert "e+" not in plot["text"], name  # numbers as people write them
    assert seen["substitutions"]["marks"] >= 12
    assert f"{many.variants:,}" in tab.run("return document.querySelector('.numbers').innerText")


def test_a_narrow_screen(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    tab.emulate("setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    try:
        shown(tab, many, tmp_path)
        seen = tab.until(DRAWN)
        assert all(plot["width"] <= plot["room"] + 1 for plot in seen.values())
        assert tab.run("return document.documentElement.scrollWidth") <= 390
    finally:
        tab.emulate("clearDeviceMetricsOverride")


def test_light_and_dark(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    colours = (
        "return [getComputedStyle(document.body).backgroundColor,"
        " document.querySelector('[data-plot=kinds] .mark-rect path').getAttribute('fill')]"
    )
    theme(tab, "light")
    shown(tab, many, tmp_path)
    tab.until(DRAWN)
    assert tab.run(colours) == ["rgb(244, 246, 248)", "#0f766e"]
    theme(tab, "dark")  # the page is open: it follows
    tab.until(f"{colours.replace('return', 'const c =')}; return c[1] === '#2dd4bf'")
    assert tab.run(colours) == ["rgb(15, 20, 25)", "#2dd4bf"]
    theme(tab, "light")


def test_names_from_the_calls_are_text(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    shown(tab, many, tmp_path)
    seen = tab.until(DRAWN)
    assert tab.run("return document.title").startswith("Variants of")
    assert EVIL[:8] in tab.run("return document.getElementById('samples').innerText")
    assert EVIL[:8] in seen["samples"]["text"]


def test_nothing_was_called(tab: Tab, none: Statistics, tmp_path: Path) -> None:
    shown(tab, none, tmp_path)
    text = tab.until("return window.report && document.body.innerText")
    assert "No variants were called" in text and "in 0 records" in text
    assert tab.run(DRAWN) == {}


def test_links_lead_to_the_locus(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    shown(tab, many, tmp_path, SERVER)
    tab.until(DRAWN)
    links = tab.run("return [...document.querySelectorAll('#strongest a')].map((a) => a.href)")
    assert links == [locus_link(SERVER, v.contig, v.pos, len(v.ref)) for v in many.strongest]


def test_a_link_opens_the_page_of_the_server_there(browser: Tab, tmp_path: Path) -> None:
    write_all(tmp_path)
    calls = statistics(tmp_path / "data" / "run" / "s1.calls.vcf.gz")
    with serving(("data", str(tmp_path / "data")), ("ref", str(tmp_path / "ref"))) as server:
        first = calls.strongest[0]
        sample = f"{server.url}/#sample=data/run/s1"
        browser.open(locus_link(sample, first.contig, first.pos, len(first.ref)))
        found = browser.until(
            "const frame = window.page?.browser?.referenceFrameList?.[0];"
            "return frame && page.loaded.size && [frame.chr, frame.start, frame.end];"
        )
        shown = browser.run("return page.samples.map((sample) => sample.key)")
        browser.open("about:blank")
    assert shown == ["data/run/s1"] and found[0] == first.contig
    assert found[1] <= first.pos < found[2] and found[2] - found[1] < 1_000
    assert browser.requested() <= {server.url}


def test_annotated_calls_show_what_they_do(tab: Tab, tmp_path: Path) -> None:
    """From a truth set: without depths and qualities, which the page says."""
    sample = make_sample(tmp_path, Kind({"chr1": 30_000, "HLA-A*01:01": 8_000}, 0.1, 400, 60))
    write_genes(tmp_path / "genes.gff3")
    out = str(tmp_path / "out.vcf.gz")
    annotate(sample.truth, str(tmp_path / "genes.gff3"), sample.reference, out)
    counts = statistics(out)
    shown(tab, counts, tmp_path)
    seen = tab.until(DRAWN)
    assert "missense" in seen["consequences"]["text"] and "depth" not in seen
    assert sum(counts.consequences.values()) > 100
    heads = tab.run("return document.querySelector('#strongest thead').innerText")
    assert "Gene" in heads and "Consequence" in heads
    assert "have no QUAL" in tab.run("return document.getElementById('plots').innerText")


def test_the_table_is_sorted_and_filtered(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    shown(tab, many, tmp_path)
    tab.until(DRAWN)
    column = (
        "return [...document.querySelectorAll('#strongest tbody tr:not([hidden])')]"
        ".map((row) => row.cells[arguments[0]].dataset.value)"
    )
    qualities = [float(text) for text in tab.run(column, 6)]
    assert qualities == sorted(qualities, reverse=True) and len(qualities) == 200
    tab.click("#strongest th:nth-child(8) button")
    depths = [float(text) for text in tab.run(column, 7)]
    assert depths == sorted(depths, reverse=True) != []
    tab.click("#strongest th:nth-child(8) button")
    assert [float(text) for text in tab.run(column, 7)] == depths[::-1]
    tab.type("input[type=search]", "deletion")
    assert set(tab.run(column, 3)) == {"deletion"}


def test_a_plot_can_be_saved(tab: Tab, many: Statistics, tmp_path: Path) -> None:
    shown(tab, many, tmp_path)
    tab.until(DRAWN)
    made = "return report.drawn.get('kinds').view.toImageURL(arguments[0])"
    assert tab.run(made, "svg").startswith("blob:")
    assert tab.run(made, "png").startswith("data:image/png")


# ---- the file ------------------------------------------------------------------------------------
def test_the_page_names_no_host_to_be_asked(many: Statistics) -> None:
    page = report(many)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy and policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy[1] and "http" not in policy[1]
    markup = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(script|img|iframe)[^>]*\ssrc=|<link|@import|url\(", markup)
    assert EVIL not in page


def test_links_keep_the_sample_and_replace_the_locus() -> None:
    found = locus_link(SERVER, "HLA-A*01:01", 99, 3)
    base = "http://127.0.0.1:8080/view?x=1#sample=run/s1&tab=browser&locus="
    assert found == f"{base}HLA-A%2A01:01:40-162"
    assert locus_link("https://x", "c", 5, 1) == "https://x/#locus=c:1-66"


@pytest.mark.parametrize("server", ["javascript:alert(1)", "127.0.0.1:8080", "ftp://x"])
def test_a_server_is_a_web_address(server: str, none: Statistics) -> None:
    with pytest.raises(UsageError, match="no web address"):
        report(none, server=server)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures(kind: str, many: Statistics, none: Statistics) -> None:
    found = dict(pictures(many, kind))  # type: ignore[arg-type]
    assert found.keys() == {f"{plot.name}.{kind}" for plot in plots(many)}
    begin = b"\x89PNG" if kind == "png" else b"<svg"
    assert all(data.startswith(begin) and len(data) > 2_000 for data in found.values())
    dark = dict(pictures(many, kind, dark=True))  # type: ignore[arg-type]
    assert all(dark[name] != found[name] for name in found)
    assert dict(pictures(none, kind)) == {}  # type: ignore[arg-type]


def test_the_data_of_the_plots_are_the_counts(many: Statistics) -> None:
    by_name = {plot.name: plot.spec for plot in plots(many) if plot.spec is not None}

    def total(name: str) -> int:
        return sum(row["count"] for row in by_name[name]["data"]["values"])

    indels = many.kinds["insertion"] + many.kinds["deletion"]
    carried = many.total(lambda sample: sample.variants)
    for name in ("density", "kinds", "quality", "allele-frequency"):
        assert total(name) == many.variants, name
    assert (total("substitutions"), total("indel-lengths")) == (many.kinds["snv"], indels)
    for name in ("depth", "allele-fraction", "quality-fraction", "samples"):
        assert total(name) == carried, name


# ---- the command ---------------------------------------------------------------------------------
def test_the_command(any_store_url: str, tmp_path: Path) -> None:
    calls = write_vcf(tmp_path / "calls.vcf.gz", ["a"], records=50)
    store = open_store(any_store_url)
    out, folder = store.url_of("report.html"), store.url_of("plots")
    done = bams3_("variants", "report", calls, "-o", out, "--svg", folder, "--server", "http://x")
    assert done.code == 0 and "report.html" in done.err
    assert b"http://x/#locus=" in store.get("report.html")
    assert {entry.key for entry in store.list("plots")} >= {"plots/kinds.svg", "plots/density.svg"}


def test_calls_are_not_taken_for_a_page(tmp_path: Path) -> None:
    calls = write_vcf(tmp_path / "calls.vcf.gz", ["a"], records=3)
    before = calls.read_bytes()
    assert bams3_("variants", "report", calls, "-o", calls).code == 2
    assert bams3_("variants", "report", calls, "-o", calls, "--server", "x").code == 2
    assert calls.read_bytes() == before


def test_a_report_of_a_store(tmp_path: Path) -> None:
    calls = write_vcf(tmp_path / "calls.vcf.gz", ["a", "b"], records=60)
    url = f"sqlite:///{tmp_path}/calls.db"
    assert bams3_("variants", "load", calls, "--store", url).code == 0
    page = tmp_path / "report.html"
    assert bams3_("variants", "report", "--store", url, "-o", page).code == 0
    done = bams3_("variants", "stats", "--store", url, "--json")
    assert f'<dd class="value">{json.loads(done.out)["variants"]:,}</dd>' in page.read_text()
    assert bams3_("variants", "report", "--store", f"sqlite:///{tmp_path}/no.db").code == 1


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['vl_convert'] = None; import bams3.cli; bams3.cli.main()"
    calls = write_vcf(tmp_path / "calls.vcf.gz", ["a"], records=3)
    command = [sys.executable, "-c", code, "variants", "report", str(calls), "-o", "x.html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "bams3[report]" in done.stderr
    assert not (tmp_path / "x.html").exists()
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert "report" in project["optional-dependencies"]
