"""Stores on bad days: killed loads, several at a time, throttling, and what is no store."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bams3.errors import ChangedError, InputError, PermissionDenied, StorageError, VersionError
from bams3.variants.load import load
from bams3.variants.store import Selection, Store, dynamo_load, dynamodb, open_store
from bams3.variants.store import catalog as catalogs
from bams3.variants.store.dynamo_table import Item, Table
from bams3.variants.vcf import Call
from tests.servers.dynamodb import DynamoServer, leave_unprocessed, refuse
from tests.servers.proxy import FaultProxy, fail, reset
from tests.variants.calls import SAMPLES, found, key_of, write_vcf
from tests.variants.conftest import EVERY_STORE
from tests.variants.stored import HEADER, Death, calls_of, count_items, die, dynamo, marks

pytestmark = pytest.mark.usefixtures("tools")
ROOT = Path(__file__).parents[2]
MAKE = """
import sys, time
from bams3.variants.store import Header, open_store
start, *urls = sys.argv[1:]
for number, url in enumerate(urls):
    time.sleep(max(float(start) + number * 0.05 - time.time(), 0))
    open_store(url).replace(Header({"20": 1000}, ("x",)), [])
"""
LOAD = "import sys; from bams3.variants.load import load; load(*sys.argv[1:])"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files with the same samples and other calls."""
    folder = tmp_path_factory.mktemp("calls")
    return write_vcf(folder / "x.vcf.gz"), write_vcf(folder / "y.vcf.gz", seed=2)


