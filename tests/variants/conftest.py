"""Samples that many tests call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.variants.sample import KINDS, Sample, make_sample


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sample]:
    """Return the sample of a kind, made once."""
    made: dict[str, Sample] = {}

    def sample(kind: str) -> Sample:
        if kind not in made:
            made[kind] = make_sample(tmp_path_factory.mktemp(kind), KINDS[kind])
        return made[kind]

    return sample


@pytest.fixture
def normal(samples: Callable[[str], Sample]) -> Sample:
    """Two contigs and one whose name has a colon, at 30x."""
    return samples("normal")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where calls go."""
    return tmp_path / "out.vcf.gz"
