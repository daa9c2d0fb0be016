"""Conversion to an object store: the same objects as on disk, spills included."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from bams3.reads import spill
from bams3.reads.convert import convert
from tests.reads import made

SAM = (made.header() + made.shuffled(6000)).encode()


def test_any_store_gets_the_same_objects(
    any_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bams3.reads.inputs.BLOCK", 1 << 16)
    monkeypatch.setattr(spill, "BLOCK", 20_000)
    summary = convert(io.BytesIO(SAM), any_store_url, workers=2, sort_buffer=1 << 20)
    assert summary.bytes_spilled > 0
    convert(io.BytesIO(SAM), str(tmp_path / "plain"), workers=1)
    assert made.objects(any_store_url) == made.objects(str(tmp_path / "plain"))


def test_a_dataset_is_replaced_in_any_store(any_store_url: str) -> None:
    for seed in (1, 2):
        text = (made.header() + made.shuffled(500, seed)).encode()
        convert(io.BytesIO(text), any_store_url, workers=1, overwrite=True)
    manifest = made.manifest_of(any_store_url)
    assert set(made.objects(any_store_url)) == manifest.keys() | {"_metadata.json"}


def test_input_is_read_from_a_store(fake_s3: object, tmp_path: Path) -> None:
    from bams3.storage import open_store

    open_store("s3://bucket/raw").put("in.sam", SAM)
    convert("s3://bucket/raw/in.sam", str(tmp_path / "remote"), workers=1)
    convert(io.BytesIO(SAM), str(tmp_path / "plain"), workers=1)
    assert made.objects(str(tmp_path / "remote")) == made.objects(str(tmp_path / "plain"))
