"""kill -9 at random times: nothing is lost, little is repeated, and all bytes are right."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import pytest

from tests.runs.made import NOVASEQ, config_file, config_table, contents, entry, make_run, set_age
from tests.runs.processes import objects, start
from tests.servers.proxy import FaultProxy, delay
from tests.servers.versitygw import Versitygw

SLOTS = 4


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.soak)])
def test_killed_monitors(
    s3_server: Versitygw, fault_proxy: FaultProxy, tmp_path: Path, rounds: int
) -> None:
    folder = make_run(tmp_path / "seq", cycles=60 * rounds if rounds < 10 else 5 * rounds)
    with open(folder / "Data/huge.cbcl", "wb") as file:
        file.write(random.Random(0).randbytes(24 << 20))
    set_age(folder, 3600)
    bucket = s3_server.make_bucket(f"kill-{rounds}").removeprefix("s3://")
    table = config_table(tmp_path, entry(folder.parent, bucket=bucket), settle_seconds=0)
    path = config_file(tmp_path, table | {"max_cores": 1, "max_threads": SLOTS})
    fault_proxy.plan(*[delay(0.02)] * 100_000, match="PUT")
    source = random.Random(rounds)
    kills = _kill_again_and_again(path, source, rounds, folder, bucket)
    assert kills >= rounds // 2
    puts = [
        re.sub("uploadId=[^&]*", "", line)
        for line in fault_proxy.requests
        if line.startswith("PUT ") and "manifest" not in line
    ]
    assert len({line for line in puts if "huge" in line}) > 1  # in parts
    # At most what was in flight at a kill went up twice.
    assert len(puts) - len({*puts}) <= kills * (SLOTS + 1)
    assert objects(f"s3://{bucket}/{NOVASEQ}") == contents(folder)
    log = json.loads((tmp_path / f"logs/uploads/{NOVASEQ}.upload.log.json").read_text())
    assert log["completed"] and log["total_uploaded_files"] == len(contents(folder))


def _kill_again_and_again(
    path: Path, source: random.Random, rounds: int, folder: Path, bucket: str
) -> int:
    """Start monitors and kill them; the last one is left alone. Return how many died."""
    kills = 0
    for _ in range(rounds):
        process = start("bams3", "runs", "monitor", "--config", path)
        time.sleep(source.uniform(0.2, 1.2))
        process.kill()
        process.communicate()
        kills += process.returncode == -9
        there = objects(f"s3://{bucket}/{NOVASEQ}")
        if "CopyComplete.txt" in there:
            assert there.keys() == contents(folder).keys()
    process = start("bams3", "runs", "monitor", "--config", path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return kills
