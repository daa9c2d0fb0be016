"""Conversions to one place never take objects from each other, or from a reader."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

import bams3
from bams3.errors import (
    Bams3Error,
    CorruptError,
    ExistsError,
    InputError,
    PermissionDenied,
    StorageError,
)
from bams3.reads import marks
from bams3.reads.clean import clean
from bams3.reads.convert import convert
from bams3.reads.manifest import METADATA
from bams3.reads.marks import Marks
from bams3.reads.verify import verify
from bams3.reads.writer import Destination
from bams3.storage import Entry, open_store
from bams3.storage.local import LocalStore
from tests.reads import made

KEY = "data/chr1/000000000-000000001.0000000000000000.chunk"
SAM = (made.header() + made.shuffled(4000)).encode()
OTHER = (made.header() + made.shuffled(4000, 2)).encode()


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def destination(url: str, pool: Executor) -> Destination:
    return Destination(open_store(url), False, pool)


def keys(url: str) -> set[str]:
    return {entry.key for entry in open_store(url).list()}


def test_one_that_fails_alone_leaves_nothing(store_url: str, pool: Executor) -> None:
    one = destination(store_url, pool)
    one.uploads.put(KEY, b"data")
    one.uploads.finish()
    assert KEY in keys(store_url)
    one.abandon()
    assert keys(store_url) == set()


def test_one_that_fails_leaves_what_another_may_use(store_url: str, pool: Executor) -> None:
    one, two = destination(store_url, pool), destination(store_url, pool)
    for each in (one, two):
        each.uploads.put(KEY, b"data")
    one.abandon()
    assert KEY in keys(store_url)
    two.abandon()
    assert keys(store_url) == set()


def test_one_that_goes_on_is_waited_for_only_so_long(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Marks(open_store(store_url)), Marks(open_store(store_url))
    monkeypatch.setattr(marks, "ENDING", 0.4)
    one.begin()
    began = time.monotonic()
    two.outwait()
    assert 0.4 <= time.monotonic() - began < 5
    monkeypatch.setattr(marks, "ENDING", 60.0)
    one.end()
    two.outwait()
    assert time.monotonic() - began < 10


def test_publishing_waits_for_one_that_deletes(store_url: str) -> None:
    one, two = Marks(open_store(store_url)), Marks(open_store(store_url))
    one.begin()
    assert one.may_delete()
    two.begin()
    settled = threading.Event()
    thread = threading.Thread(target=lambda: (two.settle(), settled.set()))
    thread.start()
    assert not settled.wait(0.5)
    one.end()
    thread.join(5)
    assert settled.is_set()
    two.end()
    assert keys(store_url) == set()


def test_a_killed_one_is_not_waited_for_long(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "PATIENCE", 0.4)
    one, two = Marks(open_store(store_url)), Marks(open_store(store_url))
    assert one.may_delete()
    two.begin()
    began = time.monotonic()
    two.settle()
    assert 0.2 < time.monotonic() - began < 5
    two.end()
    assert clean(store_url).objects == 1


def test_nothing_is_deleted_where_the_manifest_cannot_be_read(
    store_url: str, pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = destination(store_url, pool)
    one.uploads.put(KEY, b"data")
    open_store(store_url).put("_metadata.json", b"damaged")
    one.abandon()
    assert keys(store_url) == {KEY, "_metadata.json"}


def cut(data: bytes, pause: float) -> io.RawIOBase:
    """Input that ends in an error, some time after its last whole line."""

    class Cut(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            if not found:
                time.sleep(pause)
            return found

    return Cut(data + b"broken line\n")  # type: ignore[return-value]


@pytest.mark.parametrize("turns", [8, pytest.param(150, marks=pytest.mark.soak)])
def test_a_failing_twin_never_harms_the_winner(any_store_url: str, turns: int) -> None:
    """Both write objects of the same names; one of them fails at any time."""
    chance = random.Random(turns)
    text = SAM.replace(b"SO:unsorted", b"SO:coordinate")
    head, lines = text[: text.index(b"read")], [*range(400)]
    text = head + b"".join(made.line(f"r{n}", "chr1", 1 + 9000 * n).encode() for n in lines)
    for _ in range(turns):
        with ThreadPoolExecutor(1) as pool:
            failing = pool.submit(
                convert, cut(text, chance.uniform(0, 0.05)), any_store_url, workers=1,
                chunk_size=1 << 20, overwrite=True,
            )  # fmt: skip
            time.sleep(chance.uniform(0, 0.06))
            convert(io.BytesIO(text), any_store_url, workers=1, overwrite=True)
            with pytest.raises(InputError, match="line"):
                failing.result()
        with bams3.open(any_store_url) as dataset:
            assert verify(dataset).problems == []
            kept = dataset.manifest.keys() | {"_metadata.json"}
        clean(any_store_url)
        assert keys(any_store_url) == kept
        open_store(any_store_url).delete_many(kept)


def test_of_twins_one_wins(any_store_url: str) -> None:
    def run(text: bytes) -> bool:
        try:
            convert(io.BytesIO(text), any_store_url, workers=1, sort_buffer=1 << 20)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(run, (SAM, SAM, OTHER))) == [False, False, True]
    with bams3.open(any_store_url) as dataset:
        assert verify(dataset).problems == []
        kept = dataset.manifest.keys() | {"_metadata.json"}
    clean(any_store_url)
    assert keys(any_store_url) == kept


def test_a_reader_of_a_replaced_dataset_is_told(any_store_url: str) -> None:
    convert(io.BytesIO(SAM), any_store_url, workers=1)
    with bams3.open(any_store_url) as old, bams3.open(any_store_url) as begun:
        records = iter(begun.query())
        first = next(records).name
        convert(io.BytesIO(OTHER), any_store_url, workers=1, overwrite=True)
        for act in (
            lambda: list(old.query()),
            lambda: old.query("chr1:1-500").count(),
            lambda: list(old.depth("chr1").text()),
            lambda: verify(old),
        ):
            with pytest.raises(StorageError, match="replaced while it was read"):
                act()
        rest = none_or(lambda: [record.name for record in records])
        assert rest is None or [first, *rest] == names(SAM)


def none_or(act: object) -> list[str | None] | None:
    try:
        return act()  # type: ignore[operator,no-any-return]
    except StorageError as error:
        assert "replaced" in error.message
        return None


def names(text: bytes) -> list[str]:
    with ThreadPoolExecutor(1):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            convert(io.BytesIO(text), folder, workers=1)
            with bams3.open(folder) as dataset:
                return [str(record.name) for record in dataset.query()]


def test_an_object_that_is_missing_is_damage(store_url: str) -> None:
    convert(io.BytesIO(SAM), store_url, workers=1)
    with bams3.open(store_url) as dataset:
        open_store(store_url).delete_many(k for k in keys(store_url) if k.startswith("data/chr1"))
        with pytest.raises(CorruptError, match="data/chr1") as caught:
            list(dataset.query())
        assert "damaged" in str(caught.value.hint)
        assert isinstance(caught.value, Bams3Error)
        assert any("missing" in problem for problem in verify(dataset).problems)


def test_what_is_published_while_clean_lists_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, store = str(tmp_path / "out"), LocalStore(str(tmp_path / "out"))
    convert(io.BytesIO(SAM), url, workers=1)
    whole, manifest = made.objects(url), store.get(METADATA)
    store.put(KEY, b"left")
    store.delete_many([METADATA])

    class Publishing(LocalStore):
        def list(self, prefix: str = "") -> Iterator[Entry]:
            yield from super().list(prefix)
            self.put(METADATA, manifest)

    monkeypatch.setattr("bams3.reads.clean.open_store", lambda *_: Publishing(url))
    assert clean(url).objects == 1
    assert made.objects(url) == whole


def test_of_two_that_overwrite_only_the_first_to_end_does(store_url: str) -> None:
    convert(io.BytesIO(OTHER), store_url, workers=1)

    class Overtaken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 0:
                convert(io.BytesIO(SAM), store_url, workers=1, overwrite=True)
            return super().read(size)

    with pytest.raises(ExistsError, match="another conversion"):
        convert(Overtaken(OTHER), store_url, workers=1, overwrite=True)
    with bams3.open(store_url) as dataset:
        assert verify(dataset, against=io.BytesIO(SAM)).ok
    assert keys(store_url) == made.manifest_of(store_url).keys() | {METADATA}


@pytest.mark.parametrize("kind", ["data/", "_header"])
def test_a_dataset_with_an_object_missing_is_not_published(
    kind: str, store_url: str, pool: Executor, tmp_path: Path
) -> None:
    convert(io.BytesIO(SAM), str(tmp_path / "whole"), workers=1)
    manifest = made.manifest_of(str(tmp_path / "whole"))
    one = destination(store_url, pool)
    for key, data in made.objects(str(tmp_path / "whole")).items():
        if key != METADATA:
            one.uploads.put(key, data)
    one.uploads.finish()
    lost = max(key for key in manifest.keys() if key.startswith(kind))
    open_store(store_url).delete_many([lost])
    with pytest.raises(StorageError, match="was deleted while") as caught:
        one.publish(manifest)
    assert lost in caught.value.message
    assert METADATA not in keys(store_url)
    one.uploads.put(lost, made.objects(str(tmp_path / "whole"))[lost])
    one.publish(manifest)
    assert made.objects(store_url) == made.objects(str(tmp_path / "whole"))


def test_publishing_counts_what_another_is_just_deleting(
    store_url: str, pool: Executor, tmp_path: Path
) -> None:
    convert(io.BytesIO(SAM), str(tmp_path / "whole"), workers=1)
    manifest, other = made.manifest_of(str(tmp_path / "whole")), Marks(open_store(store_url))
    one = destination(store_url, pool)
    assert other.may_delete()
    for key, data in made.objects(str(tmp_path / "whole")).items():
        if key != METADATA:
            one.uploads.put(key, data)
    published = pool.submit(one.publish, manifest)
    time.sleep(0.5)
    assert not published.done()
    open_store(store_url).delete_many([max(manifest.keys())])
    other.end()
    with pytest.raises(StorageError, match="was deleted while"):
        published.result(20)
    assert METADATA not in keys(store_url)


def test_replaced_objects_stay_while_another_may_use_them(store_url: str, pool: Executor) -> None:
    convert(io.BytesIO(OTHER), store_url, workers=1)
    old = keys(store_url)
    other = Marks(open_store(store_url))
    other.begin()
    convert(io.BytesIO(SAM), store_url, workers=1, overwrite=True)
    assert old <= keys(store_url)
    other.end()
    convert(io.BytesIO(SAM), store_url, workers=1, overwrite=True)
    clean(store_url)
    assert keys(store_url) == made.manifest_of(store_url).keys() | {METADATA}


@pytest.mark.parametrize("error", [StorageError("gone away"), PermissionDenied("no")])
def test_clean_removes_nothing_where_the_manifest_cannot_be_read(
    error: Bams3Error, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "out")
    convert(io.BytesIO(SAM), url, workers=1)
    whole = made.objects(url)

    class Failing(LocalStore):
        def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
            raise error

    monkeypatch.setattr("bams3.reads.clean.open_store", lambda *_: Failing(url))
    with pytest.raises(type(error)):
        clean(url)
    assert made.objects(url) == whole
