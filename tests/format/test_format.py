"""The format is what docs/reference/format.md says, and what was written once stays readable.

The other side is tests/format/reader.py, which was written from the document alone. Where these
tests fail, either the change was not meant, or the document and the version have to follow: see
make_golden.py.
"""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pysam
import pytest

from bams3.reads import manifest
from tests.format import arith, layout, make_golden, rans, sam, stats, tokens
from tests.format.core import Record
from tests.format.cursor import Corrupt
from tests.format.reader import Dataset

BAMS3 = Path(sys.executable).parent / "bams3"
VERSIONS = sorted(path for path in make_golden.GOLDEN.iterdir())
OPEN_KEYS = {"created_by", "checksum"}
DATASETS = [path for version in VERSIONS for path in sorted(version.iterdir()) if path.is_dir()]
golden = pytest.mark.parametrize("dataset", DATASETS, ids=[path.name for path in DATASETS])


def bams3(*arguments: object) -> bytes:
    """Return what the program prints."""
    return subprocess.run([BAMS3, *arguments], check=True, stdout=subprocess.PIPE).stdout


def expected(dataset: Path) -> bytes:
    """Return the SAM text of a golden dataset."""
    return lzma.decompress((dataset.parent / f"{dataset.name.split('.')[0]}.sam.xz").read_bytes())


def read(dataset: Path) -> tuple[bytes, list[Record]]:
    """Return SAM text and records as the independent reader has them; statistics are right."""
    opened = Dataset.open(dataset)
    records = list(opened.records())
    assert stats.read(opened.manifest["stats"]) == stats.count(records)
    contigs = [name for name, _ in opened.index.contigs]
    return opened.header() + b"".join(sam.line(r.packed, contigs) for r in records), records


# ---- golden datasets -----------------------------------------------------------------------------
@golden
def test_the_program_reads_golden_datasets(dataset: Path) -> None:
    assert bams3("to-bam", dataset, "-", "--format", "sam", "--no-PG", "--quiet") == expected(
        dataset
    )


@pytest.mark.parametrize("case", ["short", "tables"])
@pytest.mark.parametrize("profile", make_golden.PROFILES)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_the_program_finds_regions_of_golden_datasets(
    version: Path, profile: str, case: str, tmp_path: Path
) -> None:
    source = make_golden.write_bam(case, tmp_path)
    pysam.index(str(source))
    for region in ("chr1:500-520", "chr2", "*"):
        found = bams3("query", version / f"{case}.{profile}", region)
        assert found.decode() == pysam.samtools.view(str(source), region)


@golden
def test_the_independent_reader_reads_golden_datasets(dataset: Path) -> None:
    text, _ = read(dataset)
    assert text == expected(dataset)


@pytest.mark.parametrize("profile", make_golden.PROFILES)
@pytest.mark.parametrize("case", make_golden.CASES)
def test_conversion_is_reproducible(case: str, profile: str, tmp_path: Path) -> None:
    """The same records make the same objects as when the golden datasets were made."""
    made = tmp_path / "made"
    make_golden.convert(make_golden.write_bam(case, tmp_path), made, profile)
    assert objects(made) == objects(VERSIONS[-1] / f"{case}.{profile}")


def objects(dataset: Path) -> dict[str, object]:
    """Return the objects by key, the manifest without what changes with the program."""
    found: dict[str, object] = {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in dataset.rglob("*")
        if path.is_file()
    }
    keys = json.loads((dataset / "_metadata.json").read_bytes())
    found["_metadata.json"] = {key: keys[key] for key in keys if key not in OPEN_KEYS}
    return found


def test_keys_of_odd_contigs() -> None:
    names = [name for name, _ in make_golden.CASES["odd"]()[0]]
    names += ["a%", "x" * 80, "x" * 81, "x" * 59 + "#" * 9, "#" + "x" * 90, "%" * 20 + "y" * 30]
    for name in names:
        assert manifest.escape(name) == layout.escape(name.encode())


@pytest.mark.parametrize("profile", make_golden.PROFILES)
def test_golden_datasets_have_tables_and_hints(profile: str) -> None:
    dataset = VERSIONS[-1] / f"tables.{profile}"
    names = {"chr1", "chr2", "unmapped"} if profile == "fast" else {"chr1", "chr2"}
    assert {path.name for path in dataset.glob("_index/*.hint")} == {f"{n}.hint" for n in names}
    for name in names:
        (table,) = dataset.glob(f"_index/{name}.*.tiles")
        assert table.read_bytes() == (dataset / f"_index/{name}.hint").read_bytes()


