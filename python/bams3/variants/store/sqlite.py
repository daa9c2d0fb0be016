"""Calls in a file of SQLite: the store that is always there."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bams3.errors import Bams3Error, InputError, StorageError
from bams3.variants.store import Header, Selection
from bams3.variants.store.rows import COLUMNS, LONG, ORDER
from bams3.variants.store.sql import SqlStore, rows_of
from bams3.variants.vcf import Call

BIN = 100_000
"""Bases of a stretch in the index of genes."""
PATIENCE = 600.0
"""Seconds to wait for another load to end."""


class SqliteStore(SqlStore):
    """Calls in a file of SQLite. Readers are never kept waiting by a load (write-ahead log)."""

    scheme = "sqlite"
    form = (f", PRIMARY KEY ({ORDER})", "WITHOUT ROWID")
    indexes = (
        f"CREATE INDEX calls_long ON calls (contig, pos) WHERE stop - pos > {LONG}",
        "CREATE INDEX calls_of_sample ON calls (sample, contig, pos)",
        "CREATE TABLE genes (gene TEXT, contig INTEGER, bin INTEGER, "
        "PRIMARY KEY (gene, contig, bin)) WITHOUT ROWID",
    )

    @contextmanager
    def _open(self, write: bool) -> Iterator[sqlite3.Connection]:
        # Who reads opens for writing, too, where that is allowed: the last one tidies up the log.
        address = f"{Path(self.path).absolute().as_uri()}?mode={'rwc' if write else 'rw'}"
        try:
            connection = sqlite3.connect(
                address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            with closing(connection):
                connection.execute(f"PRAGMA query_only = {int(not write)}")
                yield connection
        except sqlite3.Error as error:
            raise _translated(error, self.url) from error

    def _begin(self, connection: sqlite3.Connection) -> None:
        until = time.monotonic() + PATIENCE
        while not _logs_ahead(connection) and time.monotonic() < until:
            time.sleep(0.05)
        connection.execute("BEGIN IMMEDIATE")

    def _insert(self, connection: sqlite3.Connection, calls: Iterator[Call], header: Header) -> int:
        numbers = {name: number for number, name in enumerate(header.contigs)}
        genes: set[tuple[str, int, int]] = set()

        def noted() -> Iterator[Call]:
            for call in calls:
                place = numbers[call.contig], call.pos // BIN
                genes.update((gene, *place) for gene in (call.gene or "").split(",") if gene)
                yield call

        marks = ", ".join("?" * len(COLUMNS))
        done = connection.executemany(
            f"INSERT INTO calls VALUES ({marks})", rows_of(noted(), header)
        )
        connection.executemany("INSERT OR IGNORE INTO genes VALUES (?, ?, ?)", genes)
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")  # else the index of long alleles is not made use of
        return max(done.rowcount, 0)

    def _source(self, selection: Selection) -> tuple[str, list[Any]]:
        """Look for a gene where it has been seen; calls that have gone are no harm there."""
        if selection.gene is None:
            return super()._source(selection)
        near = f"calls.pos >= g.bin * {BIN} AND calls.pos < (g.bin + 1) * {BIN}"
        return (
            f"(SELECT contig, bin FROM genes WHERE gene = ?) AS g "
            f"JOIN calls ON calls.contig = g.contig AND {near}",
            [selection.gene],
        )


def _logs_ahead(connection: sqlite3.Connection) -> bool:
    """Ask for a write-ahead log; False while another connection is in the way.

    SQLite waits by itself for all locks but this one: two that would both change the journal of a
    new file would wait for each other, so one is told that it is busy.
    """
    try:
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _translated(error: sqlite3.Error, url: str) -> Bams3Error:
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        return InputError(f"{url}: is no database of SQLite", "name another file")
    hint = "another load is running" if "locked" in str(error) else None
    return StorageError(f"{url}: {error}", hint)
