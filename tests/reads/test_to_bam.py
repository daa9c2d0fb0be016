"""The records come back bit for bit, and the header with them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

import bams3
from bams3 import _core
from bams3.errors import Bams3Error, NotFoundError
from bams3.reads import headers
from bams3.reads.dataset import Dataset
from bams3.reads.to_bam import to_bam
from bams3.reads.verify import verify
from tests.reads.sample import HEADER, make_bam, make_dataset, samtools


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("to_bam"), count=15_000)


@pytest.fixture(scope="module")
def dataset(bam: Path) -> Iterator[Dataset]:
    with bams3.open(make_dataset(bam)) as dataset:
        yield dataset


@pytest.mark.parametrize("ending", ["bam", "sam"])
def test_whole(bam: Path, dataset: Dataset, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    done = to_bam(dataset, out, pg=False)
    assert done.records == 15_000
    assert samtools("view", "-h", "--no-PG", out) == samtools("view", "-h", "--no-PG", bam)
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    if ending == "bam":
        pysam.quickcheck(str(out))
        assert samtools("idxstats", out) == samtools("idxstats", bam)
        assert samtools("view", out, "chr2:100-900") == samtools("view", bam, "chr2:100-900")


def test_contigs_too_long_for_bai(tmp_path: Path) -> None:
    """A .csi stands where a contig exceeds 2^29, and samtools finds the same by it."""
    places = [1, 536_870_900, 536_870_913, 1_000_000_000, 1_999_999_000]
    contigs = {"wheat": 2_000_000_000, "small": 5_000}
    text = "@HD\tVN:1.6\tSO:coordinate\n"
    text += "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in contigs.items())
    for name, at in [*(("wheat", at) for at in places), ("small", 9)]:
        text += f"{at}\t0\t{name}\t{at}\t60\t100M\t*\t0\t0\t{'ACGTT' * 20}\t*\n"
    sam, theirs, ours = (tmp_path / name for name in ("in.sam", "theirs.bam", "ours.bam"))
    sam.write_text(text)
    samtools("view", "-b", "--no-PG", "-o", theirs, sam)
    samtools("index", "-c", "-o", f"{theirs}.csi", theirs)
    with bams3.open(make_dataset(theirs)) as dataset:
        done = to_bam(dataset, ours, pg=False)
    assert done.index == f"{ours}.csi"
    assert not (tmp_path / "ours.bam.bai").exists()
    assert samtools("idxstats", ours) == samtools("idxstats", theirs)
    for at in places:
        region = f"wheat:{at:,}-{at + 1:,}"
        found = samtools("view", ours, region)
        assert found == samtools("view", theirs, region)
        assert str(at) in [line.split("\t")[0] for line in found.splitlines()]
    assert samtools("view", ours, "wheat:536,871,100-999,999,999") == ""


@pytest.mark.parametrize(("length", "ending"), [(1 << 29, "bai"), ((1 << 29) + 1, "csi")])
def test_the_limit_of_bai(length: int, ending: str, tmp_path: Path) -> None:
    sam, out, at = tmp_path / "in.sam", tmp_path / "out.bam", (1 << 29) - 99
    sam.write_text(
        f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:x\tLN:{length}\n"
        f"r\t0\tx\t{at}\t60\t100M\t*\t0\t0\t{'ACGTT' * 20}\t*\n"
    )
    with bams3.open(make_dataset(sam)) as dataset:
        assert to_bam(dataset, out).index == f"{out}.{ending}"
    assert samtools("view", "-c", out, f"x:{1 << 29}").strip() == "1"


def test_cram(bam: Path, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.cram"
    to_bam(dataset, out, pg=False, format=None)
    theirs = tmp_path / "theirs.cram"
    samtools("view", "-C", "--output-fmt-option", "no_ref=1", "-o", theirs, bam)
    assert samtools("view", out) == samtools("view", theirs)
    assert (tmp_path / "out.cram.crai").exists()


def test_region(bam: Path, dataset: Dataset, tmp_path: Path) -> None:
    regions = ["chr1:60,000-140,000", "chr1:100,000-200,000"]
    to_bam(dataset, tmp_path / "out.bam", regions=regions)
    assert samtools("view", tmp_path / "out.bam") == samtools("view", "-M", bam, *regions)


def test_a_pipe_is_written_to_and_stays(bam: Path, dataset: Dataset, tmp_path: Path) -> None:
    pipe = tmp_path / "out.bam"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(pipe.read_bytes)
        assert to_bam(dataset, pipe).index is None
        assert stat.S_ISFIFO(pipe.stat().st_mode) and list(tmp_path.iterdir()) == [pipe]
    (tmp_path / "got.bam").write_bytes(got.result(timeout=60))
    assert samtools("view", tmp_path / "got.bam") == samtools("view", bam)


def test_a_folder_that_is_not_there_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere/out\.bam: there is no such folder"):
        to_bam(dataset, tmp_path / "nowhere" / "out.bam")


def test_a_link_stays(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.bam", tmp_path / "out.bam"
    real.write_bytes(b"old")
    link.symlink_to(real)
    to_bam(dataset, link)
    assert link.is_symlink() and samtools("view", "-c", real) == "15000\n"
    assert samtools("view", "-c", link, "chr2") == str(dataset.query("chr2").count()) + "\n"
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["elsewhere", "out.bam", "out.bam.bai", "real.bam"]


def test_program_line(dataset: Dataset, tmp_path: Path) -> None:
    to_bam(dataset, tmp_path / "out.bam", command_line="bams3 to-bam x")
    text = samtools("view", "-H", "--no-PG", tmp_path / "out.bam")
    version = bams3.__version__
    line = f"@PG\tID:bams3\tPN:bams3\tPP:aligner\tVN:{version}\tCL:bams3 to-bam x\n"
    assert text == HEADER + line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"@HD\tVN:1.6\tSO:coordinate\n"),
        (b"@HD\tVN:1.5\tSO:unsorted\tGO:query\n", b"@HD\tVN:1.5\tSO:coordinate\n"),
        (b"@HD\tVN:1.5\n@CO\tx\n", b"@HD\tVN:1.5\tSO:coordinate\n@CO\tx\n"),
    ],
)
def test_order_in_header(before: bytes, after: bytes) -> None:
    assert headers.sorted_by_coordinate(before) == after


def test_verify(bam: Path, dataset: Dataset, tmp_path: Path) -> None:
    assert verify(dataset, against=str(bam)).ok
    assert verify(dataset, quick=True).ok
    part = tmp_path / "part.bam"
    samtools("view", "-b", "-F", "16", "-o", part, bam)
    (problem,) = verify(dataset, against=str(part)).problems
    assert "first on chr1" in problem


def test_verify_against_tells_any_difference(bam: Path, dataset: Dataset, tmp_path: Path) -> None:
    """As many records on each contig, but one of them changed; or other contigs."""
    text = samtools("view", "-h", "--no-PG", bam)
    at = text.rindex("\tchr2\t")
    start = text.rindex("\n", 0, at) + 1
    one, renamed = tmp_path / "one.sam", tmp_path / "renamed.sam"
    one.write_text(text[:start] + "X" + text[start + 1 :])
    (problem,) = verify(dataset, against=str(one)).problems
    assert "not the same ones" in problem
    renamed.write_text(text.replace("SN:chrM", "SN:MT").replace("\tchrM\t", "\tMT\t"))
    longer = tmp_path / "longer.sam"
    longer.write_text(text.replace("LN:16569", "LN:16570"))
    for path in (renamed, longer):
        (problem,) = verify(dataset, against=str(path)).problems
        assert problem == "the contigs of the two, or their lengths, differ"


def test_verify_tells_whether_the_header_is_the_same(
    bam: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """Another one is no fault: programs add lines. But who deletes the file has to know."""
    other = tmp_path / "other.bam"
    samtools("view", "-b", "-o", other, bam)  # adds a line @PG
    for against, same in ((bam, True), (other, False)):
        found = verify(dataset, against=str(against))
        assert found.ok and found.same_header is same
    assert verify(dataset).same_header is None


@pytest.mark.parametrize(
    ("field", "said"), [("records", "15,000 records instead of the 15,001"), ("digest", "digest")]
)
def test_verify_compares_with_the_manifest(dataset: Dataset, field: str, said: str) -> None:
    manifest = replace(dataset.manifest, **{field: getattr(dataset.manifest, field) + 1})
    (problem,) = verify(Dataset(dataset.store, manifest, 0)).problems
    assert said in problem


def test_verify_counts_the_records_of_each_tile(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = _core.count_records
    monkeypatch.setattr(_core, "count_records", lambda records: count(records) + 1)
    problems = verify(dataset).problems
    assert len(problems) == dataset.manifest.counts["tiles"]
    assert all("not as many records" in problem for problem in problems)


def test_cram_with_a_reference_that_is_none_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    """And nothing is left where the file would have been."""
    (tmp_path / "ref.fa").write_text("no FASTA\n")
    with pytest.raises(Bams3Error, match="could not write CRAM") as caught:
        to_bam(dataset, tmp_path / "out.cram", reference=tmp_path / "ref.fa")
    assert "the one that the reads were aligned to?" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match=r"no reference .*none\.fa"):
        to_bam(dataset, tmp_path / "out.cram", reference=tmp_path / "none.fa")
    assert {path.name for path in tmp_path.iterdir()} <= {"ref.fa", "ref.fa.fai"}


def test_verify_finds_damage(bam: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy.bams3"
    shutil.copytree(bam.with_suffix(".bams3"), copy)
    chunk = min(copy.glob("data/*/*.chunk"))
    data = chunk.read_bytes()
    chunk.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with bams3.open(copy) as dataset:
        assert verify(dataset, quick=True).ok
        assert chunk.name in verify(dataset).problems[0]
    chunk.write_bytes(data[:-1])
    with bams3.open(copy) as dataset:
        (problem,) = verify(dataset, quick=True).problems
        assert f"{chunk.name}: {len(data) - 1:,} bytes instead of {len(data):,}" in problem
    chunk.unlink()
    with bams3.open(copy) as dataset:
        assert "missing" in verify(dataset, quick=True).problems[0]
