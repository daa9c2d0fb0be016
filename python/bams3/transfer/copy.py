"""One object from S3 to S3, on the server's side."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from bams3.errors import Bams3Error, CorruptError, ExistsError, StorageError, UsageError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey, ObjectInfo, Part, Upload
from bams3.transfer import decide
from bams3.transfer.engine import RESUME, Engine, Job, Stopped
from bams3.transfer.plan import MIB, MOST, Plan, adopt, check_part_size, plan
from bams3.transfer.settings import Outcome, Progress, Settings, Silent

_SILENT, _USUAL = Silent(), Settings()
_PART = 256 * MIB
"""Bytes of a part: the server does the work, so parts are larger than those that travel."""


def copy(
    source: Bucket,
    source_key: str,
    bucket: Bucket,
    key: str,
    settings: Settings = _USUAL,
    *,
    attributes: Attributes | None = None,
    source_customer_key: CustomerKey | None = None,
    customer_key: CustomerKey | None = None,
    source_version: str = "",
    progress: Progress = _SILENT,
) -> Outcome:
    """Copy one object; no byte of it passes through this machine.

    Content headers, metadata, tags and storage class come along, unless `attributes` says
    otherwise. Regions and keys may differ (which re-encrypts). Every part is of one version of the
    source.

    Args:
        source: Bucket of the source.
        source_key: Its key.
        bucket: Bucket of the copy.
        key: Its key.
        settings: How; `memory` and `limit_rate` do not matter here.
        attributes: What the copy is given instead.
        source_customer_key: SSE-C key of the source.
        customer_key: SSE-C key of the copy.
        source_version: An older version.
        progress: Is told how it goes.

    Raises:
        NotFoundError: There is no source.
        ExistsError: The source was replaced meanwhile.
        ObjectExistsError, UploadExistsError, ManyUploadsExistError, PartSizeError: As for `upload`.
        CorruptError: The copy is not the source, and was removed.
    """
    if settings.part_size is not None:
        check_part_size(settings.part_size)
    info = source.head(source_key, source_customer_key, source_version)
    given = attributes or _kept(source, info, source_version)
    task = _Copy(
        source, info, bucket, key, settings, given, source_customer_key, customer_key,
        source_version, progress,
    )  # fmt: skip
    return task.run()


def _kept(source: Bucket, info: ObjectInfo, version: str) -> Attributes:
    """Return what the source was given; its encryption is that of the bucket, or as asked for."""
    tags: Mapping[str, str] = {}
    # Some stores have no tags; where S3 counts some they have to come along.
    try:
        tags = source.tags(info.key, version)
    except StorageError:
        if info.tag_count:
            raise
    return replace(info.attributes, tags=tags, sse=None)


class _Copy:
    """The copy of one object."""

    def __init__(
        self,
        source: Bucket,
        info: ObjectInfo,
        bucket: Bucket,
        key: str,
        settings: Settings,
        attributes: Attributes,
        source_customer_key: CustomerKey | None,
        customer_key: CustomerKey | None,
        source_version: str,
        progress: Progress,
    ) -> None:
        self._source, self._info, self._bucket, self._key = source, info, bucket, key
        self._settings, self._attributes = settings, attributes
        self._source_customer_key, self._customer_key = source_customer_key, customer_key
        self._source_version, self._progress = source_version, progress
        self._lock = threading.Lock()
        self._parts: dict[int, Part] = {}
        self._kept = 0
        self._error: Exception | None = None

    def run(self) -> Outcome:
        """Decide, and copy."""
        url = self._bucket.url_of(self._key)
        outcome = Outcome(self._source.url_of(self._info.key), url, self._info.size)
        there = decide.existing(self._bucket, self._key, self._settings.exists, self._customer_key)
        if there and (self._settings.exists == "skip" or _same(self._info, there)):
            return replace(outcome, etag=there.etag, skipped=True)
        wanted = self._settings.unfinished
        uploads = decide.unfinished(self._bucket, self._key, wanted)
        if self._settings.dry_run:
            return replace(outcome, skipped=True, planned=True)
        found = decide.adopted(uploads, self._bucket, self._key, wanted)
        self._progress.begin(self._info.size)
        try:
            whole = plan(self._info.size, self._settings.part_size or _usual(self._info.size))
            if whole.count == 1 and found is None:
                return self._compared(self._at_once(outcome))
            return self._compared(self._in_parts(outcome, found, whole))
        except ExistsError as error:
            raise self._which(error) from error

    def _which(self, error: ExistsError) -> ExistsError:
        """Tell the two conditions apart: that of the source, and that of the destination."""
        if self._settings.exists == "fail":
            with suppress(Bams3Error):
                self._bucket.head(self._key, self._customer_key)
                return decide.object_exists(self._bucket.url_of(self._key))
        return ExistsError(
            f"{self._source.url_of(self._info.key)}: was replaced while it was copied",
            "start over with --force",
        )

    def _at_once(self, outcome: Outcome) -> Outcome:
        written = self._bucket.copy(
            self._key, self._source, self._info.key, self._attributes,
            source_etag=self._info.etag, source_version=self._source_version,
            source_customer_key=self._source_customer_key, customer_key=self._customer_key,
        )  # fmt: skip
        self._progress.advance(self._info.size)
        self._progress.part(1, self._info.size, False)
        return replace(outcome, etag=written.etag, version_id=written.version_id)

    # ---- parts -----------------------------------------------------------------------------------
    def _in_parts(self, outcome: Outcome, found: Upload | None, whole: Plan) -> Outcome:
        there: dict[int, Part] = {}
        if found:
            parts = [*self._bucket.list_parts(found, self._customer_key)]
            whole = adopt(self._info.size, parts, self._settings.part_size)
            there = {part.number: part for part in parts} if self._trusted(found) else {}
        # Without the checksums of parts: S3 computes that of the whole by itself, and some servers
        # state wrong ones for copied ranges.
        self._upload = found or self._bucket.create_upload(
            self._key, self._attributes, customer_key=self._customer_key, checked=False
        )
        with Engine(self._settings, self._bucket) as engine:
            engine.add(self._job(*span, there.get(span[0])) for span in whole.spans())
            engine.wait()
        if self._error:
            self._give_up(found)
            raise self._error
        parts = [self._parts[number] for number in range(1, whole.count + 1)]
        written = self._bucket.complete(
            self._upload, parts, customer_key=self._customer_key,
            if_none_match=self._settings.exists == "fail",
        )  # fmt: skip
        return replace(
            outcome, etag=written.etag, parts=whole.count, kept=self._kept,
            version_id=written.version_id,
        )  # fmt: skip

    def _job(self, number: int, start: int, end: int, there: Part | None) -> Job:
        def job() -> None:
            if self._error:
                return
            try:
                part = there or self._copied(number, (start, end))
            except Stopped:
                raise
            except Exception as error:
                self._error = self._error or error
                return
            with self._lock:
                self._parts[number] = part
                self._kept += bool(there)
            self._progress.advance(end - start)
            self._progress.part(number, end - start, bool(there))

        return job

    def _copied(self, number: int, span: tuple[int, int]) -> Part:
        return self._bucket.copy_part(
            self._upload, number, self._source, self._info.key, span,
            source_etag=self._info.etag, source_version=self._source_version,
            source_customer_key=self._source_customer_key, customer_key=self._customer_key,
        )  # fmt: skip

    def _trusted(self, found: Upload) -> bool:
        """Whether the parts of an unfinished copy are of the source as it is now.

        They are if it was last written before the copy began. The time of an object that was itself
        uploaded in parts is that of its beginning, so such a one needs a checksum too, with which
        the copy is compared at the end. Others are copied again.
        """
        if found.checksum not in ("", "CRC64NVME"):
            raise UsageError(
                f"{self._bucket.url_of(self._key)}: the unfinished upload has checksums of another "
                f"kind: {found.checksum}",
                "--force starts over",
            )
        older = found.initiated is not None and self._info.last_modified < found.initiated
        return older and ("-" not in self._info.etag or self._info.crc64nvme is not None)

    def _give_up(self, found: Upload | None) -> None:
        if found is None and not self._parts:
            with suppress(Bams3Error):
                self._bucket.abort(self._upload)
        elif isinstance(self._error, Bams3Error) and not self._error.hint:
            self._error.hint = RESUME

    # ---- the end ---------------------------------------------------------------------------------
    def _compared(self, outcome: Outcome) -> Outcome:
        """Compare what S3 says of both objects.

        Raises:
            CorruptError: They differ; the copy was removed.
        """
        made = self._bucket.head(self._key, self._customer_key, outcome.version_id)
        if made.etag != outcome.etag:
            return outcome  # somebody else has written since
        name = _comparable(self._info, made)
        if made.size != self._info.size or (name and not _equal(self._info, made, name)):
            self._bucket.delete(self._key)
            raise CorruptError(
                f"{outcome.destination}: is not what {outcome.source} is, and was removed",
                "start over with --force",
            )
        return replace(outcome, crc64nvme=made.crc64nvme, proof=name)


def _usual(size: int) -> int:
    """Return the part size of a copy: one request where that may be, else large parts."""
    return plan(size, None).part_size if size > _PART * 10_000 else min(_PART, MOST)


def _comparable(one: ObjectInfo, other: ObjectInfo) -> str:
    """Return the name of a checksum that S3 states of both; "" for none."""
    if one.crc64nvme is not None and other.crc64nvme is not None:
        return "crc64nvme"
    for name, text in one.checksums.items():
        if "-" not in text and "-" not in other.checksums.get(name, "-"):
            return name
    return "md5" if one.md5 and other.md5 else ""


def _equal(one: ObjectInfo, other: ObjectInfo, name: str) -> bool:
    if name == "md5":
        return one.md5 == other.md5
    return one.checksums[name] == other.checksums[name]


def _same(source: ObjectInfo, there: ObjectInfo) -> bool:
    """Whether a copy would change nothing, by size and checksum."""
    name = _comparable(source, there)
    return bool(name) and source.size == there.size and _equal(source, there, name)
