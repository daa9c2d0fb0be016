"""Drop unfinished uploads, which cost as much as objects until somebody does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bams3.storage.bucket import Bucket
from bams3.storage.objects import Upload


def cancel(
    bucket: Bucket,
    key: str,
    *,
    prefix: bool = False,
    older_than: timedelta | None = None,
    dry_run: bool = False,
) -> Iterator[Upload]:
    """Drop the unfinished uploads to a key, and yield each as it is dropped.

    Args:
        bucket: Where they are.
        key: The key, whole and literal; with `prefix` what keys begin with, "" for all.
        prefix: Take all keys that begin with `key`.
        older_than: Leave alone what was begun later than so long ago.
        dry_run: Yield them, and drop none.

    Raises:
        NotFoundError: There is no such bucket.
        PermissionDenied: They may not be listed or dropped.
    """
    latest = datetime.now(UTC) - older_than if older_than else None
    # Listed to the end first: a page may begin after an upload that has to exist still.
    for upload in [*bucket.list_uploads(key)]:
        if upload.key != key and not prefix:
            continue
        if latest and (upload.initiated is None or upload.initiated > latest):
            continue
        if not dry_run:
            bucket.abort(upload)
        yield upload
