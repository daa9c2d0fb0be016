"""What an S3 request says in its headers, and what the headers of an answer say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlencode

from bams3.storage import s3_xml
from bams3.storage.answer import Reply
from bams3.storage.objects import Attributes, CustomerKey, ObjectInfo

_CONTENT = (
    "content-type", "content-encoding", "content-disposition", "content-language",
    "cache-control", "expires",
)  # fmt: skip


def written_with(
    default_sse: str | None, attributes: Attributes, customer_key: CustomerKey | None
) -> dict[str, str]:
    """Return the headers that give an object its attributes."""
    headers = dict(attributes.content) | key_headers(customer_key)
    headers |= {f"x-amz-meta-{name}": text for name, text in attributes.metadata.items()}
    if attributes.tags:
        headers["x-amz-tagging"] = urlencode(attributes.tags, quote_via=quote)
    if attributes.storage_class:
        headers["x-amz-storage-class"] = attributes.storage_class
    if attributes.acl:
        headers["x-amz-acl"] = attributes.acl
    sse = attributes.sse or default_sse
    if sse and not customer_key:
        kind, _, key_id = sse.partition("aws:kms:")
        headers["x-amz-server-side-encryption"] = kind or "aws:kms"
        if key_id:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = key_id
    return headers


def version(version_id: str) -> dict[str, str]:
    """Return the query of a version."""
    return {"versionId": version_id} if version_id else {}


def key_headers(key: CustomerKey | None, source: bool = False) -> dict[str, str]:
    """Return the headers of an SSE-C key; `source`: for the source of a copy."""
    return key.headers(source) if key else {}


def conditions(if_none_match: bool, if_match: str) -> dict[str, str]:
    """Return the conditions of a write."""
    if if_none_match:
        return {"if-none-match": "*"}
    return {"if-match": if_match} if if_match else {}


def copy_source(bucket: str, key: str, version_id: str, etag: str) -> dict[str, str]:
    """Return the headers that name the source of a copy."""
    version = f"?versionId={quote(version_id, safe='')}" if version_id else ""
    headers = {"x-amz-copy-source": f"/{bucket}/{quote(key, safe='/~')}{version}"}
    if etag:
        headers["x-amz-copy-source-if-match"] = etag
    return headers


def described_by(key: str, reply: Reply) -> ObjectInfo:
    """Return what the headers of a HEAD say."""
    headers = reply.headers
    return ObjectInfo(
        key=key,
        size=int(headers.get("content-length", 0)),
        etag=headers.get("etag", ""),
        last_modified=_date(headers),
        attributes=_attributes(headers),
        checksums=_checksums(headers),
        checksum_type=headers.get("x-amz-checksum-type", ""),
        sse=headers.get("x-amz-server-side-encryption", ""),
        customer_key_md5=headers.get("x-amz-server-side-encryption-customer-key-md5", ""),
        version_id=headers.get("x-amz-version-id", ""),
        part_count=int(headers.get("x-amz-mp-parts-count", 0)) or None,
        tag_count=int(headers.get("x-amz-tagging-count", 0)),
    )  # fmt: skip


def attributes_of(key: str, reply: Reply, answer: s3_xml.Answer) -> ObjectInfo:
    """Return what GetObjectAttributes says."""
    sums, parts = answer.child("Checksum"), answer.child("ObjectParts")
    counted = parts.text("PartsCount") or parts.text("TotalPartsCount") if parts else ""
    etag = answer.text("ETag").strip('"')
    return ObjectInfo(
        key=key,
        size=int(answer.text("ObjectSize") or 0),
        etag=f'"{etag}"' if etag else "",
        last_modified=_date(reply.headers),
        checksums=s3_xml.checksums(sums) if sums else {},
        checksum_type=sums.text("ChecksumType") if sums else "",
        version_id=reply.headers.get("x-amz-version-id", ""),
        part_count=int(counted) if counted else None,
    )


def _date(headers: Mapping[str, str]) -> datetime:
    text = headers.get("last-modified", "")
    return parsedate_to_datetime(text).replace(tzinfo=UTC) if text else s3_xml.instant("")


def _attributes(headers: Mapping[str, str]) -> Attributes:
    prefix = "x-amz-meta-"
    sse = headers.get("x-amz-server-side-encryption", "")
    return Attributes(
        content={name: text for name in _CONTENT if (text := _content(headers, name))},
        metadata={
            name.removeprefix(prefix): text
            for name, text in headers.items()
            if name.startswith(prefix)
        },
        storage_class=headers.get("x-amz-storage-class"),
        sse=sse or None,
    )


def _content(headers: Mapping[str, str], name: str) -> str:
    """Return a content header without the transfer's own encoding, which some servers keep."""
    text = headers.get(name, "")
    return text.removeprefix("aws-chunked").lstrip(", ") if name == "content-encoding" else text


def _checksums(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "x-amz-checksum-"
    return {
        name.removeprefix(prefix): text
        for name, text in headers.items()
        if name.startswith(prefix) and not name.endswith("-type")
    }
