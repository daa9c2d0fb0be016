"""A real cluster of Dask, with a worker killed midway."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest

from bams3.variants.call import call
from tests.variants.sample import Sample, plain, read_lines

distributed = pytest.importorskip("distributed")


def test_a_worker_is_killed_midway(normal: Sample, out: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Dask's own, while it starts and loses a worker
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        )
        with cluster, distributed.Client(cluster) as client:
            killed: list[int] = []

            def kill() -> None:
                while not [*Path(f"{out}.parts").glob("*.json")]:
                    time.sleep(0.02)
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

            thread = threading.Thread(target=kill)
            thread.start()
            with client.get_executor(pure=False, retries=2) as executor:
                done = call(
                    [normal.bams3], normal.reference, out, executor=executor, workers=2,
                    tile_bases=6_000,
                )  # fmt: skip
            thread.join()
    assert killed and done.shards == 11
    assert read_lines(out) == plain(normal.reference, normal.bam)
