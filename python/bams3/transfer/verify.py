"""Whether a local file and an object are the same, without downloading where S3 can tell.

What S3 states is tried from the strongest claim to the weakest: a checksum of the whole object, one
made of its parts' checksums, the MD5 that an ETag may be, the MD5 of MD5s that a multipart ETag may
be. The last one depends on part sizes that S3 shows only of the first part; where that guess
fails, and where S3 states nothing, the object is read and compared byte by byte.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from bams3._core import crc64nvme
from bams3.errors import (
    ChecksumNameError,
    CorruptError,
    InputError,
    PermissionDenied,
    StorageError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer.files import FileSource

_PIECE = 1 << 20
_RANGE = 16 << 20
_STRONGEST_FIRST = ("sha512", "sha256", "crc64nvme", "sha1", "md5", "crc32")


@dataclass(frozen=True, slots=True)
class Verified:
    """A file and an object that are the same.

    Attributes:
        source: The file.
        destination: The object.
        size: Bytes.
        proof: What was compared: `crc64nvme`, `sha256`, `md5`, ...; `sha256 of parts`; `bytes`.
        downloaded: Bytes that had to be read from S3.
    """

    source: str
    destination: str
    size: int
    proof: str
    downloaded: int = 0


@dataclass(frozen=True, slots=True)
class _Claim:
    """What S3 states: `expected`, of the whole object or of parts of these sizes."""

    algorithm: str
    expected: str
    sizes: Sequence[int] = ()
    certain: bool = True
    """Whether a difference is one of the bytes, and not perhaps one of the part sizes."""


def verify(
    source: FileSource,
    bucket: Bucket,
    info: ObjectInfo,
    *,
    customer_key: CustomerKey | None = None,
    version_id: str = "",
    slots: int = 8,
    advance: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Compare a file with an object.

    Args:
        source: The file.
        bucket: Where the object is.
        info: What S3 says of it (`find_object`).
        customer_key: Its SSE-C key.
        version_id: An older version.
        slots: Requests in flight at most, where the object has to be read.
        advance: Is told of bytes as they are compared.

    Returns:
        What proves them the same.

    Raises:
        CorruptError: They differ.
        InputError: The file changed while it was read.
    """
    url = bucket.url_of(info.key)
    if source.size != info.size:
        raise CorruptError(f"{source.url} has {source.size} bytes, {url} has {info.size}")
    before = source.fingerprint()
    proof, downloaded = "", 0
    for claim in _claims(bucket, info, customer_key, version_id):
        if _computed(source, claim, advance) == claim.expected:
            proof = claim.algorithm + (" of parts" if claim.sizes else "")
            break
        if claim.certain:
            raise CorruptError(f"{source.url} and {url} differ: {claim.algorithm}")
        advance(-source.size)
    if not proof:
        read = partial(
            bucket.read, etag=info.etag, customer_key=customer_key, version_id=version_id
        )
        _compare_bytes(source, read, info, url, slots, advance)
        proof, downloaded = "bytes", info.size
    if source.fingerprint() != before:
        raise InputError(f"{source.url}: changed while it was read", "start again")
    return Verified(source.url, url, info.size, proof, downloaded)


# ---- what S3 states ------------------------------------------------------------------------------
def _claims(
    bucket: Bucket, info: ObjectInfo, customer_key: CustomerKey | None, version_id: str
) -> Iterator[_Claim]:
    """Yield what S3 states of an object, the strongest first; of the certain ones only one."""
    stated = [name for name in _STRONGEST_FIRST if info.checksums.get(name)]
    whole = [name for name in stated if "-" not in info.checksums[name]]
    if whole:
        yield _Claim(whole[0], info.checksums[whole[0]])
        return
    sizes = _part_sizes(bucket, info, customer_key, version_id) if stated else []
    if sizes:
        yield _Claim(stated[0], info.checksums[stated[0]], sizes)
        return
    if info.md5:
        yield _Claim("md5", base64.b64encode(bytes.fromhex(info.md5)).decode())
        return
    yield from _claim_of_etag(bucket, info, version_id)


def _part_sizes(
    bucket: Bucket, info: ObjectInfo, customer_key: CustomerKey | None, version_id: str
) -> list[int]:
    """Return the sizes of all parts, where S3 shows them."""
    try:
        _, parts = bucket.attributes(info.key, customer_key, version_id)
    except (StorageError, PermissionDenied):
        return []
    sizes = [part.size for part in parts]
    return sizes if sum(sizes) == info.size else []


