"""Bad input of every kind: exit 1, what and where it is and what to do, and nothing is left."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest

from bams3.reads.convert import convert
from bams3.reads.manifest import seal
from tests.cli.run import bams3_
from tests.reads import made

SAM = made.header() + made.shuffled(3000)
BROKEN = made.line("broken", "chr1", 7)


def bam_of(text: str, folder: Path) -> bytes:
    path = folder / "made.bam"
    pysam.view(
        "-b", "--no-PG", "-o", str(path), made.write_sam(folder, text, "made.sam"),
        catch_stdout=False,
    )  # fmt: skip
    return path.read_bytes()


def cram_of(text: str, folder: Path) -> bytes:
    path = folder / "made.cram"
    pysam.view(
        "-C", "--no-PG", "--output-fmt-option", "no_ref=1", "-o", str(path),
        made.write_sam(folder, text, "made.sam"), catch_stdout=False,
    )  # fmt: skip
    return path.read_bytes()


def with_field(number: int, text: str) -> str:
    fields = BROKEN.split("\t")
    fields[number] = text
    return SAM + "\t".join(fields)


LINE = f"line {SAM.count(chr(10)) + 1}"
# Name: what to convert, and what the message has to say of it.
INPUTS: dict[str, tuple[Callable[[Path], bytes | str], list[str]]] = {
    "FLAG that is no number": (lambda _: with_field(1, "x"), [LINE, "FLAG", '"x"']),
    "POS that is no number": (lambda _: with_field(3, "1e5"), [LINE, "POS", '"1e5"']),
    "MAPQ too large": (lambda _: with_field(4, "256"), [LINE, "MAPQ", '"256"']),
    "CIGAR of unknown operations": (lambda _: with_field(5, "40Q"), [LINE, "CIGAR", '"40Q"']),
    "CIGAR of another length": (lambda _: with_field(5, "39M"), [LINE, "CIGAR"]),
    "QUAL of another length": (lambda _: with_field(10, "!!"), [LINE, "QUAL"]),
    "tag without a type": (lambda _: with_field(11, "RG\n"), [LINE, "RG"]),
    "too few fields": (lambda _: SAM + "r\t0\tchr1\n", [LINE, "POS", "missing"]),
    "unknown contig": (lambda _: with_field(2, "chrX"), [LINE, "RNAME", '"chrX"']),
    "header missing": (lambda _: BROKEN, ["line 1", "@SQ"]),
    "order not as claimed": (
        lambda _: made.header("coordinate") + made.line("b", position=20) + BROKEN,
        ["record 2 (broken)", "chr1:7", "chr1:20", "SO:coordinate", "samtools sort"],
    ),
    "truncated SAM": (lambda _: SAM[:-9], ["last line is cut off"]),
    "truncated BAM": (lambda folder: bam_of(SAM, folder)[:-60], ["cut off"]),
    "BAM without its end": (lambda folder: bam_of(SAM, folder)[:-28], ["end-of-file", "truncated"]),
    "CRAM without its end": (
        lambda folder: cram_of(SAM, folder)[:-38],
        ["end-of-file", "truncated"],
    ),
    "truncated CRAM": (lambda folder: cram_of(SAM, folder)[:-500], ["truncated"]),
    "truncated gzip": (lambda _: gzip.compress(SAM.encode())[:-20], ["cut off"]),
    "gzip without its end": (lambda _: gzip.compress(SAM.encode())[:-4], ["gzip", "cut off"]),
    "zero bytes": (lambda _: "", ["empty"]),
    "FASTQ": (lambda _: "@r1\nACGT\n+\nFFFF\n", ["FASTQ", "align"]),
    "FASTA": (lambda _: ">chr1\nACGT\n", ["FASTA", "align"]),
    "VCF": (lambda _: "##fileformat=VCFv4.2\n", ["not SAM, BAM or CRAM"]),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_input_is_refused(name: str, way: str, tmp_path: Path) -> None:
    make, said = INPUTS[name]
    data = make(tmp_path)
    path, out = tmp_path / "bad.input", tmp_path / "out"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    if way == "file":
        done = bams3_("convert", path, out, "--sort-buffer", "1M")
    else:
        done = bams3_("convert", "--stdin", out, "--sort-buffer", "1M", stdin=path.read_bytes())
    assert (done.code, done.out) == (1, b"")
    error, hint = done.err.strip().split("\nhint: ")
    where = str(path) if way == "file" else "standard input"
    assert error.startswith(f"error: {where}: ") and hint
    for word in said:
        assert word in done.err
    assert not [left for left in out.rglob("*") if left.is_file()]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    convert(made.write_sam(folder, SAM), str(folder / "good.bams3"), workers=1)
    return folder / "good.bams3"


READING = [
    (["query", "DATASET", "chr9"], "'chr9'"),
    (["query", "DATASET", "chr1:7-3"], "'chr1:7-3'"),
    (["query", "DATASET", "chr1:x-3"], "'chr1:x-3'"),
    (["depth", "DATASET", "chr9"], "'chr9'"),
    (["to-bam", "DATASET", "OUT", "-r", "chr9"], "'chr9'"),
    (["query", "NEWER", "chr1"], "version 2.1"),
    (["stats", "NEWER"], "version 2.1"),
    (["to-bam", "NEWER", "OUT"], "version 2.1"),
    (["verify", "NEWER"], "version 2.1"),
    (["clean", "NEWER"], "version 2.1"),
    (["merge", "OUT", "DATASET", "NEWER"], "version 2.1"),
    (["query", "NOWHERE", "chr1"], "no dataset at"),
    (["stats", "NOWHERE"], "no dataset at"),
]


@pytest.mark.parametrize(
    ("command", "said"), READING, ids=[f"{number}" for number in range(len(READING))]
)
def test_reading_is_refused(command: list[str], said: str, dataset: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    document = (dataset / "_metadata.json").read_bytes().replace(b"[\n  1,", b"[\n  2,")
    (newer / "_metadata.json").write_bytes(seal(document[: document.rindex(b",")] + b"}"))
    (newer / "_header.0000000000000000.zst").write_bytes(b"theirs")
    names = {"DATASET": dataset, "NEWER": newer, "OUT": tmp_path / "out", "NOWHERE": tmp_path / "x"}
    done = bams3_(*(names.get(word, word) for word in command))
    assert (done.code, done.out) == (1, b"")
    error, hint = done.err.strip().split("\nhint: ")
    assert error.startswith("error: ") and said in error and hint
    assert not (tmp_path / "out").exists()
    assert len(list(newer.iterdir())) == 2
