"""Whether what was downloaded is what S3 says of the object."""

from __future__ import annotations

from pathlib import Path

from bams3.errors import CorruptError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer.claims import Claim, Computed, claims

_PIECE = 1 << 20


def claim_of(
    bucket: Bucket, info: ObjectInfo, customer_key: CustomerKey | None, version_id: str
) -> Claim | None:
    """Return what S3 states of an object as a whole or of its parts; None for nothing.

    An MD5 of MD5s is none of them: who wrote in parts and without a checksum wanted none, and it
    would cost more time than the download. `verify` takes it.
    """
    if info.crc64nvme is not None:
        return Claim("crc64nvme", info.checksums["crc64nvme"])
    for claim in claims(bucket, info, customer_key, version_id):
        if not (claim.sizes and claim.algorithm == "md5"):
            return claim
    return None


def proof(
    bucket: Bucket,
    info: ObjectInfo,
    crc: int,
    path: Path,
    customer_key: CustomerKey | None,
    version_id: str,
) -> str:
    """Compare a file with the strongest checksum that S3 states of the object.

    CRC64NVME is known from the download; for another one the file is read.

    Returns:
        The name of the checksum; "" where S3 states none, or not for which parts it is, and only
        the size is known.

    Raises:
        CorruptError: They differ.
    """
    url = bucket.url_of(info.key)
    if info.crc64nvme is not None:
        if crc != info.crc64nvme:
            raise differing(url, "crc64nvme")
        return "crc64nvme"
    claim = claim_of(bucket, info, customer_key, version_id)
    if not claim:
        return ""
    found = Computed(claim)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            found.update(memoryview(piece))
    return outcome_of(url, claim, found)


def outcome_of(url: str, claim: Claim, found: Computed) -> str:
    """Return the name of the proof; "" where the claim is a guess that fails.

    Raises:
        CorruptError: The bytes are not those of the object.
    """
    if found.same:
        return claim.name
    if claim.certain:
        raise differing(url, claim.name)
    return ""


def differing(url: str, name: str) -> CorruptError:
    """Return the error of bytes with another checksum."""
    return CorruptError(
        f"{url}: what arrived has another {name} than S3 states",
        "run it again with --force; if it happens again, the object is damaged",
    )
