"""Find the object and the key that opens it; where that fails, find out why.

S3's answer to HEAD has no text. With a customer key (SSE-C) it is

    200  the right key                  400  no key, or one for an object without
    403  another key, or no permission, or no such object and no permission to list

so a second HEAD, without the key, tells these apart.
"""

from __future__ import annotations

from bams3.errors import (
    Bams3Error,
    KeyRejectedError,
    NotFoundError,
    PermissionDenied,
    StorageError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer.keys import GivenKey

_NO_LIST = "an object that is not there looks the same where s3:ListBucket is not allowed"
_BLOCKED = "buckets made since April 2026 refuse SSE-C until BlockedEncryptionTypes is NONE"


def key_to_write(given: GivenKey | None, bucket: Bucket, key: str) -> CustomerKey | None:
    """Return the customer key with which an object is written; None for none.

    Raises:
        PermissionDenied: A master key needs the bucket's region, which cannot be found out.
    """
    if given is None:
        return None
    return given.of(bucket.region() if given.is_master else "", bucket.name, key)


def find_object(
    bucket: Bucket, key: str, given: GivenKey | None = None, version_id: str = ""
) -> tuple[ObjectInfo, CustomerKey | None]:
    """Return what S3 says of an object, and the customer key that opens it.

    Raises:
        NotFoundError: There is no such object.
        KeyRejectedError: The key is wrong, missing, or for an object that has none.
        PermissionDenied: Not allowed.
    """
    keys: list[CustomerKey | None] = [None]
    if given is not None:
        region = bucket.region() if given.is_master else ""
        keys = [*given.candidates(region, bucket.name, key)]
    failure: Bams3Error | None = None
    for customer_key in keys:
        try:
            return bucket.head(key, customer_key, version_id), customer_key
        except (StorageError, KeyRejectedError) as error:
            failure = failure or error
            if not _is_refusal(error):
                raise
    assert failure is not None
    raise _explained(failure, bucket, key, given, version_id) from failure


def _is_refusal(error: Bams3Error) -> bool:
    return isinstance(error, KeyRejectedError | PermissionDenied) or _status(error) == 400


def _status(error: Bams3Error | None) -> int | None:
    return getattr(error, "status", None)


def _explained(
    failure: Bams3Error, bucket: Bucket, key: str, given: GivenKey | None, version_id: str
) -> Bams3Error:
    """Return why HEAD was refused, as far as a HEAD without the key tells."""
    url = bucket.url_of(key)
    plain = failure if given is None else _refusal_without_key(bucket, key, version_id)
    if plain is None:
        return KeyRejectedError(
            f"{url}: is not encrypted with a customer key, but one was given", "leave it out"
        )
    if isinstance(plain, NotFoundError):
        return plain
    if _status(plain) == 403:
        return PermissionDenied(f"{url}: access denied", f"s3:GetObject is needed; {_NO_LIST}")
    if given is None:
        return KeyRejectedError(
            f"{url}: is encrypted with a customer key (SSE-C), and none was given",
            "--sse-key-file FILE",
        )
    return KeyRejectedError(f"{url}: the customer key is not the object's", _other_key(given))


def _refusal_without_key(bucket: Bucket, key: str, version_id: str) -> Bams3Error | None:
    try:
        bucket.head(key, None, version_id)
    except (StorageError, KeyRejectedError, NotFoundError) as error:
        return error
    return None


def _other_key(given: GivenKey) -> str:
    if given.is_master:
        return "keys derived from a master key go with bucket, key and region: was it moved?"
    return "another key, or a master key? Then --sse-key-is-master"


def explained_write(error: PermissionDenied, url: str, encrypted: bool) -> PermissionDenied:
    """Return what it means that an object may not be written; `encrypted`: with a customer key."""
    if not encrypted:
        return error
    return PermissionDenied(
        f"{url}: access denied: either these credentials may not write there, or the bucket"
        " refuses customer keys (SSE-C)",
        f"{_BLOCKED}: aws s3api get-bucket-encryption shows it",
    )
