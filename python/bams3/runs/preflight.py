"""Before anything is uploaded: whether there are credentials, and whether the buckets are there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable

from bams3.errors import NotFoundError, PermissionDenied, StorageError, UsageError
from bams3.runs import notify
from bams3.runs.credentials import standard_names
from bams3.runs.place import Place

_log = logging.getLogger(__name__)

Open = Callable[[str], Place]
"""Opens a bucket. Raises PermissionDenied where there are no credentials."""


def reach(buckets: Iterable[str], open_place: Open, alert: str | None) -> dict[str, Place]:
    """Open buckets, and check that they are there; what is wrong is told to Slack too.

    Args:
        buckets: Their names.
        open_place: Opens one.
        alert: Webhook; None for none.

    Raises:
        UsageError: There are contradictory credentials.
        StorageError: There are none, the server cannot be reached, or a bucket may not be used.
    """
    try:
        standard_names(os.environ)
        places = {bucket: open_place(bucket) for bucket in sorted(set(buckets))}
        absent = [bucket for bucket, place in places.items() if not _is_there(place)]
    except (StorageError, UsageError) as error:
        text = str(error) if isinstance(error, UsageError) else f"\t\t{error}"
        _report(f"Error in connecting to AWS: {error}", alert, notify.NO_AWS + text)
        raise
    if absent:
        text = f"{len(absent)} bucket(s) not accessible or do not exist: {', '.join(absent)}"
        _report(text, alert, notify.NO_BUCKETS + text)
        raise StorageError(text, "check the names, and what you are allowed to")
    return places


def _is_there(place: Place) -> bool:
    try:
        place.check()
    except (NotFoundError, PermissionDenied) as error:
        _log.error("%s: %s", place.bucket, error)
        return False
    return True


def _report(text: str, alert: str | None, message: str) -> None:
    _log.error(text)
    if alert:
        notify.post(alert, message)
