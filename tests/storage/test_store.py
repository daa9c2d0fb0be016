"""What every store does, run over each of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bams3.errors import CorruptError, ExistsError, NotFoundError, UsageError
from bams3.storage import Store, copy_between, open_store

ODD_KEYS = [
    "plain",
    "data/chr1/000000000-001048576.0123456789abcdef.chunk",
    "with space/and  two",
    "percent/%41/%2F/100%",
    "plus/a+b",
    "HLA-A*01:01:01",
    "semi;colon/at@/comma,/dollar$/amp&/eq=",
    "question?mark/hash#",
    'tilde~/quote\'/"double"/(round)/[square]/{curly}',
    "back\\slash/pipe|/less<more>/caret^/tick`",
    "unicode/é/Ω",
    ".hidden/..double/dots..",
]


@pytest.fixture
def store(any_store_url: str) -> Iterator[Store]:
    opened = open_store(any_store_url)
    yield opened
    opened.close()


def test_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


def test_what_is_put_is_got(store: Store) -> None:
    for data in (b"", b"x", bytes(range(256)) * 40, bytearray(b"ab"), memoryview(b"cd")):
        etag = store.put("k", data)
        assert store.get("k") == bytes(data)
        assert store.head("k")[:2] == (len(data), etag)
    assert abs(store.head("k").last_modified - datetime.now(UTC)) < timedelta(minutes=5)


def test_ranges(store: Store) -> None:
    data = bytes(range(256))
    store.put("k", data)
    for start, end in ((0, 1), (0, 256), (255, 256), (100, 200), (7, 7), (0, 0)):
        assert store.get("k", start, end) == data[start:end]


@pytest.mark.parametrize("span", [(0, 11), (9, 12), (10, 11), (100, 200)])
def test_a_range_beyond_the_end_is_an_error(store: Store, span: tuple[int, int]) -> None:
    store.put("k", b"0123456789")
    with pytest.raises(CorruptError, match="asked for"):
        store.get("k", *span)


@pytest.mark.parametrize("span", [(0, None), (None, 3), (3, 2), (-1, 2)])
def test_only_bounded_ranges(store: Store, span: tuple[int | None, int | None]) -> None:
    with pytest.raises(UsageError, match="bounded range"):
        store.get("k", *span)


def test_get_many(store: Store) -> None:
    for name in "abc":
        store.put(name, name.encode() * 100)
    spans = [("abc"[i % 3], i % 7, i % 7 + i) for i in range(40)]
    assert store.get_many(spans) == [key.encode() * (end - start) for key, start, end in spans]
    assert store.get_many([]) == []
    with pytest.raises(NotFoundError):
        store.get_many([("a", 0, 1), ("missing", 0, 1), ("b", 0, 1)])


def test_missing(store: Store) -> None:
    for act in (store.get, store.head):
        with pytest.raises(NotFoundError) as caught:
            act("no/such")
        assert f"{store.url}/no/such" in str(caught.value)
    with pytest.raises(NotFoundError):
        store.copy("no/such", "other")
    with pytest.raises(NotFoundError):
        store.put_if_match("no/such", b"", '"0"')
    assert list(store.list()) == []
    store.delete_many(["no/such", "none"])


def test_put_if_absent(store: Store) -> None:
    etag = store.put_if_absent("k", b"first")
    assert store.head("k").etag == etag
    with pytest.raises(ExistsError, match="exists already"):
        store.put_if_absent("k", b"second")
    assert store.get("k") == b"first"
    with pytest.raises(ExistsError):  # the same bytes are no excuse
        store.put_if_absent("k", b"first")


def test_put_if_match(store: Store) -> None:
    first = store.put_if_absent("k", b"first")
    second = store.put_if_match("k", b"second", first)
    assert second != first
    with pytest.raises(ExistsError, match="another writer"):
        store.put_if_match("k", b"third", first)
    assert store.get("k") == b"second"
    third = store.put_if_match("k", b"third", second)
    assert store.head("k").etag == third


@pytest.mark.parametrize("conditional", ["absent", "match"])
def test_of_several_writers_one_wins(any_store_url: str, conditional: str) -> None:
    store = open_store(any_store_url)
    etag = store.put("match", b"old")
    won: list[int] = []
    lost: list[int] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        mine = open_store(any_store_url)
        start.wait()
        try:
            if conditional == "absent":
                mine.put_if_absent("absent", b"%d" % number)
            else:
                mine.put_if_match("match", b"%d" % number, etag)
            won.append(number)
        except ExistsError:
            lost.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert store.get(conditional) == b"%d" % won[0]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys(store: Store, key: str) -> None:
    store.put(key, key.encode())
    assert store.get(key) == key.encode()
    assert store.get(key, 0, 1) == key.encode()[:1]
    assert [entry.key for entry in store.list()] == [key]
    if "/" in key:
        assert [entry.key for entry in store.list(key.rpartition("/")[0])] == [key]
    store.copy(key, key + ".copy")
    assert store.get(key + ".copy") == key.encode()
    with pytest.raises(ExistsError):
        store.put_if_absent(key, b"")
    store.delete_many([key, key + ".copy"])
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "a//b", "a/", "..", "../x", "a/../../x", ".", "a/./b", "a\nb", "\0"],
)
def test_keys_that_are_none(store: Store, key: str) -> None:
    store.put("k", b"")
    for act in (
        lambda: store.get(key),
        lambda: store.get_many([(key, 0, 1), (key, 0, 1)]),
        lambda: store.put(key, b""),
        lambda: store.put_if_absent(key, b""),
        lambda: store.put_if_match(key, b"", ""),
        lambda: store.head(key),
        lambda: store.delete_many([key]),
        lambda: store.copy("k", key),
        lambda: store.copy(key, "k"),
    ):
        with pytest.raises(UsageError, match="not a key"):
            act()


def test_list(store: Store) -> None:
    sizes = {f"d{i % 3}/{i:04}": i for i in range(40)}
    sizes["d1x/y"] = 3
    sizes["top"] = 1
    for key, size in sizes.items():
        store.put(key, b"x" * size)
    assert {entry.key: entry.size for entry in store.list()} == sizes
    below = {key: size for key, size in sizes.items() if key.startswith("d1/")}
    assert {entry.key: entry.size for entry in store.list("d1")} == below
    assert list(store.list("nowhere")) == []


def test_delete_many(store: Store) -> None:
    for i in range(12):
        store.put(f"a/{i}", b"")
    store.delete_many(f"a/{i}" for i in range(0, 14, 2))
    assert sorted(entry.key for entry in store.list()) == sorted(f"a/{i}" for i in range(1, 12, 2))


def test_a_big_object(store: Store) -> None:
    data = bytes(bytearray(range(251)) * (41_000_000 // 251))
    etag = store.put("big", data)
    assert store.head("big")[:2] == (len(data), etag)
    assert store.get("big") == data
    assert store.get("big", 17_000_000, 17_000_100) == data[17_000_000:17_000_100]


def test_copy_between_folders(any_store_url: str) -> None:
    one, two = open_store(any_store_url + "/1"), open_store(any_store_url + "/2")
    one.put("a b", b"x" * 1000)
    copy_between(one, "a b", two, "c%d")
    assert two.get("c%d") == b"x" * 1000
    with pytest.raises(NotFoundError):
        copy_between(one, "none", two, "d")


def test_threads_share_a_store(store: Store) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for i in range(10):
                store.put(f"{number}/{i}", bytes([number]) * 1000)
                assert store.get_many([(f"{number}/{i}", 0, 500), (f"{number}/{i}", 500, 1000)])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(list(store.list())) == 60
