"""Write calls: as a table to read, CSV, JSON, VCF or Parquet."""

from __future__ import annotations

import csv
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from bams3.config import StorageOptions
from bams3.errors import CallError, InputError, UsageError
from bams3.reads.to_bam import opened
from bams3.storage import open_store
from bams3.variants.callers import bcftools
from bams3.variants.merge import publish
from bams3.variants.pipes import run
from bams3.variants.store.header import Header
from bams3.variants.vcf import Call, indexed
from bams3.variants.vcf_lines import vcf_lines

Row = dict[str, Any]

COLUMNS = {
    "sample_id": str, "chromosome": str, "position": int, "id": str, "ref": str, "alt": str,
    "quality": float, "filter": str, "type": str, "genotype": str, "depth": int, "ref_depth": int,
    "alt_depth": int, "allele_freq": float, "gene": str, "consequence": str,
}  # fmt: skip
"""Of all tables. JSON and Parquet have `info` and `format`, too. Positions are 1-based."""
_WIDEST = 24
_BATCH = 20_000


def row_of(call: Call) -> Row:
    """Return the row of a call, by `COLUMNS`."""
    values = (
        call.sample, call.contig, call.pos + 1, call.id, call.ref, call.alt, call.qual, call.filter,
        call.kind, call.genotype, call.depth, call.ref_depth, call.alt_depth, call.allele_fraction,
        call.gene, call.consequence,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


# ---- forms ---------------------------------------------------------------------------------------
def _write_csv(calls: Iterable[Call], out: IO[bytes], *_: Any) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(row_of, calls))
    finally:
        text.detach()  # `out` is closed by who has opened it


def _write_json(calls: Iterable[Call], out: IO[bytes], *_: Any) -> None:
    """Write a list of objects, one a line."""
    between = b"[\n"
    for call in calls:
        more = {"info": json.loads(call.info), "format": json.loads(call.format)}
        out.write(between + json.dumps({**row_of(call), **more}).encode())
        between = b",\n"
    out.write(b"\n]\n" if between == b",\n" else b"[]\n")


def _write_table(calls: Iterable[Call], out: IO[bytes], *_: Any) -> None:
    """Write columns as wide as the first calls need; alleles that are long are cut."""
    rows = ([_cell(value) for value in row_of(call).values()] for call in calls)
    first = [[*COLUMNS], *islice(rows, 1000)]
    widths = [max(map(len, column)) for column in zip(*first, strict=True)]
    for row in chain(first, rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write(f"{line.rstrip()}\n".encode())


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    text = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _write_vcf(
    calls: Iterable[Call], out: IO[bytes], header: Header, samples: Sequence[str]
) -> None:
    for line in vcf_lines(calls, header, samples):
        out.write(f"{line}\n".encode())


def _write_parquet(calls: Iterable[Call], out: IO[bytes], *_: Any) -> None:
    try:
        pa, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError("pyarrow is not installed", "pip install 'bams3[arrow]'") from None
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    fields = [(name, kinds[kind]) for name, kind in COLUMNS.items()]
    schema = pa.schema([*fields, ("info", pa.string()), ("format", pa.string())])
    rest = ({**row_of(call), "info": call.info, "format": call.format} for call in calls)
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        while rows := [*islice(rest, _BATCH)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))


_Writer = Callable[[Iterable[Call], IO[bytes], Header, Sequence[str]], None]
FORMS: dict[str, _Writer] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
    "vcf": _write_vcf,
    "parquet": _write_parquet,
}
_PACKED = (".vcf.gz", ".vcf.bgz", ".bcf")


# ---- files ---------------------------------------------------------------------------------------
def form_of(file: str) -> str:
    """Return the form that the name of a file asks for. Raises UsageError."""
    if file.endswith(_PACKED):
        return "vcf"
    form = {"txt": "table"}.get(Path(file).suffix[1:], Path(file).suffix[1:])
    if form not in FORMS:
        raise UsageError(
            f"{file}: what is it to be?",
            "end it with .csv, .json, .vcf, .vcf.gz, .bcf, .parquet or .txt",
        )
    return form


def write_calls(
    calls: Iterable[Call],
    header: Header,
    *,
    form: str = "table",
    file: str = "-",
    samples: Sequence[str] = (),
    storage: StorageOptions | None = None,
) -> None:
    """Write calls.

    Args:
        calls: In the order in which a store yields them.
        header: Of the store.
        form: See `FORMS`.
        file: Where to, "-" for standard output; it appears when it is whole. One that ends with
            .vcf.gz or .bcf is compressed and indexed, and may lie on S3.
        samples: Columns of VCF; all by default.
        storage: How to reach S3.

    Raises:
        UsageError: What it needs is not installed.
    """
    names = samples or header.samples
    if form == "vcf" and file.endswith(_PACKED):
        return _write_indexed(vcf_lines(calls, header, names), header, file, storage)
    with opened(file) as (out, _):
        FORMS[form](calls, out, header, names)


def _write_indexed(
    lines: Iterator[str], header: Header, file: str, storage: StorageOptions | None
) -> None:
    output = "calls.bcf" if file.endswith(".bcf") else "calls.vcf.gz"
    options, index = indexed(output, header.contigs.values())
    with tempfile.TemporaryDirectory(prefix="bams3-query-") as name:
        folder = Path(name)
        view = bcftools("view", "--no-version", *options, "input")
        try:
            run([view], {"input": (f"{line}\n".encode() for line in lines)}, folder)
        except CallError as error:
            raise InputError(f"{file}: the calls are no VCF: {error.message}") from error
        target, _, key = (file if "://" in file else str(Path(file).absolute())).rpartition("/")
        store = open_store(target or "/", storage)
        publish(store, key, (folder / output, folder / index))
        store.close()