def _claim_of_etag(bucket: Bucket, info: ObjectInfo, version_id: str) -> Iterator[_Claim]:
    """Yield what a multipart ETag states, if all parts but the last are as long as the first."""
    found = re.fullmatch(r"([0-9a-f]{32})-(\d+)", info.etag.strip('"'))
    if not found or info.customer_key_md5 or info.sse.startswith("aws:kms"):
        return
    count = int(found[2])
    try:
        first = bucket.head(info.key, None, version_id, part_number=1).size
    except StorageError:
        return
    if (count - 1) * first < info.size <= count * first:
        sizes = [first] * (count - 1) + [info.size - first * (count - 1)]
        digest = base64.b64encode(bytes.fromhex(found[1])).decode()
        yield _Claim("md5", f"{digest}-{count}", sizes, certain=False)


# ---- what the file says --------------------------------------------------------------------------
class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A CRC with the manners of hashlib."""

    def __init__(self, function: Callable[[memoryview, int], int], length: int) -> None:
        self._function, self._length, self._value = function, length, 0

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._length, "big")


def _hash(algorithm: str) -> _Hash:
    if algorithm == "crc64nvme":
        return _Crc(crc64nvme, 8)
    if algorithm == "crc32":
        return _Crc(zlib.crc32, 4)
    return hashlib.new(algorithm, usedforsecurity=False)


def _computed(source: FileSource, claim: _Claim, advance: Callable[[int], None]) -> str:
    """Return what the claim would be if the file were the object."""
    digests, start = [], 0
    for size in claim.sizes or [source.size]:
        digests.append(_digest_of_range(source, claim.algorithm, start, start + size, advance))
        start += size
    if not claim.sizes:
        return base64.b64encode(digests[0]).decode()
    whole = _hash(claim.algorithm)
    whole.update(memoryview(b"".join(digests)))
    return f"{base64.b64encode(whole.digest()).decode()}-{len(digests)}"


def _digest_of_range(
    source: FileSource, algorithm: str, start: int, end: int, advance: Callable[[int], None]
) -> bytes:
    found, buffer = _hash(algorithm), memoryview(bytearray(_PIECE))
    with source.open(start, end) as reader:
        while count := reader.readinto(buffer):
            found.update(buffer[:count])
            advance(count)
    return found.digest()


# ---- reading the object --------------------------------------------------------------------------
def _compare_bytes(
    source: FileSource,
    read: Callable[..., None],
    info: ObjectInfo,
    url: str,
    slots: int,
    advance: Callable[[int], None],
) -> None:
    """Read all of the object and compare it with the file. Raises CorruptError."""

    def compare(start: int) -> None:
        end, at = min(start + _RANGE, info.size), start

        def piece(data: memoryview) -> None:
            nonlocal at
            if os.pread(file, len(data), at) != data:
                raise CorruptError(f"{source.url} and {url} differ, from byte {at:,} on or later")
            at += len(data)
            advance(len(data))

        read(info.key, start, end, piece)

    file = os.open(source.path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(slots) as pool:
            for _ in pool.map(compare, range(0, info.size, _RANGE)):
                pass
    finally:
        os.close(file)


def digest(
    bucket: Bucket,
    info: ObjectInfo,
    algorithm: str = "md5",
    part_size: int = _RANGE,
    *,
    customer_key: CustomerKey | None = None,
    version_id: str = "",
    advance: Callable[[int], None] = lambda _: None,
) -> str:
    """Return the hex digest of an object, which is read in ranges of `part_size`.

    Raises:
        ChecksumNameError: hashlib has no such algorithm.
        ExistsError: The object was replaced meanwhile.
    """
    found = new_hash(algorithm)

    def piece(data: memoryview) -> None:
        found.update(data)
        advance(len(data))

    for start in range(0, info.size, part_size):
        bucket.read(
            info.key, start, min(start + part_size, info.size), piece,
            etag=info.etag, customer_key=customer_key, version_id=version_id,
        )  # fmt: skip
    return found.digest().hex()


def new_hash(algorithm: str) -> _Hash:
    """Return a hash of that name. Raises ChecksumNameError."""
    known = {name for name in hashlib.algorithms_available if not name.startswith("shake")}
    if algorithm not in known:
        raise ChecksumNameError(
            f"{algorithm}: no such checksum", f"one of {' '.join(sorted(known))}"
        )
    return _hash(algorithm)
