"""How many requests at once, and how many bytes a second."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from bams3.storage import Bucket
from bams3.transfer import FileSource, Item, Settings, upload, upload_many
from bams3.transfer import pace as module
from bams3.transfer.engine import Engine
from bams3.transfer.pace import Pace
from tests.servers.proxy import FaultProxy, fail
from tests.transfer.conftest import fetch, make_file


def test_the_pace_goes_up_with_success_and_halves_at_slow_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pace = Pace(40)
    assert pace.limit == 16
    for _ in range(100):
        pace.succeeded()
    assert pace.limit == 40
    pace.slow_down()
    pace.slow_down()  # of the same moment
    assert (pace.limit, pace.reductions) == (20, 1)
    for _ in range(20):
        pace.succeeded()
    assert pace.limit == 20 or pace.limit == 21  # slowly from now on
    for _ in range(20):
        now[0] += 2
        pace.slow_down()
    assert pace.limit == 1
    for _ in range(3000):
        pace.succeeded()
    assert pace.limit == 40
    assert Pace(3).limit == 3


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
    fault_proxy.plan(*[fail(503)] * 12, match="PUT")
    items = [Item(tmp_path / str(n), f"k{n}") for n in range(60)]
    assert upload_many(items, faulty, Settings(exists="overwrite")).failed == 0
    assert fault_proxy.faults == 12 and paces[0].reductions >= 3 and paces[0].limit < 16
    for key, data in blobs.items():
        assert fetch(faulty, key) == data


def test_the_rate_is_kept(bucket: Bucket, tmp_path: Path) -> None:
    data = make_file(tmp_path / "f", 8 << 20)
    started = time.monotonic()
    upload(FileSource(tmp_path / "f"), bucket, "k", Settings(limit_rate=8 << 20, part_size=5 << 20))
    assert 0.8 < time.monotonic() - started < 4
    assert fetch(bucket, "k") == data
