"""Whether a local file and an object are the same, without downloading where S3 can tell.

What S3 states (`claims`) is compared with what the file would be stated as. Where a guess of part
sizes fails, and where S3 states nothing, the object is read and compared byte by byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bams3.errors import CorruptError, InputError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer.claims import Claim, Computed, claims, new_hash
from bams3.transfer.files import FileSource

_PIECE = 1 << 20
_RANGE = 16 << 20


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
    for claim in claims(bucket, info, customer_key, version_id):
        if _same(source, claim, advance):
            proof = claim.name
            break
        if claim.certain:
            raise CorruptError(f"{source.url} and {url} differ: {claim.name}")
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


def _same(source: FileSource, claim: Claim, advance: Callable[[int], None]) -> bool:
    """Whether the file has the bytes of which a claim is."""
    found, buffer = Computed(claim), memoryview(bytearray(_PIECE))
    with source.open(0, source.size) as reader:
        while count := reader.readinto(buffer):
            found.update(buffer[:count])
            advance(count)
    return found.same


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
