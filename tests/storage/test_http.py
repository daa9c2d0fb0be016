"""A dataset's folder behind a web server."""

from __future__ import annotations

import pytest

from bams3.errors import CorruptError, NotFoundError, UsageError
from bams3.storage import Store, open_store
from tests.servers.files import FileServer


def test_reading() -> None:
    with FileServer() as server:
        server.files["/data/s.bams3/a/b c%+"] = b"0123456789"
        store = open_store(f"{server.url}/data/s.bams3/")
        assert isinstance(store, Store)
        assert store.get("a/b c%+") == b"0123456789"
        assert store.get("a/b c%+", 2, 5) == b"234"
        assert store.get_many([("a/b c%+", i, i + 2) for i in range(3)]) == [b"01", b"12", b"23"]
        assert store.head("a/b c%+")[:2] == (10, '"v1"')
        with pytest.raises(CorruptError):
            store.get("a/b c%+", 5, 11)
        with pytest.raises(NotFoundError, match=r"data/s\.bams3/none"):
            store.get("none")


def test_a_presigned_folder_keeps_its_query() -> None:
    with FileServer() as server:
        server.files["/s/k"] = b"x"
        assert open_store(f"{server.url}/s?token=1").get("k") == b"x"
        assert server.queries == ["token=1"]


def test_refusals() -> None:
    store = open_store("http://127.0.0.1:9/x")
    for act in (
        lambda: store.put("k", b""),
        lambda: store.put_if_absent("k", b""),
        lambda: store.put_if_match("k", b"", ""),
        lambda: store.list(),
        lambda: store.delete_many(["k"]),
        lambda: store.copy("k", "l"),
    ):
        with pytest.raises(UsageError, match="over http"):
            act()
