"""Call one shard: the work of an executor, wherever it runs."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing.util
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from bams3 import _core
from bams3.config import StorageOptions
from bams3.errors import Bams3Error, CallError, InputError, NotFoundError, TooLargeError
from bams3.reads.to_bam import bam_bytes
from bams3.regions import Interval, merge_intervals
from bams3.storage import Store, open_store
from bams3.variants.alignments import (
    Alignments,
    contigs_of,
    open_alignments,
    stem,
)
from bams3.variants.callers import Caller, Job, commands
from bams3.variants.pipes import run
from bams3.variants.reference import Reference, open_reference
from bams3.variants.shards import Piece
from bams3.variants.task import Receipt, Task
from bams3.variants.vcf import open_vcf

_READS, _OUTPUT = "reads", "calls.vcf.gz"


def call_tile(task: Task, seconds: float | None = None) -> Receipt:
    """Call a shard, write the calls, then the receipt. What is done already is not done again.

    Args:
        task: What to call.
        seconds: Stop after so long.

    Raises:
        CallError: The caller failed.
        TooLargeError: It took too long, or too much memory.
        InputError: Reads or reference are not those that the job began with.
    """
    store = open_store(task.folder, task.storage)
    try:
        return read_receipt(store, task.id) or _called(task, store, seconds)
    finally:
        store.close()


def read_receipt(store: Store, task: str) -> Receipt | None:
    """Return the receipt of a task that is done."""
    try:
        return Receipt.from_json(json.loads(store.get(f"{task}.json")))
    except NotFoundError:
        return None


def _called(task: Task, store: Store, seconds: float | None) -> Receipt:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bams3-call-") as name:
        folder = Path(name)
        (folder / _READS).mkdir()
        counted = _run(task, folder, None if seconds is None else began + seconds)
        records = _count(folder / _OUTPUT, task)
        data = (folder / _OUTPUT).read_bytes()
    key = f"{task.id}.vcf.gz"
    store.put(key, data)
    receipt = Receipt(
        task=task.id, job=task.job, shard=task.shard, key=key,
        digest=hashlib.sha256(data).hexdigest(), records=records, reads=counted.reads,
        bytes_read=counted.bytes, seconds=round(time.monotonic() - began, 3), version=task.version,
    )  # fmt: skip
    store.put(f"{task.id}.json", json.dumps(receipt.to_json()).encode())
    return receipt


class _Counter:
    """Counts what the caller is given."""

    def __init__(self) -> None:
        self.reads = self.bytes = 0

    def see(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.reads += _core.count_records(block)
            self.bytes += len(block)
            yield block


def _run(task: Task, folder: Path, deadline: float | None) -> _Counter:
    """Run the caller in a folder of a folder, which then has its output.

    The inner one has nothing but the reads, whose names may be anything.
    """
    reference = _reference(task)
    path = reference.local((piece.contig for piece in task.shard), shared_folder())
    inputs = [_alignments(task, number, path) for number in range(len(task.sources))]
    spans = padded(inputs, task.shard)
    _write_bed(folder / "own.bed", task.shard)
    _write_bed(folder / "padded.bed", spans)
    (folder / "ploidy").write_text(task.caller.ploidy_rules, errors="surrogateescape")
    names, counter = _names(task), _Counter()
    feeds = {
        name: _bam(task.caller, reads.header, counter.see(_records(reads, spans, task.caller.tags)))
        for name, reads in zip(names, inputs, strict=True)
    }
    try:
        if task.caller.needs_files:
            _write_files(feeds, folder / _READS)
            feeds = {}
        own, padding, rules = (str(folder / n) for n in ("own.bed", "padded.bed", "ploidy"))
        job = Job(names, path, own, padding, rules, str(task.shard[0].region))
        run(commands(task.caller, job), feeds, folder / _READS, f"../{_OUTPUT}", deadline)
    except TooLargeError as error:
        raise TooLargeError(
            f"{task.name}: {error.message}", "smaller shards: --tile-size"
        ) from None
    except CallError as error:
        raise CallError(f"{task.name}: {error.message}", error.hint) from None
    return counter


def _names(task: Task) -> list[str]:
    """Return a file name for each input: its stem, which bcftools takes for a missing sample.

    Others tell the format of a file by its ending.
    """
    stems = [stem(source.url) for source in task.sources]
    ending = "" if task.caller.name == "bcftools" else ".bam"
    return [
        (name if stems.count(name) == 1 else f"{name}.{number}") + ending
        for number, name in enumerate(stems, 1)
    ]


def padded(inputs: Sequence[Alignments], pieces: Sequence[Piece]) -> list[Piece]:
    """Extend pieces to the left so far that calls in them are those of a whole run.

    bcftools adjusts the qualities of a read where it first sees an indel near it, or its mate over
    it. So all positions must be seen of every read over a piece, and of every mate of these that
    begins before them: twice the reach of a read, as it really is there.
    """
    extended = []
    tids = {name: tid for tid, name in enumerate(contigs_of(inputs[0]))}
    for contig, start, end in pieces:
        for _ in range(2):
            start = min(reads.leftmost(tids[contig], start) for reads in inputs)
        extended.append(Piece(contig, start, end))
    return [
        Piece(contig, *span)
        for contig in dict.fromkeys(piece.contig for piece in pieces)
        for span in merge_intervals((s, e) for name, s, e in extended if name == contig)
    ]


def _records(
    reads: Alignments, pieces: Sequence[Piece], tags: Sequence[str] | None
) -> Iterator[bytes]:
    tids = {name: tid for tid, name in enumerate(contigs_of(reads))}
    spans: dict[int, list[Interval]] = {}
    for contig, start, end in pieces:
        spans.setdefault(tids[contig], []).append((start, end))
    return reads.records(sorted(spans.items()), tags)


def _bam(caller: Caller, header: _core.Header, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if caller.takes_plain_bam:
        return chain([_core.bam_header_bytes(header)], blocks)
    return bam_bytes(blocks, header, 0, 1)


def _write_bed(path: Path, pieces: Sequence[Piece]) -> None:
    path.write_text("".join(f"{name}\t{start}\t{end}\n" for name, start, end in pieces))


def _write_files(feeds: dict[str, Iterator[bytes]], folder: Path) -> None:
    """Write the reads as indexed files, for a caller that cannot take streams."""
    import pysam

    for name, blocks in feeds.items():
        with open(folder / name, "wb") as out:
            out.writelines(blocks)
        pysam.index(str(folder / name))


def _count(path: Path, task: Task) -> int:
    """Count the records of the output, which must be whole VCF."""
    try:
        with open_vcf(path) as file:
            return sum(1 for _ in file)
    except (OSError, ValueError, Bams3Error) as error:
        raise CallError(f"{task.name}: the caller wrote no VCF: {error}") from error


# ---- what a worker keeps from one shard to the next ----------------------------------------------
@functools.cache
def shared_folder() -> Path:
    """Return a folder for copies of the reference; it goes when the process ends."""
    folder = tempfile.mkdtemp(prefix="bams3-reference-")
    # Processes of multiprocessing, as workers of Dask are, do not do what `atexit` knows.
    multiprocessing.util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
    return Path(folder)


def _reference(task: Task) -> Reference:
    reference = open_reference(task.reference, task.storage)
    for contig, expected in task.checksums:
        if any(piece.contig == contig for piece in task.shard):
            if contig not in reference.contigs or reference.checksum(contig) != expected:
                raise InputError(
                    f"{task.reference}: {contig} is not what the job began with",
                    "give every worker the same reference",
                )
    return reference


def _alignments(task: Task, number: int, reference: str) -> Alignments:
    source = task.sources[number]
    reads = _opened(source.url, source.identity, task.storage, reference)
    if reads.identity != source.identity:
        raise InputError(f"{source.url}: was replaced since the job began", "start again")
    return reads


@functools.lru_cache(maxsize=64)
def _opened(url: str, identity: str, storage: StorageOptions | None, reference: str) -> Alignments:
    """Open alignments; `identity` is a part of the key, so that what was replaced is reopened."""
    return open_alignments(url, storage, reference)
