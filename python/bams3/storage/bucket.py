"""One S3 bucket, request by request: a thin signed HTTP path for bytes that stream.

`Store` (obstore) serves datasets; this serves transfers, which need what a store does not have:
parts, unfinished uploads, customer keys, checksums, and bodies that pass through one buffer.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from bams3.config import StorageOptions
from bams3.errors import (
    Bams3Error,
    CorruptError,
    ExistsError,
    KeyRejectedError,
    NotFoundError,
    PermissionDenied,
    StorageError,
)
from bams3.storage import s3_xml
from bams3.storage.answer import Reply
from bams3.storage.objects import (
    Attributes,
    Body,
    CustomerKey,
    ObjectInfo,
    Part,
    Upload,
    Written,
    crc_number,
    crc_text,
)
from bams3.storage.s3_call import Ask, Caller, no_region
from bams3.storage.s3_headers import (
    attributes_of,
    conditions,
    copy_source,
    described_by,
    key_headers,
    version,
    written_with,
)
from bams3.storage.wire import Attempts, Sent, is_final, lost

_NOTHING = Attributes()
_PASS: Callable[[int], None] = lambda _: None  # noqa: E731


class Bucket:
    """A bucket; all methods may be called from several threads.

    Every method may raise, besides what it names: `StorageError` (after retries; with S3's status
    and code), `PermissionDenied` (403), `KeyRejectedError` (an SSE-C key that is wrong, missing,
    needless, or refused by the bucket), `NotFoundError` (no such key, upload or bucket).

    Keys are taken literally: any characters, `//`, a leading slash.
    """

    def __init__(self, name: str, options: StorageOptions | None = None) -> None:
        """Name a bucket; nothing is sent yet.

        Raises:
            UsageError, PermissionDenied: Not a name, or there are no credentials.
        """
        self.name = name
        self.options = options or StorageOptions.resolve()
        self._caller = Caller(name, self.options)
        self._located = ""

    @property
    def url(self) -> str:
        """`s3://NAME`."""
        return f"s3://{self.name}"

    def url_of(self, key: str) -> str:
        """Return the address of an object, for messages."""
        return f"{self.url}/{key}"

    def on_slow_down(self, act: Callable[[], None]) -> None:
        """Have `act` called whenever S3 asks for fewer requests."""
        self._caller.slow_down = act

    def region(self) -> str:
        """Return the bucket's region: header of HEAD bucket, else GetBucketLocation.

        Raises:
            PermissionDenied: Neither tells (exit 14).
        """
        if not self._located:
            self._located = self._locate()
        return self._located

    def _locate(self) -> str:
        try:
            reply = self._caller.send(Ask("HEAD"))
        except (PermissionDenied, NotFoundError) as error:
            if isinstance(error, NotFoundError):
                raise
            reply = Reply(403, {})
        told = reply.headers.get("x-amz-bucket-region", "")
        if told:
            return told
        try:
            answer = s3_xml.Answer.parse(
                self._caller.send(Ask("GET", query={"location": ""})).body, self.url
            )
        except PermissionDenied as error:
            raise no_region(self.url) from error
        return answer.own_text or "us-east-1"

    # ---- reading ---------------------------------------------------------------------------------
    def head(
        self,
        key: str,
        customer_key: CustomerKey | None = None,
        version_id: str = "",
        part_number: int | None = None,
    ) -> ObjectInfo:
        """Return what S3 says of an object, checksums included; or of one part of it.

        Raises:
            NotFoundError: There is no such object.
        """
        headers = {"x-amz-checksum-mode": "ENABLED"} | key_headers(customer_key)
        query = version(version_id) | ({"partNumber": str(part_number)} if part_number else {})
        try:
            reply = self._caller.send(Ask("HEAD", key, query, headers))
        except Bams3Error as error:
            if error.status in (400, 403):
                raise self._why_not(error, key, customer_key, version_id) from error
            raise
        return described_by(key, reply)

    def _why_not(
        self, error: Bams3Error, key: str, customer_key: CustomerKey | None, version_id: str
    ) -> Bams3Error:
        """Find out what a HEAD, whose refusal has no text, was refused for."""
        headers = {"range": "bytes=0-0"} | key_headers(customer_key)
        reply = self._caller.stream(Ask("GET", key, version(version_id), headers), _drop)
        if reply.status == error.status:
            error, _ = self._caller.refused(reply, key)
        if isinstance(error, KeyRejectedError) or error.status not in (400, 403):
            return error
        if error.status == 400:
            return self._key_error(key, customer_key, error)
        if customer_key:
            plain = self._caller.stream(Ask("HEAD", key, version(version_id)), _drop)
            if plain.status == 400:
                return _with(error, KeyRejectedError(
                    f"{self.url_of(key)}: the encryption key is wrong", "the object has another one"
                ))  # fmt: skip
        return error

    def _key_error(
        self, key: str, customer_key: CustomerKey | None, error: Bams3Error
    ) -> Bams3Error:
        if error.code not in ("", "InvalidRequest", "InvalidArgument"):
            return error
        url = self.url_of(key)
        if customer_key:
            found = KeyRejectedError(
                f"{url}: the object is not encrypted with a customer key", "leave the key away"
            )
        else:
            found = KeyRejectedError(
                f"{url}: the object is encrypted with a customer key (SSE-C)", "give its key"
            )
        return _with(error, found)

    def read(
        self,
        key: str,
        start: int,
        end: int,
        write: Callable[[memoryview], None],
        *,
        etag: str = "",
        customer_key: CustomerKey | None = None,
        version_id: str = "",
    ) -> None:
        """Read the range [start, end) and hand it to `write`, piece by piece and in order.

        A broken connection is taken up where it broke: no byte is handed over twice. A piece is
        valid until `write` returns.

        Args:
            key: The object.
            start: First byte.
            end: End, exclusive; at most the object's size.
            write: Takes the pieces.
            etag: Refuse any other version (If-Match).
            customer_key: SSE-C key.
            version_id: An older version.

        Raises:
            ExistsError: The object was replaced.
            CorruptError: It ends before `end`.
        """
        headers = key_headers(customer_key)
        if etag:
            headers["if-match"] = etag
        attempts, at, url = Attempts(self.options), start, self.url_of(key)

        def took(piece: memoryview) -> None:
            nonlocal at
            if at + len(piece) > end:
                raise StorageError(f"{url}: the server does not honour byte ranges")
            write(piece)
            at += len(piece)
            attempts.moved()

        while at < end:
            headers["range"] = f"bytes={at}-{end - 1}"
            try:
                reply = self._caller.stream(Ask("GET", key, version(version_id), headers), took)
            except Bams3Error:
                raise
            except OSError as error:
                if is_final(error):
                    raise lost(error, url) from error
                attempts.failed(lost(error, url))
                continue
            self._check_read(reply, key, (start, end), attempts)

    def _check_read(
        self, reply: Reply, key: str, span: tuple[int, int], attempts: Attempts
    ) -> None:
        """Raise what an answer to a ranged GET has to be refused for."""
        url = self.url_of(key)
        if reply.status == 412:
            raise ExistsError(f"{url}: was replaced while it was read", "start again")
        if reply.status == 416:
            raise CorruptError(
                f"{url}: is shorter than [{span[0]}, {span[1]})", "it was replaced: start again"
            )
        if reply.status >= 300:
            error, again = self._caller.refused(reply, key)
            if not again:
                raise error
            attempts.failed(error)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with `prefix`: key, size, etag, last_modified."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        while True:
            answer = self._answer(Ask("GET", query=query))
            decode = answer.text("EncodingType") == "url"
            yield from (s3_xml.listed(each, decode) for each in answer.all("Contents"))
            if answer.text("IsTruncated") != "true":
                return
            query["continuation-token"] = answer.text("NextContinuationToken")

    def attributes(
        self, key: str, customer_key: CustomerKey | None = None, version_id: str = ""
    ) -> tuple[ObjectInfo, builtins.list[Part]]:
        """Return GetObjectAttributes: size and checksums, and the parts with their checksums.

        Parts that S3 keeps no checksums of are not listed by it; their etags are "".
        """
        wanted = "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"
        headers = {"x-amz-object-attributes": wanted} | key_headers(customer_key)
        parts: builtins.list[Part] = []
        while True:
            headers["x-amz-part-number-marker"] = str(parts[-1].number if parts else 0)
            ask = Ask("GET", key, {"attributes": "", **version(version_id)}, headers)
            reply = self._caller.send(ask)
            answer = s3_xml.Answer.parse(reply.body, self.url_of(key))
            listed = answer.child("ObjectParts")
            found = [s3_xml.part(each) for each in listed.all("Part")] if listed else []
            parts += found
            if not (found and listed and listed.text("IsTruncated") == "true"):
                return attributes_of(key, reply, answer), parts

    def tags(self, key: str, version_id: str = "") -> dict[str, str]:
        """Return the tags of an object."""
        return s3_xml.tag_set(self._answer(Ask("GET", key, {"tagging": "", **version(version_id)})))

    # ---- writing ---------------------------------------------------------------------------------
    def put(
        self,
        key: str,
        body: Body,
        attributes: Attributes = _NOTHING,
        *,
        customer_key: CustomerKey | None = None,
        if_none_match: bool = False,
        if_match: str = "",
        passing: Callable[[int], None] = _PASS,
    ) -> Written:
        """Write an object in one request (at most 5 GiB), checked by CRC64NVME on the way.

        Args:
            key: The key.
            body: What to write; opened for each attempt.
            attributes: Content headers, metadata, tags, ...
            customer_key: SSE-C key.
            if_none_match: Only where there is no object.
            if_match: Only where the object has this etag.
            passing: Is told the bytes that go out; negative where they have to go again.

        Raises:
            ExistsError: There is one already (`if_none_match`), or not this one (`if_match`).
            InputError: The body had fewer bytes than its size, or more.
            CorruptError: The server reports another checksum.
        """
        headers = written_with(self.options.sse, attributes, customer_key)
        headers |= conditions(if_none_match, if_match)
        sent = Sent()

        def recover(_: Bams3Error) -> Reply | None:
            return self._arrived(key, sent.crc64nvme, body.size, customer_key)

        ask = Ask("PUT", key, {}, headers, recover=recover)
        reply = self._caller.send_body(ask, body, passing, sent)
        return self._written(key, reply, sent.crc64nvme)

    def create_upload(
        self,
        key: str,
        attributes: Attributes = _NOTHING,
        *,
        customer_key: CustomerKey | None = None,
        checked: bool = True,
    ) -> Upload:
        """Begin a multipart upload; `checked` with the CRC64NVME of parts and whole object."""
        headers = written_with(self.options.sse, attributes, customer_key)
        if checked:
            headers["x-amz-checksum-algorithm"] = "CRC64NVME"
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        answer = self._answer(Ask("POST", key, {"uploads": ""}, headers))
        return Upload(key, answer.text("UploadId"), checksum="CRC64NVME" if checked else "")

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """Yield the unfinished uploads whose keys begin with `prefix`, page by page."""
        query = {"uploads": "", "prefix": prefix, "encoding-type": "url"}
        while True:
            answer = self._answer(Ask("GET", query=query))
            decode = answer.text("EncodingType") == "url"
            yield from (s3_xml.upload(each, decode) for each in answer.all("Upload"))
            if answer.text("IsTruncated") != "true":
                return
            query["key-marker"] = answer.key("NextKeyMarker")
            query["upload-id-marker"] = answer.text("NextUploadIdMarker")

    def list_parts(self, upload: Upload, customer_key: CustomerKey | None = None) -> Iterator[Part]:
        """Yield the finished parts of an upload in the order of their numbers, page by page."""
        query = {"uploadId": upload.upload_id}
        while True:
            ask = Ask("GET", upload.key, query, key_headers(customer_key))
            answer = self._answer(ask)
            yield from (s3_xml.part(each) for each in answer.all("Part"))
            if answer.text("IsTruncated") != "true":
                return
            query["part-number-marker"] = answer.text("NextPartNumberMarker")

    def put_part(
        self,
        upload: Upload,
        number: int,
        body: Body,
        customer_key: CustomerKey | None = None,
        passing: Callable[[int], None] = _PASS,
    ) -> Part:
        """Send part `number` (from 1), checked by CRC64NVME on the way; errors as for `put`."""
        query = {"partNumber": str(number), "uploadId": upload.upload_id}
        ask = Ask("PUT", upload.key, query, key_headers(customer_key))
        checked = upload.checksum == "CRC64NVME"
        sent = Sent()
        reply = self._caller.send_body(ask, body, passing, sent, checked)
        written = self._written(upload.key, reply, sent.crc64nvme)
        return Part(number, body.size, written.etag, sent.crc64nvme)

    def copy_part(
        self,
        upload: Upload,
        number: int,
        source: Bucket,
        source_key: str,
        span: tuple[int, int],
        *,
        source_etag: str = "",
        source_version: str = "",
        source_customer_key: CustomerKey | None = None,
        customer_key: CustomerKey | None = None,
    ) -> Part:
        """Copy the range [start, end) of another object into part `number`, on the server's side.

        Raises:
            ExistsError: The source is not `source_etag` any more.
        """
        headers = copy_source(source.name, source_key, source_version, source_etag)
        headers |= key_headers(source_customer_key, True) | key_headers(customer_key)
        headers["x-amz-copy-source-range"] = f"bytes={span[0]}-{span[1] - 1}"
        query = {"partNumber": str(number), "uploadId": upload.upload_id}
        answer = self._answer(Ask("PUT", upload.key, query, headers))
        return s3_xml.part(answer, number, span[1] - span[0])

    def complete(
        self,
        upload: Upload,
        parts: Sequence[Part],
        *,
        crc64nvme: int | None = None,
        customer_key: CustomerKey | None = None,
        if_none_match: bool = False,
        if_match: str = "",
    ) -> Written:
        """Make the object of its parts. An answer that is lost is found out by HEAD.

        Raises:
            ExistsError: As for `put`.
            CorruptError: The server computes another checksum than `crc64nvme`.
        """
        size = sum(part.size for part in parts)
        headers = key_headers(customer_key) | conditions(if_none_match, if_match)
        headers["x-amz-mp-object-size"] = str(size)
        checked = upload.checksum == "CRC64NVME"
        if checked and crc64nvme is not None:
            headers["x-amz-checksum-crc64nvme"] = crc_text(crc64nvme)
            headers["x-amz-checksum-type"] = "FULL_OBJECT"

        def recover(_: Bams3Error) -> Reply | None:
            return self._arrived(upload.key, crc64nvme, size, customer_key)

        query = {"uploadId": upload.upload_id}
        payload = s3_xml.complete(parts, checked)
        reply = self._caller.send(Ask("POST", upload.key, query, headers, payload, recover=recover))
        return self._written(upload.key, reply, crc64nvme)

    def abort(self, upload: Upload) -> None:
        """Drop an upload and its parts; one that is gone already is no error."""
        try:
            self._caller.send(Ask("DELETE", upload.key, {"uploadId": upload.upload_id}))
        except NotFoundError:
            pass

    def copy(
        self,
        key: str,
        source: Bucket,
        source_key: str,
        attributes: Attributes | None = None,
        *,
        storage_class: str | None = None,
        source_etag: str = "",
        source_version: str = "",
        source_customer_key: CustomerKey | None = None,
        customer_key: CustomerKey | None = None,
    ) -> Written:
        """Copy an object of at most 5 GiB in one request.

        Args:
            key: The new key.
            source: Bucket of the source.
            source_key: Key of the source.
            attributes: What the copy is given; None keeps the source's content headers, metadata
                and tags.
            storage_class: That of the copy where `attributes` is None.
            source_etag: Refuse any other version.
            source_version: An older version.
            source_customer_key: SSE-C key of the source.
            customer_key: SSE-C key of the copy.
        """
        headers = written_with(
            self.options.sse, attributes or Attributes(storage_class=storage_class), customer_key
        )
        headers |= copy_source(source.name, source_key, source_version, source_etag)
        headers |= key_headers(source_customer_key, True)
        directive = "REPLACE" if attributes else "COPY"
        headers["x-amz-metadata-directive"] = headers["x-amz-tagging-directive"] = directive
        headers["x-amz-checksum-algorithm"] = "CRC64NVME"
        reply = self._caller.send(Ask("PUT", key, {}, headers))
        answer = s3_xml.Answer.parse(reply.body, self.url_of(key))
        crc = answer.text("ChecksumCRC64NVME")
        made = reply.headers.get("x-amz-version-id", "")
        return Written(answer.text("ETag"), crc_number(crc) if crc else None, made)

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        self._caller.send(Ask("DELETE", key))

    def close(self) -> None:
        """Let go of the connections."""
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what they share -------------------------------------------------------------------------
    def _answer(self, ask: Ask) -> s3_xml.Answer:
        return s3_xml.Answer.parse(self._caller.send(ask).body, self._caller.url_of(ask.key))

    def _written(self, key: str, reply: Reply, crc64nvme: int | None) -> Written:
        """Return what a write came to. Raises CorruptError where the server computed otherwise."""
        told, etag = (
            reply.headers.get("x-amz-checksum-crc64nvme", ""),
            reply.headers.get("etag", ""),
        )
        if reply.body.strip():
            answer = s3_xml.Answer.parse(reply.body.strip(), self.url_of(key))
            told, etag = answer.text("ChecksumCRC64NVME") or told, answer.text("ETag") or etag
        found = crc_number(told) if told and "-" not in told else None
        if found is not None and crc64nvme is not None and found != crc64nvme:
            raise CorruptError(
                f"{self.url_of(key)}: the server has checksum {crc_text(found)}, "
                f"{crc_text(crc64nvme)} was sent",
                "the data was spoilt on its way: try again",
            )
        return Written(etag, found, reply.headers.get("x-amz-version-id", ""), crc64nvme)

    def _arrived(
        self, key: str, crc: int | None, size: int, customer_key: CustomerKey | None
    ) -> Reply | None:
        """Return an answer where the object is what a request without an answer was to write."""
        try:
            info = self.head(key, customer_key)
        except Bams3Error:
            return None
        if info.size != size or crc is None or info.crc64nvme != crc:
            return None
        return Reply(200, {"etag": info.etag, "x-amz-version-id": info.version_id})


def _with(told: Bams3Error, error: Bams3Error) -> Bams3Error:
    error.status, error.code = told.status, told.code
    return error


def _drop(_: memoryview) -> None:
    pass
