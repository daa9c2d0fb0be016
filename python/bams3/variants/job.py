"""A job: how a request is cut into shards, and how they are run on an executor."""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field

from bams3.config import StorageOptions
from bams3.errors import (
    Bams3Error,
    CallError,
    InputError,
    NotFoundError,
    StorageError,
    TooLargeError,
)
from bams3.storage import Store
from bams3.variants.callers import Caller
from bams3.variants.cost import Budget
from bams3.variants.index import Weight
from bams3.variants.preflight import Prepared
from bams3.variants.shards import Piece, Shard, bytes_of, check_cover, halves, plan, without
from bams3.variants.task import Receipt, Source, Task
from bams3.variants.tile import call_tile

MOST_BYTES = 64 << 20
"""Compressed reads of a shard where there are many: a quarter of a minute of work."""
LAST_BYTES = 6 << 20
"""Compressed reads of the last shards, at most: a second or two of work."""
LEAST_BYTES = 1 << 18
"""Compressed reads that are worth a shard: starting the caller costs as much as calling them."""
_ROUND = 2 / 3
"""Of what is left, the part that the next shards of all workers take together."""
TRIES = 3
GIVE_UP_AFTER = 10
"""Failed shards after which no more are begun."""

Progress = Callable[[int, int, int], None]
"""Called with the shards done, all shards, and the records found so far."""

log = logging.getLogger(__name__)


# ---- what is to be done --------------------------------------------------------------------------
def make_task(
    prepared: Prepared, caller: Caller, version: str, folder: str, storage: StorageOptions | None
) -> Task:
    """Return the task of the job; those of shards differ in the shard alone."""
    sources = tuple(Source(_absolute(r.url), r.identity) for r in prepared.inputs)
    url, checksums = prepared.reference.url, prepared.checksums
    return Task(sources, url, checksums, caller.complete(), version, (), folder, storage)


def _absolute(url: str) -> str:
    return url if "://" in url else os.path.abspath(url)


def earlier(folder: Store, job: str, pieces: Sequence[Piece]) -> list[Receipt]:
    """Return the receipts of an earlier run of the same job that lie inside of the request."""
    found: list[Receipt] = []
    for entry in folder.list():
        if not entry.key.endswith(".json"):
            continue
        try:
            receipt = Receipt.from_json(json.loads(folder.get(entry.key)))
        except (InputError, ValueError, NotFoundError):
            continue
        taken = [piece for other in found for piece in other.shard]
        inside = not without(receipt.shard, pieces)
        if receipt.job == job and inside and without(receipt.shard, taken) == [*receipt.shard]:
            found.append(receipt)
    return found


def cut(
    prepared: Prepared,
    done: Sequence[Receipt],
    caller: Caller,
    workers: int,
    tile_bases: int | None,
) -> list[Shard]:
    """Cut what is left of a request."""
    left = without(prepared.pieces, (piece for receipt in done for piece in receipt.shard))
    if not left:
        return []
    names = dict.fromkeys(piece.contig for piece in left)
    known = {name: _weights(prepared, name) for name in names}
    if tile_bases:
        shards = plan(left, known.__getitem__, bases=tile_bases)
    else:
        total = bytes_of(left, known.__getitem__)
        shards = plan(left, known.__getitem__, sizes=shard_sizes(total, workers))
    if caller.gvcf:  # blocks are joined where one piece follows the other
        shards = [(piece,) for shard in shards for piece in shard]
    check_cover(left, shards)
    return shards


def weight(prepared: Prepared, shards: Iterable[Shard]) -> float:
    """Return the compressed bytes of the reads of shards."""
    known = functools.cache(functools.partial(_weights, prepared))
    return bytes_of([piece for shard in shards for piece in shard], known)


