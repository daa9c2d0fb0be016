"""The local disk: atomic, durable, closed to the outside, safe between processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from bams3.errors import ExistsError, NotFoundError, PermissionDenied, UsageError
from bams3.storage import open_store
from bams3.storage.local import LocalStore


def test_nothing_is_made_before_the_first_write(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new")
    assert list(store.list()) == []
    with pytest.raises(NotFoundError):
        store.get("k")
    assert not (tmp_path / "new").exists()


def test_addresses(tmp_path: Path) -> None:
    for url in (str(tmp_path), tmp_path, f"file://{tmp_path}", f"{tmp_path}/"):
        assert open_store(url).url == os.path.realpath(tmp_path)
    with pytest.raises(UsageError):
        open_store("")


def test_no_link_leads_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_bytes(b"secret")
    store = open_store(tmp_path / "in")
    store.put("k", b"")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "file").symlink_to(tmp_path / "out" / "secret")
    for key in ("folder/secret", "file", "folder/new"):
        for act in (
            lambda: store.get(key),  # noqa: B023
            lambda: store.head(key),  # noqa: B023
            lambda: store.put(key, b"x"),  # noqa: B023
            lambda: store.put_if_absent(key, b"x"),  # noqa: B023
            lambda: store.delete_many([key]),  # noqa: B023
        ):
            with pytest.raises(UsageError, match="symbolic link"):
                act()
    assert (tmp_path / "out" / "secret").read_bytes() == b"secret"
    assert os.listdir(tmp_path / "out") == ["secret"]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    open_store(tmp_path / "link").put("a/b", b"x")
    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"x"


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    etag = store.put_if_absent("k", b"1")
    store.put_if_match("k", b"2", etag)
    for act in (
        lambda: store.put_if_absent("k", b"3"),
        lambda: store.put_if_match("k", b"3", etag),
    ):
        with pytest.raises(ExistsError):
            act()
    assert os.listdir(tmp_path) == ["k"]


def test_deleting_takes_empty_folders_along(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s")
    for key in ("a/b/c", "a/d", "e"):
        store.put(key, b"")
    store.delete_many(["a/b/c"])
    assert sorted(os.listdir(tmp_path / "s" / "a")) == ["d"]
    store.delete_many(["a/d", "e"])
    assert os.listdir(tmp_path / "s") == []


def test_all_is_flushed_before_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real_fsync(descriptor)

    def link(source: str, target: str) -> None:
        events.append(f"commit {os.path.basename(target)}")
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    store = open_store(tmp_path / "s")
    store.put("data/x", b"1")
    store.put("data/deep/y", b"2")
    assert events == []
    store.put_if_absent("commit", b"3")
    before = events[: events.index("commit commit")]
    assert {"x", "y", "data", "deep", "s"} <= set(before)
    assert any(name.endswith(".partial") for name in before)
    assert "s" in events[events.index("commit commit") :]


def test_all_is_flushed_before_a_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "s")
    etag = store.put_if_absent("commit", b"1")
    store.put("data/x", b"2")
    events: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real_fsync(descriptor)

    def replace(source: str, target: str) -> None:
        events.append(f"commit {os.path.basename(target)}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    store.put_if_match("commit", b"3", etag)
    before = events[: events.index("commit commit")]
    assert {"x", "data", "s"} <= set(before)
    assert any(name.endswith(".partial") for name in before)
    assert "s" in events[events.index("commit commit") :]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: str) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", link)
    store = open_store(tmp_path)
    store.put_if_absent("k", b"1")
    with pytest.raises(ExistsError):
        store.put_if_absent("k", b"2")
    assert store.get("k") == b"1"
    assert os.listdir(tmp_path) == ["k"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_permission_denied(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o500)
    with pytest.raises(PermissionDenied):
        open_store(tmp_path / "s").put("k", b"")


def test_processes_take_turns(tmp_path: Path) -> None:
    """Eight processes count together through conditional writes; no count is lost."""
    store = open_store(tmp_path)
    store.put_if_absent("count", b"0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(str(tmp_path), 20)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 8
    assert store.get("count") == b"160"
    assert os.listdir(tmp_path) == ["count"]


def _count(folder: str, times: int) -> None:
    store = LocalStore(folder)
    while times:
        etag = store.head("count").etag
        number = int(store.get("count"))
        try:
            store.put_if_match("count", b"%d" % (number + 1), etag)
        except ExistsError:
            continue
        times -= 1


def test_killed_writers_leave_whole_objects(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for round_ in range(10):
        worker = context.Process(target=_write_for_ever, args=(str(tmp_path),))
        worker.start()
        time.sleep(0.02 + 0.01 * round_)
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    store = open_store(tmp_path)
    whole = [entry for entry in store.list() if not entry.key.endswith(".partial")]
    assert whole
    for entry in whole:
        data = store.get(entry.key)
        assert len(data) == 1_000_000 and len(set(data)) == 1
    etag = store.head(whole[0].key).etag  # no lock of the dead is in the way
    store.put_if_match(whole[0].key, b"", etag)


def _write_for_ever(folder: str) -> None:
    store, number = LocalStore(folder), 0
    while True:
        number = (number + 1) % 100
        key, data = f"d/{number}", bytes([number]) * 1_000_000
        try:
            store.put_if_match(key, data, store.head(key).etag)
        except NotFoundError:
            store.put_if_absent(key, data)
