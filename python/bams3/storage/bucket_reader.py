"""One S3 bucket, request by request: what can be read of it."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
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
    CustomerKey,
    ObjectInfo,
    Part,
)
from bams3.storage.s3_call import Ask, Caller, no_region
from bams3.storage.s3_headers import (
    attributes_of,
    described_by,
    key_headers,
    version,
)
from bams3.storage.wire import Attempts, is_final, lost


class BucketReader:
    """A bucket, as far as nothing is changed; all methods may be called from several threads.

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


def _with(told: Bams3Error, error: Bams3Error) -> Bams3Error:
    error.status, error.code = told.status, told.code
    return error


def _drop(_: memoryview) -> None:
    pass
