"""Loading: genes, regions, receipts, the command lines, and VCF out again."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pysam
import pytest

from bams3.errors import CorruptError, InputError
from bams3.variants.load import load
from bams3.variants.store import Selection, open_store
from bams3.variants.vcf import Call
from tests.cli.run import bams3_
from tests.variants.calls import SAMPLES, found, key_of, write_vcf
from tests.variants.sample import Sample, read_lines, write_fasta

pytestmark = pytest.mark.usefixtures("tools")


@pytest.fixture(scope="module")
def vcf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vcf(tmp_path_factory.mktemp("calls") / "x.vcf.gz")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'calls.db'}"


def calls_in(url: str) -> list[Call]:
    return [*open_store(url).query(Selection())]


# ---- forms ---------------------------------------------------------------------------------------
def test_csv_json_and_parquet_have_the_same_calls(vcf: Path, url: str, tmp_path: Path) -> None:
    assert bams3_("variants", "load", vcf, "--store", url).code == 0
    parquet = pytest.importorskip("pyarrow.parquet")
    query = ("variants", "query", "--store", url, "-o")
    rows = [*csv.DictReader(io.StringIO(bams3_(*query, "csv").out.decode()))]
    objects = json.loads(bams3_(*query, "json").out)
    assert bams3_(*query, tmp_path / "x.parquet").code == 0
    table = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    expected = found(vcf)
    for found_ in (rows, objects, table):
        got = {(r["sample_id"], r["chromosome"], int(r["position"]), r["ref"], r["alt"])
               for r in found_}  # fmt: skip
        assert got == {(s, c, pos + 1, ref, alt) for s, c, pos, ref, alt, _ in expected}
        assert len(found_) == len(expected)
    assert [r["genotype"] for r in rows] == [r["genotype"] for r in objects]
    assert [json.loads(r["info"]) for r in table] == [r["info"] for r in objects]
    assert [*rows[0]] == [name for name in objects[0] if name not in ("info", "format")]


def test_the_table_is_for_reading(vcf: Path, url: str) -> None:
    load(vcf, url)
    done = bams3_("variants", "query", "--store", url, "-r", "chr1:100,001-100,001")
    head, *rows = done.out.decode().splitlines()
    assert head.split()[:3] == ["sample_id", "chromosome", "position"]
    assert "4 calls" not in done.err and len(rows) == int(done.err.split()[0])
    assert all(len(row) < 300 for row in rows)  # alleles of 3,000 bases are cut


@pytest.mark.parametrize("name", ["x.vcf.gz", "x.bcf", "x.vcf"])
def test_vcf_is_what_was_called(
    name: str, normal: Sample, out: Path, url: str, tmp_path: Path
) -> None:
    """Of one sample: record for record, whole lines, with an index that works."""
    done = bams3_("variants", "call", normal.bam, "-f", normal.reference, "-o", out, "--store", url)
    assert done.code == 0 and f"calls in {url}" in done.err
    again = tmp_path / "again" / name
    again.parent.mkdir()
    assert bams3_("variants", "query", "--store", url, "-o", again).code == 0
    assert read_lines(again) == read_lines(out) != []
    if name != "x.vcf":
        region = ["bcftools", "view", "-H", "-r", "chr1:1000-5000"]
        ours, theirs = (subprocess.run([*region, str(path)], capture_output=True, check=True).stdout
                        for path in (again, out))  # fmt: skip
        assert ours == theirs != b""


def test_vcf_of_several_samples(vcf: Path, url: str, tmp_path: Path) -> None:
    load(vcf, url)
    again = tmp_path / "again.vcf.gz"
    assert bams3_("variants", "query", "--store", url, "-o", again).code == 0
    assert sorted(found(again)) == sorted(found(vcf))
    with pysam.VariantFile(str(again)) as ours, pysam.VariantFile(str(vcf)) as theirs:
        assert [*ours.header.samples] == [*SAMPLES]
        assert [*ours.header.contigs] == [*theirs.header.contigs]
        for record in ours:
            alleles = [a for s in record.samples.values() for a in s["GT"] or ()]
            if "AN" in record.info:
                assert record.info["AN"] == sum(a is not None for a in alleles)
                assert record.info["AC"] == (alleles.count(1),)
    one = tmp_path / "one.vcf"
    bams3_("variants", "query", "--store", url, "--sample", "mother", "-o", "vcf", one)
    assert {key[0] for key in found(one)} == {"mother"}
    assert sorted(found(one)) == sorted(key for key in found(vcf) if key[0] == "mother")


def test_pages_of_the_command_line(vcf: Path, url: str) -> None:
    load(vcf, url)
    query = ("variants", "query", "--store", url, "-o", "json", "--min-qual", "150", "--limit")
    whole = json.loads(bams3_(*query, "100000").out)
    got, more = [], []
    while True:
        done = bams3_(*query, "40", *more)
        got += json.loads(done.out)
        if "next page" not in done.err:
            break
        more = done.err.splitlines()[-1].removeprefix("next page: ").split()
    assert got == whole and len(whole) > 80


# ---- genes ---------------------------------------------------------------------------------------
CDS = "ATG" + "GCT" * 98 + "TAA"
GFF = """\
##gff-version 3
chr1\t.\tgene\t1001\t1300\t.\t+\t.\tID=gene:g1;Name=ABC;biotype=protein_coding
chr1\t.\tmRNA\t1001\t1300\t.\t+\t.\tID=transcript:t1;Parent=gene:g1;biotype=protein_coding
chr1\t.\texon\t1001\t1300\t.\t+\t.\tParent=transcript:t1
chr1\t.\tCDS\t1001\t1300\t.\t+\t0\tParent=transcript:t1
chr1\t.\tncRNA_gene\t1200\t1900\t.\t-\t.\tID=gene:g2;Name=X%2CY
"""
RECORDS = """\
##fileformat=VCFv4.2
##contig=<ID=chr1,length=3000>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts
chr1\t900\t.\tA\tG\t50\tPASS\t.\tGT\t0|1
chr1\t1004\t.\tG\tA\t50\tPASS\t.\tGT\t0|1
chr1\t1005\t.\tC\tA\t50\tPASS\t.\tGT\t0|1
chr1\t1201\t.\tT\tTG\t50\tPASS\t.\tGT\t0|1
chr1\t1206\t.\tT\tC\t50\tPASS\t.\tGT\t1|0
chr1\t1801\t.\tA\tT\t50\tPASS\t.\tGT\t1|1
"""


@pytest.fixture
def annotated(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Calls, the same after `bcftools csq`, and the genes."""
    genome = "A" * 1_000 + CDS + "A" * 1_700
    records = "".join(
        line if line[0] == "#" else _with_ref(line, genome) for line in RECORDS.splitlines(True)
    )
    plain, genes, told = tmp_path / "p.vcf", tmp_path / "g.gff3", tmp_path / "t.vcf"
    plain.write_text(records)
    genes.write_text(GFF)
    write_fasta(tmp_path / "ref.fa", {"chr1": genome})
    command = ["bcftools", "csq", "-f", tmp_path / "ref.fa", "-g", genes, "-o", told, plain]
    subprocess.run(command, check=True, capture_output=True)
    return plain, told, genes


