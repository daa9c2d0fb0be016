"""Find an object and the customer key (SSE-C) that opens it."""

from __future__ import annotations

from bams3.errors import Bams3Error, KeyRejectedError, PermissionDenied
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo
from bams3.transfer.keys import GivenKey

_BLOCKED = "buckets made since April 2026 refuse SSE-C until BlockedEncryptionTypes is NONE"


def key_to_write(given: GivenKey | None, bucket: Bucket, key: str) -> CustomerKey | None:
    """Return the customer key with which an object is written; None for none.

    Raises:
        PermissionDenied: A master key needs the bucket's region, which cannot be found out.
    """
    return None if given is None else given.of(_region(given, bucket), bucket.name, key)


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
        keys = [*given.candidates(_region(given, bucket), bucket.name, key)]
    failure: KeyRejectedError | None = None
    for customer_key in keys:
        try:
            return bucket.head(key, customer_key, version_id), customer_key
        except KeyRejectedError as error:
            failure = failure or error
    assert failure is not None
    raise _explained(failure, bucket, key, given, version_id) from failure


def _explained(
    failure: KeyRejectedError, bucket: Bucket, key: str, given: GivenKey | None, version_id: str
) -> KeyRejectedError:
    """Return which key would have been right: none, one, or another one."""
    url = bucket.url_of(key)
    if given is None:
        return key_missing(url)
    try:
        bucket.head(key, None, version_id)
    except KeyRejectedError:
        return KeyRejectedError(f"{url}: the customer key is not the object's", _other(given))
    except Bams3Error:
        return failure
    return KeyRejectedError(
        f"{url}: is not encrypted with a customer key, but one was given", "leave it out"
    )


def key_missing(url: str) -> KeyRejectedError:
    """Return the error of an object that needs a customer key."""
    return KeyRejectedError(
        f"{url}: is encrypted with a customer key (SSE-C), and none was given",
        "--sse-key-file FILE",
    )


def _other(given: GivenKey) -> str:
    if given.is_master:
        return "keys derived from a master key go with region, bucket and key: was it moved?"
    return "another key, or is this a master key? Then --sse-key-is-master"


def _region(given: GivenKey, bucket: Bucket) -> str:
    """Return where the bucket is, if the key depends on it."""
    return bucket.region() if given.is_master else ""


def explained_write(error: PermissionDenied, url: str) -> PermissionDenied:
    """Return what it may mean that an object with a customer key may not be written."""
    return PermissionDenied(
        f"{url}: access denied: either these credentials may not write there, or the bucket"
        " refuses customer keys (SSE-C)",
        f"{_BLOCKED}: aws s3api get-bucket-encryption shows it",
    )
