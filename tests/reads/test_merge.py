"""Merged datasets hold the records of all, in order."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

import bams3
from bams3 import _core
from bams3.errors import ExistsError, UsageError
from bams3.reads import headers, writer
from bams3.reads.merge import merge
from bams3.reads.verify import verify
from tests.reads import made
from tests.reads.sample import make_bam, make_dataset, samtools


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("merge")
    return [make_bam(folder, 15_000, seed) for seed in (1, 2)]


def lines(url: str | Path, *regions: str) -> list[str]:
    with bams3.open(url) as dataset:
        text = b"".join(
            _core.format_sam(block, dataset.header) for block in dataset.query(*regions).blocks()
        )
    return text.decode().splitlines()


def test_overlapping(lanes: list[Path], tmp_path: Path) -> None:
    sources = [make_dataset(lane) for lane in lanes]
    done = merge(str(tmp_path / "all"), sources)
    assert done.records == 30_000
    merged = lines(tmp_path / "all")
    assert Counter(merged) == Counter(line for source in sources for line in lines(source))
    samtools("merge", "-c", "-o", tmp_path / "all.bam", *lanes)
    theirs = samtools("view", tmp_path / "all.bam").replace("\tRG:Z:a", "")  # which it moves
    assert [line.replace("\tRG:Z:a", "") for line in merged] == theirs.splitlines()
    with bams3.open(tmp_path / "all") as dataset:
        assert verify(dataset).ok
    with pytest.raises(ExistsError):
        merge(str(tmp_path / "all"), sources)


def test_order_is_that_of_samtools_merge(tmp_path: Path) -> None:
    """Also where sources have reverse reads before forward ones, as sorted input may."""
    sources, bams = [], []
    for number in range(3):
        rows = [
            made.line(f"{number}.{n}", position=1 + n // 20, flag=16 * (n * (number + 3) % 7 > 2))
            for n in range(900)
        ]
        text = made.header("coordinate") + "".join(rows)
        bams.append(Path(made.write_sam(tmp_path, text, f"{number}.sam")))
        sources.append(make_dataset(bams[-1]))
    merge(str(tmp_path / "all"), sources)
    samtools("merge", "-c", "-o", tmp_path / "all.bam", *bams)
    assert lines(tmp_path / "all") == samtools("view", tmp_path / "all.bam").splitlines()


def test_apart_is_copied(lanes: list[Path], tmp_path: Path) -> None:
    sources = []
    for contig in ("chr1", "chr2"):
        part = tmp_path / f"{contig}.bam"
        samtools("view", "-b", "--no-PG", "-o", part, lanes[0], contig)
        sources.append(make_dataset(part))
    done = merge(str(tmp_path / "all"), sources[::-1])
    assert done.encoded == 0 and done.copied > 1
    assert lines(tmp_path / "all") == samtools("view", lanes[0], "chr1", "chr2").splitlines()
    with bams3.open(tmp_path / "all") as dataset:
        assert verify(dataset).ok


def test_other_contigs(lanes: list[Path], tmp_path: Path) -> None:
    sam = tmp_path / "x.sam"
    sam.write_text("@SQ\tSN:other\tLN:5\n")
    with pytest.raises(UsageError, match="different contigs"):
        merge(str(tmp_path / "all"), [make_dataset(lanes[0], overwrite=True), make_dataset(sam)])


def test_headers_of_many_contigs_are_joined_at_once() -> None:
    """A line is looked up, not searched for: 60,000 contigs would take a minute."""
    contigs = "".join(f"@SQ\tSN:scaffold_{n}\tLN:{n + 1}\n" for n in range(60_000))
    texts = [f"{contigs}@RG\tID:{lane}\tSM:s\n@CO\tsame\n".encode() for lane in "abc"]
    began = time.process_time()
    joined = headers.merge(texts)
    assert time.process_time() - began < 10
    groups = b"@RG\tID:a\tSM:s\n@CO\tsame\n@RG\tID:b\tSM:s\n@RG\tID:c\tSM:s\n"
    assert joined == contigs.encode() + groups


@pytest.mark.parametrize("crowded", [0, 1])
def test_equal_places_come_in_the_order_of_the_sources(
    crowded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a place is spread over several chunks of one source."""
    monkeypatch.setattr(writer, "CHUNK_BYTES", 1)  # each tile is a chunk
    sources, expected = [], []
    for number in range(2):
        places = [700] + [900] * 20_000 if number == crowded else [900] * 30 + [950]
        rows = [made.line(f"{number}.{n}", position=at) for n, at in enumerate(places)]
        path = made.write_sam(tmp_path, made.header("coordinate") + "".join(rows), f"{number}.sam")
        sources.append(make_dataset(Path(path)))
        expected += rows
    with bams3.open(sources[crowded]) as dataset:
        assert len(dataset.index.chunks) >= 3
    merge(str(tmp_path / "all"), sources)
    in_order = sorted(expected, key=lambda line: int(line.split("\t")[3]))
    assert lines(tmp_path / "all") == [line.rstrip("\n") for line in in_order]
