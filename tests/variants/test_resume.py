"""A driver that is killed goes on where it was; a worker that is lost loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bams3.errors import CallError, StorageError, TooLargeError
from bams3.storage import open_store
from bams3.variants import cost
from bams3.variants import job as module
from bams3.variants.call import call
from bams3.variants.callers import Caller
from bams3.variants.cost import Budget, Estimate, guess
from bams3.variants.shards import Piece
from bams3.variants.task import Receipt, Task
from bams3.variants.tile import call_tile
from tests.variants.sample import Sample, plain, read_lines


def test_kill_the_driver_and_run_it_again(normal: Sample, out: Path) -> None:
    program = (
        "from bams3.variants.call import call\n"
        f"call([{normal.bam!r}], {normal.reference!r}, {str(out)!r}, tile_bases=6000, workers=2)"
    )
    driver = subprocess.Popen([sys.executable, "-c", program])
    folder = Path(f"{out}.parts")
    end = time.monotonic() + 120
    while len([*folder.glob("*.json")]) < 2 and time.monotonic() < end:
        assert driver.poll() is None
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = len([*folder.glob("*.json")])
    assert kept >= 2 and not out.exists()
    _no_orphans(str(normal.folder))
    done = call([normal.bam], normal.reference, out, tile_bases=6_000, workers=2)
    assert kept <= done.resumed < done.shards
    assert read_lines(out) == plain(normal.reference, normal.bam)
    assert not folder.exists()


def _no_orphans(reference: str) -> None:
    """Wait until no process of the killed driver's is left."""
    for _ in range(100):
        left = [
            path
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if reference.encode() in _text(path) and b"bams3.variants.stage" in _text(path)
        ]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"left behind: {left}")


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_another_cut_takes_over_what_is_done(
    normal: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(task: Task, seconds: float | None) -> Receipt:
        if task.shard[0].start >= 20_000:
            raise CallError("not now")
        return call_tile(task, seconds)

    monkeypatch.setattr(module, "call_tile", some)
    with pytest.raises(CallError, match="not now"):
        call([normal.bam], normal.reference, out, tile_bases=10_000)
    monkeypatch.undo()
    done = call([normal.bam], normal.reference, out, tile_bases=7_000)
    assert done.resumed == 4  # two of chr1, HLA, chr2
    assert read_lines(out) == plain(normal.reference, normal.bam)


def test_shards_that_are_too_large_are_cut(
    normal: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small_ones(task: Task, seconds: float | None) -> Receipt:
        if sum(piece.end - piece.start for piece in task.shard) > 16_000:
            raise TooLargeError("too large")
        return call_tile(task, seconds)

    monkeypatch.setattr(module, "call_tile", small_ones)
    done = call([normal.bam], normal.reference, out, tile_bases=60_000)
    assert done.shards == 4 + 1 + 1
    assert read_lines(out) == plain(normal.reference, normal.bam)


def test_lost_workers_are_replaced_and_then_given_up(
    normal: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def shaky(task: Task, seconds: float | None) -> Receipt:
        lost.append(task.id)
        if lost.count(task.id) < 3:
            raise StorageError("the worker is gone")
        return call_tile(task, seconds)

    monkeypatch.setattr(module, "call_tile", shaky)
    assert call([normal.bam], normal.reference, out, regions=["chr2"], tile_bases=5_000).shards == 2
    monkeypatch.setattr(module, "TRIES", 2)
    lost.clear()
    with pytest.raises(CallError, match="the worker is gone"):
        call([normal.bam], normal.reference, out, regions=["chr2:1-50"], overwrite=True)


def test_a_crashing_caller_and_a_slow_one(normal: Sample, out: Path) -> None:
    with pytest.raises(CallError, match="shards failed"):
        caller = Caller("cat {reads} >/dev/null; kill -SEGV $$")
        call([normal.bam], normal.reference, out, regions=["chr2"], caller=caller)
    began = time.monotonic()
    with pytest.raises(CallError, match="the time is up"):
        caller = Caller("sleep 60 < {reads}")
        end = time.monotonic() + 1
        call([normal.bam], normal.reference, out, regions=["chr2"], caller=caller, deadline=end)
    assert time.monotonic() - began < 30


def test_what_would_cost_too_much_is_not_begun(normal: Sample, out: Path) -> None:
    told: list[Estimate] = []
    tiny = Budget(memory_mb=1024, most=1e-6, told=told.append)
    with pytest.raises(CallError, match=r"are expected, and \$1e-06 are allowed"):
        call([normal.bam], normal.reference, out, tile_bases=10_000, budget=tiny)
    assert [(e.shards, e.measured, e.spent) for e in told] == [(6, False, 0.0)]
    mib = os.path.getsize(normal.bam) / (1 << 20)
    assert told[0].seconds == pytest.approx(guess(mib * 2**20, 6), rel=0.05)
    assert told[0].dollars == pytest.approx(told[0].seconds * 1.66667e-5 + 6 * 2e-7)
    assert not Path(f"{out}.parts").exists()


def test_a_budget_stops_and_more_goes_on(
    normal: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "guess", lambda size, shards: 0.0)
    low = Budget(memory_mb=1024, most=2e-6)
    with pytest.raises(CallError, match="more than allowed"):
        call([normal.bam], normal.reference, out, tile_bases=10_000, budget=low, workers=1)
    told: list[Estimate] = []
    budget = Budget(most=1.0, told=told.append)
    done = call([normal.bam], normal.reference, out, tile_bases=10_000, budget=budget)
    assert done.resumed >= 1 and read_lines(out) == plain(normal.reference, normal.bam)
    (estimate,) = told
    assert estimate.measured and estimate.shards == done.shards - done.resumed
    spent = budget.of(done.worker_seconds, done.shards)
    assert 0 < estimate.spent < spent and estimate.dollars == pytest.approx(spent, rel=0.9)


def test_only_receipts_of_this_job_are_taken_over_and_each_base_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    def put(task: str, job: str, *spans: tuple[int, int]) -> None:
        shard = tuple(Piece("c", start, end) for start, end in spans)
        receipt = Receipt(task, job, shard, f"{task}.vcf.gz", "d", 0, 0, 0, 0.0, "v")
        store.put(f"{task}.json", json.dumps(receipt.to_json()).encode())

    put("a", "this", (0, 10))
    put("b", "this", (5, 15))  # of a run that cut elsewhere
    put("c", "this", (20, 30))
    put("d", "other", (30, 40))
    put("e", "this", (90, 110))  # of a larger request
    store.put("f.json", b"{")
    found = module.earlier(store, "this", [Piece("c", 0, 100)])
    assert [receipt.task for receipt in found] == ["a", "c"]


def test_what_fails_everywhere_is_given_up(
    normal: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Task] = []

    def failing(task: Task, seconds: float | None) -> Receipt:
        begun.append(task)
        raise CallError("no luck")

    monkeypatch.setattr(module, "call_tile", failing)
    with pytest.raises(CallError, match=r"shards failed: no luck.* were not begun"):
        with ThreadPoolExecutor(1) as executor:
            call([normal.bam], normal.reference, out, tile_bases=500, workers=1, executor=executor)
    assert module.GIVE_UP_AFTER <= len(begun) < 60 < 120  # of 120 shards


def test_a_shard_begins_only_if_the_mean_allows_it() -> None:
    receipt = Receipt("t", "j", (), "k", "d", 0, 0, 0, 100.0, "v")
    one = Budget().of(100.0, 1)
    for done in (1, 3):
        for running in (0, 2):
            enough = one * (done + running + 1)
            assert Budget(most=enough * 1.001).allows([receipt] * done, running)
            assert not Budget(most=enough * 0.999).allows([receipt] * done, running)
    assert Budget(most=0.0).allows([], 5) and Budget().allows([receipt], 5)  # nothing to go by