def shard_sizes(total: float, workers: int) -> list[float]:
    """Return the bytes of each shard: few, as each one costs some, and the last ones small.

    So no worker is idle for long at the end, however uneven the work turns out to be (factoring:
    Hummel, Schonberg and Flynn, Communications of the ACM 35(8), 1992).
    """
    sizes: list[float] = []
    left = total
    while left > workers * LAST_BYTES:
        size = min(MOST_BYTES, _ROUND * left / workers)
        sizes += [size] * workers
        left -= size * workers
    count = max(1, min(workers, int(left // LEAST_BYTES)))
    return [*sizes, *[left / count] * count]


def _weights(prepared: Prepared, contig: str) -> list[Weight]:
    """Return the weights of all inputs, one after the other: those of the first cut the rest."""
    first, *rest = (reads.weights(contig) for reads in prepared.inputs)
    if not rest:
        return first
    edges = sorted({edge for ws in (first, *rest) for w in ws for edge in (w.start, w.end)})
    summed = [0.0] * len(edges)
    place = {edge: number for number, edge in enumerate(edges)}
    for weights in (first, *rest):
        for start, end, size in weights:
            for number in range(place[start], place[end]):
                summed[number] += size * (edges[number + 1] - edges[number]) / (end - start)
    spans = zip(edges, edges[1:], summed, strict=False)
    return [Weight(start, end, size) for start, end, size in spans if size]


# ---- scattering ----------------------------------------------------------------------------------
@dataclass
class Scatter:
    """Runs shards of a job on an executor, with a bounded number under way.

    Attributes:
        done: Receipts.
        failed: Names of shards that failed, with the reasons.
    """

    template: Task
    progress: Progress | None = None
    ahead: int = 64
    deadline: float | None = None
    budget: Budget | None = None
    done: list[Receipt] = field(default_factory=list)
    failed: dict[str, Bams3Error] = field(default_factory=dict)

    def run(self, shards: Iterable[Shard], executor: Executor) -> None:
        """Call shards.

        Raises:
            CallError: Some failed; the rest is done, and kept.
        """
        waiting = deque((shard, 1) for shard in shards)
        running: dict[Future[Receipt], tuple[Shard, int]] = {}
        try:
            while running or waiting:
                while waiting and self._may_begin(len(running)):
                    shard, attempt = waiting.popleft()
                    future = executor.submit(call_tile, self._task(shard), self._seconds())
                    running[future] = shard, attempt
                if not running:
                    break
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    waiting.extendleft(self._settle(future, *running.pop(future)))
                self._tell(len(running) + len(waiting))
        finally:
            for future in running:
                future.cancel()
        if self.failed:
            raise self._failure(len(waiting))
        if waiting:
            raise self._stopped(len(waiting))

    def _may_begin(self, running: int) -> bool:
        return (
            running < self.ahead
            and len(self.failed) < GIVE_UP_AFTER
            and (self.deadline is None or time.monotonic() < self.deadline)
            and (self.budget is None or self.budget.allows(self.done, running))
        )

    def _seconds(self) -> float | None:
        return None if self.deadline is None else self.deadline - time.monotonic()

    def _stopped(self, waiting: int) -> Bams3Error:
        """Say why shards were not begun."""
        text = f"{waiting} of {len(self.done) + waiting} shards were not begun"
        again = "run the same command again: what is done is not done again"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return TooLargeError(f"{text}: the time is up", again)
        return CallError(f"{text}: they would cost more than allowed", f"{again}, --max-cost")

    def _task(self, shard: Shard) -> Task:
        t = self.template
        return Task(
            t.sources, t.reference, t.checksums, t.caller, t.version, shard, t.folder, t.storage
        )

    def _settle(
        self, future: Future[Receipt], shard: Shard, attempt: int
    ) -> list[tuple[Shard, int]]:
        """Take what became of a shard; return what is to be done again."""
        name = self._task(shard).name
        try:
            self.done.append(future.result())
            return []
        except TooLargeError as error:
            parts = halves(shard)
            if len(parts) == 1:
                self.failed[name] = error
                return []
            log.warning("%s: %s: cut in two", name, error.message)
            return [(part, 1) for part in reversed(parts)]
        except (CallError, InputError, NotFoundError) as error:
            self.failed[name] = error
        except Exception as error:  # a lost worker, a store that failed: try again
            if attempt < TRIES:
                log.warning("%s: %s: tried again", name, error)
                return [(shard, attempt + 1)]
            known = isinstance(error, Bams3Error)
            self.failed[name] = error if known else StorageError(f"{type(error).__name__}: {error}")  # type: ignore[assignment]
        return []

    def _tell(self, left: int) -> None:
        if self.progress is not None:
            records = sum(receipt.records for receipt in self.done)
            self.progress(len(self.done), len(self.done) + len(self.failed) + left, records)

    def _failure(self, begun: int) -> Bams3Error:
        """Say which shards failed, and why."""
        name, reason = next(iter(self.failed.items()))
        count = len(self.failed)
        others = [other for other in self.failed if other != name]
        text = f"{count} of {len(self.done) + count + begun} shards failed: {reason.message}"
        text += f"; also {', '.join(others[:8])}" if others else ""
        text += f"; {begun} were not begun" if begun else ""
        hint = reason.hint or "mend the cause"
        return CallError(
            text, f"{hint}; run the same command again: what is done is not done again"
        )
