"""Statistics are those of samtools."""

from __future__ import annotations

from pathlib import Path

import bams3
from bams3.reads import stats
from tests.reads.sample import make_bam, make_dataset, samtools


def test_as_samtools(tmp_path: Path) -> None:
    bam = make_bam(tmp_path, count=15_000)
    with bams3.open(make_dataset(bam)) as dataset:
        found = dataset.stats()
    assert "\n".join(stats.flagstat(found)) + "\n" == samtools("flagstat", bam)
    assert "\n".join(stats.idxstats(found)) + "\n" == samtools("idxstats", bam)
    assert found["records"] == 15_000
    assert "lossless" in stats.render(found)
