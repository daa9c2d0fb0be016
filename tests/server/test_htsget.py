"""htsget: answers are whole files with exactly the records asked for; errors as it says."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pysam
import pytest

import bams3
from bams3.server import htsget
from bams3.server.auth import User
from bams3.server.htsget import FIELDS, HtsgetError
from bams3.server.messages import Refusal
from tests.reads.sample import CONTIGS, make_bam, make_dataset, samtools
from tests.server.htsget_client import Client

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CRAM_END = bytes.fromhex(
    "0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"
)
END = {"BAM": BGZF_END, "VCF": BGZF_END, "BCF": BGZF_END, "CRAM": CRAM_END}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One set of reads as BAM, CRAM and BAMS3, each under a name of its own; variants."""
    folder = tmp_path_factory.mktemp("htsget")
    made = make_bam(folder, count=30_000)
    shutil.copy(made, folder / "reads.bam")
    shutil.copy(f"{made}.bai", folder / "reads.bam.bai")
    shutil.copy(made, folder / "csi.bam")
    pysam.index("-c", "-m", "15", str(folder / "csi.bam"))
    shutil.copy(made, folder / "plain.bam")
    cram = str(folder / "packed.cram")
    pysam.view(
        "-C",
        "--no-PG",
        "--output-fmt-option",
        "no_ref=1",
        "-o",
        cram,
        str(made),
        catch_stdout=False,
    )
    pysam.index(cram)
    shutil.move(make_dataset(made), folder / "sample.bams3")
    write_variants(folder)
    return folder


def write_variants(folder: Path) -> None:
    chance = random.Random(4)
    lines = ["##fileformat=VCFv4.3", '##FILTER=<ID=PASS,Description="All filters passed">']
    lines += [f"##contig=<ID={name},length={length}>" for name, length in CONTIGS.items()]
    lines += ['##INFO=<ID=END,Number=1,Type=Integer,Description="End">']
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb"]
    for name, length in CONTIGS.items():
        if name == "empty":
            continue
        for pos in sorted(chance.randrange(1, length) for _ in range(4000)):
            ref = chance.choice(["A", "ACGT", "A" * 300])
            info = chance.choice([".", f"END={pos + chance.randrange(5000)}"])
            alt = "<DEL>" if info != "." else chance.choice(["C", "AT"])
            lines.append(f"{name}\t{pos}\t.\t{ref}\t{alt}\t9\tPASS\t{info}\tGT\t0/1\t1/1")
    (folder / "v.vcf").write_text("\n".join(lines) + "\n")
    pysam.tabix_compress(str(folder / "v.vcf"), str(folder / "calls.vcf.gz"))
    pysam.tabix_index(str(folder / "calls.vcf.gz"), preset="vcf")
    shutil.copy(folder / "calls.vcf.gz", folder / "csi.vcf.gz")
    pysam.tabix_index(str(folder / "csi.vcf.gz"), preset="vcf", csi=True)
    binary = str(folder / "binary.bcf")
    bcftools("view", "--no-version", "-Ob", "-o", binary, str(folder / "v.vcf"))
    bcftools("index", binary)


