"""Columns of a query, and writing them as Parquet, Arrow, TSV or JSON lines."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from bams3.errors import UsageError

if TYPE_CHECKING:
    from bams3.reads.query import Query

COLUMNS = (
    "name",
    "flag",
    "contig",
    "pos",
    "end",
    "mapq",
    "cigar",
    "mate_contig",
    "mate_pos",
    "template_length",
    "sequence",
    "qualities",
    "tags",
)
"""The columns of a query. `pos`, `end`, `mate_pos` are 0-based half-open int64; `flag` uint16,
`mapq` uint8, `template_length` int32; all others text (`qualities` phred + 33, `tags` SAM text with
tabs). What a record does not have is null. A tag's name is a column as well."""

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9](:[ifZ])?")


def checked_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns if all exist. Raises UsageError."""
    for column in columns:
        if column not in COLUMNS and not _TAG.fullmatch(column):
            raise UsageError(
                f"there is no column {column!r}",
                hint=f"columns are {', '.join(COLUMNS)}, and tags such as NM, XY:i, XY:f, XY:Z",
            )
    return tuple(columns)


def write_tsv(query: Query, out: IO[bytes]) -> None:
    """Write a line of column names, then a line for each record; null is empty."""
    out.write("\t".join(name.split(":")[0] for name in query.columns).encode() + b"\n")
    for batch in query.batches():
        out.write(batch.tsv())


def write_json(query: Query, out: IO[bytes]) -> None:
    """Write an object a line; nulls are left out."""
    for batch in query.batches():
        out.write(batch.json())


def write_parquet(query: Query, out: IO[bytes]) -> None:
    """Write a Parquet file, zstd-compressed."""
    parquet = _pyarrow("pyarrow.parquet")
    reader = _pyarrow().RecordBatchReader.from_stream(query)
    with parquet.ParquetWriter(out, reader.schema, compression="zstd") as writer:
        _copy(reader, writer.write_batch)


def write_arrow(query: Query, out: IO[bytes]) -> None:
    """Write an Arrow IPC file (Feather version 2)."""
    pyarrow = _pyarrow()
    reader = pyarrow.RecordBatchReader.from_stream(query)
    with pyarrow.ipc.new_file(out, reader.schema) as writer:
        _copy(reader, writer.write_batch)


def _copy(reader: Any, write: Callable[[Any], None]) -> None:
    for batch in reader:
        write(batch)


def _pyarrow(module: str = "pyarrow") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError("this needs pyarrow", hint="pip install 'bams3[arrow]'") from None


WRITERS: dict[str, Callable[[Query, IO[bytes]], None]] = {
    "tsv": write_tsv,
    "json": write_json,
    "parquet": write_parquet,
    "arrow": write_arrow,
}
"""Writers by the ending of a file's name."""
