"""Calls in a file of DuckDB: slower to look one up, faster to count them all."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from bams3.errors import ExistsError, InputError, StorageError, UsageError
from bams3.storage.local import LocalStore
from bams3.variants.store import Header
from bams3.variants.store.rows import COLUMNS
from bams3.variants.store.sql import SqlStore, rows_of
from bams3.variants.vcf import Call

PATIENCE = 60.0
"""Seconds to wait for another process to let go of the file."""
_BATCH = 50_000
_BUSY = ("Could not set lock", "different configuration", "already attached")


class DuckStore(SqlStore):
    """Calls in a file of DuckDB, which one process may write, or several read, at a time."""

    scheme = "duckdb"
    _listing = "SELECT table_name FROM information_schema.tables"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        try:
            self._duckdb = importlib.import_module("duckdb")
            self._arrow = importlib.import_module("pyarrow")
        except ImportError:
            raise UsageError("duckdb is not installed", "pip install 'bams3[duckdb]'") from None

    @contextmanager
    def _open(self, write: bool) -> Iterator[Any]:
        try:
            with closing(self._connected(write)) as connection:
                yield connection
        except self._duckdb.Error as error:
            raise StorageError(f"{self.url}: {error}") from error

    def _connected(self, write: bool) -> Any:
        """Connect; wait where another process has the file."""
        folder, name = os.path.split(os.path.abspath(self.path))
        if write and os.path.isdir(folder) and not os.path.exists(self.path):
            self._make_file(folder, name)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._duckdb.connect(self.path, read_only=not write)
            except self._duckdb.Error as error:
                if not any(text in str(error) for text in _BUSY):
                    raise InputError(
                        f"{self.url}: cannot be opened: {error}", "name another file"
                    ) from error
                if time.monotonic() > until:
                    raise StorageError(
                        f"{self.url}: another process has it open",
                        "wait for it; sqlite:/// and dynamodb:// take several at a time",
                    ) from error
                time.sleep(0.1)

    def _make_file(self, folder: str, name: str) -> None:
        """Put an empty database there, whole at once: DuckDB takes half of one for no database."""
        with tempfile.TemporaryDirectory() as scratch:
            empty = Path(scratch) / name
            self._duckdb.connect(str(empty)).close()
            with suppress(ExistsError):
                LocalStore(folder).put_if_absent(name, empty.read_bytes())

    def _begin(self, connection: Any) -> None:
        connection.execute("BEGIN TRANSACTION")

    def _insert(self, connection: Any, calls: Iterator[Call], header: Header) -> int:
        written = 0
        rows = rows_of(calls, header)
        while batch := [*islice(rows, _BATCH)]:
            connection.register("batch", self._table(batch))
            connection.execute("INSERT INTO calls SELECT * FROM batch")
            connection.unregister("batch")
            written += len(batch)
        return written

    def _table(self, rows: list[tuple[Any, ...]]) -> Any:
        pa = self._arrow
        kinds = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64()}
        columns = [
            pa.array(values, kinds.get(kind.split()[0], pa.string()))
            for values, kind in zip(zip(*rows, strict=True), COLUMNS.values(), strict=True)
        ]
        return pa.table(columns, names=[*COLUMNS])
