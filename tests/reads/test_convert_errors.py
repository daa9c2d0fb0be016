"""Conversion of bad input: a clear error, and nothing left behind."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path

import pysam
import pytest

from bams3 import _core
from bams3.errors import Bams3Error, CorruptError, InputError, StorageError, VersionError
from bams3.reads.convert import convert
from bams3.reads.manifest import Manifest, seal
from bams3.storage import Store
from bams3.storage.local import LocalStore
from tests.reads import made

SAM = made.header() + made.shuffled(2000)


def refused(data: bytes | str, tmp_path: Path, match: str) -> InputError:
    """Convert input that must be refused, and look for leftovers."""
    raw = data.encode() if isinstance(data, str) else data
    url = tmp_path / "out"
    with pytest.raises(InputError, match=match) as caught:
        convert(io.BytesIO(raw), str(url), workers=2, sort_buffer=1 << 20)
    assert not [path for path in url.rglob("*") if path.is_file()]
    return caught.value


def written(option: str, tmp_path: Path) -> bytes:
    """Return the test alignments as samtools writes them."""
    sam = made.write_sam(tmp_path, SAM)
    out = str(tmp_path / "in.other")
    options = ["--output-fmt-option", "no_ref=1"] if option == "-C" else []
    pysam.view(option, "--no-PG", *options, "-o", out, sam, catch_stdout=False)
    return Path(out).read_bytes()


CASES = {
    "zero bytes": ("", "empty"),
    "FASTQ": ("@read1\nACGT\n+\nFFFF\n", "FASTQ"),
    "gzipped FASTQ": (gzip.compress(b"@read1\nACGT\n+\nFFFF\n"), "FASTQ"),
    "FASTA": (">chr1\nACGT\n", "FASTA"),
    "noise": (b"\x00\x01\x02" * 100, "not SAM, BAM or CRAM"),
    "VCF": ("##fileformat=VCFv4.2\n#CHROM\tPOS\n", "not SAM, BAM or CRAM"),
    "last line cut off": (SAM[:-10], "last line is cut off"),
    "header cut off": (made.header()[:-1], "cut off"),
    "unknown contig": (made.header() + made.line("r", "chrX"), "chrX"),
    "header missing": (made.line("r"), "chr1"),
    "too few fields": (SAM + "r\t0\tchr1\n", str(SAM.count("\n") + 1)),
    "FLAG not a number": (made.header() + made.line("r").replace("\t0\t", "\tx\t", 1), "FLAG"),
    "gzip cut off": (gzip.compress(SAM.encode())[:-100], "cut off"),
    "gzip damaged": (gzip.compress(SAM.encode())[:200] + b"x" * 999, "damaged|cut off"),
    "not in the order claimed": (
        made.header("coordinate") + made.line("b", position=20) + made.line("a", position=10),
        r"record 2 \(a\) at chr1:10 comes after chr1:20, but the header says SO:coordinate",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_text_is_refused(case: str, tmp_path: Path) -> None:
    data, match = CASES[case]
    refused(data, tmp_path, match)


def test_a_missing_header_comes_with_a_hint(tmp_path: Path) -> None:
    assert "@SQ" in str(refused(made.line("r"), tmp_path, "chr1").hint)


def test_line_numbers_count_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = made.header() + made.shuffled(20_000) + "broken line\n"
    monkeypatch.setattr("bams3.reads.inputs.BLOCK", 1 << 16)
    refused(text, tmp_path, f"line {text.count(chr(10))}\\b")


@pytest.mark.parametrize("option", ["-b", "-u", "-C"])
def test_cut_anywhere_is_refused(option: str, tmp_path: Path) -> None:
    data = written(option, tmp_path)
    chance = random.Random(3)
    ends = [1, 10, len(data) - 1, len(data) - 28, *(chance.randrange(40, len(data)) for _ in "ab")]
    for end in ends:
        refused(data[:end], tmp_path, "input: ")


@pytest.mark.parametrize("option", ["-b", "-u"])
def test_text_after_bam_is_refused(option: str, tmp_path: Path) -> None:
    refused(written(option, tmp_path) + b"samtools: done\n", tmp_path, "input: ")


def test_damaged_bam_is_refused(tmp_path: Path) -> None:
    data = bytearray(written("-b", tmp_path))
    data[len(data) // 2] ^= 0x10
    refused(bytes(data), tmp_path, "input: ")


class FailingStore(LocalStore):
    """A disk that is full after some objects."""

    left = 1

    def put(self, key: str, data: bytes) -> str:  # type: ignore[override]
        FailingStore.left -= 1
        if FailingStore.left < 0:
            raise StorageError("disk full")
        return super().put(key, data)


def test_a_failing_store_ends_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(url: str, options: object = None) -> Store:
        return FailingStore(url)

    monkeypatch.setattr("bams3.reads.convert.open_store", opened)
    with pytest.raises(StorageError, match="disk full"):
        convert(io.BytesIO(SAM.encode()), str(tmp_path / "out"), workers=2, chunk_size=1 << 10)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("what", ["first", "changed"])
def test_wrong_encoding_is_never_published(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, damage = _core.encode_tile, {"first": first, "changed": changed}[what]
    monkeypatch.setattr(_core, "encode_tile", lambda records, o: encode(damage(records), o))
    with pytest.raises(Bams3Error, match="nothing was published"):
        convert(io.BytesIO(SAM.encode()), str(tmp_path / "out"), workers=2)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def first(records: bytes) -> bytes:
    return records[: int.from_bytes(records[:4], "little") + 4]


def changed(records: bytes) -> bytes:
    """Change the first letter of the first name: as many records, but not the same."""
    return records[:36] + bytes([records[36] ^ 1]) + records[37:]


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    convert(io.BytesIO(SAM.encode()), str(tmp_path / "out"), workers=1)
    data = (tmp_path / "out" / "_metadata.json").read_bytes()
    newer = data.replace(b'"version": [\n  1,', b'"version": [\n  2,')
    assert newer != data
    with pytest.raises(CorruptError, match="checksum"):
        Manifest.from_bytes(newer)
    body = newer[: newer.rindex(b",")]
    for sealed in (seal(body + b"}"), body + b"}"):
        with pytest.raises(VersionError, match=r"version 2\.1"):
            Manifest.from_bytes(sealed)
    with pytest.raises(CorruptError, match="checksum is missing"):
        Manifest.from_bytes(data[: data.rindex(b",")] + b"}")


def test_damaged_manifests_are_refused(tmp_path: Path) -> None:
    convert(io.BytesIO(SAM.encode()), str(tmp_path / "out"), workers=1)
    data = (tmp_path / "out" / "_metadata.json").read_bytes()
    for end in range(0, len(data) - 3, 7):
        with pytest.raises(CorruptError, match=r"here\.json"):
            Manifest.from_bytes(data[:end], "here.json")
    for wrong in (
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        data.replace(b'"records": ', b'"records": -'),
    ):
        with pytest.raises(CorruptError, match=r"here\.json"):
            Manifest.from_bytes(wrong, "here.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["records"], -1), (["records"], 1 << 64), (["records"], 1.5), (["records"], True),
        (["chunk_size"], -5), (["counts", "tiles"], -1), (["header", "size"], 1 << 40),
        (["digest"], "0"), (["version"], [1]), (["version"], [1, -1]), (["created_by"], 7),
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_bounds_are_refused(path: list[str], value: object, tmp_path: Path) -> None:
    """Even where the checksum over them is right."""
    convert(io.BytesIO(SAM.encode()), str(tmp_path / "out"), workers=1)
    document = json.loads((tmp_path / "out" / "_metadata.json").read_bytes())
    del document["checksum"]
    Manifest.from_bytes(seal(json.dumps(document, indent=1).encode()))
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(CorruptError, match=r"here\.json: damaged manifest"):
        Manifest.from_bytes(seal(json.dumps(document, indent=1).encode()), "here.json")