def _with_ref(line: str, genome: str) -> str:
    fields = line.split("\t")
    ref = genome[int(fields[1]) - 1]
    alt = next(base for base in "ACGT" if base != ref) if len(fields[4]) == 1 else ref + "G"
    return "\t".join([*fields[:3], ref, alt, *fields[5:]])


def test_genes_of_annotated_calls(annotated: tuple[Path, Path, Path], url: str) -> None:
    _, told, _ = annotated
    text = told.read_text()
    assert "@1004" in text or "@1005" in text  # a compound variant, told in one record
    load(told, url)
    calls = {call.pos + 1: (call.gene, call.consequence) for call in calls_in(url)}
    assert calls[900] == (None, None)
    assert calls[1004] == calls[1005] == ("ABC", "missense")
    assert calls[1201] == ("ABC", "frameshift")
    done = bams3_("variants", "query", "--store", url, "--gene", "ABC", "-o", "csv")
    assert done.out.decode().count("\n") == 1 + 4


def test_genes_by_overlap(annotated: tuple[Path, Path, Path], url: str) -> None:
    plain, told, genes = annotated
    assert bams3_("variants", "load", plain, "--store", url, "--genes", genes).code == 0
    calls = {call.pos + 1: call.gene for call in calls_in(url)}
    assert calls == {900: None, 1004: "ABC", 1005: "ABC", 1201: "ABC,X_Y", 1206: "ABC,X_Y",
                     1801: "X_Y"}  # fmt: skip
    load(told, url, genes=str(genes))
    assert {call.pos + 1: call.gene for call in calls_in(url)}[1801] == "X_Y"
    assert sum(bool(call.consequence) for call in calls_in(url)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [("##gff-version 3\n", "has no genes"),
     ("chr1\t.\tgene\tx\t9\t.\t+\t.\tID=a\n", "is not GFF3"),
     ("chr9\t.\tgene\t1\t9\t.\t+\t.\tID=a\n", "no gene on a contig of the calls")],
)  # fmt: skip
def test_genes_that_do_not_fit(
    text: str, message: str, vcf: Path, url: str, tmp_path: Path
) -> None:
    genes = tmp_path / "g.gff3"
    genes.write_text(text)
    done = bams3_("variants", "load", vcf, "--store", url, "--genes", genes)
    assert done.code == 1 and message in done.err


