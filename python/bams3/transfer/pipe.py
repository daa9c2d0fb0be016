"""One object down into a stream, in order, with several requests ahead."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import BinaryIO

from bams3._core import crc64nvme
from bams3.errors import CorruptError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer.claims import Computed
from bams3.transfer.engine import Engine, Job, Stopped
from bams3.transfer.plan import USUAL, Plan
from bams3.transfer.proof import claim_of, outcome_of
from bams3.transfer.settings import Outcome, Progress, Settings

_LEAST = 1 << 20


def download_to(
    bucket: Bucket,
    key: str,
    stream: BinaryIO,
    settings: Settings,
    customer_key: CustomerKey | None,
    version_id: str,
    progress: Progress,
) -> Outcome:
    """Write an object to a stream; see `download`. Parts wait in memory for their turn.

    Raises:
        CorruptError: What was written, all of it, is not what S3 says of the object.
    """
    info = bucket.head(key, customer_key, version_id)
    outcome = Outcome(bucket.url_of(key), "-", info.size, info.etag, version_id=info.version_id)
    if settings.dry_run:
        return replace(outcome, skipped=True, planned=True)
    progress.begin(info.size)
    claim = claim_of(bucket, info, customer_key, version_id)
    found = Computed(claim) if claim else None
    with Engine(settings, bucket) as engine:
        window = _Window(bucket, info, settings, customer_key, version_id, progress, engine)
        crc = window.run(stream, found)
    stream.flush()
    try:
        proof = outcome_of(bucket.url_of(key), claim, found) if claim and found else ""
    except CorruptError as error:
        error.hint = "what was written is wrong: do not use it"
        raise
    return replace(outcome, crc64nvme=crc, proof=proof)


class _Window:
    """The parts that are being read or wait for their turn."""

    def __init__(
        self,
        bucket: Bucket,
        info: ObjectInfo,
        settings: Settings,
        customer_key: CustomerKey | None,
        version_id: str,
        progress: Progress,
        engine: Engine,
    ) -> None:
        self._bucket, self._info = bucket, info
        self._customer_key, self._version_id = customer_key, version_id
        self._progress, self._engine = progress, engine
        part_size = settings.part_size or max(_LEAST, min(USUAL, settings.memory // 8))
        self._plan = Plan(info.size, part_size)
        # Half of the budget waits for its turn; the rest is for what is written, and the threads.
        self._ahead = max(1, min(settings.slots, settings.memory // (2 * part_size)))
        self._change = threading.Condition()
        self._ready: dict[int, memoryview] = {}
        self._error: Exception | None = None

    def run(self, stream: BinaryIO, found: Computed | None) -> int:
        """Write all parts in order, and show them to `found`; return the whole's CRC64NVME."""
        if not self._info.size:
            return 0
        crc, asked = 0, 0
        for number in range(1, self._plan.count + 1):
            while asked < min(self._plan.count, number - 1 + self._ahead):
                asked += 1
                self._engine.add([self._job(asked)])
            data = self._take(number)
            crc = crc64nvme(data, crc)
            if found:
                found.update(data)
            stream.write(data)
            self._progress.part(number, len(data), False)
            del data  # before the next one is asked for
        return crc

    def _take(self, number: int) -> memoryview:
        with self._change:
            while number not in self._ready and not self._error:
                self._change.wait()
            if self._error:
                raise self._error
            return self._ready.pop(number)

    def _job(self, number: int) -> Job:
        def job() -> None:
            try:
                data, error = self._get(*self._plan.span(number)), None
            except Stopped:
                raise
            except Exception as problem:
                data, error = memoryview(b""), problem
            with self._change:
                self._error = self._error or error
                self._ready[number] = data
                self._change.notify_all()

        return job

    def _get(self, start: int, end: int) -> memoryview:
        data, filled = memoryview(bytearray(end - start)), 0

        def write(piece: memoryview) -> None:
            nonlocal filled
            self._engine.passing(len(piece))
            self._progress.advance(len(piece))
            data[filled : filled + len(piece)] = piece
            filled += len(piece)

        self._bucket.read(
            self._info.key, start, end, write, etag=self._info.etag,
            customer_key=self._customer_key, version_id=self._version_id,
        )  # fmt: skip
        return data
