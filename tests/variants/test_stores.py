"""One suite over all stores: SQLite, DuckDB, DynamoDB on dynalite and on moto.

What is there to be found is what bcftools finds in the same file, or a plain filter over all calls.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bams3.errors import InputError, NotFoundError, RegionError, UsageError
from bams3.regions import Region
from bams3.variants.load import load
from bams3.variants.query import KINDS, Page, select
from bams3.variants.store import Header, Selection, Store, open_store
from bams3.variants.store.pages import page_after, place_of
from bams3.variants.vcf import Call, kind_of
from tests.variants.calls import CONTIGS, LONG, SAMPLES, Key, found, key_of, write_vcf
from tests.variants.conftest import EVERY_STORE, STORES, new_store

pytestmark = pytest.mark.usefixtures("tools")


@pytest.fixture(scope="module")
def vcf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vcf(tmp_path_factory.mktemp("calls") / "x.vcf.gz")


@pytest.fixture(scope="module", params=STORES)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, vcf: Path
) -> Iterator[Store]:
    """A store with the calls of the file, only to be read."""
    with pytest.MonkeyPatch.context() as environment:
        opened = new_store(request, tmp_path_factory.mktemp("store"), environment)
        load(vcf, opened.url)
        opened.header()  # connects, as long as the environment leads there
    yield opened
    opened.close()


@pytest.fixture
def filled(store: Store, vcf: Path) -> Store:
    """A store with the calls of the file, to be changed."""
    load(vcf, store.url)
    return store


def keys(store: Store, **conditions: object) -> list[Key]:
    chosen = select(store.header(), **conditions)  # type: ignore[arg-type]
    return [key_of(call) for call in store.query(chosen)]


# ---- beside bcftools -----------------------------------------------------------------------------
@pytest.mark.parametrize("loaded", EVERY_STORE, indirect=True, scope="module")
def test_everything(loaded: Store, vcf: Path) -> None:
    expected = found(vcf)
    assert len(expected) > 500 and {key[1] for key in expected} == {*CONTIGS} - {"empty"}
    assert sorted(keys(loaded)) == sorted(expected)


def test_order_is_that_of_contigs_positions_alleles_and_samples(loaded: Store) -> None:
    order = [*CONTIGS]
    calls = [*loaded.query(Selection())]
    assert calls == sorted(calls, key=lambda c: (order.index(c.contig), *place_of(c)[1:]))


@pytest.mark.parametrize(
    ("contig", "start", "end"),
    [
        ("chr1", 100_000, 100_001),  # deletions begin before it, in another bin
        ("chr1", 101_000, 101_500), ("chr1", 202_000, 202_100), ("chr1", 203_500, 290_000),
        ("chr1", 400_000, 400_001), ("chr1", 459_999, 460_000), ("chr1", 460_000, 470_000),
        ("chr1", 0, 600_000), ("chr1", 149_999, 150_000), ("b#7:1", 0, 100_000),
        ("HLA-A*01:01", 3_000, 9_000), ("empty", 0, 1_000),
    ],
)  # fmt: skip
def test_regions(
    contig: str, start: int, end: int, loaded: Store, vcf: Path, tmp_path: Path
) -> None:
    bed = tmp_path / "r.bed"
    bed.write_text(f"{contig}\t{start}\t{end}\n")
    expected = found(vcf, "-T", str(bed), "--targets-overlap", "1")
    got = [key_of(call) for call in loaded.query(Selection(Region(contig, start, end)))]
    assert sorted(got) == sorted(expected)
    assert bool(expected) == (contig != "empty")


@pytest.mark.parametrize("quality", ["0", "30", "45.5", "100", "1234.5", "1235"])
def test_qualities(quality: str, loaded: Store, vcf: Path) -> None:
    expected = found(vcf, "-i", f"QUAL>={quality}")
    assert sorted(keys(loaded, min_qual=float(quality))) == sorted(expected)


@pytest.mark.parametrize("names", [("child",), ("a#b:c", "mother")])
def test_samples(names: tuple[str, ...], loaded: Store, vcf: Path) -> None:
    expected = found(vcf, "-s", ",".join(names))
    assert sorted(keys(loaded, samples=names)) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "expression"), [("het", 'GT="het"'), ("hom", 'GT="AA"'), ("hemi", 'GT="A"')]
)
def test_zygosities(text: str, expression: str, loaded: Store, vcf: Path) -> None:
    expected = found(vcf, per_sample=expression)
    assert sorted(keys(loaded, genotypes=[text])) == sorted(expected) != []


@pytest.mark.parametrize(("text", "plain"), [("1|0", "0/1"), ("1/1", "1/1"), ("1/.", "./1")])
def test_genotypes(text: str, plain: str, loaded: Store, vcf: Path) -> None:
    expected = [key for key in found(vcf) if key[5] == plain]
    assert sorted(keys(loaded, genotypes=[text])) == sorted(expected) != []


@pytest.mark.parametrize(
    ("name", "expression"),
    [("snv", 'TYPE="snp"'), ("indel", 'TYPE="indel"'), ("mnv", 'TYPE="mnp"'),
     ("symbolic", 'ALT~"<"')],
)  # fmt: skip
def test_types(name: str, expression: str, loaded: Store, vcf: Path) -> None:
    expected = found(vcf, "-i", expression)
    assert sorted(keys(loaded, types=[name])) == sorted(expected) != []


@pytest.mark.parametrize("loaded", EVERY_STORE, indirect=True, scope="module")
def test_all_that_is_known_of_a_call_is_kept(loaded: Store, vcf: Path) -> None:
    call = next(
        c for c in loaded.query(Selection(Region("chr1", 198_000, 198_001))) if c.pos < 198_000
    )
    assert call.ref == LONG and call.sample == min(SAMPLES) and call.end == 197_999 + 5_000
    assert (call.qual, call.depth, call.filter) == (45.5, 198_000 % 60, "PASS")
    assert json.loads(call.info)["DP"] == 198_000 % 90
    assert json.loads(call.format)["PL"] == [198_000 % 50 + n for n in range(3)]
    assert call.id == "rs198000"


@pytest.mark.parametrize("loaded", EVERY_STORE, indirect=True, scope="module")
def test_qualities_that_are_none(loaded: Store) -> None:
    region = Region("chr1", 300_000, 300_003)
    calls = [c for c in loaded.query(Selection(region)) if c.kind == "snv" and c.sample == "child"]
    assert [call.qual for call in calls] == [None, None, 0.0]
    assert [c.pos for c in loaded.query(Selection(region, min_qual=0.0)) if c in calls] == [300_002]


# ---- a plain filter ------------------------------------------------------------------------------
CONDITIONS = st.builds(
    Selection,
    region=st.none()
    | st.builds(
        lambda contig, start, size: Region(contig, start, start + size),
        st.sampled_from([*CONTIGS]),
        st.sampled_from([0, 99_000, 100_000, 199_999, 300_003]) | st.integers(0, 600_000),
        st.integers(1, 300_000),
    ),
    gene=st.none() | st.sampled_from(["G1", "G2", "NONE"]),
    min_qual=st.none() | st.sampled_from([0.0, 31.0]) | st.floats(0, 250),
    samples=st.lists(st.sampled_from(SAMPLES), max_size=2, unique=True),
    kinds=st.lists(st.sampled_from(["snv", "deletion", "symbolic"]), max_size=2, unique=True),
    genotypes=st.lists(st.sampled_from(["het", "1/1", "1|0", "hemi"]), max_size=2, unique=True),
)


def plain(calls: Sequence[Call], s: Selection) -> list[Call]:
    """Filter without any of our code but that of kinds."""

    def zygosity(text: str) -> set[str]:
        alleles = text.replace("|", "/").split("/")
        word = "hemi" if len(alleles) == 1 else "hom" if len({*alleles}) == 1 else "het"
        return {"/".join(sorted(alleles))} | ({word} if "." not in alleles else set())

    wanted = {"/".join(sorted(text.replace("|", "/").split("/"))) for text in s.genotypes}
    return [
        c
        for c in calls
        if (s.region is None or (c.contig == s.region.contig and c.pos < (s.region.end or 0)
                                 and c.end > s.region.start))
        and (s.gene is None or s.gene in (c.gene or "").split(","))
        and (s.min_qual is None or (c.qual is not None and c.qual >= s.min_qual))
        and (not s.samples or c.sample in s.samples)
        and (not s.kinds or kind_of(c.ref, c.alt) in s.kinds)
        and (not s.genotypes or zygosity(c.genotype) & wanted)
    ]  # fmt: skip


def with_genes(calls: Sequence[Call]) -> list[Call]:
    """Give calls genes: some two, most none."""
    names = {0: "G1", 1: "G1,G2", 2: "G2"}
    return [replace(call, gene=names.get(call.pos // 40_000 % 6)) for call in calls]


@pytest.mark.parametrize("store", EVERY_STORE, indirect=True)
def test_any_conditions(filled: Store, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["store"]
    calls = with_genes([*filled.query(Selection())])
    filled.replace(filled.header(), calls)

    # moto needs a second for each; what is found is up to our code, dynalite is asked more often.
    most = {"sqlite": 100, "duckdb": 100, "dynalite": 20, "moto": 5}[kind]

    @settings(
        max_examples=most,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(CONDITIONS)
    def check(selection: Selection) -> None:
        assert [*filled.query(selection)] == plain(calls, selection)

    check()
    assert len(plain(calls, Selection(gene="G2"))) > len(plain(calls, Selection(gene="NONE"))) == 0


# ---- pages ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("size", "start"), [(1, 285_000), (25, 90_000), (10_000, 90_000)])
def test_pages_are_all_there_is(size: int, start: int, loaded: Store) -> None:
    selection = Selection(Region("chr1", start, 310_000), min_qual=25)
    expected = [*loaded.query(selection)]
    got: list[Call] = []
    after = None
    for _ in range(1 + len(expected) // size):
        page = Page(loaded, selection, size, after)
        got += page
        after = page.after
        if after is None:
            break
    assert got == expected and after is None


def test_pages_through_everything(loaded: Store) -> None:
    expected, got, after = [*loaded.query(Selection())], [], None
    while True:
        page = Page(loaded, Selection(), 150, after)
        got += page
        after = page.after
        if after is None:
            break
    assert got == expected


@pytest.mark.parametrize("text", ["", "x", "eJw", "AAAA"])
def test_what_is_no_page(text: str, loaded: Store) -> None:
    with pytest.raises(UsageError, match="is no page"):
        next(loaded.query(Selection(), page=text))


# ---- loading again -------------------------------------------------------------------------------
def test_a_load_that_is_repeated_changes_nothing(filled: Store, vcf: Path) -> None:
    calls, stats = [*filled.query(Selection())], filled.stats()
    done = load(vcf, filled.url)
    assert done.calls == len(calls) == stats["calls"] and set(done.samples) == {*SAMPLES}
    assert [*filled.query(Selection())] == calls and filled.stats() == stats


def test_a_load_replaces_what_the_same_samples_had(
    filled: Store, vcf: Path, tmp_path: Path
) -> None:
    other = write_vcf(tmp_path / "y.vcf.gz", seed=2, samples=("mother", "new"))
    load(other, filled.url)
    expected = [key for key in found(vcf) if key[0] != "mother"] + found(other)
    assert sorted(keys(filled)) == sorted(expected)
    assert filled.header().samples == (*SAMPLES, "new")
    stats = filled.stats()
    assert stats["calls"] == len(expected)
    assert stats["samples"]["mother"] == sum(key[0] == "mother" for key in expected)


def test_a_load_of_a_region_replaces_that_region(filled: Store, vcf: Path, tmp_path: Path) -> None:
    other = write_vcf(tmp_path / "y.vcf.gz", seed=2)
    load(other, filled.url, regions=["chr1:100,001-300000", "{b#7:1}"])

    def inside(key: Key) -> bool:
        return (key[1] == "chr1" and 100_000 <= key[2] < 300_000) or key[1] == "b#7:1"

    expected = [key for key in found(vcf) if not inside(key)]
    expected += [key for key in found(other) if inside(key)]
    assert sorted(keys(filled)) == sorted(expected)
    assert filled.stats()["calls"] == len(expected)
    load(vcf, filled.url)
    assert sorted(keys(filled)) == sorted(found(vcf))


@pytest.mark.parametrize("store", EVERY_STORE, indirect=True)
def test_nothing_called_is_a_result(store: Store, tmp_path: Path) -> None:
    empty = write_vcf(tmp_path / "e.vcf.gz", samples=("child",), count=0)
    text = "".join(
        line for line in (tmp_path / "e.vcf").read_text().splitlines(True) if line[0] == "#"
    )
    empty.write_text(text)
    assert load(empty, store.url).calls == 0
    assert [*store.query(Selection())] == [] and store.header().samples == ("child",)
    stats = store.stats()
    assert stats["calls"] == 0 and stats["ti_tv"] is stats["mean_qual"] is None


# ---- counts --------------------------------------------------------------------------------------
@pytest.mark.parametrize("loaded", EVERY_STORE, indirect=True, scope="module")
def test_counts(loaded: Store) -> None:
    calls, stats = [*loaded.query(Selection())], loaded.stats()
    assert stats["calls"] == len(calls)
    for name, attribute in (("samples", "sample"), ("contigs", "contig"), ("kinds", "kind")):
        values = [getattr(call, attribute) for call in calls]
        assert stats[name] == {value: values.count(value) for value in {*values}}
    changes = [call.ref + call.alt for call in calls if len(call.ref) == len(call.alt) == 1]
    transitions = sum(change in ("AG", "GA", "CT", "TC") for change in changes)
    assert stats["transitions"] == transitions > 0
    assert stats["transversions"] == stats["kinds"]["snv"] - transitions
    qualities = [call.qual for call in calls if call.qual is not None]
    assert math.isclose(stats["mean_qual"], sum(qualities) / len(qualities))
    depths = [call.depth for call in calls if call.depth is not None]
    assert math.isclose(stats["mean_depth"], sum(depths) / len(depths))


# ---- what goes wrong -----------------------------------------------------------------------------
@pytest.mark.parametrize("store", EVERY_STORE, indirect=True)
def test_a_store_that_is_not_there(store: Store) -> None:
    for ask in (store.header, store.stats, lambda: next(store.query(Selection()))):
        with pytest.raises(NotFoundError):
            ask()  # type: ignore[operator]


def test_another_genome_is_refused(filled: Store, vcf: Path, tmp_path: Path) -> None:
    before = [*filled.query(Selection())]
    other = tmp_path / "o.vcf"
    other.write_text(
        vcf.with_suffix("").read_text().replace("ID=chr1,length=600000", "ID=chr1,length=600001")
    )
    with pytest.raises(InputError, match="chr1 has 600,001 bases, but 600,000"):
        load(other, filled.url)
    assert [*filled.query(Selection())] == before


def test_a_damaged_file_leaves_the_store_as_it_was(
    filled: Store, vcf: Path, tmp_path: Path
) -> None:
    before = [*filled.query(Selection())]
    cut = tmp_path / "c.vcf.gz"
    cut.write_bytes(vcf.read_bytes()[:-200] + vcf.read_bytes()[-28:])  # with its end marker
    with pytest.raises(InputError):
        load(cut, filled.url)
    assert [*filled.query(Selection())] == before


@pytest.mark.parametrize("store", EVERY_STORE, indirect=True)
def test_a_failure_midway_leaves_the_store_as_it_was(filled: Store) -> None:
    before = [*filled.query(Selection())]

    def breaking() -> object:
        yield from before[:100]
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        filled.replace(filled.header(), breaking())  # type: ignore[arg-type]
    assert [*filled.query(Selection())] == before


def test_what_there_is_not_is_an_error(loaded: Store) -> None:
    with pytest.raises(RegionError, match="no contig 'chr9'"):
        keys(loaded, region="chr9")
    with pytest.raises(UsageError, match="no sample 'nobody'"):
        keys(loaded, samples=["nobody"])
    with pytest.raises(UsageError, match="no type 'snvs'"):
        keys(loaded, types=["snvs"])
    with pytest.raises(UsageError, match="is no genotype"):
        keys(loaded, genotypes=["homo"])
    assert "indel" in KINDS


@pytest.mark.parametrize("url", ["calls.db", "sqlite://calls.db", "mysql:///x", "dynamodb://a/b"])
def test_what_is_no_store(url: str) -> None:
    with pytest.raises(UsageError, match="is no store of calls"):
        open_store(url)


def test_what_begins_before_the_first_base_is_found(store: Store) -> None:
    """VCF gives telomeres the position 0."""
    header = Header({"chr1": 300_000}, ("s",))
    telomeres = [Call("s", "chr1", -1, ref, "A", genotype="0/1", end=len(ref) - 1)
                 for ref in ("N", "NAC")]  # fmt: skip
    first = Call("s", "chr1", 0, "A", "C", genotype="0/1", end=1)
    store.replace(header, [*telomeres, first])
    assert [*store.query(Selection())] == [*telomeres, first]
    assert [*store.query(Selection(Region("chr1", 0, 1)))] == [telomeres[1], first]
    assert [*store.query(Selection(), page=page_after(telomeres[0]))] == [telomeres[1], first]