def bcftools(*arguments: str | Path) -> str:
    done = subprocess.run(["bcftools", *map(str, arguments)], capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def client(folder: Path) -> Client:
    return Client(folder)


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    if shutil.which("bcftools") is None:
        pytest.skip("bcftools is not installed")


def written(data: bytes, folder: Path, format: str) -> Path:
    """The answer on disk: a whole file."""
    assert data.endswith(END[format])
    path = folder / f"got.{format.lower()}"
    path.write_bytes(data)
    if format in ("BAM", "CRAM"):
        pysam.quickcheck(str(path))
    return path


def posted(*regions: tuple[Any, ...]) -> dict[str, Any]:
    keys = ("referenceName", "start", "end")
    return {"regions": [dict(zip(keys, region, strict=False)) for region in regions]}


READS = ["reads", "csi", "packed", "sample"]
REGIONS: list[tuple[tuple[Any, ...], ...]] = [
    (("chr1", 500_000, 500_500),),
    (("chr2",),),
    (("HLA-A*01:01", 7),),
    (("b:7", 10, 900), ("b", 0, 50)),
    (("empty",),),
    (("*",),),
    (("chr1", 100_000, 200_000), ("chr1", 150_000, 250_000), ("chrM", 5), ("*",)),
    tuple(("chr1", start, start + 300) for start in range(0, 990_000, 5_000)),
]


def oracle_reads(
    folder: Path, regions: tuple[tuple[Any, ...], ...], file: str = "reads.bam"
) -> str:
    """What htslib gives, each record once and in file order.

    CRAM does not keep all of the odd records that these are: it is compared with CRAM.
    """
    with pysam.AlignmentFile(str(folder / "reads.bam")) as bam:
        wanted = {read.to_string() for region in regions for read in bam.fetch(*region)}
    lines = samtools("view", folder / file).splitlines(keepends=True)
    of_bam = samtools("view", folder / "reads.bam").splitlines()
    return "".join(line for line, same in zip(lines, of_bam, strict=True) if same in wanted)


def stored(name: str, format: str = "BAM") -> str:
    return "packed.cram" if name == "packed" or format == "CRAM" else "reads.bam"


def ordered(sam: str) -> list[str]:
    """SAM lines with their tags in order: CRAM does not keep it."""
    rows = (line.split("\t") for line in sam.splitlines())
    return ["\t".join(row if row[0][0] == "@" else [*row[:11], *sorted(row[11:])]) for row in rows]


# ---- reads ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("format", ["BAM", "CRAM"])
@pytest.mark.parametrize("name", READS)
def test_whole(client: Client, folder: Path, tmp_path: Path, name: str, format: str) -> None:
    path = written(client.get("reads", name, format=format), tmp_path, format)
    theirs = samtools("view", "-h", "--no-PG", folder / stored(name, format))
    assert ordered(samtools("view", "-h", "--no-PG", path)) == ordered(theirs)


@pytest.mark.parametrize("regions", REGIONS, ids=range(len(REGIONS)))
@pytest.mark.parametrize("name", READS)
def test_regions(
    client: Client, folder: Path, tmp_path: Path, name: str, regions: tuple[tuple[Any, ...], ...]
) -> None:
    path = written(client.get("reads", name, posted(*regions)), tmp_path, "BAM")
    theirs = oracle_reads(folder, regions, stored(name))
    assert ordered(samtools("view", path)) == ordered(theirs)
    assert samtools("view", "-H", "--no-PG", path) == samtools(
        "view", "-H", "--no-PG", folder / "reads.bam"
    )
    if len(regions) == 1:
        name_of, *span = regions[0]
        asked = dict(zip(("start", "end"), map(str, span), strict=False))
        again = client.get("reads", name, referenceName=name_of, **asked)
        got = samtools("view", written(again, tmp_path, "BAM"))
        assert ordered(got) == ordered(theirs)


@pytest.mark.parametrize("name", ["reads", "packed", "sample"])
def test_regions_as_cram(client: Client, folder: Path, tmp_path: Path, name: str) -> None:
    regions = (("chr1", 300_000, 310_000), ("chr2", 5_000, 9_000))
    body = {**posted(*regions), "format": "cram"}
    path = written(client.get("reads", name, body), tmp_path, "CRAM")
    theirs = oracle_reads(folder, regions, "packed.cram")
    assert ordered(samtools("view", path)) == ordered(theirs)


def test_many_regions_are_several_links(client: Client) -> None:
    ticket = client.ticket("reads", "reads", posted(*REGIONS[-1]))
    assert len(ticket["urls"]) == 2 + -(-len(REGIONS[-1]) // 50)
    assert [url["class"] for url in ticket["urls"]] == ["header"] + ["body"] * 5
    assert all(len(url["url"]) < 8000 for url in ticket["urls"][1:-1])


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("format", ["BAM", "CRAM"])
def test_header_alone(client: Client, folder: Path, tmp_path: Path, name: str, format: str) -> None:
    data = client.get("reads", name, **{"class": "header", "format": format})
    path = written(data, tmp_path, format)
    assert samtools("view", "-h", "--no-PG", path) == samtools(
        "view", "-H", "--no-PG", folder / "reads.bam"
    )


NONE = dict(zip(FIELDS, ["*", "0", "*", "0", "255", "*", "*", "0", "0", "*", "*"], strict=True))


def cut(line: str, fields: tuple[str, ...], keep: Any, drop: tuple[str, ...]) -> str:
    """What is left of a line of SAM."""
    values = line.split("\t")
    tags = [tag for tag in values[11:] if (keep is None or tag[:2] in keep) and tag[:2] not in drop]
    shown = [v if f in fields else NONE[f] for f, v in zip(FIELDS, values, strict=False)]
    # RNEXT "=" stands for the RNAME, which may be gone.
    if "RNEXT" in fields and "RNAME" not in fields and shown[6] == "=":
        shown[6] = values[2]
    return "\t".join([*shown, *tags])


@pytest.mark.parametrize(
    ("fields", "tags", "notags"),
    [
        (("QNAME", "FLAG", "POS", "RNAME"), None, ()),
        (("SEQ", "QUAL"), ("NM",), ()),
        (("SEQ",), (), ()),
        (("CIGAR", "RNAME", "POS", "MAPQ"), None, ("RG", "XB")),
        (FIELDS, ("RG", "MD"), ("NM",)),
        (("RNEXT", "PNEXT", "TLEN"), None, ()),
    ],
)
@pytest.mark.parametrize("name", ["reads", "packed", "sample"])
def test_fields_and_tags(
    client: Client,
    folder: Path,
    tmp_path: Path,
    name: str,
    fields: tuple[str, ...],
    tags: tuple[str, ...] | None,
    notags: tuple[str, ...],
) -> None:
    asked = {"fields": ",".join(fields), "referenceName": "chr1", "start": "9000", "end": "40000"}
    asked |= {} if tags is None else {"tags": ",".join(tags)}
    asked |= {"notags": ",".join(notags)} if notags else {}
    path = written(client.get("reads", name, **asked), tmp_path, "BAM")
    theirs = oracle_reads(folder, (("chr1", 9000, 40000),), stored(name)).splitlines()
    ours = ordered(samtools("view", path))
    assert ours == ordered("\n".join(cut(line, fields, tags, notags) for line in theirs))
    assert len(ours) > 100


def test_fields_of_everything(client: Client, tmp_path: Path) -> None:
    path = written(client.get("reads", "reads", fields="QNAME", tags=""), tmp_path, "BAM")
    lines = samtools("view", path).splitlines()
    assert len(lines) == 30_000
    assert all(line.split("\t")[1:] == list(NONE.values())[1:] for line in lines)


def test_qualities_bring_the_bases(client: Client, folder: Path, tmp_path: Path) -> None:
    data = client.get("reads", "reads", referenceName="b", fields="QUAL", tags="")
    theirs = oracle_reads(folder, (("b",),)).splitlines()
    ours = samtools("view", written(data, tmp_path, "BAM")).splitlines()
    assert ours == [cut(line, ("SEQ", "QUAL"), (), ()) for line in theirs]


# ---- variants ------------------------------------------------------------------------------------
VARIANTS = ["calls", "csi", "binary"]


@pytest.mark.parametrize("format", ["VCF", "BCF"])
@pytest.mark.parametrize("name", VARIANTS)
def test_whole_variants(
    client: Client, folder: Path, tmp_path: Path, name: str, format: str
) -> None:
    path = written(client.get("variants", name, format=format), tmp_path, format)
    assert bcftools("view", "-H", path) == bcftools("view", "-H", folder / "v.vcf")


@pytest.mark.parametrize("format", ["VCF", "BCF"])
@pytest.mark.parametrize("name", VARIANTS)
def test_regions_of_variants(
    client: Client, folder: Path, tmp_path: Path, name: str, format: str
) -> None:
    chance = random.Random(5)
    for count in range(6):
        start = chance.randrange(900_000)
        end = start + chance.choice([1, 500, 50_000])
        data = client.get("variants", name, format=format, referenceName="chr1",
                          start=str(start), end=str(end))  # fmt: skip
        path = written(data, tmp_path, format)
        region = f"chr1:{start + 1}-{end}"
        theirs = bcftools("view", "-H", "-r", region, folder / "calls.vcf.gz")
        assert bcftools("view", "-H", path) == theirs, (count, region)


@pytest.mark.parametrize("name", VARIANTS)
def test_several_regions_of_variants(
    client: Client, folder: Path, tmp_path: Path, name: str
) -> None:
    body = posted(("chr2", 100, 9_000), ("chr1", 5_000, 6_000), ("chr1", 5_500, 20_000), ("empty",))
    path = written(client.get("variants", name, body), tmp_path, "VCF")
    regions = "chr1:5001-20000,chr2:101-9000"
    assert bcftools("view", "-H", path) == bcftools(
        "view", "-H", "-r", regions, folder / "calls.vcf.gz"
    )
    many = posted(*(("chr1", start, start + 900) for start in range(0, 900_000, 6_000)))
    path = written(client.get("variants", name, many), tmp_path, "VCF")
    bed = tmp_path / "regions.bed"
    bed.write_text("".join(f"chr1\t{s}\t{s + 900}\n" for s in range(0, 900_000, 6_000)))
    theirs = bcftools("view", "-H", "-R", bed, folder / "calls.vcf.gz").splitlines()
    assert bcftools("view", "-H", path).splitlines() == list(dict.fromkeys(theirs))


@pytest.mark.parametrize("format", ["VCF", "BCF"])
def test_header_of_variants(client: Client, folder: Path, tmp_path: Path, format: str) -> None:
    for name in VARIANTS:
        data = client.get("variants", name, **{"class": "header", "format": format})
        path = written(data, tmp_path, format)
        assert bcftools("view", "--no-version", path) == bcftools(
            "view", "--no-version", "-h", folder / "calls.vcf.gz"
        )


# ---- errors --------------------------------------------------------------------------------------
INVALID: list[tuple[str, dict[str, Any]]] = [
    ("InvalidInput", {"start": "5"}),
    ("InvalidInput", {"end": "5"}),
    ("InvalidInput", {"referenceName": "*", "start": "5"}),
    ("InvalidInput", {"referenceName": "chr1", "start": "-5"}),
    ("InvalidInput", {"referenceName": "chr1", "start": "4294967296"}),
    ("InvalidInput", {"referenceName": "chr1", "end": "x"}),
    ("InvalidInput", {"referenceName": ""}),
    ("InvalidRange", {"referenceName": "chr1", "start": "6", "end": "5"}),
    ("NotFound", {"referenceName": "chr99"}),
    ("UnsupportedFormat", {"format": "SAM"}),
    ("UnsupportedFormat", {"format": "VCF"}),
    ("InvalidInput", {"class": "body"}),
    ("InvalidInput", {"class": "header", "referenceName": "chr1"}),
    ("InvalidInput", {"class": "header", "tags": ""}),
    ("InvalidInput", {"fields": "QNAME,SEX"}),
    ("InvalidInput", {"fields": ""} | {"fields": ","}),
    ("InvalidInput", {"tags": "NM,MD", "notags": "MD"}),
    ("InvalidInput", {"tags": "NMX"}),
]


@pytest.mark.parametrize(("name", "parameters"), INVALID)
def test_errors_of_get(client: Client, name: str, parameters: dict[str, str]) -> None:
    assert client.error("reads", "reads", **parameters) == (name, htsget.STATUS[name])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("InvalidInput", b"{"),
        ("InvalidInput", b"[]"),
        ("InvalidInput", b"[" * 100_000),
        ("InvalidInput", {"regions": []}),
        ("InvalidInput", {"regions": {}}),
        ("InvalidInput", {"regions": [{}]}),
        ("InvalidInput", {"regions": [{"start": 4}]}),
        ("InvalidInput", {"regions": [{"referenceName": "chr1", "start": "4"}]}),
        ("InvalidInput", {"regions": [{"referenceName": "chr1", "start": True}]}),
        ("InvalidInput", {"regions": [{"referenceName": "chr1", "end": -1}]}),
        ("InvalidInput", {"regions": [{"referenceName": "*", "start": 1}]}),
        ("InvalidInput", {"class": "header", "regions": [{"referenceName": "chr1"}]}),
        ("InvalidInput", {"fields": "QNAME"}),
        ("InvalidInput", {"tags": [1]}),
        ("InvalidInput", {"tags": ["NM"], "notags": ["NM"]}),
        ("InvalidRange", {"regions": [{"referenceName": "chr1", "start": 5, "end": 5}]}),
        ("NotFound", {"regions": [{"referenceName": "chr1"}, {"referenceName": "1"}]}),
        ("UnsupportedFormat", {"format": "BCF"}),
        ("UnsupportedFormat", {"format": 1}),
        ("PayloadTooLarge", {"regions": [{"referenceName": "chr1"}] * 1001}),
        ("PayloadTooLarge", b" " * (1 << 20) + b"{}"),
    ],
)
def test_errors_of_post(client: Client, name: str, body: Any) -> None:
    assert client.error("reads", "reads", body) == (name, htsget.STATUS[name])


