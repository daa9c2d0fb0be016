"""Tile tables: where the index of a large dataset does not lie in its manifest.

The tiles of each long contig of a large dataset are an object, which the manifest names by its
digest: a query reads those of its contig alone. So that it need not wait for the manifest first, a
copy of the table, its *hint*, lies where the name of the contig leads. It counts only if it has the
digest that the manifest tells. Where it is missing, old or damaged the table itself is read, one
round later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bams3 import _core
from bams3.errors import Bams3Error, CorruptError, NotFoundError
from bams3.reads.manifest import MAX_BLOB, hint_key, table_hint, table_key

if TYPE_CHECKING:
    from bams3._core import Index, Slices, TableRow
    from bams3.reads.manifest import SliceTable
    from bams3.storage import Store

T = TypeVar("T")
LARGE = 8192
"""Up to so many tiles a dataset has no tables: its manifest is then 0.1 MB larger at most."""
WORTH = 128
"""Tiles of a contig from which on they are a table."""
MOST_HINTS = 32
"""Who asks about more contigs than that waits for the manifest, and then reads what there is."""
_CONNECTIONS = 8


class Table(NamedTuple):
    """A table to be written: its key, that of its hint, and the bytes of both."""

    key: str
    hint: str
    data: bytes


def split(index: Index) -> list[Table]:
    """Move the tiles of long contigs out of the index of a large dataset; return their tables."""
    counts = index.tiles_alone()
    if sum(tiles for _, tiles in counts) <= LARGE:
        return []
    tables: list[bytes] = []
    for tid, tiles in counts:
        if tiles >= WORTH:
            tables.append(_core.zstd_compress(index.table(tid), 9))
            index.move_out(tid, len(tables[-1]), _core.hash64(tables[-1]))
    contigs = index.contigs
    return [
        Table(table_key(contigs, row), table_hint(contigs, row), data)
        for row, data in zip(index.tables, tables, strict=True)
    ]


def load(store: Store, index: Index, tids: Collection[int] | None = None) -> None:
    """Read the tables that are not loaded yet, of some contigs or of all, in one round.

    Raises:
        NotFoundError: One is not there.
        CorruptError: One is damaged.
    """
    missing = [t for t in index.tables if not t.loaded and (tids is None or t.tid in tids)]
    keys = [table_key(index.contigs, table) for table in missing]
    spans = [(key, 0, table.size) for key, table in zip(keys, missing, strict=True)]
    for key, table, data in zip(keys, missing, store.get_many(spans), strict=True):
        if not is_table(data, table):
            raise CorruptError(f"{store.url_of(key)}: fails its checksum")
        _take(index, table, data, store.url_of(key))


def read_slices(store: Store, table: SliceTable) -> Slices:
    """Read the slices of all tiles; raises as `load`."""
    data, url = store.get(table.key), store.url_of(table.key)
    if not is_table(data, table):
        raise CorruptError(f"{url}: fails its checksum")
    return _parsed(_core.Slices.from_bytes, data, url)


def is_table(data: bytes, table: TableRow | SliceTable) -> bool:
    """Whether these are the bytes of a table."""
    return len(data) == table.size and _core.hash64(data) == table.digest


def _take(index: Index, table: TableRow, data: bytes, url: str) -> None:
    _parsed(partial(index.load, table.tid), data, url)


def _parsed(parse: Callable[[bytes], T], data: bytes, url: str) -> T:
    try:
        return parse(_core.zstd_decompress(data, MAX_BLOB))
    except CorruptError as error:
        raise CorruptError(f"{url}: {error.message}", error.hint) from error


class Hints:
    """Hints under way, asked for beside the manifest. Nothing that befalls them is an error."""

    def __init__(self, store: Store, contigs: Iterable[str]) -> None:
        keys = {hint_key(contig) for contig in contigs}
        keys = keys if len(keys) <= MOST_HINTS else set()
        self._store = store
        self._pool = ThreadPoolExecutor(_CONNECTIONS, "bams3-hint")
        self._under_way = {key: self._pool.submit(store.get, key) for key in keys}

    def use(self, index: Index) -> None:
        """Load the tables of an index whose hints come, and are right."""
        for table in index.tables:
            key = table_hint(index.contigs, table)
            if key in self._under_way:
                with suppress(Bams3Error, OSError):
                    data = self._under_way[key].result()
                    if is_table(data, table):
                        _take(index, table, data, self._store.url_of(key))

    def stop(self) -> None:
        """Wait for no more of them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def mend_hints(store: Store, index: Index) -> None:
    """Make hints that are missing or old copies of their tables again."""
    for table in index.tables:
        key = table_hint(index.contigs, table)
        try:
            right = is_table(store.get(key), table)
        except NotFoundError:
            right = False
        if not right:
            store.copy(table_key(index.contigs, table), key)
