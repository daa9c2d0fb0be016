"""How many requests at once, and how many bytes a second."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from bams3.storage.bucket import Bucket
from bams3.transfer import FileSource, Item, Settings, upload, upload_many
from bams3.transfer import pace as module
from bams3.transfer.engine import Engine
from bams3.transfer.pace import Pace
from tests.servers.proxy import FaultProxy, fail
from tests.transfer.conftest import fetch, make_file


class Link:
    """A clock, and requests that take as long as a link with `most` useful requests lets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: float) -> None:
        self.now, self.most = 100.0, most
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def round(self, pace: Pace) -> None:
        """Let all requests in flight come to their end."""
        count = pace.limit
        self.now += max(1.0, count / self.most)
        for _ in range(count):
            pace.passed += 1000
        for _ in range(count):
            pace.succeeded()


def test_the_pace_goes_up_while_more_requests_bring_more(monkeypatch: pytest.MonkeyPatch) -> None:
    far, pace = Link(monkeypatch, 1000.0), Pace(40)
    assert pace.limit == 4
    for _ in range(12):
        far.round(pace)
    assert pace.limit == 40
    assert Pace(3).limit == 3


def test_the_pace_stays_where_more_requests_bring_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    near, pace, limits = Link(monkeypatch, 6.0), Pace(64), []
    for _ in range(200):
        near.round(pace)
        limits.append(pace.limit)
    assert max(limits) <= 14
    assert sorted(limits)[100] <= 9
    near.most = 1000.0  # the link has become better
    for _ in range(200):
        near.round(pace)
    assert pace.limit == 64


def test_the_pace_halves_at_slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    far, pace = Link(monkeypatch, 1000.0), Pace(40)
    for _ in range(12):
        far.round(pace)
    pace.slow_down()
    pace.slow_down()  # of the same moment
    assert (pace.limit, pace.reductions) == (20, 1)
    far.round(pace)
    assert pace.limit in (20, 21)  # slowly from now on
    for _ in range(20):
        far.now += 2
        pace.slow_down()
    assert pace.limit == 1
    for _ in range(100):
        far.round(pace)
    assert pace.limit == 40


class Counted:
    """A job that counts how often it runs, and how often at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = self.peak = self.done = 0

    def __call__(self) -> None:
        with self.lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
        time.sleep(0.002)
        with self.lock:
            self.running -= 1
            self.done += 1


@pytest.mark.parametrize(
    ("settings", "most"), [(Settings(slots=3), 3), (Settings(memory=1 << 20), 4)]
)
def test_no_more_jobs_at_once_than_slots_and_memory_permit(settings: Settings, most: int) -> None:
    job = Counted()
    with Engine(settings) as engine:
        engine.add([job] * 60)
        engine.wait()
    assert (job.peak, job.done) == (most, 60)


def test_a_store_that_throttles_gets_fewer_requests(
    faulty: Bucket, fault_proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    blobs = {f"k{n}": make_file(tmp_path / str(n), 1000 + n, n) for n in range(60)}
    paces: list[Pace] = []
    made = Pace.__init__

    def remember(self: Pace, most: int) -> None:
        paces.append(self)
        made(self, most)

    monkeypatch.setattr(Pace, "__init__", remember)
    fault_proxy.plan(*[fail(503), None] * 6, match="PUT")
    items = [Item(tmp_path / str(n), f"k{n}") for n in range(60)]
    assert upload_many(items, faulty, Settings(exists="overwrite")).failed == 0
    assert fault_proxy.faults == 6 and paces[0].reductions >= 3 and paces[0].limit < 64
    for key, data in blobs.items():
        assert fetch(faulty, key) == data


def test_the_rate_is_kept(bucket: Bucket, tmp_path: Path) -> None:
    data = make_file(tmp_path / "f", 8 << 20)
    started = time.monotonic()
    upload(FileSource(tmp_path / "f"), bucket, "k", Settings(limit_rate=8 << 20, part_size=5 << 20))
    assert 0.8 < time.monotonic() - started < 4
    assert fetch(bucket, "k") == data