def test_other_errors(client: Client) -> None:
    assert client.error("reads", "absent") == ("NotFound", 404)
    assert client.error("variants", "reads") == ("NotFound", 404)
    assert client.error("reads", "reads", {}, format="BAM") == ("InvalidInput", 400)
    assert client.error("variants", "calls", referenceName="*") == ("InvalidInput", 400)
    with pytest.raises(HtsgetError, match="no index") as error:
        client.ticket("reads", "plain", referenceName="chr1")
    assert error.value.name == "NotFound"
    assert client.error("reads", "plain", referenceName="chr1") == ("NotFound", 404)


def test_nothing_is_asked_for_in_vain(client: Client, tmp_path: Path) -> None:
    """An empty GET region is an empty file; formats are known in any case."""
    data = client.get("reads", "reads", referenceName="chr1", start="7", end="7", format="bAm")
    assert samtools("view", written(data, tmp_path, "BAM")) == ""
    assert client.ticket("reads", "reads", format="cram")["format"] == "CRAM"


# ---- rights and links ----------------------------------------------------------------------------
def test_rights_to_regions(folder: Path) -> None:
    client = Client(folder, User("me", regions=("chr1:1001-2000", "chr2", "other:1-5")))
    assert client.get("reads", "reads", referenceName="chr1", start="1000", end="2000")
    assert client.get("reads", "reads", referenceName="chr2")
    assert client.get("reads", "reads", **{"class": "header"})
    denied = ("PermissionDenied", 403)
    assert client.error("reads", "reads") == denied
    assert client.error("reads", "reads", referenceName="*") == denied
    assert client.error("reads", "reads", referenceName="chr1") == denied
    assert client.error("reads", "reads", posted(("chr2",), ("chr1", 1000, 2001))) == denied


