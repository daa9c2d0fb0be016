"""One S3 bucket, request by request: a thin signed HTTP path for bytes that stream.

`Store` (obstore) serves datasets; this serves transfers, which need what a store does not have:
parts, unfinished uploads, customer keys, checksums, and bodies that pass through one buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bams3.config import StorageOptions
from bams3.storage.objects import (
    Attributes,
    Body,
    CustomerKey,
    ObjectInfo,
    Part,
    Upload,
    Written,
)


class Bucket:
    """A bucket; all methods may be called from several threads.

    Every method may raise, besides what it names: `StorageError` (after retries; with S3's status
    and code), `PermissionDenied` (403), `KeyRejectedError` (an SSE-C key that is wrong, missing,
    needless, or refused by the bucket), `NotFoundError` (no such key, upload or bucket).

    Keys are taken literally: any characters, `//`, a leading slash.
    """

    def __init__(self, name: str, options: StorageOptions | None = None) -> None:
        """Name a bucket; nothing is sent yet."""
        self.name = name
        self.options = options or StorageOptions.resolve()

    @property
    def url(self) -> str:
        """`s3://NAME`."""
        return f"s3://{self.name}"

    def url_of(self, key: str) -> str:
        """Return the address of an object, for messages."""
        return f"{self.url}/{key}"

    def region(self) -> str:
        """Return the bucket's region: header of HEAD bucket, else GetBucketLocation.

        Raises:
            PermissionDenied: Neither tells (exit 14).
        """
        raise NotImplementedError

    def head(
        self, key: str, customer_key: CustomerKey | None = None, version_id: str = ""
    ) -> ObjectInfo:
        """Return what S3 says of an object, checksums included. Raises NotFoundError."""
        raise NotImplementedError

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
        raise NotImplementedError

    def put(
        self,
        key: str,
        body: Body,
        attributes: Attributes = Attributes(),  # noqa: B008
        *,
        customer_key: CustomerKey | None = None,
        if_none_match: bool = False,
        if_match: str = "",
    ) -> Written:
        """Write an object in one request (at most 5 GiB), checked by CRC64NVME on the way.

        Raises:
            ExistsError: There is one already (`if_none_match`), or not this one (`if_match`).
            InputError: The body had fewer bytes than its size, or more.
            CorruptError: The server reports another checksum.
        """
        raise NotImplementedError

    def create_upload(
        self,
        key: str,
        attributes: Attributes = Attributes(),  # noqa: B008
        *,
        customer_key: CustomerKey | None = None,
    ) -> Upload:
        """Begin a multipart upload with CRC64NVME of the whole object."""
        raise NotImplementedError

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """Yield the unfinished uploads whose keys begin with `prefix`, page by page."""
        raise NotImplementedError

    def list_parts(self, upload: Upload, customer_key: CustomerKey | None = None) -> Iterator[Part]:
        """Yield the finished parts of an upload in the order of their numbers, page by page."""
        raise NotImplementedError

    def put_part(
        self, upload: Upload, number: int, body: Body, customer_key: CustomerKey | None = None
    ) -> Part:
        """Send part `number` (from 1), checked by CRC64NVME on the way; errors as for `put`."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    def abort(self, upload: Upload) -> None:
        """Drop an upload and its parts; one that is gone already is no error."""
        raise NotImplementedError

    def copy(
        self,
        key: str,
        source: Bucket,
        source_key: str,
        attributes: Attributes | None = None,
        *,
        source_etag: str = "",
        source_version: str = "",
        source_customer_key: CustomerKey | None = None,
        customer_key: CustomerKey | None = None,
    ) -> Written:
        """Copy an object of at most 5 GiB in one request; `attributes` None keeps the source's."""
        raise NotImplementedError

    def attributes(
        self, key: str, customer_key: CustomerKey | None = None, version_id: str = ""
    ) -> tuple[ObjectInfo, list[Part]]:
        """Return GetObjectAttributes: size and checksums, and the parts with their checksums."""
        raise NotImplementedError

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with `prefix`: key, size, etag, last_modified."""
        raise NotImplementedError

    def tags(self, key: str, version_id: str = "") -> dict[str, str]:
        """Return the tags of an object."""
        raise NotImplementedError

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connections."""
