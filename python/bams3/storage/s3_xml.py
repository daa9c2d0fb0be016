"""The XML of S3's answers and requests."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote_plus

from bams3.errors import StorageError
from bams3.storage.objects import ObjectInfo, Part, Upload, crc_number, crc_text

_CHECKSUMS = {
    "ChecksumCRC32": "crc32",
    "ChecksumCRC32C": "crc32c",
    "ChecksumCRC64NVME": "crc64nvme",
    "ChecksumSHA1": "sha1",
    "ChecksumSHA256": "sha256",
}


class Answer:
    """One element of an answer; names without their namespace."""

    def __init__(self, element: ET.Element) -> None:
        self._element = element

    @classmethod
    def parse(cls, data: bytes, url: str) -> Answer:
        """Parse a whole answer.

        Raises:
            StorageError: It is not XML: no S3 server, or an answer that was cut.
        """
        try:
            return cls(ET.fromstring(data))
        except ET.ParseError as error:
            start = data[:60].decode("utf-8", "replace")
            raise StorageError(
                f"{url}: the answer is not XML: {start!r}", "is --endpoint-url an S3 server?"
            ) from error

    @property
    def name(self) -> str:
        """The name of the element."""
        return self._element.tag.rpartition("}")[2]

    @property
    def own_text(self) -> str:
        """The element's own text."""
        return self._element.text or ""

    def all(self, name: str) -> Iterator[Answer]:
        """Yield the children of that name."""
        for child in self._element:
            if child.tag.rpartition("}")[2] == name:
                yield Answer(child)

    def child(self, name: str) -> Answer | None:
        """Return the first child of that name."""
        return next(self.all(name), None)

    def text(self, name: str) -> str:
        """Return the text of the first child of that name, "" where there is none."""
        child = self.child(name)
        return child.own_text if child else ""

    def key(self, name: str) -> str:
        """Return the text of a child that was asked for with `encoding-type=url`."""
        encoded = self.text("EncodingType") == "url"
        return unquote_plus(self.text(name)) if encoded else self.text(name)


def instant(text: str) -> datetime:
    """Return the time that S3 wrote; the epoch where it wrote none."""
    if not text:
        return datetime.fromtimestamp(0, UTC)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def checksums(answer: Answer) -> dict[str, str]:
    """Return the checksums in an answer, base64 by algorithm."""
    found = {name: answer.text(tag) for tag, name in _CHECKSUMS.items()}
    return {name: text for name, text in found.items() if text}


def part(answer: Answer, number: int | None = None, size: int = 0) -> Part:
    """Return the part that an answer describes."""
    crc = answer.text("ChecksumCRC64NVME")
    return Part(
        number or int(answer.text("PartNumber")),
        int(answer.text("Size") or size),
        answer.text("ETag"),
        crc_number(crc) if crc else None,
    )


def upload(answer: Answer, decode: bool) -> Upload:
    """Return the upload that an element of ListMultipartUploads describes."""
    key = answer.text("Key")
    return Upload(
        unquote_plus(key) if decode else key,
        answer.text("UploadId"),
        instant(answer.text("Initiated")),
        answer.text("StorageClass"),
        answer.text("ChecksumAlgorithm"),
    )


def listed(answer: Answer, decode: bool) -> ObjectInfo:
    """Return the object that an element of ListObjectsV2 describes."""
    key = answer.text("Key")
    return ObjectInfo(
        unquote_plus(key) if decode else key,
        int(answer.text("Size")),
        answer.text("ETag"),
        instant(answer.text("LastModified")),
    )


def tag_set(answer: Answer) -> dict[str, str]:
    """Return the tags of a Tagging answer."""
    tags = answer.child("TagSet")
    return {tag.text("Key"): tag.text("Value") for tag in tags.all("Tag")} if tags else {}


def complete(parts: Sequence[Part], with_checksums: bool) -> bytes:
    """Return the body of CompleteMultipartUpload."""
    root = ET.Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    for each in parts:
        element = ET.SubElement(root, "Part")
        fields: list[tuple[str, str]] = [("PartNumber", str(each.number)), ("ETag", each.etag)]
        if with_checksums and each.crc64nvme is not None:
            fields.append(("ChecksumCRC64NVME", crc_text(each.crc64nvme)))
        _fill(element, fields)
    return ET.tostring(root)


def tagging(tags: Mapping[str, str]) -> bytes:
    """Return the body of PutObjectTagging."""
    root = ET.Element("Tagging", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    tag_set = ET.SubElement(root, "TagSet")
    for name, text in tags.items():
        _fill(ET.SubElement(tag_set, "Tag"), [("Key", name), ("Value", text)])
    return ET.tostring(root)


def _fill(element: ET.Element, fields: Iterable[tuple[str, str]]) -> None:
    for name, text in fields:
        ET.SubElement(element, name).text = text