def test_a_replaced_file_is_not_mixed(tmp_path: Path) -> None:
    first = make_bam(tmp_path, count=500, seed=1)
    second = make_bam(tmp_path, count=500, seed=2)
    shutil.copy(first, tmp_path / "x.bam")
    shutil.copy(f"{first}.bai", tmp_path / "x.bam.bai")
    client = Client(tmp_path)
    ticket = client.ticket("reads", "x", referenceName="chr1")
    shutil.copy(second, tmp_path / "x.bam")
    with pytest.raises(Refusal, match="was replaced"):
        client.fetch(ticket["urls"][1])


def test_missing_records_would_be_noticed(client: Client, folder: Path, tmp_path: Path) -> None:
    """The comparison of these tests is not blind: one record less, one tag less fails it."""
    data = client.get("reads", "reads", referenceName="chr2")
    lines = samtools("view", written(data, tmp_path, "BAM")).splitlines()
    theirs = oracle_reads(folder, (("chr2",),)).splitlines()
    assert lines == theirs
    assert lines[:-1] != theirs
    assert [line.rpartition("\t")[0] for line in lines] != theirs


def test_service_info() -> None:
    import json

    for kind, formats in htsget.FORMATS.items():
        response = htsget.service_info(kind, "https://example.org")
        info = json.loads(response.body)
        assert info["type"] == {"group": "org.ga4gh", "artifact": "htsget", "version": "1.3.0"}
        assert info["htsget"]["formats"] == list(formats)
        assert info["version"] == bams3.__version__
