"""Call variants: check, cut, scatter over an executor, merge, publish.

The job's folder holds the calls and the receipt of each shard. A driver that crashed is started
again with the same command: what has a receipt is not called again. When all is published, the
folder goes, and the receipts of the shards stand in that of the job, beside the calls.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import bams3
from bams3.config import StorageOptions
from bams3.errors import (
    Bams3Error,
    CallError,
    ExistsError,
    InputError,
    NotFoundError,
    StorageError,
    TooLargeError,
    UsageError,
)
from bams3.reads.limits import cpus
from bams3.regions import Region
from bams3.storage import Store, open_store
from bams3.variants.callers import Caller
from bams3.variants.cost import Budget
from bams3.variants.executors import processes
from bams3.variants.index import Weight
from bams3.variants.merge import merged, publish
from bams3.variants.preflight import Prepared, prepare
from bams3.variants.shards import Piece, Shard, bytes_of, check_cover, halves, plan, without
from bams3.variants.task import Receipt, Source, Task
from bams3.variants.tile import call_tile

BYTES_A_SHARD = 16 << 20
"""Compressed reads of a shard where there are many: some seconds of work."""
LEAST_BYTES = 1 << 18
"""Compressed reads that are worth a shard: starting the caller costs as much as calling them."""
TRIES = 3
PARTS = ".parts"
RECEIPT = ".receipt.json"
GIVE_UP_AFTER = 10
"""Failed shards after which no more are begun."""

Progress = Callable[[int, int, int], None]
"""Called with the shards done, all shards, and the records found so far."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What was called.

    Attributes:
        output: Where the calls are.
        records: Records that the shards own, before normalisation.
        samples: Names of the samples.
        bases: Bases asked for.
        reads: Reads that the caller was given; those at borders of shards more than once.
        bytes_read: Bytes of BAM that it was given.
        shards: How many.
        resumed: How many of them an earlier run had done.
        seconds: How long it took.
        worker_seconds: The same summed over shards.
        digest: SHA-256 of the calls.
    """

    output: str
    records: int
    samples: tuple[str, ...]
    bases: int
    reads: int
    bytes_read: int
    shards: int
    resumed: int
    seconds: float
    worker_seconds: float
    digest: str


def call(
    inputs: Sequence[str],
    reference: str,
    output: str | os.PathLike[str],
    *,
    regions: Sequence[str | Region] = (),
    bed: Iterable[Region] | str | os.PathLike[str] | None = None,
    caller: Caller | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    tile_bases: int | None = None,
    folder: str | None = None,
    overwrite: bool = False,
    deadline: float | None = None,
    budget: Budget | None = None,
    storage: StorageOptions | None = None,
    progress: Progress | None = None,
) -> CallSummary:
    """Call variants of one or more samples.

    Args:
        inputs: Addresses of BAM, CRAM or BAMS3; all samples are called together.
        reference: Address of an indexed FASTA.
        output: Where the calls go, `.vcf.gz` or `.bcf`; an index and a receipt beside them.
        regions: What to call, as texts (1-based closed) or `Region`s; none is everything.
        bed: Regions or a BED file; with `regions`, what both have in common.
        caller: What to run; by default bcftools.
        executor: Where to run it; by default in processes on this machine.
        workers: How many shards at a time; by default one for each CPU.
        tile_bases: Cut every so many bases, rather than into shards of about equal bytes.
        folder: Address of the job's folder; by default beside the output.
        overwrite: Replace an output that is there. One that this very job has made is left as it
            is, and its summary returned.
        deadline: `time.monotonic()` after which nothing is begun, and what runs is stopped.
        budget: What it may cost; it is told the estimate, and may refuse.
        storage: How to reach stores.
        progress: Told how far it is.

    Raises:
        ExistsError: The output is there already.
        CallError: Some shards failed; what is done is kept, and not done again. Or it would cost
            more than allowed.
        NotFoundError, InputError, RegionError, UsageError: See `prepare`.
    """
    began = time.monotonic()
    place = Place.of(os.fspath(output), folder, storage)
    there = place.receipt(overwrite)
    caller = caller or Caller()
    version = caller.version()
    prepared = prepare(inputs, reference, regions=regions, bed=bed, storage=storage)
    for url in prepared.unnamed:
        log.warning("%s: names no sample in its read groups; it is called after the file", url)
    count = workers or cpus()
    template = make_task(prepared, caller, version, place.folder.url, storage)
    if there is not None and _is_of(there, template, prepared):
        prepared.close()
        return _summary(there)
    if there is not None and not overwrite:
        raise ExistsError(f"{place.url}: exists already", "--overwrite, or another name")
    done = earlier(place.folder, template.job, prepared.pieces)
    shards = cut(prepared, done, caller, count, tile_bases)
    job = Scatter(template, progress, ahead=2 * count, deadline=deadline, budget=budget)
    job.done = [*done]
    try:
        if budget is not None:
            known = weight(prepared, (receipt.shard for receipt in done))
            budget.begin(weight(prepared, shards), len(shards), done, known)
        if executor is not None:
            job.run(shards, executor)
        else:
            with processes(count) as own:
                job.run(shards, own)
        with merged(place.folder, job.done, prepared, caller, place.ending) as paths:
            digest = publish(place.store, place.key, paths)
    finally:
        prepared.close()
    summary = CallSummary(
        output=place.url, records=sum(r.records for r in job.done), samples=prepared.samples,
        bases=sum(p.end - p.start for p in prepared.pieces), reads=sum(r.reads for r in job.done),
        bytes_read=sum(r.bytes_read for r in job.done), shards=len(job.done), resumed=len(done),
        seconds=round(time.monotonic() - began, 3),
        worker_seconds=round(sum(r.seconds for r in job.done), 3), digest=digest,
    )  # fmt: skip
    place.finish(_receipt(summary, template, prepared, job.done), job.done)
    return summary


# ---- where things go -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Place:
    """The output, and the job's folder."""

    store: Store
    key: str
    folder: Store
    beside: bool

    @classmethod
    def of(cls, output: str, folder: str | None, storage: StorageOptions | None) -> Place:
        """Open both; nothing is written yet."""
        output = output if "://" in output else os.path.abspath(output)
        parent, _, key = output.rpartition("/")
        if not key.endswith((".vcf.gz", ".bcf")):
            raise UsageError(f"{output}: is no name for calls", "end it with .vcf.gz or .bcf")
        opened = open_store(folder or f"{output}{PARTS}", storage)
        return cls(open_store(parent or "/", storage), key, opened, folder is None)

    @property
    def url(self) -> str:
        """The address of the calls."""
        return self.store.url_of(self.key)

    @property
    def ending(self) -> str:
        """The format of the calls."""
        return "bcf" if self.key.endswith(".bcf") else "vcf.gz"

    def receipt(self, overwrite: bool) -> dict[str, Any] | None:
        """Return the receipt of an output that is there.

        Raises:
            ExistsError: It is not the work of a job, and not to be replaced.
        """
        try:
            self.store.head(self.key)
            found = json.loads(self.store.get(f"{self.key}{RECEIPT}"))
            return found if isinstance(found, dict) else None
        except (NotFoundError, ValueError):
            pass
        with suppress(NotFoundError):
            self.store.head(self.key)
            if not overwrite:
                raise ExistsError(f"{self.url}: exists already", "--overwrite, or another name")
        return None

    def finish(self, receipt: dict[str, Any], done: Iterable[Receipt]) -> None:
        """Write the receipt of the job; then the parts are not needed any more."""
        self.store.put(f"{self.key}{RECEIPT}", json.dumps(receipt, indent=1).encode())
        keys = [key for r in done for key in (f"{r.task}.json", r.key)]
        if self.beside:  # the folder goes, too
            self.store.delete_many(f"{self.key}{PARTS}/{key}" for key in keys)
        else:
            self.folder.delete_many(keys)


