"""Where shards are called: anything with the interface of `concurrent.futures.Executor`."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def processes(workers: int) -> Executor:
    """Return the executor of this machine: each of its threads runs callers in processes.

    Reads are decoded on the threads, in the compiled core, which holds no lock; the caller's
    processes are new for each shard, so one that crashes takes nothing along.
    """
    return ThreadPoolExecutor(workers, "bams3-call")
