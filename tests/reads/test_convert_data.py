"""Conversion of real alignments from the shared data: every record comes back, in order."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest

from bams3.errors import InputError
from bams3.reads.convert import convert
from tests.reads import made

LARGEST = 200_000


def expected(path: str, order: str, folder: Path) -> list[str]:
    if order == "coordinate":
        return made.alignments(pysam.view("--no-PG", path))
    return made.samtools_sorted(path, folder)


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["bam", "sam", "cram"])
def test_records_of_real_files(kind: str, step: int, shared_data: Path, tmp_path: Path) -> None:
    """Every sixth file; all of them in the soak."""
    converted = 0
    for path in sorted(shared_data.rglob(f"*.{kind}"))[::step]:
        if path.stat().st_size > LARGEST or "failed" in path.parts:
            continue
        url = str(tmp_path / str(converted))
        try:
            convert(str(path), url, workers=2, sort_buffer=1 << 20, profile="fast")
        except InputError:
            continue
        head, lines = made.dataset(url)
        assert lines == expected(str(path), head.sort_order, tmp_path), path
        converted += 1
    assert converted > 5