# ---- what is replaced ----------------------------------------------------------------------------
def test_calls_of_regions_add_up(normal: Sample, tmp_path: Path, url: str) -> None:
    """The receipt beside the calls tells which regions were called."""
    whole = tmp_path / "whole.vcf.gz"
    call = ("variants", "call", normal.bam, "-f", normal.reference, "-o")
    assert bams3_(*call, whole).code == 0
    for name, region in (("a", "chr1:1-20000"), ("b", "chr1:20001-40000"), ("c", "chr2")):
        done = bams3_(*call, tmp_path / f"{name}.vcf.gz", "-r", region, "--store", url)
        assert done.code == 0
    expected = [line for line in read_lines(whole) if line.split("\t")[0] in ("chr1", "chr2")]
    again = tmp_path / "again.vcf"
    bams3_("variants", "query", "--store", url, "-o", again)
    assert read_lines(again) == expected
    assert bams3_(*call, tmp_path / "b2.vcf.gz", "-r", "chr1:20001-40000", "--store", url).code == 0
    bams3_("variants", "query", "--store", url, "-o", again)
    assert read_lines(again) == expected


def test_a_receipt_of_other_calls_is_not_believed(vcf: Path, url: str, tmp_path: Path) -> None:
    copy = tmp_path / "y.vcf.gz"
    copy.write_bytes(vcf.read_bytes())
    receipt = {"request": ["chr1:1-10"], "digest": "0" * 64}
    (tmp_path / "y.vcf.gz.receipt.json").write_text(json.dumps(receipt))
    done = load(copy, url)
    assert done.regions == () and sorted(map(key_of, calls_in(url))) == sorted(found(vcf))


def test_a_store_that_is_not_understood_is_told_before_the_calling(
    normal: Sample, out: Path
) -> None:
    done = bams3_("variants", "call", normal.bam, "-f", normal.reference, "-o", out, "--store", "x")
    assert done.code == 2 and "is no store of calls" in done.err and not out.exists()


def test_another_name_for_a_sample(vcf: Path, url: str, tmp_path: Path) -> None:
    one = write_vcf(tmp_path / "one.vcf.gz", samples=["child"])
    done = bams3_("variants", "load", one, "--store", url, "--sample", "S1")
    assert done.code == 0 and {call.sample for call in calls_in(url)} == {"S1"}
    done = bams3_("variants", "load", vcf, "--store", url, "--sample", "S1")
    assert done.code == 2 and "has 3 samples" in done.err


