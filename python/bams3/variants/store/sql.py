"""What SQLite and DuckDB have in common: tables, a load in one transaction, queries."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from bams3.errors import InputError, NotFoundError, UsageError, VersionError
from bams3.regions import Region
from bams3.variants.store import Header, Selection
from bams3.variants.store.pages import read_page
from bams3.variants.store.rows import COLUMNS, ORDER, SELECTED, call_of, conditions, row_of
from bams3.variants.store.tally import Key, Values, summary
from bams3.variants.vcf import Call

VERSION = 1
_FETCHED = 1000
_TABLES = (
    "CREATE TABLE bams3_calls (version INTEGER NOT NULL)",
    f"INSERT INTO bams3_calls VALUES ({VERSION})",
    "CREATE TABLE contigs (number INTEGER, name TEXT NOT NULL, length BIGINT NOT NULL)",
    "CREATE TABLE samples (number INTEGER, name TEXT NOT NULL)",
    "CREATE TABLE definitions (number INTEGER, name TEXT NOT NULL, line TEXT NOT NULL)",
)
_COUNTS = """
SELECT sample, contig, kind, transition, count(*), sum(qual), count(qual), sum(depth), count(depth),
       sum(allele_fraction), count(allele_fraction)
FROM calls GROUP BY sample, contig, kind, transition"""

Connection = Any
"""Of sqlite3 or duckdb: `execute` gives what has `fetchone`, `fetchmany` and `fetchall`."""


class SqlStore(ABC):
    """Calls in a file of a database.

    A load is one transaction: readers see what was there before it until it is committed, and one
    that is killed is rolled back.
    """

    scheme: str
    form = ("", "")
    """What the table of calls has after its columns, and after that."""
    indexes: Sequence[str] = ()

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def url(self) -> str:
        """The address that opens it."""
        return f"{self.scheme}:///{self.path}"

    def close(self) -> None:
        """Let go of connections: there are none between calls of the methods."""
        return

    @abstractmethod
    def _open(self, write: bool) -> AbstractContextManager[Connection]:
        """Connect, and raise our errors for those of the database."""

    @abstractmethod
    def _begin(self, connection: Connection) -> None:
        """Begin to write."""

    @abstractmethod
    def _insert(self, connection: Connection, calls: Iterator[Call], header: Header) -> int:
        """Insert calls; return how many."""

    def _source(self, selection: Selection) -> tuple[str, list[Any]]:
        """Return what to select from."""
        return "calls", []

    # ---- writing ---------------------------------------------------------------------------------
    def replace(
        self, header: Header, calls: Iterable[Call], scope: Sequence[Region] | None = None
    ) -> int:
        """Put calls in place of those of the same samples. See `Store`."""
        with self._open(write=True) as connection:
            self._begin(connection)
            if not self._check(connection):
                self._make(connection)
            known = _header(connection).joined(header, self.url)
            _keep(connection, known)
            numbers = {name: number for number, name in enumerate(known.contigs)}
            for text, values in _hidden(header.samples, scope, numbers):
                connection.execute(f"DELETE FROM calls WHERE {text}", values)
            written = self._insert(connection, iter(calls), known)
            connection.execute("COMMIT")
        return written

    def _make(self, connection: Connection) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        more, form = self.form
        calls = f"CREATE TABLE calls ({columns}{more}) {form}"
        for statement in (*_TABLES, calls, *self.indexes):
            connection.execute(statement)

    # ---- reading ---------------------------------------------------------------------------------
    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, Header]]:
        if not os.path.exists(self.path):
            raise _missing(self.url)
        with self._open(write=False) as connection:
            if not self._check(connection):
                raise _missing(self.url)
            yield connection, _header(connection)

    def header(self) -> Header:
        """Return contigs, samples and definitions."""
        with self._reading() as (_, header):
            return header

    def query(self, selection: Selection, *, page: str | None = None) -> Iterator[Call]:
        """Yield calls by contig, position, alleles, sample. See `Store`."""
        after = None if page is None else read_page(page)
        with self._reading() as (connection, header):
            names = [*header.contigs]
            numbers = {name: number for number, name in enumerate(names)}
            if after is not None and after[0] not in numbers:
                raise UsageError(f"{self.url}: has no contig {after[0]}, which the page names")
            if selection.region is not None and selection.region.contig not in numbers:
                return
            source, values = self._source(selection)
            where = conditions(selection, after, numbers)
            text = " AND ".join(f"({condition})" for condition, _ in where) or "1 = 1"
            found = connection.execute(
                f"SELECT {SELECTED} FROM {source} WHERE {text} ORDER BY {_ORDER}",
                [*values, *(value for _, more in where for value in more)],
            )
            while rows := found.fetchmany(_FETCHED):
                yield from (call_of(row, names) for row in rows)

    def stats(self) -> dict[str, Any]:
        """Return counts. See `Store`."""
        with self._reading() as (connection, header):
            names = [*header.contigs]
            rows = connection.execute(_COUNTS).fetchall()
            return summary(header, (_tallied(row, names) for row in rows))

    # ---- what the file is ------------------------------------------------------------------------
    def _check(self, connection: Connection) -> bool:
        """Whether calls are kept here; False for an empty database.

        Raises:
            InputError: It is a database of something else.
            VersionError: It was written by a newer version.
        """
        tables = {name for (name,) in connection.execute(self._listing).fetchall()}
        if not tables:
            return False
        if "bams3_calls" not in tables:
            raise InputError(
                f"{self.url}: is a database of something else: it has {', '.join(sorted(tables))}",
                "name another file",
            )
        (version,) = connection.execute("SELECT version FROM bams3_calls").fetchone()
        if version > VERSION:
            raise VersionError(f"{self.url}: was written by a newer bams3", "upgrade bams3")
        return True

    _listing = "SELECT name FROM sqlite_master WHERE type = 'table'"


_ORDER = ", ".join(f"calls.{name}" for name in ORDER.split(", "))


def _missing(url: str) -> NotFoundError:
    return NotFoundError(
        f"{url}: there is no store of calls", f"bams3 variants load calls.vcf.gz --store {url}"
    )


def _header(connection: Connection) -> Header:
    def rows(columns: str, table: str) -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM {table} ORDER BY number"
        return [tuple(row) for row in connection.execute(query).fetchall()]

    names = tuple(name for (name,) in rows("name", "samples"))
    contigs, lines = rows("name, length", "contigs"), rows("name, line", "definitions")
    return Header(dict(contigs), names, dict(lines))


def _keep(connection: Connection, header: Header) -> None:
    """Write what is known of contigs, samples and definitions."""
    tables: dict[str, Sequence[tuple[Any, ...]]] = {
        "contigs": [*header.contigs.items()],
        "samples": [(name,) for name in header.samples],
        "definitions": [*header.definitions.items()],
    }
    for table, rows in tables.items():
        connection.execute(f"DELETE FROM {table}")
        for number, row in enumerate(rows):
            marks = ", ".join("?" * (1 + len(row)))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", [number, *row])


def _hidden(
    samples: Sequence[str], scope: Sequence[Region] | None, numbers: dict[str, int]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield what a load replaces, as conditions."""
    for sample in samples:
        if scope is None:
            yield "sample = ?", [sample]
        for region in scope or ():
            start, end = region.interval
            text = "sample = ? AND contig = ? AND pos >= ? AND pos < ?"
            yield text, [sample, numbers[region.contig], start, end]


def _tallied(row: tuple[Any, ...], names: Sequence[str]) -> tuple[Key, Values]:
    sample, contig, kind, change, *values = row
    return (sample, names[contig], kind, change), [float(value or 0) for value in values]


def rows_of(calls: Iterable[Call], header: Header) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of calls."""
    numbers = {name: number for number, name in enumerate(header.contigs)}
    return (row_of(call, numbers) for call in calls)
