"""Reads by region, by our reading of BAI, CSI and CRAI, are those that samtools gives."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pysam
import pytest

from bams3 import _core
from bams3.errors import CorruptError, InputError, NotFoundError
from bams3.variants.alignments import open_alignments
from tests.reads import sample as odd
from tests.variants.sample import Sample


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spliced, deep, unmapped and strange reads on seven contigs."""
    return odd.make_bam(tmp_path_factory.mktemp("odd"), 20_000)


def regions(count: int = 60) -> list[tuple[int, int, int]]:
    chance = random.Random(5)
    found = [(tid, 0, length) for tid, length in enumerate(odd.CONTIGS.values())]
    for _ in range(count):
        tid = chance.choice([0, 0, 0, 1, 2, 3, 4, 5, 6])
        length = [*odd.CONTIGS.values()][tid]
        start = chance.randrange(length)
        found.append((tid, start, min(length, start + chance.choice([1, 100, 20_000, 500_000]))))
    return found


def test_bam_through_links(bam: Path, tmp_path: Path) -> None:
    (tmp_path / "x.bam").symlink_to(bam)
    (tmp_path / "x.bai").symlink_to(f"{bam}.bai")
    _check(str(tmp_path / "x.bam"), bam)


@pytest.mark.parametrize("shift", ["14", "10"])
def test_bam_by_csi(shift: str, normal: Sample, tmp_path: Path) -> None:
    copied = tmp_path / "x.bam"
    copied.write_bytes(Path(normal.bam).read_bytes())
    pysam.index("-c", "-m", shift, str(copied))
    reads, chance = open_alignments(str(copied)), random.Random(3)
    with pysam.AlignmentFile(normal.bam) as file:
        for _ in range(30):
            start = chance.randrange(40_000)
            end = start + chance.choice([1, 5_000])
            found = b"".join(reads.records([(0, [(start, end)])]))
            assert _core.count_records(found) == file.count("chr1", start, end)


def test_cram(bam: Path, tmp_path: Path) -> None:
    made = str(tmp_path / "x.cram")
    options = ["-C", "--output-fmt-option", "no_ref=1", "--output-fmt-option", "seqs_per_slice=500"]
    pysam.view(*options, "-o", made, str(bam), catch_stdout=False)
    pysam.index(made)
    with pysam.AlignmentFile(made) as file:  # CRAM does not keep every odd record as it was
        assert file.count(until_eof=True) == 20_000
    _check(made, Path(made), every=16)


def test_a_dataset(bam: Path) -> None:
    _check(odd.make_dataset(bam), bam, every=8)


def _check(url: str, oracle: Path, every: int = 1) -> None:
    reads = open_alignments(url)
    names = [*odd.CONTIGS]
    with pysam.AlignmentFile(str(oracle)) as file:
        for tid, start, end in regions()[::every]:
            blocks = b"".join(reads.records([(tid, [(start, end)])]))
            text = _core.format_sam(blocks, reads.header).decode()
            expected = list(file.fetch(names[tid], start, end))
            assert [line.split("\t")[0] for line in text.splitlines()] == [
                read.query_name for read in expected
            ]
            first = expected[0].reference_start if expected else start
            assert reads.leftmost(tid, start) == start or first < start
            at = next((r.reference_start for r in file.fetch(names[tid], start, start + 1)), start)
            assert reads.leftmost(tid, start) == at
    reads.close()


def test_weights_follow_the_reads(bam: Path) -> None:
    weights = open_alignments(str(bam)).weights("chr1")
    dense = [w for w in weights if w.start <= 400_000 < w.end]
    assert dense and max(weights, key=lambda w: w.bytes) == dense[0]
    pairs = pairwise(weights)
    assert all(one.end <= other.start for one, other in pairs)


def test_what_is_wrong_is_said(bam: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are no alignments"):
        open_alignments(str(tmp_path / "nothing"))
    copied = tmp_path / "x.bam"
    copied.write_bytes(bam.read_bytes())
    with pytest.raises(NotFoundError, match="has no index"):
        open_alignments(str(copied))
    (tmp_path / "x.bam.bai").write_bytes(b"BAI\1\xff\xff\xff\x7f")
    with pytest.raises(CorruptError, match="damaged index"):
        open_alignments(str(copied))
    (tmp_path / "x.bam.bai").write_bytes(Path(f"{bam}.bai").read_bytes())
    copied.write_bytes(bam.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated"):
        open_alignments(str(copied))
