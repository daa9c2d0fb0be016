"""One object up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bams3.errors import Bams3Error, CorruptError, ExistsError, InputError, UsageError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey, Part, Upload, Written
from bams3.transfer import decide
from bams3.transfer.body import SourceBody, changed, checksum, combined, multipart_etag
from bams3.transfer.engine import RESUME, Engine, Stopped
from bams3.transfer.plan import Plan, adopt, check_part_size, plan
from bams3.transfer.settings import Outcome, Progress, Settings, Silent
from bams3.transfer.sources import Source

_NOTHING, _SILENT, _USUAL = Attributes(), Silent(), Settings()


def upload(
    source: Source,
    bucket: Bucket,
    key: str,
    settings: Settings = _USUAL,
    *,
    attributes: Attributes = _NOTHING,
    customer_key: CustomerKey | None = None,
    progress: Progress = _SILENT,
) -> Outcome:
    """Upload one source to one key: all of it, proven, or not at all.

    An unfinished upload to the key is taken up (`settings.unfinished="resume"`): its part size is
    adopted, its parts are kept after their checksums were compared with the source.

    Args:
        source: What to upload; it has been opened, so it exists.
        bucket: Where to.
        key: The key, whole and literal.
        settings: How.
        attributes: Content type, metadata, tags, ...
        customer_key: SSE-C key.
        progress: Is told how it goes.

    Returns:
        What came of it; `skipped` where an existing object was left alone.

    Raises:
        ObjectExistsError: There is an object (exit 3).
        UploadExistsError: There is an unfinished upload (exit 4).
        ManyUploadsExistError: There are several (exit 13).
        PartSizeError: `settings.part_size` is not that of the upload to be resumed (exit 8).
        InputError: The source changed or ended early; nothing was completed.
        CorruptError: The object is not what was sent, and was removed.
        KeyboardInterrupt: Was interrupted; what has arrived can be resumed.
    """
    if settings.part_size is not None:
        check_part_size(settings.part_size)
    if not source.seekable or source.size is None:
        from bams3.transfer.stream import upload_stream

        return upload_stream(source, bucket, key, settings, attributes, customer_key, progress)
    outcomes: list[Outcome] = []
    with Engine(settings, bucket) as engine:
        task = ObjectUpload(
            source, bucket, key, settings, attributes, customer_key, progress, engine,
            outcomes.append,
        )  # fmt: skip
        engine.add([task.begin])
        engine.wait()
    outcome = outcomes[0]
    if outcome.error:
        raise outcome.error
    return outcome


class ObjectUpload:
    """The upload of one seekable source, as jobs of an engine; `done` is called once at the end."""

    def __init__(
        self,
        source: Source,
        bucket: Bucket,
        key: str,
        settings: Settings,
        attributes: Attributes,
        customer_key: CustomerKey | None,
        progress: Progress,
        engine: Engine,
        done: Callable[[Outcome], None],
        uploads: Sequence[Upload] | None = None,
    ) -> None:
        """Prepare; `uploads` are the unfinished uploads to the key, where they are known."""
        self._source, self._bucket, self._key = source, bucket, key
        self._settings, self._customer_key = settings, customer_key
        self._attributes = with_mtime(attributes, source)
        self._progress, self._engine, self._done = progress, engine, done
        self._uploads = uploads
        self._size = source.size or 0
        self._lock = threading.Lock()
        self._parts: dict[int, Part] = {}
        self._left = self._kept = 0
        self._error: Exception | None = None
        self._upload: Upload | None = None
        self._created = False

    # ---- jobs ------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Decide what to do; do it, or add the jobs that do."""
        try:
            outcome = self._begin()
        except Stopped:
            raise
        except Exception as error:
            outcome = replace(self._outcome(), error=error)
        if outcome:
            self._done(outcome)

    def _begin(self) -> Outcome | None:
        """Return the outcome, or None where parts are on their way."""
        self._fingerprint = self._source.fingerprint()
        info = decide.existing(self._bucket, self._key, self._settings.exists, self._customer_key)
        if info and (self._settings.exists == "skip" or decide.identical(self._source, info)):
            crc = info.crc64nvme
            return replace(self._outcome(), etag=info.etag, crc64nvme=crc, skipped=True)
        uploads = self._uploads
        if uploads is None:
            uploads = decide.unfinished(self._bucket, self._key, self._settings.unfinished)
        if self._settings.dry_run:
            return replace(self._outcome(), skipped=True, planned=True)
        found = decide.adopted(uploads, self._bucket, self._key, self._settings.unfinished)
        self._progress.begin(self._size)
        usual = plan(self._size, self._settings.part_size)
        if usual.count == 1 and found is None:
            return self._put()
        self._begin_parts(found, usual)
        return None

    def _put(self) -> Outcome:
        body = SourceBody(self._source, 0, self._size, self._fingerprint)
        written = self._written(lambda: self._bucket.put(
            self._key, body, self._attributes, customer_key=self._customer_key,
            if_none_match=self._settings.exists == "fail", passing=self._passing,
        ))  # fmt: skip
        self._progress.part(1, self._size, False)
        return Outcome(
            self._source.url, self._bucket.url_of(self._key), self._size, written.etag,
            written.sent, self._compare(written), version_id=written.version_id,
        )  # fmt: skip

    def _begin_parts(self, found: Upload | None, usual: Plan) -> None:
        there: Mapping[int, Part] = {}
        self._plan = usual
        if found:
            parts = [*self._bucket.list_parts(found, self._customer_key)]
            self._plan = adopt(self._size, parts, self._settings.part_size)
            there = {part.number: part for part in parts}
        self._created = found is None
        self._upload = found or self._bucket.create_upload(
            self._key, self._attributes, customer_key=self._customer_key
        )
        if self._upload.checksum not in ("", "CRC64NVME"):
            raise UsageError(
                f"{self._bucket.url_of(self._key)}: the unfinished upload has checksums of another "
                f"kind: {self._upload.checksum}",
                "--force starts over",
            )
        self._left = self._plan.count
        self._engine.add(
            (self._job(*span, there.get(span[0])) for span in self._plan.spans()), first=True
        )

    def _job(self, number: int, start: int, end: int, there: Part | None) -> Callable[[], None]:
        def job() -> None:
            try:
                if not self._error:
                    self._part(number, start, end, there)
            except Stopped:
                raise
            except Exception as error:
                self._error = self._error or error
            self._finished()

        return job

    def _part(self, number: int, start: int, end: int, there: Part | None) -> None:
        """Send one part, unless the server has it."""
        assert self._upload
        part = there and self._checked(there, start, end)
        if not part:
            body = SourceBody(self._source, start, end, md5=not self._upload.checksum)
            part = self._bucket.put_part(
                self._upload, number, body, self._customer_key, passing=self._passing
            )
            _compare_md5(body, part, self._bucket.url_of(self._key), self._customer_key)
        with self._lock:
            self._parts[number] = part
            self._kept += bool(there)
        self._progress.part(number, end - start, bool(there))

    def _checked(self, part: Part, start: int, end: int) -> Part | None:
        """Compare a part that the server has with the source; None where nothing can be compared.

        Raises:
            InputError: They differ.
        """
        md5 = part.etag.strip('"')
        comparable = part.crc64nvme is not None or (len(md5) == 32 and not self._customer_key)
        if not comparable:
            return None
        body = SourceBody(self._source, start, end, md5=part.crc64nvme is None)
        crc = checksum(body, self._passing)
        same = body.md5 == md5 if part.crc64nvme is None else crc == part.crc64nvme
        if not same:
            raise InputError(
                f"{self._source.url}: has changed since the upload began: part {part.number} of "
                f"{self._bucket.url_of(self._key)} is not bytes {start} to {end} of it",
                "--force starts over",
            )
        return replace(part, crc64nvme=crc)

    def _finished(self) -> None:
        """Count a part; complete after the last one."""
        with self._lock:
            self._left -= 1
            if self._left:
                return
        outcome = replace(self._outcome(), parts=self._plan.count, kept=self._kept)
        try:
            if self._error:
                raise self._error
            outcome = self._complete(outcome)
        except Stopped:
            raise
        except Exception as error:
            outcome = replace(outcome, error=self._given_up(error))
        self._done(outcome)

    def _complete(self, outcome: Outcome) -> Outcome:
        assert self._upload
        if self._source.fingerprint() != self._fingerprint:
            raise changed(self._source)
        parts = [self._parts[number] for number in range(1, self._plan.count + 1)]
        crc = combined(parts)
        self._check_digests(crc)
        upload = self._upload
        written = self._written(lambda: self._bucket.complete(
            upload, parts, crc64nvme=crc, customer_key=self._customer_key,
            if_none_match=self._settings.exists == "fail",
        ))  # fmt: skip
        proof = proven(self._bucket, self._key, self._size, crc, parts, written, self._customer_key)
        return replace(
            outcome, etag=written.etag, crc64nvme=crc, proof=proof, version_id=written.version_id
        )

    # ---- what they share -------------------------------------------------------------------------
    def _outcome(self) -> Outcome:
        return Outcome(self._source.url, self._bucket.url_of(self._key), self._size)

    def _written(self, write: Callable[[], Written]) -> Written:
        """Write; a condition that was refused is told as what it means here."""
        try:
            return write()
        except ExistsError as error:
            if self._settings.exists != "fail":
                raise
            raise decide.object_exists(self._bucket.url_of(self._key)) from error

    def _passing(self, count: int) -> None:
        self._engine.passing(count)
        self._progress.advance(count)

    def _given_up(self, error: Exception) -> Exception:
        """Drop an upload of ours that has no part; else say how to resume."""
        if self._upload and self._created and not self._parts:
            try:
                self._bucket.abort(self._upload)
            except Bams3Error:
                pass  # the error that led here says more
        elif isinstance(error, Bams3Error) and not error.hint:
            error.hint = RESUME
        return error

    def _check_digests(self, crc: int) -> None:
        stated = self._source.digests.get("crc64nvme")
        if stated is not None and int(stated, 16) != crc:
            raise InputError(f"{self._source.url}: what was read is not what its checksum says")

    def _compare(self, written: Written) -> str:
        """Compare a single PUT with the source's own digests; return what S3 proved."""
        self._check_digests(written.sent or 0)
        stated, md5 = self._source.digests.get("md5"), written.etag.strip('"')
        hidden = self._customer_key or (self._attributes.sse or "").startswith("aws:kms")
        if stated and len(md5) == 32 and not hidden and stated != md5:
            raise InputError(f"{self._source.url}: what was read is not what its MD5 says")
        return "crc64nvme" if written.crc64nvme is not None else ""


