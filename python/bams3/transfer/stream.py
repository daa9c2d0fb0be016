"""A stream up: bytes that come once, in order, and nobody knows how many."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from bams3._core import crc64nvme
from bams3.errors import InputError, PartSizeError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey, Part, Reader, Upload
from bams3.transfer import decide
from bams3.transfer.engine import Engine, Job
from bams3.transfer.plan import PARTS, stream_base, stream_factor
from bams3.transfer.settings import Outcome, Progress, Settings
from bams3.transfer.sources import Source


def upload_stream(
    source: Source,
    bucket: Bucket,
    key: str,
    settings: Settings,
    attributes: Attributes,
    customer_key: CustomerKey | None,
    progress: Progress,
) -> Outcome:
    """Upload a stream; see `upload`.

    What is not read again cannot be sent again, so parts are held in memory until they have
    arrived: as many as `settings.memory` permits, at least one. Resuming reads the stream from its
    beginning, and sends what the server does not have.
    """
    info = decide.existing(bucket, key, settings.exists, customer_key)
    outcome = Outcome(source.url, bucket.url_of(key), source.size or 0)
    if info and settings.exists == "skip":
        return replace(outcome, etag=info.etag, skipped=True)
    uploads = decide.unfinished(bucket, key, settings.unfinished)
    if settings.dry_run:
        return replace(outcome, skipped=True, planned=True)
    found = decide.adopted(uploads, bucket, key, settings.unfinished)
    progress.begin(source.size)
    with Engine(settings, bucket) as engine, source.open(0, None) as reader:
        task = _StreamUpload(bucket, key, settings, customer_key, progress, engine)
        return task.run(reader, found, attributes, outcome, source)


class _StreamUpload:
    """Reads in the calling thread, sends in those of the engine."""

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        settings: Settings,
        customer_key: CustomerKey | None,
        progress: Progress,
        engine: Engine,
    ) -> None:
        self._bucket, self._key, self._settings = bucket, key, settings
        self._customer_key, self._progress, self._engine = customer_key, progress, engine
        self._room = threading.Condition()
        self._held = 0
        self._free: list[memoryview] = []
        self._parts: dict[int, Part] = {}
        self._kept = 0
        self._error: Exception | None = None

    def run(
        self,
        reader: Reader,
        found: Upload | None,
        attributes: Attributes,
        outcome: Outcome,
        source: Source,
    ) -> Outcome:
        """Upload what the reader has."""
        there = {}
        if found:
            parts = self._bucket.list_parts(found, self._customer_key)
            there = {part.number: part for part in parts}
        self._base = self._base_of(there)
        data = self._read(reader, 1)
        if found is None and len(data) < self._base:
            return self._put(data, attributes, outcome, source)
        self._upload = found or self._bucket.create_upload(
            self._key, attributes, customer_key=self._customer_key
        )
        try:
            self._send_all(reader, data, there)
            return self._complete(outcome, source)
        except BaseException as error:
            if isinstance(error, InputError) and found is None and not self._parts:
                self._bucket.abort(self._upload)
            raise

    def _put(
        self, data: memoryview, attributes: Attributes, outcome: Outcome, source: Source
    ) -> Outcome:
        """Write a stream that is shorter than a part."""
        self._check_size(source, len(data))
        written = self._bucket.put(
            self._key, Held(data), attributes, customer_key=self._customer_key,
            if_none_match=self._settings.exists == "fail", passing=self._passing,
        )  # fmt: skip
        return replace(
            outcome, size=len(data), etag=written.etag, crc64nvme=written.sent,
            proof="crc64nvme" if written.crc64nvme is not None else "",
            version_id=written.version_id,
        )  # fmt: skip

    def _send_all(self, reader: Reader, data: memoryview, there: dict[int, Part]) -> None:
        number = 1
        while data or number == 1:
            size = self._base * stream_factor(number)
            self._engine.add([self._job(number, data, there.get(number))])
            last = len(data) < size
            number += 1
            if last:
                break
            if number > PARTS:
                raise InputError(
                    f"{self._bucket.url_of(self._key)}: the stream needs more than {PARTS} parts",
                    "start over with a larger --part-size and --memory",
                )
            data = self._read(reader, number)
        if max(there, default=0) >= number:
            raise InputError(
                f"{self._bucket.url_of(self._key)}: the stream is shorter than what was uploaded "
                "of it before",
                "--force starts over",
            )
        self._engine.wait()
        if self._error:
            raise self._error

    def _job(self, number: int, data: memoryview, there: Part | None) -> Job:
        buffer = memoryview(data.obj)

        def job() -> None:
            try:
                if not self._error:
                    self._part(number, data, there)
            except Exception as error:
                self._error = self._error or error
            finally:
                with self._room:
                    self._held -= buffer.nbytes
                    self._free.append(buffer)
                    self._room.notify()

        return job

    def _part(self, number: int, data: memoryview, there: Part | None) -> None:
        crc = crc64nvme(data)
        if there and there.crc64nvme is not None:
            if (there.size, there.crc64nvme) != (len(data), crc):
                raise InputError(
                    f"{self._bucket.url_of(self._key)}: the stream is not the one that was begun: "
                    f"part {number} differs",
                    "--force starts over",
                )
            self._progress.advance(len(data))
            part, self._kept = there, self._kept + 1
        else:
            part, there = self._bucket.put_part(
                self._upload, number, Held(data), self._customer_key, passing=self._passing
            ), None  # fmt: skip
        self._parts[number] = part
        self._progress.part(number, len(data), bool(there))

    def _complete(self, outcome: Outcome, source: Source) -> Outcome:
        from bams3.transfer.body import combined
        from bams3.transfer.upload import proven

        parts = [self._parts[number] for number in sorted(self._parts)]
        crc, size = combined(parts), sum(part.size for part in parts)
        self._check_size(source, size)
        written = self._bucket.complete(
            self._upload, parts, crc64nvme=crc, customer_key=self._customer_key,
            if_none_match=self._settings.exists == "fail",
        )  # fmt: skip
        proof = proven(self._bucket, self._key, size, crc, parts, written, self._customer_key)
        return replace(
            outcome, size=size, etag=written.etag, crc64nvme=crc, proof=proof, parts=len(parts),
            kept=self._kept, version_id=written.version_id,
        )  # fmt: skip

    def _check_size(self, source: Source, size: int) -> None:
        if source.size is not None and source.size != size:
            raise InputError(f"{source.url}: {size} bytes came, {source.size} were announced")

    def _base_of(self, there: dict[int, Part]) -> int:
        """Return the size of the first parts: as asked for, else that of the upload taken up."""
        asked = self._settings.part_size
        found = max((part.size // stream_factor(n) for n, part in there.items()), default=None)
        if found and asked is not None and asked != found and max(there) > 1:
            raise PartSizeError(
                f"--part-size {asked}: the unfinished upload has parts of {found} bytes",
                "leave --part-size away, or start over with --force",
            )
        return asked or found or stream_base(self._settings.memory)

    def _read(self, reader: Reader, number: int) -> memoryview:
        """Read a part, as soon as there is room for it."""
        size = self._base * stream_factor(number)
        with self._room:
            while self._held and self._held + size > self._settings.memory and not self._error:
                self._room.wait()
            self._held += size
            # Buffers are used again; those of another size make room.
            self._free = [free for free in self._free if len(free) == size]
            free = self._free.pop() if self._free else None
        if self._error:
            raise self._error
        buffer, filled = free or memoryview(bytearray(size)), 0
        while filled < size and (count := reader.readinto(buffer[filled:])):
            filled += count
        return buffer[:filled]

    def _passing(self, count: int) -> None:
        self._engine.passing(count)
        self._progress.advance(count)


class Held:
    """Bytes in memory, to be sent."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size = len(data)

    def open(self) -> AbstractContextManager[Reader]:
        """Return a reader of the bytes."""
        return nullcontext(_Pieces(self._data))


class _Pieces:
    def __init__(self, data: memoryview) -> None:
        self._left = data

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
