"""One S3 bucket, request by request: a thin signed HTTP path for bytes that stream.

`Store` (obstore) serves datasets; this serves transfers, which need what a store does not have:
parts, unfinished uploads, customer keys, checksums, and bodies that pass through one buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bams3.errors import (
    Bams3Error,
    CorruptError,
    NotFoundError,
)
from bams3.storage import s3_xml
from bams3.storage.answer import Reply
from bams3.storage.bucket_reader import BucketReader
from bams3.storage.objects import (
    Attributes,
    Body,
    CustomerKey,
    Part,
    Upload,
    Written,
    crc_number,
    crc_text,
)
from bams3.storage.s3_call import Ask
from bams3.storage.s3_headers import (
    conditions,
    copy_source,
    key_headers,
    written_with,
)
from bams3.storage.wire import Sent

_NOTHING = Attributes()
_PASS: Callable[[int], None] = lambda _: None  # noqa: E731


class Bucket(BucketReader):
    """A bucket; see `BucketReader` for what holds of all methods."""

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

    # ---- what they share -------------------------------------------------------------------------
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
