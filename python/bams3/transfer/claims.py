"""What S3 states of an object's bytes, and what bytes would be stated so.

Tried from the strongest to the weakest: a checksum of the whole object, one made of its parts'
checksums, the MD5 that an ETag may be, the MD5 of MD5s that a multipart ETag may be. For those of
parts the parts' sizes have to be known. Where S3 does not list them, the first and the last one say
whether all may be of one size: then it is a guess, and bytes that fail it are not wrong for that.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bams3._core import crc64nvme
from bams3.errors import ChecksumNameError, PermissionDenied, StorageError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo

_STRONGEST_FIRST = ("sha512", "sha256", "crc64nvme", "sha1", "md5", "crc32")


@dataclass(frozen=True, slots=True)
class Claim:
    """What S3 states: `expected`, of the whole object or of parts of these sizes."""

    algorithm: str
    expected: str
    sizes: Sequence[int] = ()
    certain: bool = True
    """Whether a difference is one of the bytes, and not perhaps one of the part sizes."""

    @property
    def name(self) -> str:
        """The name of the proof."""
        return self.algorithm + (" of parts" if self.sizes else "")


def claims(
    bucket: Bucket, info: ObjectInfo, customer_key: CustomerKey | None, version_id: str
) -> Iterator[Claim]:
    """Yield what S3 states of an object, the strongest first; nothing after a certain one."""
    stated = [name for name in _STRONGEST_FIRST if info.checksums.get(name)]
    whole = [name for name in stated if "-" not in info.checksums[name]]
    if whole:
        yield Claim(whole[0], info.checksums[whole[0]])
        return
    if stated:
        sizes, certain = _part_sizes(bucket, info, customer_key, version_id)
        if sizes:
            yield Claim(stated[0], info.checksums[stated[0]], sizes, certain)
            if certain:
                return
    if info.md5:
        yield Claim("md5", base64.b64encode(bytes.fromhex(info.md5)).decode())
        return
    yield from _claim_of_etag(bucket, info, version_id)


def _part_sizes(
    bucket: Bucket, info: ObjectInfo, customer_key: CustomerKey | None, version_id: str
) -> tuple[list[int], bool]:
    """Return the sizes of all parts, and whether S3 shows them; [] where it shows too little."""
    try:
        found, parts = bucket.attributes(info.key, customer_key, version_id)
    except (StorageError, PermissionDenied):
        return _guessed(bucket, info, customer_key, version_id, info.part_count or 0), False
    sizes = [part.size for part in parts]
    if sum(sizes) == info.size:
        return sizes, True
    count = found.part_count or info.part_count or 0
    return _guessed(bucket, info, customer_key, version_id, count), False


def _guessed(
    bucket: Bucket, info: ObjectInfo, customer_key: CustomerKey | None, version_id: str, count: int
) -> list[int]:
    """Return the sizes of so many parts, if the first and the last one allow for one size."""
    stated = re.search(r"-(\d+)$", info.etag.strip('"'))
    count = count or (int(stated[1]) if stated else 0)
    if not count:
        return []
    try:
        first, last = (
            bucket.head(info.key, customer_key, version_id, part_number=number).size
            for number in (1, count)
        )
    except StorageError:
        return []
    return [first] * (count - 1) + [last] if (count - 1) * first + last == info.size else []


def _claim_of_etag(bucket: Bucket, info: ObjectInfo, version_id: str) -> Iterator[Claim]:
    """Yield what a multipart ETag states, if all parts but the last are as long as the first."""
    found = re.fullmatch(r"([0-9a-f]{32})-(\d+)", info.etag.strip('"'))
    if not found or info.customer_key_md5 or info.sse.startswith("aws:kms"):
        return
    sizes = _guessed(bucket, info, None, version_id, int(found[2]))
    if sizes:
        digest = base64.b64encode(bytes.fromhex(found[1])).decode()
        yield Claim("md5", f"{digest}-{found[2]}", sizes, certain=False)


# ---- what the bytes say --------------------------------------------------------------------------
class Hash(Protocol):
    """A checksum with the manners of hashlib."""

    def update(self, data: memoryview, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all of them."""


class _Crc:
    """A CRC with the manners of hashlib."""

    def __init__(self, function: Callable[[memoryview, int], int], length: int) -> None:
        self._function, self._length, self._value = function, length, 0

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._length, "big")


class Computed:
    """What a claim would be if the bytes given to `update`, in their order, were the object."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._sizes = iter(claim.sizes)
        self._left: int | None = next(self._sizes, None)
        self._hash = _hash(claim.algorithm)
        self._digests: list[bytes] = []

    def update(self, data: memoryview) -> None:
        """Take more bytes."""
        while self._left is not None and len(data) >= self._left:
            self._hash.update(data[: self._left])
            data = data[self._left :]
            self._digests.append(self._hash.digest())
            self._hash = _hash(self._claim.algorithm)
            self._left = next(self._sizes, None)
        self._hash.update(data)
        if self._left is not None:
            self._left -= len(data)

    @property
    def same(self) -> bool:
        """Whether all that came is what S3 states."""
        if not self._claim.sizes:
            return base64.b64encode(self._hash.digest()).decode() == self._claim.expected
        whole = _hash(self._claim.algorithm)
        whole.update(memoryview(b"".join(self._digests)))
        text = f"{base64.b64encode(whole.digest()).decode()}-{len(self._digests)}"
        return text == self._claim.expected


def new_hash(algorithm: str) -> Hash:
    """Return a hash of hashlib. Raises ChecksumNameError."""
    known = {name for name in hashlib.algorithms_available if not name.startswith("shake")}
    if algorithm not in known:
        raise ChecksumNameError(
            f"{algorithm}: no such checksum", f"one of {' '.join(sorted(known))}"
        )
    return _hash(algorithm)


def _hash(algorithm: str) -> Hash:
    if algorithm == "crc64nvme":
        return _Crc(crc64nvme, 8)
    if algorithm == "crc32":
        return _Crc(zlib.crc32, 4)
    return hashlib.new(algorithm, usedforsecurity=False)
