"""Arrow consumers take a query as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import bams3
from bams3.errors import InputError
from bams3.reads.arrow import WRITERS
from bams3.reads.dataset import Dataset
from tests.reads.sample import make_bam, make_dataset, samtools

pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("arrow"), count=15_000)


@pytest.fixture(scope="module")
def dataset(bam: Path) -> Iterator[Dataset]:
    with bams3.open(make_dataset(bam)) as dataset:
        yield dataset


def test_columns_are_the_fields_of_sam(bam: Path, dataset: Dataset) -> None:
    rows = pa.table(dataset.query()).to_pylist()
    for row, line in zip(rows, samtools("view", bam).splitlines(), strict=True):
        fields = line.split("\t")
        mate = row["contig"] if fields[6] == "=" else None if fields[6] == "*" else fields[6]
        assert row["name"] == fields[0]
        assert row["flag"] == int(fields[1])
        assert (row["contig"] or "*") == fields[2]
        assert (-1 if row["pos"] is None else row["pos"]) + 1 == int(fields[3])
        assert row["mapq"] == int(fields[4])
        assert (row["cigar"] or "*") == fields[5]
        assert row["mate_contig"] == mate
        assert row["template_length"] == int(fields[8])
        assert [row["sequence"] or "*", row["qualities"] or "*"] == fields[9:11]
        assert row["tags"] == "\t".join(fields[11:])


def test_tags_are_columns(dataset: Dataset) -> None:
    table = pa.table(dataset.query("chr2", columns=["pos", "end", "NM", "RG", "XF:f", "XB"]))
    assert [str(kind) for kind in table.schema.types] == [
        "int64", "int64", "int64", "string", "double", "string",
    ]  # fmt: skip
    assert table.column_names == ["pos", "end", "NM", "RG", "XF", "XB"]
    for row, record in zip(table.to_pylist(), dataset.query("chr2"), strict=True):
        assert (row["pos"], row["end"]) == (record.pos, record.end)
        assert row["NM"] == record.tags.get("NM")
        assert row["XF"] == record.tags.get("XF")
        assert row["XB"] == ("S,1,2,300" if "XB" in record.tags else None)


def test_wrong_type_of_a_tag(dataset: Dataset) -> None:
    with pytest.raises(InputError, match="RG"):
        list(dataset.query(columns=["RG:i"]).batches())


def test_consumers(dataset: Dataset) -> None:
    expected = pa.table(dataset.query("chr2")).num_rows
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(dataset.query("chr2")).height == expected
    duckdb = pytest.importorskip("duckdb")
    records = dataset.query("chr2")
    assert records is not None
    ((found, _),) = duckdb.sql("select count(*), min(pos) from records").fetchall()
    assert found == expected


def test_empty(dataset: Dataset) -> None:
    table = pa.table(dataset.query("empty"))
    assert table.num_rows == 0 and table.num_columns == 13


@pytest.mark.parametrize("kind", ["parquet", "arrow", "tsv", "json"])
def test_files(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    columns = ["name", "pos", "cigar", "NM"]
    with path.open("wb") as out:
        WRITERS[kind](dataset.query("chr2", columns=columns), out)
    expected = pa.table(dataset.query("chr2", columns=columns))
    if kind == "parquet":
        import pyarrow.parquet

        assert pyarrow.parquet.read_table(path).equals(expected)
    elif kind == "arrow":
        assert pa.ipc.open_file(path).read_all().equals(expected)
    elif kind == "json":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [{name: row.get(name) for name in columns} for row in rows] == expected.to_pylist()
    else:
        head, *lines = path.read_text().splitlines()
        assert head == "\t".join(columns)
        texts = (
            ["" if v is None else str(v) for v in row.values()] for row in expected.to_pylist()
        )
        assert lines == ["\t".join(row) for row in texts]