def _receipt(
    summary: CallSummary, template: Task, prepared: Prepared, done: Sequence[Receipt]
) -> dict[str, Any]:
    """Return all that is needed to repeat the job, and to see that the result is the same."""
    return {
        "created_by": f"bams3 {bams3.__version__}",
        **asdict(summary),
        "job": template.job,
        "sources": [asdict(source) for source in template.sources],
        "reference": template.reference,
        "checksums": dict(template.checksums),
        "caller": asdict(template.caller),
        "version": template.version,
        "request": [str(piece.region) for piece in prepared.pieces],
        "parts": [receipt.to_json() for receipt in done],
    }


def _is_of(there: dict[str, Any], template: Task, prepared: Prepared) -> bool:
    """Whether calls that are there are those of this job and request."""
    request = [str(piece.region) for piece in prepared.pieces]
    return there.get("job") == template.job and there.get("request") == request


def _summary(receipt: dict[str, Any]) -> CallSummary:
    values = {entry.name: receipt[entry.name] for entry in fields(CallSummary)}
    return CallSummary(**{**values, "samples": tuple(values["samples"])})


# ---- what is to be done --------------------------------------------------------------------------
def make_task(
    prepared: Prepared, caller: Caller, version: str, folder: str, storage: StorageOptions | None
) -> Task:
    """Return the task of the job; those of shards differ in the shard alone."""
    sources = tuple(Source(_absolute(r.url), r.identity) for r in prepared.inputs)
    url, checksums = prepared.reference.url, prepared.checksums
    return Task(sources, url, checksums, caller, version, (), folder, storage)


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
    """Cut what is left of a request; the largest shards come first where they differ."""
    left = without(prepared.pieces, (piece for receipt in done for piece in receipt.shard))
    if not left:
        return []
    names = dict.fromkeys(piece.contig for piece in left)
    known = {name: _weights(prepared, name) for name in names}
    if tile_bases:
        shards = plan(left, known.__getitem__, bases=tile_bases)
    else:
        total = bytes_of(left, known.__getitem__)
        shards = plan(left, known.__getitem__, count=_count(total, workers))
    if caller.gvcf:  # blocks are joined where one piece follows the other
        shards = [(piece,) for shard in shards for piece in shard]
    check_cover(left, shards)
    return shards


def weight(prepared: Prepared, shards: Iterable[Shard]) -> float:
    """Return the compressed bytes of the reads of shards."""
    known = functools.cache(functools.partial(_weights, prepared))
    return bytes_of([piece for shard in shards for piece in shard], known)


def _count(total: float, workers: int) -> int:
    """Return how many shards: enough to keep all workers busy to the end."""
    many = max(4 * workers, int(total // BYTES_A_SHARD))
    return max(1, min(many, int(total // LEAST_BYTES)), workers if total > LEAST_BYTES else 1)


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
