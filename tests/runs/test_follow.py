"""A run that grows while it is watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bams3.errors import InputError, NotFoundError, StorageError
from bams3.runs.follow import Timing, follow_run
from bams3.runs.illumina import Rules
from bams3.runs.upload import Job
from tests.runs.made import MARKERS, NOVASEQ, MemoryPlace, contents, run_info, set_age, write

TIMING = Timing(min_age=100, interval=10, limit=3600)


class Sequencer:
    """Writes a cycle of a run at each pause of the one who follows it, and then the markers."""

    def __init__(self, run: Path, cycles: int, place: MemoryPlace) -> None:
        self.run, self.place, self.cycles, self.now = run, place, cycles, 0
        self.uploaded: list[set[str]] = []
        run.mkdir(parents=True)

    def sleep(self, seconds: float) -> None:
        assert seconds == TIMING.interval
        self.now += 1
        self.uploaded.append({*self.place.run(NOVASEQ)})
        assert not {*MARKERS} & self.uploaded[-1]
        for path in self.run.rglob("*"):
            if path.is_file() and time.time() - path.stat().st_mtime < 100:
                os.utime(path, (time.time() - 1000,) * 2)
        if self.now == 1:
            write(self.run / "RunInfo.xml", run_info(NOVASEQ))
        write(self.run / f"Data/C{self.now}.cbcl", os.urandom(100 + self.now))
        write(self.run / "Logs/run.log", f"cycle {self.now}\n" * self.now)
        if self.now == self.cycles:
            write(self.run / "Data/C2.cbcl", b"written again")
            for marker in MARKERS:
                write(self.run / marker, "")


def test_files_go_up_as_they_settle_and_markers_at_the_end(tmp_path: Path) -> None:
    place = MemoryPlace()
    run = tmp_path / NOVASEQ
    sequencer = Sequencer(run, 6, place)
    summary = follow_run(Job(run, "/", tmp_path / "logs"), place, TIMING, sleep=sequencer.sleep)
    assert summary.completed
    assert place.run(NOVASEQ) == contents(run)
    assert place.manifest(NOVASEQ)["total_files"] == len(contents(run))
    # A cycle is there two looks after it was written, and not before.
    growth = [{p for p in seen if p.startswith("Data")} for seen in sequencer.uploaded]
    assert [len(seen) for seen in growth] == [0, 0, 1, 2, 3, 4][: len(growth)]
    keys = [key.removeprefix(f"{NOVASEQ}/") for key in place.sent]
    assert keys.count("Data/C1.cbcl") == 1 and keys.count("Data/C2.cbcl") == 2
    assert keys[-3:] == list(MARKERS)


def test_a_run_that_never_ends_is_given_up(tmp_path: Path) -> None:
    run = tmp_path / NOVASEQ
    write(run / "RunInfo.xml", run_info(NOVASEQ))
    set_age(run, 1000)
    place = MemoryPlace()
    with pytest.raises(InputError, match=r"given up after 0 h: incomplete .* waits for") as caught:
        follow_run(Job(run, "/", tmp_path / "logs"), place, Timing(100, 0, 0))
    assert "goes on from here" in (caught.value.hint or "")
    with pytest.raises(InputError, match="given up"):
        limit = Timing(100, 0.01, 0.05)
        follow_run(Job(run, "/", tmp_path / "logs"), place, limit)
    assert {*place.run(NOVASEQ)} == {"RunInfo.xml"}
    assert f"{NOVASEQ}/bams3-manifest.json" not in place.objects


def test_failures_on_the_way_are_tried_again(tmp_path: Path) -> None:
    place = MemoryPlace()
    run = tmp_path / NOVASEQ
    sequencer = Sequencer(run, 5, place)
    plans: dict[int, Callable[[], None]] = {
        2: lambda: place.fail.add("Data/"),
        4: place.fail.clear,
    }

    def sleep(seconds: float) -> None:
        sequencer.sleep(seconds)
        plans.get(sequencer.now, lambda: None)()

    assert follow_run(Job(run, "/", tmp_path / "logs"), place, TIMING, sleep=sleep).completed
    assert place.run(NOVASEQ) == contents(run)


def test_a_bucket_that_is_away_for_a_while(tmp_path: Path) -> None:
    place = MemoryPlace()
    run = tmp_path / NOVASEQ
    sequencer = Sequencer(run, 5, place)
    real = place.send

    def away(*arguments: object) -> None:
        if sequencer.now in (2, 3):
            raise StorageError("no route to host")
        real(*arguments)  # type: ignore[arg-type]

    place.send = away  # type: ignore[method-assign]
    job = Job(run, "/", tmp_path / "logs")
    assert follow_run(job, place, TIMING, sleep=sequencer.sleep).completed
    assert place.run(NOVASEQ) == contents(run)


def test_the_markers_must_settle(tmp_path: Path) -> None:
    place = MemoryPlace()
    run = tmp_path / NOVASEQ
    sequencer = Sequencer(run, 2, place)
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(sequencer.now)
        if sequencer.now < 2:
            sequencer.sleep(seconds)
        elif len(waits) > 5:
            when = time.time() - 100
            for marker in MARKERS:
                os.utime(run / marker, (when, when))

    job = Job(run, "/", tmp_path / "logs", rules=Rules(settle=60))
    assert follow_run(job, place, TIMING, sleep=sleep).completed
    assert len(waits) == 6


def test_there_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        follow_run(Job(tmp_path / "none", "/", tmp_path / "logs"), MemoryPlace(), TIMING)
