"""kill -9 at random times: nothing is lost, little is repeated, and all bytes are right."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import pytest

from bams3.storage import open_store
from tests.runs.made import MARKERS, config_file, config_table, contents, entry, make_run, set_age
from tests.runs.processes import objects, start
from tests.servers.proxy import FaultProxy, delay
from tests.servers.versitygw import Versitygw

SLOTS = 4


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.soak)])
def test_killed_monitors(
    s3_server: Versitygw, fault_proxy: FaultProxy, tmp_path: Path, rounds: int
) -> None:
    """There is always a run that is not finished when the monitor is killed."""
    bucket = s3_server.make_bucket(f"kill-{rounds}").removeprefix("s3://")
    table = config_table(tmp_path, entry(tmp_path / "seq", bucket=bucket), settle_seconds=0)
    path = config_file(tmp_path, table | {"max_cores": 1, "max_threads": SLOTS})
    fault_proxy.plan(*[delay(0.02)] * 200_000, match="PUT")
    source = random.Random(rounds)
    kills = 0
    folders = [_big_run(tmp_path, 0)]
    while kills < rounds:
        process = start("bams3", "runs", "monitor", "--config", path)
        time.sleep(source.uniform(0.2, 1.5))
        process.kill()
        _, errors = process.communicate()
        if process.returncode == 0:
            folders.append(_big_run(tmp_path, len(folders)))
            continue
        assert process.returncode == -9, errors
        kills += 1
        _expect_no_marker_before_its_files(bucket, folders[-1])
    process = start("bams3", "runs", "monitor", "--config", path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    for folder in folders:
        assert objects(f"s3://{bucket}/{folder.name}") == contents(folder)
        log = json.loads((tmp_path / f"logs/uploads/{folder.name}.upload.log.json").read_text())
        assert log["completed"] and log["total_uploaded_files"] == len(contents(folder))
    _expect_few_repetitions(fault_proxy, kills)


def _big_run(folder: Path, number: int) -> Path:
    run = make_run(folder / "seq", f"run_{number}", cycles=300)
    with open(run / "Data/huge.cbcl", "wb") as file:
        file.write(random.Random(number).randbytes(24 << 20))
    set_age(run, 3600)
    return run


def _expect_no_marker_before_its_files(bucket: str, folder: Path) -> None:
    there = {found.key for found in open_store(f"s3://{bucket}/{folder.name}").list()}
    if there & {*MARKERS}:
        assert {*contents(folder)} - {*MARKERS} <= there


def _expect_few_repetitions(proxy: FaultProxy, kills: int) -> None:
    """At most what was in flight at a kill went up twice, of large files part by part."""
    puts = [
        re.sub("uploadId=[^&]*", "", line)
        for line in proxy.requests
        if line.startswith("PUT ") and "manifest" not in line
    ]
    assert len({line for line in puts if "huge" in line}) > 1  # it went up in parts
    assert len(puts) - len({*puts}) <= kills * (SLOTS + 1)
