"""What the page is told: samples, contigs, genes, statistics, depth; to whom; its headers."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest

import bams3
from bams3.server.auth import Token, User, digest_of
from bams3.server.depth import overview, window
from bams3.server.listing import Found
from bams3.server.page import IGV, STATIC, policy
from bams3.server.samples import contents
from bams3.storage import open_store
from tests.server.browser_data import CONTIGS, GENES, write_all
from tests.server.running import Running, serving
from tests.servers.fake_s3 import FakeS3

PINNED = "87b991ae2a720978172e269dd5127c495e56df5af31144dff19c83124e2f5744"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_all(folder)
    (folder / "data" / ".hidden.bam").write_bytes(b"x")
    (folder / "data" / "notes.txt").write_bytes(b"x")
    (folder / "data" / "away.bam").symlink_to(folder / "ref" / "genome.fa")
    (folder / "data" / "bare.bam").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Running]:
    with serving(("data", str(data / "data")), ("ref", str(data / "ref"))) as running:
        yield running


# ---- the page itself -----------------------------------------------------------------------------
def test_the_page_comes_with_its_policy(server: Running) -> None:
    answer = server.ask("/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    rules = dict(
        rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert not any("unsafe-inline" in rule or "'unsafe-eval'" in rule for rule in rules.values())
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["object-src"] == "'none'"
    assert b"{{" not in answer.body
    assert b"style=" not in answer.body and b" on" + b"click" not in answer.body


def test_the_page_names_no_other_host() -> None:
    for file in STATIC.iterdir():
        if file.suffix in (".html", ".js", ".css") and file.name != IGV:
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "://" not in text, file


def test_what_is_static_is_packed_and_named(server: Running) -> None:
    plain = server.ask("/page/page.js")
    packed = server.ask("/page/page.js", {"Accept-Encoding": "gzip"})
    assert plain.body == gzip.decompress(packed.body) == (STATIC / "page.js").read_bytes()
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["ETag"] != packed.headers["ETag"]
    known = {"If-None-Match": plain.headers["ETag"]}
    assert server.ask("/page/page.js", known).status == 304
    assert server.ask("/page/index.html").status == 404
    assert server.ask("/page/../page.py").status == 404


def test_igv_is_the_one_that_is_pinned() -> None:
    sums = dict(line.split()[::-1] for line in (STATIC / "igv.sha256").read_text().splitlines())
    assert sums[IGV] == PINNED
    if not (STATIC / IGV).is_file():
        pytest.skip("igv.js is missing: `make setup` fetches it")
    for name, digest in sums.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest


def test_without_igv_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(STATIC, tmp_path / "static", ignore=shutil.ignore_patterns("igv.*"))
    monkeypatch.setattr("bams3.server.page.STATIC", tmp_path / "static")
    with serving(("r", str(tmp_path))) as running:
        settings = running.ask("/").body.partition(b'id="settings">')[2].partition(b"<")[0]
        assert json.loads(settings)["igv"] is False
        answer = running.ask("/page/igv.min.js")
        assert answer.status == 404
        assert "make setup" in answer.json["error"]["hint"]
    assert "make setup" in caplog.text


def test_redirected_data_may_come_from_the_store(fake_s3: FakeS3) -> None:
    with serving(("s", "s3://bucket/p/"), redirect=60) as running:
        rules = running.ask("/").headers["Content-Security-Policy"]
    assert f"connect-src 'self' {fake_s3.url};" in rules
    assert rules == policy([fake_s3.url])


# ---- samples -------------------------------------------------------------------------------------
def test_samples_and_what_belongs_to_them(server: Running) -> None:
    told = server.ask("/page/samples").json
    assert [sample["key"] for sample in told["samples"]] == ["data/bare", "data/run/s1"]
    bare, s1 = told["samples"]
    assert [track["usable"] for track in bare["tracks"]] == [False]
    assert [track["name"] for track in s1["tracks"]] == [
        "s1.bams3", "s1.bam", "s1.cram", "s1.calls.vcf.gz",
    ]  # fmt: skip
    assert all(track["usable"] for track in s1["tracks"])
    assert s1["tracks"][3]["index"] == "data/run/s1.calls.vcf.gz.tbi"
    assert [track["key"] for track in told["tracks"]] == ["data/run/targets.bed", "ref/genes.gff3"]
    assert told["genes"] is True
    assert told["problems"] == []


def test_an_s3_bucket_is_listed_like_a_folder(data: Path, server: Running, fake_s3: FakeS3) -> None:
    store = open_store("s3://bucket/some/pre fix%+")
    for path in (data / "data").rglob("*"):
        if path.is_file() and not path.is_symlink():
            store.put(path.relative_to(data / "data").as_posix(), path.read_bytes())
    store.close()
    with serving(("data", "s3://bucket/some/pre fix%+/"), ("ref", str(data / "ref"))) as running:
        fake_s3.reset()
        assert running.ask("/page/samples").json == server.ask("/page/samples").json
        assert len(fake_s3.requests) == 2  # one for each folder, none inside of datasets
        assert running.ask("/page/contigs/data/run/s1.bams3").json["reference"]


def test_one_file_is_one_sample(data: Path) -> None:
    with serving(("one", str(data / "data" / "run" / "s1.bam"))) as running:
        told = running.ask("/page/samples").json
    assert [sample["key"] for sample in told["samples"]] == ["one/s1"]
    assert [track["name"] for track in told["samples"][0]["tracks"]] == ["s1.bam"]


def test_files_go_to_the_longest_name() -> None:
    names = ["a.bam", "a.bai", "a_2.bam", "a_2.bam.bai", "a_2.vcf", "a_2x.vcf", "a.bw", "c.vcf.gz"]
    held = contents("r", [Found(name, 10) for name in names])
    found = {sample.key: [track.key for track in sample.tracks] for sample in held.samples}
    assert found == {
        "r/a": ["r/a.bam", "r/a.bw"],
        "r/a_2": ["r/a_2.bam", "r/a_2.vcf"],
        "r/a_2x": ["r/a_2x.vcf"],
        "r/c": ["r/c.vcf.gz"],
    }


def test_everybody_sees_their_own_roots_alone(data: Path) -> None:
    roots = ("data", str(data / "data")), ("ref", str(data / "ref"))
    token = Token(digest_of("t"), User("ada", frozenset({"ref"})))
    bearer = {"Authorization": "Bearer t"}
    with serving(*roots, tokens=(token,)) as running:
        assert running.ask("/page/samples").status == 401
        told = running.ask("/page/samples", bearer).json
        assert (told["samples"], told["user"]) == ([], "ada")
        for place in (
            "contigs/data/run/s1.bam",
            "stats/data/run/s1.bams3",
            "depth/data/run/s1.bams3",
        ):
            assert running.ask(f"/page/{place}", bearer).status == 403
            assert running.ask(f"/page/{place}").status == 401


def test_a_right_to_regions_is_none_to_whole_files(data: Path) -> None:
    user = User("ada", None, ("chr1:1-100",))
    bearer = {"Authorization": "Bearer t"}
    with serving(("data", str(data / "data")), tokens=(Token(digest_of("t"), user),)) as running:
        told = running.ask("/page/samples", bearer).json
        assert (told["limited"], told["regions"], told["tracks"]) == (True, ["chr1:1-100"], [])
        for place in (
            "contigs/data/run/s1.bam",
            "stats/data/run/s1.bams3",
            "depth/data/run/s1.bams3",
        ):
            assert running.ask(f"/page/{place}", bearer).status == 403


# ---- contigs and references ----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["s1.bam", "s1.cram", "s1.bams3", "s1.calls.vcf.gz"])
def test_the_reference_that_fits_is_found(name: str, server: Running) -> None:
    told = server.ask(f"/page/contigs/data/run/{name}").json
    assert dict(map(tuple, told["contigs"])) == CONTIGS
    assert told["reference"] == {"key": "ref/genome.fa", "fai": "ref/genome.fa.fai", "gzi": None}


def test_lengths_are_those_of_the_header(server: Running) -> None:
    told = server.ask("/page/lengths/data/run/s1.cram")
    assert told.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert told.body.decode() == "".join(f"{name}\t{n}\n" for name, n in CONTIGS.items())


def test_a_reference_with_other_lengths_does_not_fit(data: Path, tmp_path: Path) -> None:
    (tmp_path / "other.fa").write_text(">chr1\nACGT\n>chr2\nACGT\n")
    pysam.faidx(str(tmp_path / "other.fa"))
    with serving(("data", str(data / "data")), ("ref", str(tmp_path))) as running:
        assert running.ask("/page/contigs/data/run/s1.bam").json["reference"] is None


@pytest.mark.parametrize(
    "place", ["contigs/data/none.bam", "contigs/data/%2e%2e/ref/genome.fa", "stats/data/run/s1.bam"]
)
def test_what_is_not_there_is_404(place: str, server: Running) -> None:
    assert server.ask(f"/page/{place}").status in (400, 404)


# ---- genes ---------------------------------------------------------------------------------------
def test_genes_by_name_and_alias(server: Running) -> None:
    def find(text: str) -> list[str]:
        return [gene["name"] for gene in server.ask(f"/page/genes?q={text}").json["genes"]]

    assert find("alpha") == ["ALPHA1", "ALPHA2"]
    assert find("oldbeta") == ["BETA"]
    assert find("gene:alpha1") == ["ALPHA1"]
    assert find("") == find("zzz") == []
    start, end = GENES["BETA"]
    (gene,) = server.ask("/page/genes?q=BETA").json["genes"]
    assert gene == {"name": "BETA", "contig": "1", "start": start, "end": end}


@pytest.mark.parametrize("packed", [False, True])
def test_genes_of_a_gtf_without_gene_lines(packed: bool, data: Path, tmp_path: Path) -> None:
    rows = [
        f"chr1\tx\t{kind}\t{start}\t{end}\t.\t+\t.\t"
        f'gene_id "G{gene}"; transcript_id "T"; gene_name "N{gene}";\n'
        for gene in range(3000)
        for kind, start, end in (
            ("transcript", 100, 200),
            ("exon", 1, 900),
            ("transcript", 150, 300),
        )
    ]
    text = "".join(rows).encode()
    half = len(text) // 2  # two members, as bgzip and cat make them
    name = "g.gtf.gz" if packed else "g.gtf"
    content = gzip.compress(text[:half]) + gzip.compress(text[half:]) if packed else text
    (tmp_path / name).write_bytes(content)
    with serving(("r", str(tmp_path))) as running:
        (gene,) = running.ask("/page/genes?q=N2999").json["genes"]
        assert gene == {"name": "N2999", "contig": "chr1", "start": 99, "end": 300}
        assert len(running.ask("/page/genes?q=N").json["genes"]) == 12


# ---- depth and statistics ------------------------------------------------------------------------
def test_the_depth_of_a_stretch_is_exact(server: Running, data: Path) -> None:
    query = "contig=chr1&start=1000&end=3000&bins=20"
    told = server.ask(f"/page/depth/data/run/s1.bams3?{query}").json
    assert (told["start"], told["width"], told["exact"]) == (1000, 100, True)
    text = pysam.depth("-a", "-r", "chr1:1001-3000", str(data / "data" / "run" / "s1.bam"))
    depths = [int(row.split("\t")[2]) for row in text.splitlines()]
    expected = [sum(depths[at : at + 100]) / 100 for at in range(0, 2000, 100)]
    assert told["means"] == pytest.approx(expected, abs=0.01)


def test_estimates_have_the_mean_that_is_known(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bams3.server.depth.EXACT_READS", 0)
    with bams3.open(data / "data" / "run" / "s1.bams3") as dataset:
        rows = dataset.stats()["idxstats"]
        everything = overview(dataset, 200).contigs
        assert set(everything) == set(CONTIGS)
        for name, length in CONTIGS.items():
            width, means = everything[name]
            sizes = [min(width, length - n * width) for n in range(len(means))]
            bases = sum(mean * size for mean, size in zip(means, sizes, strict=True))
            assert bases == pytest.approx(rows[name]["aligned_bases"], rel=0.02)
        far = window(dataset, "chr1", 20_000, 40_000, 10)
        assert not far.exact
        assert far.means == pytest.approx([12.0] * 10, rel=0.25)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("contig=chr9", 400), ("contig=chr1&start=90000", 400), ("contig=chr1&start=-1", 400),
        ("contig=chr1&start=x", 400), ("contig=chr1&bins=99999999", 200), ("bins=0", 200),
    ],
)  # fmt: skip
def test_depth_of_nonsense(query: str, status: int, server: Running) -> None:
    answer = server.ask(f"/page/depth/data/run/s1.bams3?{query}")
    assert answer.status == status
    assert len(answer.body) < 200_000


def test_statistics_are_those_of_the_dataset(server: Running, data: Path) -> None:
    told = server.ask("/page/stats/data/run/s1.bams3").json
    with bams3.open(data / "data" / "run" / "s1.bams3") as dataset:
        expected = json.loads(json.dumps(dataset.stats()))
    assert told == expected | {"dataset": "data/run/s1.bams3"}
    assert str(data) not in json.dumps(told)