def with_mtime(attributes: Attributes, source: Source) -> Attributes:
    """Add the time of a file's last change to its metadata."""
    mtime = decide.mtime_of(source)
    if not mtime or decide.MTIME in attributes.metadata:
        return attributes
    given = attributes
    return Attributes(
        given.content, {**given.metadata, decide.MTIME: mtime}, given.tags, given.storage_class,
        given.acl, given.sse,
    )  # fmt: skip


def proven(
    bucket: Bucket,
    key: str,
    size: int,
    crc: int,
    parts: Sequence[Part],
    written: Written,
    customer_key: CustomerKey | None,
) -> str:
    """Compare what was made of parts with what S3 says of it; return the name of the checksum.

    Raises:
        CorruptError: It differs, and was removed.
    """
    info = bucket.head(key, customer_key, written.version_id)
    if info.etag != written.etag:
        return ""  # somebody else has written since; S3 has checked ours on completion
    wrong = info.size != size or (info.crc64nvme is not None and info.crc64nvme != crc)
    if wrong:
        bucket.delete(key)
        raise CorruptError(f"{bucket.url_of(key)}: is not what was sent, and was removed")
    if info.crc64nvme is not None:
        return "crc64nvme"
    return "md5" if multipart_etag(parts) == info.etag.strip('"') else ""


def _compare_md5(body: SourceBody, part: Part, url: str, customer_key: CustomerKey | None) -> None:
    """Compare a part that was sent without checksum with its etag, where that is an MD5."""
    etag = part.etag.strip('"')
    if body.md5 and not customer_key and len(etag) == 32 and etag != body.md5:
        raise CorruptError(
            f"{url}: part {part.number} arrived spoilt", "run it again with --resume"
        )
