"""What S3 says of an object, an upload and a part, and what a writer says of an object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bams3.errors import KeyRejectedError

_CUSTOMER = "server-side-encryption-customer"


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A key of server-side encryption with customer keys (SSE-C); never shown.

    Raises:
        KeyRejectedError: It does not have 32 bytes.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != 32:
            raise KeyRejectedError(f"an encryption key has 32 bytes, not {len(self.key)}")

    @property
    def md5(self) -> str:
        """The base64 of the key's MD5, which S3 shows for the object."""
        return base64.b64encode(hashlib.md5(self.key, usedforsecurity=False).digest()).decode()

    def headers(self, source: bool = False) -> dict[str, str]:
        """Return the three headers; `source`: those for the source of a copy."""
        prefix = f"x-amz-{'copy-source-' if source else ''}{_CUSTOMER}-"
        return {
            f"{prefix}algorithm": "AES256",
            f"{prefix}key": base64.b64encode(self.key).decode(),
            f"{prefix}key-md5": self.md5,
        }


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an object is given besides its bytes.

    Attributes:
        content: Content-Type, Content-Encoding, Content-Disposition, Content-Language,
            Cache-Control, Expires; by header name in lower case.
        metadata: User metadata: names without `x-amz-meta-`, lower case.
        tags: Object tags.
        storage_class: None for the bucket's default.
        acl: A canned ACL, such as `bucket-owner-full-control`; None sends no ACL header.
        sse: As in `StorageOptions.sse`, of which it takes precedence.
    """

    content: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    acl: str | None = None
    sse: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What S3 says of an object.

    Attributes:
        key: Its key.
        size: Bytes.
        etag: With its quotes; for If-Match.
        last_modified: Time of the last write.
        attributes: Content headers, user metadata and storage class (tags: `Bucket.tags`).
        checksums: Base64 by algorithm in lower case (`crc64nvme`, `sha256`); composite ones end
            in `-N`.
        checksum_type: `FULL_OBJECT`, `COMPOSITE`, or "" where S3 does not say.
        sse: `AES256`, `aws:kms` or "".
        customer_key_md5: Base64 MD5 of the SSE-C key; "" for none.
        version_id: "" in a bucket without versions.
        part_count: Number of parts; None where S3 does not say.
        tag_count: Number of tags.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime
    attributes: Attributes = Attributes()
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str = ""
    sse: str = ""
    customer_key_md5: str = ""
    version_id: str = ""
    part_count: int | None = None
    tag_count: int = 0

    @property
    def crc64nvme(self) -> int | None:
        """The CRC64NVME of the whole object, where S3 knows it."""
        text = self.checksums.get("crc64nvme", "")
        return crc_number(text) if text and "-" not in text else None

    @property
    def md5(self) -> str | None:
        """The MD5 in hex, where the ETag is one: single PUT, without SSE-C and KMS."""
        text = self.etag.strip('"')
        hidden = self.customer_key_md5 or self.sse.startswith("aws:kms")
        return text if len(text) == 32 and not hidden else None


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload."""

    key: str
    upload_id: str
    initiated: datetime | None = None
    storage_class: str = ""
    checksum: str = ""
    """Algorithm in upper case (`CRC64NVME`); "" for none."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload; `crc64nvme` where the server or we know it."""

    number: int
    size: int
    etag: str
    crc64nvme: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a write.

    Attributes:
        etag: With its quotes.
        crc64nvme: Of the whole object, as S3 says; None where it does not say.
        version_id: "" in a bucket without versions.
        sent: CRC64NVME of the whole as we computed it, where we did.
    """

    etag: str
    crc64nvme: int | None = None
    version_id: str = ""
    sent: int | None = None


class Reader(Protocol):
    """Bytes in sequence."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read into `buffer`, at least a byte; 0 at the end of data."""


class Body(Protocol):
    """What is to be sent, `size` bytes; it can be opened again for another attempt."""

    @property
    def size(self) -> int:
        """Bytes."""

    def open(self) -> AbstractContextManager[Reader]:
        """Return a reader of the bytes from the first to the last."""


def crc_text(crc: int) -> str:
    """Return a CRC64 as S3 writes it: base64 of 8 bytes, big-endian."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def crc_number(text: str) -> int:
    """Return the CRC64 that S3 wrote as `text`."""
    return int.from_bytes(base64.b64decode(text), "big")
