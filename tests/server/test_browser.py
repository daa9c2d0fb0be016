"""The page in headless Chromium: what igv.js loaded, what is on its canvases, whom it asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pysam
import pytest

from bams3.server.auth import Token, User, digest_of
from tests.server.browser_data import GENES, VARIANTS, write_all
from tests.server.chromium import Tab, chromium, missing
from tests.server.running import Running, serving

PLACE = "chr1:12,001-12,400"
REGION = "chr1:12001-12400"

DRAWN = """
const tracks = [...page.loaded].flatMap(([key, made]) => made.map((track) => ({key, track})));
if (!page.browser || tracks.length < arguments[0]) return null;
const seen = [];
for (const {key, track} of tracks) {
  const view = track.trackView.viewports[0];
  const held = view.cachedFeatures;
  if (view.loading || !view.featureCache || !view.canvas) return null;
  const features = track.type === "alignment" ? held.allAlignments() : held;
  const {width, height} = view.canvas;
  const pixels = view.canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const colours = new Set();
  let ink = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    if (pixels[at + 3] > 0 && (pixels[at] < 250 || pixels[at + 1] < 250 || pixels[at + 2] < 250)) {
      ink++;
      colours.add((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
    }
  }
  seen.push({key, type: track.type, ink, colours: colours.size,
    features: features.map((f) => ({
      start: f.start, end: f.end ?? f.start + f.lengthOnRef,
      name: f.readName ?? f.name ?? null, value: f.value ?? null,
    }))});
}
return seen;
"""


FRAME = "const frame = page.browser.referenceFrameList[0];"


@pytest.fixture(scope="module", autouse=True)
def able() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Running]:
    with serving(("data", str(data / "data")), ("ref", str(data / "ref"))) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        tab.requested()
        yield tab


@pytest.fixture
def tab(browser: Tab, server: Running) -> Iterator[Tab]:
    """The browser; afterwards nobody complained, and nobody but the server was asked."""
    browser.complaints()
    browser.requested()
    yield browser
    assert browser.complaints() == []
    assert browser.requested() <= {server.url}


def address(server: Running, *tracks: str, locus: str = PLACE) -> str:
    named = f"&tracks={quote('|'.join(tracks))}" if tracks else ""
    return f"{server.url}/#sample=data/run/s1&locus={locus}{named}"


def reads_in_place(found: list[dict[str, object]]) -> set[tuple[object, object]]:
    """Of reads, which are 100 long here, igv.js knows the end of CRAM records one base too far."""
    return {(r["name"], r["start"]) for r in found if 11_900 < r["start"] < 12_400}  # type: ignore[operator]


def reads_of(data: Path) -> set[tuple[str, int]]:
    text = pysam.view(str(data / "data" / "run" / "s1.bam"), REGION)
    rows = (line.split("\t") for line in text.splitlines())
    return {(row[0], int(row[3]) - 1) for row in rows}


def in_place(found: list[dict[str, object]]) -> list[dict[str, object]]:
    return [f for f in found if f["start"] < 12_400 and f["end"] > 12_000]  # type: ignore[operator]


# ---- what is drawn -------------------------------------------------------------------------------
@pytest.mark.parametrize("file", ["s1.bam", "s1.cram", "s1.bams3"])
def test_alignments_are_drawn(file: str, tab: Tab, server: Running, data: Path) -> None:
    tab.open(address(server, f"data/run/{file}"))
    seen = tab.until(DRAWN, 2 if file.endswith("bams3") else 1)
    reads = next(track for track in seen if track["type"] == "alignment")
    assert reads_in_place(reads["features"]) == reads_of(data)
    assert reads["ink"] > 20_000  # a dozen layers of reads over hundreds of pixels
    assert reads["colours"] >= 4  # grey reads, and mismatches against the reference in colour


def test_the_depth_of_a_dataset_is_that_of_samtools(tab: Tab, server: Running, data: Path) -> None:
    tab.open(address(server, "data/run/s1.bams3"))
    depth = next(track for track in tab.until(DRAWN, 2) if track["type"] == "wig")
    assert depth["ink"] > 5_000
    text = pysam.depth("-a", "-r", REGION, str(data / "data" / "run" / "s1.bam"))
    expected = {int(row.split("\t")[1]) - 1: int(row.split("\t")[2]) for row in text.splitlines()}
    found = {
        position: feature["value"]
        for feature in in_place(depth["features"])
        for position in range(round(feature["start"]), round(feature["end"]))  # type: ignore[call-overload]
        if position in expected
    }
    assert found == expected


def test_far_away_there_is_depth_and_no_read(tab: Tab, server: Running) -> None:
    tab.open(address(server, "data/run/s1.bams3", locus="chr1:1-60,000"))
    tab.until("return page.loaded.size && page.locus === 'chr1:1-60,000'")
    found = tab.until(
        """const [depth, reads] = [...page.loaded.values()].flat();
        const view = depth && depth.trackView.viewports[0];
        return view && view.featureCache && {depth: view.cachedFeatures.length,
          reads: !!reads.trackView.viewports[0].featureCache,
          height: reads.trackView.viewports[0].viewportElement.clientHeight}"""
    )
    assert found["depth"] > 500
    assert not found["reads"]
    assert found["height"] < 100


def test_variants_and_genes_are_drawn(tab: Tab, server: Running) -> None:
    tab.open(address(server, "data/run/s1.calls.vcf.gz", "ref/genes.gff3", "data/run/targets.bed"))
    seen = {track["key"]: track for track in tab.until(DRAWN, 3)}
    variants = seen["data/run/s1.calls.vcf.gz"]
    near = [place for place in VARIANTS if 12_000 <= place < 12_400]
    assert [v["start"] for v in in_place(variants["features"])] == near
    assert variants["ink"] > 20
    genes = seen["ref/genes.gff3"]
    assert [gene["name"] for gene in in_place(genes["features"])] == ["ALPHA1"]
    assert genes["ink"] > 1_000
    assert seen["data/run/targets.bed"]["ink"] > 1_000


def test_all_formats_share_a_view(tab: Tab, server: Running, data: Path, tmp_path: Path) -> None:
    files = ("s1.bams3", "s1.bam", "s1.cram", "s1.calls.vcf.gz")
    tab.open(address(server, *(f"data/run/{file}" for file in files)))
    seen = tab.until(DRAWN, 5)
    alignments = [track for track in seen if track["type"] == "alignment"]
    names = [reads_in_place(track["features"]) for track in alignments]
    assert names == [reads_of(data)] * 3
    tab.screenshot(tmp_path / "all.png")
    assert (tmp_path / "all.png").stat().st_size > 20_000


# ---- how it is used ------------------------------------------------------------------------------
HTSGET = """
const [format, id, type] = arguments;
igv.removeAllBrowsers();
const at = document.body.appendChild(document.createElement("div"));
window.answered = null;
igv.createBrowser(at, {
  loadDefaultGenomes: false, search: false, locus: "chr1:12,001-12,400",
  reference: {id: "local", fastaURL: "/files/ref/genome.fa", indexURL: "/files/ref/genome.fa.fai"},
  tracks: [{type, format, sourceType: "htsget", url: `${location.origin}/${id}`}],
}).then((browser) => { window.answered = browser; });
"""
FOUND = """
const track = window.answered?.trackViews.map((v) => v.track).find((t) => t.type === arguments[0]);
const held = track?.trackView.viewports[0].cachedFeatures;
if (!held) return null;
const found = arguments[0] === "alignment" ? held.allAlignments() : held;
return found.length ? found.map((f) => ({name: f.readName ?? null, start: f.start})) : null;
"""


@pytest.mark.parametrize("file", ["s1.bam", "s1.bams3"])
def test_igv_reads_by_htsget(file: str, tab: Tab, server: Running, data: Path) -> None:
    """As a page of somebody else would: its own ticket, its own blocks."""
    tab.open(address(server, "data/run/s1.bam"))
    tab.until(DRAWN, 1)
    tab.run(HTSGET, "bam", f"reads/data/run/{file}", "alignment")
    assert reads_in_place(tab.until(FOUND, "alignment")) == reads_of(data)


def test_a_sample_is_searched_picked_and_linked(tab: Tab, server: Running) -> None:
    tab.open(f"{server.url}/#locus=chr1:5,000-6,000")
    tab.until("return page.all.samples.length")
    assert tab.run("return location.hash") in ("", "#sample=data/run/s1&locus=chr1:5,000-6,000")
    tab.type("#filter", "nobody")
    assert tab.run("return document.querySelectorAll('#samples li').length") == 0
    tab.type("#filter", "S1")
    assert tab.run("return document.querySelectorAll('#samples li').length") == 1
    tab.click("#samples .pick")
    tab.until("return page.browser && page.loaded.size >= 2")
    tab.type("#locus", "alpha2\n")
    start, end = GENES["ALPHA2"]
    tab.until("return page.locus === arguments[0]", f"chr1:{start - 49:,}-{end + 50:,}")
    link = tab.run("return location.href")
    assert link.endswith(f"#sample=data/run/s1&locus=chr1:{start - 49:,}-{end + 50:,}")
    tab.open(link)
    tab.until("return page.browser && page.loaded.size >= 2")
    assert tab.run("return location.href") == link


def test_genes_are_offered_while_one_types(tab: Tab, server: Running) -> None:
    tab.open(address(server))
    tab.until("return page.browser && page.loaded.size")
    tab.type("#locus", "alph")
    tab.until("return document.querySelectorAll('#hits li').length === 2")
    tab.press("\ue015\ue015\ue007")  # down, down, enter
    start, end = GENES["ALPHA2"]
    tab.until("return page.locus === arguments[0]", f"chr1:{start - 49:,}-{end + 50:,}")
    tab.type("#locus", "BETA\n")  # its annotation says 1 where the reads say chr1
    tab.until("return page.locus.startsWith('chr1:29,601')")
    tab.type("#locus", "nowhere\n")
    tab.until("return document.getElementById('notice').textContent.includes('nowhere')")


def test_keys_move_zoom_and_turn_pages(tab: Tab, server: Running) -> None:
    tab.open(address(server, locus="chr1:10,001-10,400"))
    tab.until("return page.browser && page.loaded.size")
    tab.run("document.activeElement.blur()")
    tab.press("\ue014")  # right
    start, end = tab.until(FRAME + "return frame.start > 10150 && [frame.start, frame.end]")
    assert end - start == pytest.approx(400, abs=20)  # a scroll bar may have come
    tab.press("+")
    tab.until(FRAME + "return frame.end - frame.start < 250")
    tab.press("s")
    tab.until("return !document.getElementById('view-stats').hidden")
    assert tab.run("return location.hash").endswith("tab=stats")
    tab.press("?")
    assert tab.run("return document.getElementById('keys').open")
    tab.press("\ue00c")
    tab.press("/")
    assert tab.run("return document.activeElement.id") == "filter"


def test_statistics_have_their_own_tab(tab: Tab, server: Running, data: Path) -> None:
    tab.open(f"{server.url}/#sample=data/run/s1&tab=stats")
    tab.until("return document.querySelectorAll('#view-stats figure').length >= 5")
    text = tab.run("return document.getElementById('view-stats').innerText")
    count = int(pysam.view("-c", str(data / "data" / "run" / "s1.bam")))
    assert f"{count:,}" in text
    titles = tab.run(
        "return [...document.querySelectorAll('figcaption b')].map((b) => b.textContent)"
    )
    assert {"Depth along contigs", "Reads by contig", "Bytes by column"} <= set(titles)
    bars = tab.run(
        """return [...document.querySelectorAll('figure')].map(
            (figure) => figure.querySelectorAll('rect,polygon').length)"""
    )
    assert all(bars)


def test_a_contig_with_a_colon_is_reached(tab: Tab, server: Running) -> None:
    tab.open(address(server, "data/run/s1.bam"))
    tab.until("return page.browser && page.loaded.size")
    tab.type("#locus", "HLA-A*01:01:100-300\n")
    tab.until("return page.locus === 'HLA-A*01:01:100-300'")


def test_without_a_reference_reads_are_drawn_all_the_same(browser: Tab, data: Path) -> None:
    with serving(("data", str(data / "data"))) as alone:
        tab = browser
        tab.open("about:blank")
        tab.requested()
        tab.open(address(alone, "data/run/s1.bam"))
        reads = tab.until(DRAWN, 1)[0]
        assert reads_in_place(reads["features"]) == reads_of(data)
        assert reads["ink"] > 20_000
        assert "No reference" in tab.run("return document.getElementById('notice').textContent")
        assert tab.requested() <= {alone.url}
        assert all("No sequence for" in text for text in tab.complaints())


# ---- light, dark, narrow -------------------------------------------------------------------------
def test_dark_and_narrow(tab: Tab, server: Running) -> None:
    tab.open(address(server))
    tab.until("return page.browser && page.loaded.size")
    background = "return getComputedStyle(document.body).backgroundColor"
    light = tab.run(background)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.emulate("setEmulatedMedia", features=dark)
    assert tab.run(background) != light
    assert "invert" in tab.run("return getComputedStyle(document.getElementById('igv')).filter")
    label = """const shadow = document.querySelector('#igv > div').shadowRoot;
        const style = getComputedStyle(shadow.querySelector('.igv-track-label'));
        return [style.color, style.backgroundColor]"""
    assert tab.run(label) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]  # inverted with all the rest
    tab.emulate("setEmulatedMedia", features=[])
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    tab.emulate("setDeviceMetricsOverride", **size)
    tab.open(address(server))
    tab.until("return page.browser && page.loaded.size")
    assert tab.run("return document.documentElement.scrollWidth <= 390")
    assert tab.run("return getComputedStyle(document.getElementById('side')).display") == "none"
    tab.emulate("clearDeviceMetricsOverride")


# ---- who may -------------------------------------------------------------------------------------
def limited(regions: tuple[str, ...] | None = None) -> tuple[Token, ...]:
    return (Token(digest_of("open sesame"), User("ada", frozenset({"data", "ref"}), regions)),)


def sign_in(tab: Tab, url: str) -> None:
    tab.open("about:blank")
    tab.complaints()
    tab.requested()
    tab.open(url)
    tab.until("return document.getElementById('sign-in').open")
    tab.type("#token", "open sesame\n")


def test_with_a_token_one_signs_in(browser: Tab, data: Path) -> None:
    roots = ("data", str(data / "data")), ("ref", str(data / "ref"))
    with serving(*roots, tokens=limited()) as closed:
        sign_in(browser, address(closed, "data/run/s1.bam"))
        reads = browser.until(DRAWN, 1)[0]
        assert reads_in_place(reads["features"]) == reads_of(data)
        assert "ada" in browser.run("return document.getElementById('who').textContent")
        complaints = browser.complaints()
        assert all("401" in text for text in complaints), complaints
        assert browser.requested() <= {closed.url}


def test_who_may_see_regions_alone_is_told_where(browser: Tab, data: Path) -> None:
    with serving(("data", str(data / "data")), tokens=limited((REGION,))) as closed:
        sign_in(browser, address(closed, "data/run/s1.bam"))
        browser.until(
            "return document.getElementById('empty').innerText.includes(arguments[0])", REGION
        )


# ---- the policy ----------------------------------------------------------------------------------
def test_the_policy_holds_what_it_promises(browser: Tab, server: Running) -> None:
    """A page that were made to call elsewhere could not."""
    browser.open(f"{server.url}/")
    browser.until("return page.all.samples.length")
    browser.complaints()
    outcome = browser.run(
        """return fetch('http://127.0.0.1:9/').then(() => 'went out', (error) => String(error))"""
    )
    assert "Failed to fetch" in outcome
    assert any("Content Security Policy" in text for text in browser.complaints())
    assert browser.run(
        """const s = document.createElement('script'); s.textContent = 'window.ran = 1';
        document.body.append(s); return window.ran === undefined"""
    )
    browser.complaints()


def test_the_allowed_styles_are_those_of_igv(browser: Tab, server: Running) -> None:
    """The hashes in the policy are those of the style elements that igv.js makes."""
    import base64

    from bams3.server.page import STYLES

    browser.open(address(server, "data/run/s1.bam"))
    browser.until("return page.browser && page.loaded.size")
    texts = browser.run("return [...document.querySelectorAll('style')].map((s) => s.textContent)")
    made = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in texts
    }
    assert made == set(STYLES)