# ---- what is no file of calls --------------------------------------------------------------------
def test_files_that_cannot_be_loaded(vcf: Path, url: str, tmp_path: Path) -> None:
    lines = vcf.with_suffix("").read_text().splitlines(True)
    unsorted, sites, text = tmp_path / "u.vcf", tmp_path / "s.vcf", tmp_path / "t.vcf"
    unsorted.write_text("".join([*lines[:-1], lines[40]]))
    swapped, last = tmp_path / "w.vcf", max(n for n, x in enumerate(lines) if x[:5] == "chr1\t")
    swapped.write_text("".join([*lines[:last], lines[40], *lines[last:]]))
    cut = (line if line[:2] == "##" else "\t".join(line.split("\t")[:8]) + "\n" for line in lines)
    sites.write_text("".join(cut))
    text.write_text("no VCF\n")
    faults = {
        unsorted: "is not sorted at",
        swapped: "sorted",
        sites: "has no samples",
        text: "cannot be read",
    }
    for path, message in {**faults, tmp_path / "none": "No such file"}.items():
        done = bams3_("variants", "load", path, "--store", url)
        assert done.code == 1 and message in done.err, path
    (tmp_path / "c.vcf.gz").write_bytes(vcf.read_bytes()[:3000])
    with pytest.raises(CorruptError, match="is cut off"):
        load(tmp_path / "c.vcf.gz", url)


HEAD = """##fileformat=VCFv4.3
##contig=<ID=c,length=1000>
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta
"""


def written(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join("\t".join(row.split()) + "\n" for row in rows))
    return path


def test_a_file_cut_between_two_records_is_not_taken_for_a_whole_one(
    url: str, tmp_path: Path
) -> None:
    rows = [f"c {pos} . A C 9 PASS . GT 0/1" for pos in range(1, 900)]
    text, packed = written(tmp_path / "x.vcf", *rows), tmp_path / "x.bcf"
    subprocess.run(["bcftools", "view", "-Ob", "-o", packed, text], check=True)
    packed.write_bytes(packed.read_bytes()[:-28])
    with pytest.raises(CorruptError, match="is cut off"):
        load(packed, url)


def test_calls_without_genotypes_are_not_taken_for_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no genotypes"):
        load(written(tmp_path / "x.vcf", "c 5 . A C 9 PASS . DP 7"), url)


def test_ends_are_kept_as_they_are(url: str, tmp_path: Path) -> None:
    rows = (
        "c 10 . ACG A 9 PASS SVTYPE=DEL;END=12 GT 0/1",
        "c 20 . A <DEL> 9 PASS END=20;SVTYPE=DEL GT 0/1",
        "c 30 . A <DEL> 9 PASS END=800 GT 1/1",
        "c 40 . A C 9 PASS . GT 1/1",
    )
    load(written(tmp_path / "x.vcf", *rows), url)
    lines = bams3_("variants", "query", "--store", url, "-o", "vcf").out.decode().splitlines()
    assert [line for line in lines if line[0] != "#"] == ["\t".join(r.split()) for r in rows]


# ---- the older project ---------------------------------------------------------------------------
def test_the_store_is_named_by_the_environment(
    vcf: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAMS3_STORE", url)
    assert bams3_("variants", "load", vcf).code == 0
    done = bams3_("variants", "query", "--quality-filter", "100", "-o", "csv")  # its own flag
    expected = found(vcf, "-i", "QUAL>=100")
    assert done.out.decode().count("\n") == 1 + len(expected)
    everything = bams3_("variants", "query")
    assert everything.code == 0 and everything.out.count(b"\n") == 1 + len(found(vcf))
    monkeypatch.delenv("BAMS3_STORE")
    for arguments in ((), ("--limit", "1")):
        done = bams3_("variants", "query", *arguments)
        assert done.code == 2 and "which store?" in done.err


def test_c6_statistics_of_nothing(url: str, tmp_path: Path) -> None:
    vcf = write_vcf(tmp_path / "e.vcf.gz", samples=["s"], count=0)
    load(vcf, url, regions=["empty"])
    for form in ("table", "csv", "json", "vcf"):
        done = bams3_("variants", "query", "--store", url, "-o", form)
        assert done.code == 0 and "0 calls" in done.err
    assert json.loads(bams3_("variants", "query", "--store", url, "-o", "json").out) == []