def python(*words: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    return subprocess.Popen([sys.executable, "-c", *words], env=environ)


def loader(path: Path, url: str) -> subprocess.Popen[bytes]:
    return python(LOAD, str(path), url)


# ---- killed --------------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [0.9, 1.3, 1.7])
def test_a_load_that_is_killed_is_seen_whole_or_not_at_all(
    after: float, store: Store, files: tuple[Path, Path]
) -> None:
    load(files[0], store.url)
    before = [*store.query(Selection())], store.stats()
    child = loader(files[1], store.url)
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    child.wait()
    killed = [*store.query(Selection())], store.stats()
    load(files[1], store.url)
    assert sorted(map(key_of, store.query(Selection()))) == sorted(found(files[1]))
    whole = [*store.query(Selection())], store.stats()
    assert before != whole and killed in (before, whole)  # it may have died after its commit


def test_a_load_killed_between_two_writes_is_removed_later(
    dynalite: DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a dead load has written goes with the next load that is committed."""
    store = dynamo()
    store.replace(HEADER, calls_of("old"))
    rows = count_items(store)
    monkeypatch.setattr(dynamodb.Load, "_indexes", die)
    monkeypatch.setattr(dynamodb.DynamoStore, "_clean", lambda *_: None)
    monkeypatch.setattr(catalogs.Catalog, "abandoned", lambda self, _: self)  # as if killed
    with pytest.raises(Death):
        store.replace(HEADER, calls_of("dead", 80))
    monkeypatch.undo()
    for name, value in dynalite.environ.items():
        monkeypatch.setenv(name, value)
    assert count_items(store) > rows and marks(store) == {"old": 40}
    monkeypatch.setattr(catalogs, "ABANDONED", -1.0)
    store.replace(HEADER, calls_of("new"))
    assert count_items(store) == rows and marks(store) == {"new": 40}


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_whatever_a_dead_load_wrote_last_is_removed(
    last: int, dynalite: DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of a flush, its calls, the next one: what is written is known before."""
    store, write, left = dynamo(), Table.write, [last]
    store.replace(HEADER, calls_of("old"))
    rows = count_items(store)

    def dying(self: Table, items: Sequence[Item]) -> None:
        write(self, items)
        left[0] -= 1
        if not left[0]:
            raise Death

    with monkeypatch.context() as patched:
        patched.setattr(dynamo_load, "FLUSH", 20)
        patched.setattr(Table, "write", dying)
        patched.setattr(dynamodb.DynamoStore, "_clean", lambda *_: None)
        patched.setattr(catalogs.Catalog, "abandoned", lambda self, _: self)  # as if killed
        with pytest.raises(Death):
            store.replace(HEADER, calls_of("dead"))
    monkeypatch.setattr(catalogs, "ABANDONED", -1.0)
    store.replace(HEADER, calls_of("new"))
    assert count_items(store) == rows and marks(store) == {"new": 40}


def test_a_load_that_was_taken_for_dead_is_not_committed(
    dynalite: DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = dynamo()

    def slowly() -> Iterator[Call]:
        yield from calls_of("slow")
        monkeypatch.setattr(catalogs, "ABANDONED", -1.0)
        store.replace(HEADER, calls_of("quick"))
        monkeypatch.undo()
        for name, value in dynalite.environ.items():
            monkeypatch.setenv(name, value)

    with pytest.raises(StorageError, match="taken for dead"):
        store.replace(HEADER, slowly())
    assert marks(store) == {"quick": 40}


# ---- several at a time ---------------------------------------------------------------------------
@pytest.mark.parametrize("store", EVERY_STORE, indirect=True)
def test_two_loads_at_once(store: Store, files: tuple[Path, Path]) -> None:
    """One of them is the last; of it everything is there, and nothing of the other."""
    children = [loader(path, store.url) for path in files]
    assert [child.wait() for child in children] == [0, 0]
    got = sorted(map(key_of, store.query(Selection())))
    assert got in [sorted(found(path)) for path in files]
    assert store.stats()["calls"] == len(got)


def test_the_same_load_twice_at_once(store: Store, files: tuple[Path, Path]) -> None:
    children = [loader(files[0], store.url) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert sorted(map(key_of, store.query(Selection()))) == sorted(found(files[0]))


def test_a_new_file_of_sqlite_is_made_by_several_at_once(tmp_path: Path) -> None:
    """They meet over its journal, where SQLite does not wait by itself."""
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(50)]
    start = str(time.time() + 1)
    children = [python(MAKE, start, *urls) for _ in range(4)]
    assert [child.wait() for child in children] == [0, 0, 0, 0]
    assert {open_store(url).header().samples for url in urls} == {("x",)}


def test_a_new_file_of_duckdb_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Who looks at half of one is told that it is no database."""
    seen: set[int] = set()

    def watch(path: Path) -> None:
        while not path.exists():
            pass
        seen.add(path.stat().st_size)

    for number in range(20):
        path = tmp_path / f"{number}.duckdb"
        thread = threading.Thread(target=watch, args=[path])
        thread.start()
        open_store(f"duckdb:///{path}").replace(HEADER, [])
        thread.join()
    assert min(seen) >= 3 * 4096  # its three headers


def test_loads_of_different_samples_at_once(store: Store, tmp_path: Path) -> None:
    names = ("one", "two", "three")
    paths = [write_vcf(tmp_path / f"{n}.vcf.gz", n, [name]) for n, name in enumerate(names)]
    children = [loader(path, store.url) for path in paths]
    assert [child.wait() for child in children] == [0, 0, 0]
    expected = [key for path in paths for key in found(path)]
    assert sorted(map(key_of, store.query(Selection()))) == sorted(expected)
    assert {*store.header().samples} == {*names}


def test_who_asks_during_loads_sees_the_old_calls_or_the_new_ones(store: Store) -> None:
    """DuckDB makes a reader wait for a load to end; the others do not."""
    store.replace(HEADER, calls_of("0"))
    seen: set[str] = set()
    asked, ended = threading.Event(), threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not ended.is_set():
            found_ = marks(store)
            seen.update(found_)
            asked.set()
            if [*found_.values()] != [40]:
                wrong.append(found_)

    thread = threading.Thread(target=ask)
    thread.start()
    other = open_store(store.url)
    assert asked.wait(60)
    for number in range(1, 9):
        other.replace(HEADER, calls_of(str(number)))
    ended.set()
    thread.join()
    other.close()
    seen.update(marks(store))
    assert not wrong and {"0", "8"} <= seen


def test_a_long_query_is_told_when_its_calls_go(dynalite: DynamoServer) -> None:
    store = dynamo()
    store.replace(HEADER, calls_of("old", 150))
    calls = store.query(Selection())
    assert next(calls).filter == "old"
    store.replace(HEADER, calls_of("new", 150))
    with pytest.raises(ChangedError, match="were replaced while they were read"):
        assert {call.filter for call in calls} == {"old"}


# ---- throttling ----------------------------------------------------------------------------------
def test_items_that_were_not_processed_are_written_again(proxied: FaultProxy) -> None:
    store = dynamo()
    store.replace(HEADER, [])
    steps = [leave_unprocessed(keep) for keep in (0, 7, 24, 0, 0, 3, 12)]
    proxied.plan(*steps, match="BatchWriteItem")
    store.replace(HEADER, calls_of("x", 300))
    assert proxied.faults == 7 and marks(store) == {"x": 300}
    assert [c.pos for c in store.query(Selection())] == [50_000 * n for n in range(300)]


@pytest.mark.parametrize("operation", ["BatchWriteItem", "Query", "GetItem", "PutItem"])
def test_throttling_is_waited_out(operation: str, proxied: FaultProxy) -> None:
    store = dynamo()
    store.replace(HEADER, calls_of("old"))
    faults = [
        refuse("ProvisionedThroughputExceededException"), refuse("ThrottlingException"), fail(500),
        reset(),
    ]  # fmt: skip
    proxied.plan(*faults, match=operation)
    store.replace(HEADER, calls_of("new"))
    assert marks(store) == {"new": 40}
    assert proxied.faults == len(faults)


def test_a_commit_whose_answer_is_lost_is_a_commit(proxied: FaultProxy) -> None:
    store = dynamo()
    store.replace(HEADER, calls_of("old"))
    proxied.plan(None, reset(arrive=True), match="PutItem")  # the load begins, then is committed
    store.replace(HEADER, calls_of("new"))
    assert proxied.faults == 1 and marks(store) == {"new": 40} == {"new": store.stats()["calls"]}


def test_a_commit_that_is_taken_for_a_failure_stays(
    proxied: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost, and not asked for again: an error, but the calls are there."""
    monkeypatch.setenv("BAMS3_RETRIES", "0")
    store = dynamo()
    store.replace(HEADER, calls_of("old"))
    items = count_items(store)
    proxied.plan(None, reset(arrive=True), match="PutItem")
    with pytest.raises(StorageError):
        store.replace(HEADER, calls_of("new"))
    assert proxied.faults == 1 and marks(store) == {"new": 40} and count_items(store) == items


def test_throttling_without_end_is_an_error(
    proxied: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAMS3_RETRY_SECONDS", "1")
    monkeypatch.setenv("BAMS3_RETRIES", "0")
    store = dynamo()
    store.replace(HEADER, calls_of("old"))
    proxied.plan(*[leave_unprocessed(0)] * 200, match="BatchWriteItem")
    with pytest.raises(StorageError, match="takes no more items"):
        store.replace(HEADER, calls_of("new"))
    proxied.plan()
    assert marks(store) == {"old": 40}


# ---- what is no store ----------------------------------------------------------------------------
def test_a_table_of_something_else(dynalite: DynamoServer, files: tuple[Path, Path]) -> None:
    """That of the older project, whose keys are chrom_pos and timestamp."""
    store = dynamo()
    client: Any = store._table._client
    client.create_table(
        TableName=store._table.name, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "chrom_pos", "KeyType": "HASH"},
                   {"AttributeName": "timestamp", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": "chrom_pos", "AttributeType": "S"},
                              {"AttributeName": "timestamp", "AttributeType": "N"}],
    )  # fmt: skip
    for act in (lambda: load(files[0], store.url), store.stats, store.header):
        with pytest.raises(InputError, match="its keys are not pk and sk"):
            act()  # type: ignore[operator]


def test_a_database_of_something_else(tmp_path: Path, files: tuple[Path, Path]) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="is a database of something else: it has people"):
        load(files[0], f"sqlite:///{path}")


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_file_of_something_else(scheme: str, tmp_path: Path, files: tuple[Path, Path]) -> None:
    path = tmp_path / "x.db"
    path.write_text("This is a text, and it is long enough to be looked at. " * 100)
    for act in (lambda url: load(files[0], url), lambda url: open_store(url).stats()):
        with pytest.raises(InputError, match=r"cannot be opened|is no database") as caught:
            act(f"{scheme}:///{path}")  # type: ignore[no-untyped-call]
        assert caught.value.hint == "name another file"
    assert path.read_text().startswith("This is a text")


def test_a_newer_version(tmp_path: Path, files: tuple[Path, Path]) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    load(files[0], url)
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("UPDATE bams3_calls SET version = 2")
    connection.close()
    with pytest.raises(VersionError, match="newer"):
        open_store(url).stats()


def test_a_call_that_is_too_large_for_dynamodb(dynalite: DynamoServer) -> None:
    store = dynamo()
    # Text that does not pack: 1.2 MB of base64 of random bytes.
    noise = os.urandom(900_000).hex()
    call = Call("s", "chr1", 9, "A", "T", 1.0, genotype="0/1", end=10, info=f'{{"X": "{noise}"}}')
    with pytest.raises(InputError, match=r"chr1:10: a call of .* is too large"):
        store.replace(HEADER, [call])
    assert store._catalog().layers == () and count_items(store) == 1  # the catalogue


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, dynalite: DynamoServer) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PermissionDenied, match="no AWS credentials"):
        dynamo().header()


def test_samples_are_those_of_the_file(store: Store, files: tuple[Path, Path]) -> None:
    assert load(files[0], store.url).samples == SAMPLES