@pytest.mark.parametrize("profile", make_golden.PROFILES)
def test_golden_datasets_have_slices(profile: str) -> None:
    slices = Dataset.open(VERSIONS[-1] / f"sliced.{profile}").slices
    assert slices and [len(tile) for tile in slices] == [3, 0]
    assert slices[0][0].reach > slices[0][1].pos


@pytest.mark.parametrize(
    "pattern",
    [
        "_metadata.json",
        "_header.*",
        "_index/chr1.*.tiles",
        "data/chr1/*-000002048.*",
        "data/unm*/*",
    ],
)
def test_the_independent_reader_notices_damage(pattern: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(VERSIONS[-1] / "tables.fast", copy)
    (path,) = copy.glob(pattern)
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 3 // 4] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Corrupt, match=r"digest|checksum"):
        read(copy)


# ---- other people's files ------------------------------------------------------------------------
FILES = {
    "derived/na12878_grch37_chr20_10.0-10.1Mb/NA12878_50x.bam": 3000,
    "wgs/simulated_30x_chr20_30.0-30.5Mb/reads.bam": 3000,
    "deepvariant/deepvariant/testdata/input/test_pacbio.chr20_100kbp_at_9mb.bam": 20,
    "nf-core-modules/data/genomics/homo_sapiens/nanopore/bam/test2.sorted.bam": 100,
    "freebayes/test/splice/1:883884-887618.bam": 1000,
    "samtools/test/mpileup/mpileup.1.bam": 3000,
}
SLOWER = 8
"""The mixing coder takes plain Python so much longer; it reads so many times fewer records."""


@pytest.mark.parametrize("profile", make_golden.PROFILES)
@pytest.mark.parametrize("name", FILES, ids=lambda name: name.rsplit("/", 1)[-1])
def test_the_independent_reader_equals_samtools(
    name: str, profile: str, shared_data: Path, tmp_path: Path
) -> None:
    if not (shared_data / name).exists():
        pytest.skip(f"no {name}")
    count = FILES[name] // (SLOWER if profile == "small" else 1)
    source = first_records(shared_data / name, count, tmp_path / "in.bam")
    bams3("convert", source, tmp_path / "made", "--profile", profile, "--quiet")
    _, records = read(tmp_path / "made")
    given = list(bam_records(source))
    if not Dataset.open(tmp_path / "made").manifest["input_order"]:
        given.sort(key=lambda raw: (*struct.unpack_from("<Ii", raw, 4), raw[18] & 16))
    assert [without_bin(record.packed) for record in records] == [without_bin(raw) for raw in given]


def first_records(source: Path, count: int, target: Path) -> Path:
    """Write the first records of a BAM file, as samtools has them."""
    with pysam.AlignmentFile(str(source), check_sq=False) as file:
        with pysam.AlignmentFile(str(target), "wb", template=file) as out:
            for record, _ in zip(file, range(count), strict=False):
                out.write(record)
    return target


def bam_records(path: Path) -> Iterator[bytes]:
    """Yield the records of a BAM file, as bytes."""
    raw = gzip.decompress(path.read_bytes())
    at = 8 + int.from_bytes(raw[4:8], "little")
    (contigs,) = struct.unpack_from("<I", raw, at)
    at += 4
    for _ in range(contigs):
        at += 8 + struct.unpack_from("<I", raw, at)[0]
    while at < len(raw):
        end = at + 4 + struct.unpack_from("<I", raw, at)[0]
        yield raw[at:end]
        at = end


def without_bin(raw: bytes) -> bytes:
    return raw[:14] + raw[16:]


# ---- the coders of CRAM --------------------------------------------------------------------------
CODERS = {"ransNx16": rans.decode, "range": arith.decode, "tok3": tokens.decode}


@pytest.mark.parametrize("coder", CODERS)
def test_coders_against_the_files_of_hts_specs(coder: str, shared_data: Path) -> None:
    folder = shared_data / "hts-specs" / "test" / "cram" / "codecs"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    decode: Callable[[bytes], bytes] = CODERS[coder]
    for path in sorted((folder / coder).iterdir()):
        if path.stem in ("q40+dir", "qvar") or path.name == "u32.4":
            continue  # for the sake of time; bzip2
        raw = gzip.decompress((folder / "gzip" / f"{path.stem}.gz").read_bytes())
        if coder == "tok3":
            raw = raw.replace(b"\n", b"\0")
        elif path.stem != "u32":
            raw = raw.replace(b"\n", b"")
        assert decode(path.read_bytes()) == raw, path
