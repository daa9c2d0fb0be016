"""Call variants: check, cut, scatter over an executor, merge, publish.

The job's folder holds the calls and the receipt of each shard. A driver that crashed is started
again with the same command: what has a receipt is not called again. When all is published, the
folder goes, and the receipts of the shards stand in that of the job, beside the calls.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

import bams3
from bams3.config import StorageOptions
from bams3.errors import ExistsError, NotFoundError, UsageError
from bams3.reads.limits import cpus
from bams3.regions import Region
from bams3.storage import Store, open_store
from bams3.variants.callers import Caller
from bams3.variants.cost import Budget
from bams3.variants.executors import processes
from bams3.variants.job import Progress, Scatter, cut, earlier, make_task, weight
from bams3.variants.merge import digest_of, merged, publish
from bams3.variants.objects import blocks
from bams3.variants.preflight import Prepared, prepare
from bams3.variants.task import RECEIPT, Receipt, Task

PARTS = ".parts"

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
            digest, seconds = digest_of(paths[0]), time.monotonic() - began
            summary = _summed(place, prepared, job.done, len(done), seconds, digest)
            receipt = json.dumps(_receipt(summary, template, prepared, job.done), indent=1)
            publish(place.store, place.key, paths, receipt.encode())
    finally:
        prepared.close()
    place.finish(job.done)
    return summary


# ---- where things go -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Place:
    """The output, and the job's folder."""

    store: Store
    key: str
    folder: Store
    beside: bool
    storage: StorageOptions | None

    @classmethod
    def of(cls, output: str, folder: str | None, storage: StorageOptions | None) -> Place:
        """Open both; nothing is written yet."""
        output = output if "://" in output else os.path.abspath(output)
        parent, _, key = output.rpartition("/")
        if not key.endswith((".vcf.gz", ".bcf")):
            raise UsageError(f"{output}: is no name for calls", "end it with .vcf.gz or .bcf")
        opened = open_store(folder or f"{output}{PARTS}", storage)
        return cls(open_store(parent or "/", storage), key, opened, folder is None, storage)

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
        with suppress(NotFoundError, ValueError):
            self.store.head(self.key)
            found = json.loads(self.store.get(f"{self.key}{RECEIPT}"))
            if isinstance(found, dict) and found.get("digest") == self._digest():
                return found
        with suppress(NotFoundError):
            self.store.head(self.key)
            if not overwrite:
                raise ExistsError(f"{self.url}: exists already", "--overwrite, or another name")
        return None

    def _digest(self) -> str:
        """Return the SHA-256 of the calls that are there, which may not be those of the receipt."""
        digest = hashlib.sha256()
        for block in blocks(self.url, self.storage):
            digest.update(block)
        return digest.hexdigest()

    def finish(self, done: Iterable[Receipt]) -> None:
        """Remove the parts."""
        keys = [key for r in done for key in (f"{r.task}.json", r.key)]
        if self.beside:  # the folder goes, too
            self.store.delete_many(f"{self.key}{PARTS}/{key}" for key in keys)
        else:
            self.folder.delete_many(keys)


def _summed(
    place: Place, prepared: Prepared, done: Sequence[Receipt], resumed: int, seconds: float,
    digest: str,
) -> CallSummary:  # fmt: skip
    return CallSummary(
        output=place.url, records=sum(r.records for r in done), samples=prepared.samples,
        bases=sum(p.end - p.start for p in prepared.pieces), reads=sum(r.reads for r in done),
        bytes_read=sum(r.bytes_read for r in done), shards=len(done), resumed=resumed,
        seconds=round(seconds, 3), worker_seconds=round(sum(r.seconds for r in done), 3),
        digest=digest,
    )  # fmt: skip


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
