"""What to do with what is there already: an object at the destination, unfinished uploads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bams3._core import crc64nvme
from bams3.errors import (
    ManyUploadsExistError,
    NotFoundError,
    ObjectExistsError,
    PermissionDenied,
    UploadExistsError,
)
from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey, ObjectInfo, Upload
from bams3.transfer.settings import Exists, Unfinished
from bams3.transfer.sources import Source

MTIME = "mtime"
"""User metadata: the time of a file's last change, seconds since 1970 with nine decimals."""


def existing(
    bucket: Bucket, key: str, exists: Exists, customer_key: CustomerKey | None
) -> ObjectInfo | None:
    """Return the object at the destination; None where there is none, or it may be overwritten.

    Who may write but not list is told 403 of an object that does not exist: that counts as none,
    because the write itself is conditional.

    Raises:
        ObjectExistsError: There is one, and nothing is said of that.
    """
    if exists == "overwrite":
        return None
    try:
        info = bucket.head(key, customer_key)
    except (NotFoundError, PermissionDenied):
        return None
    if exists == "fail":
        raise object_exists(bucket.url_of(key))
    return info


def object_exists(url: str) -> ObjectExistsError:
    """Return the error of an object that is there."""
    return ObjectExistsError(f"{url}: exists already", "--exists overwrite, or skip")


def uploads_below(bucket: Bucket, prefix: str, wanted: Unfinished) -> list[Upload]:
    """Return the unfinished uploads to keys that begin with `prefix`.

    Who may not list them has none, unless they are asked for.
    """
    try:
        return [*bucket.list_uploads(prefix)]
    except PermissionDenied:
        if wanted == "fail":
            return []
        raise


def unfinished(bucket: Bucket, key: str, wanted: Unfinished) -> list[Upload]:
    """Return the unfinished uploads to exactly this key."""
    return [upload for upload in uploads_below(bucket, key, wanted) if upload.key == key]


def adopted(
    uploads: Sequence[Upload], bucket: Bucket, key: str, wanted: Unfinished
) -> Upload | None:
    """Return the upload to take up; None for a new one. `restart` drops those that are there.

    Raises:
        UploadExistsError: There is one, and nothing is said of that.
        ManyUploadsExistError: There are several, and they are not to be dropped.
    """
    if wanted == "restart":
        for upload in uploads:
            bucket.abort(upload)
        return None
    if not uploads:
        return None
    url = bucket.url_of(key)
    if len(uploads) > 1:
        raise ManyUploadsExistError(
            f"{url}: there are {len(uploads)} unfinished uploads",
            "--force drops them and starts over; bams3 transfer cancel drops them",
        )
    if wanted == "fail":
        raise UploadExistsError(
            f"{url}: there is an unfinished upload", "--resume takes it up, --force starts over"
        )
    return uploads[0]


def identical(source: Source, info: ObjectInfo, buffer_size: int = 1 << 20) -> bool:
    """Whether an object is what the source is: by size and time, else by size and checksum."""
    if source.size != info.size:
        return False
    mtime = mtime_of(source)
    if mtime and info.attributes.metadata.get(MTIME) == mtime:
        return True
    if info.crc64nvme is None and info.md5 is None:
        return False
    crc, md5 = 0, hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(buffer_size))
    with source.open(0, info.size) as reader:
        while count := reader.readinto(buffer):
            if info.crc64nvme is None:
                md5.update(buffer[:count])
            else:
                crc = crc64nvme(buffer[:count], crc)
    return crc == info.crc64nvme if info.crc64nvme is not None else md5.hexdigest() == info.md5


def mtime_of(source: Source) -> str:
    """Return the time of a file's last change as it is kept in metadata; "" of other sources."""
    nanoseconds = getattr(source, "mtime_ns", None)
    return "" if nanoseconds is None else f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def nanoseconds(mtime: str) -> int:
    """Return what `mtime_of` wrote (or another tool, as seconds). Raises ValueError."""
    seconds, _, fraction = mtime.partition(".")
    return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))
