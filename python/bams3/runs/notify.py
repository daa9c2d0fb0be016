"""News in Slack: the texts of s3_upload, posted to a webhook."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Mapping, Sequence

TIMEOUT = 30.0
"""Seconds."""
NO_AWS = ":warning:  *S3 Upload*: Error in connecting to AWS!\n\n"
NO_BUCKETS = ":warning:  *S3 Upload*: Error in accessing specified S3 buckets!\n\n\t\t"
_log = logging.getLogger(__name__)


def result_text(completed: Sequence[str] = (), failed: Sequence[str] = ()) -> str:
    """Return the message about runs that were uploaded, or were not."""
    parts = []
    if completed:
        head = f":white_check_mark:  *S3 Upload*: Successfully uploaded {_runs(completed)}"
        parts.append(head + _listed(completed))
    if failed:
        parts.append(f":x:  *S3 Upload*: Failed uploading {_runs(failed)}" + _listed(failed))
    return "\n\n".join(parts)


def refused_text(refused: Mapping[str, str]) -> str:
    """Return the message about runs that wait for somebody: their names and what is wrong."""
    items = [f"{name}: {reason}" for name, reason in refused.items()]
    return f":warning:  *S3 Upload*: Not uploading {_runs(items)}" + _listed(items)


def _runs(names: Sequence[str]) -> str:
    return f"{len(names)} run{'s' if len(names) > 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    return "".join(f"\n\t\t• {name}" for name in names)


def post(url: str, text: str) -> bool:
    """Post a message; a failure is logged, never raised. Returns whether it was taken."""
    body = json.dumps({"text": text}).encode()
    try:
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if answer.status == 200:
                return True
            _log.error("Slack answered %s to a message", answer.status)
    except (OSError, ValueError) as error:
        # The address is a secret: it is not logged.
        _log.error("the message to Slack was not delivered: %s", error)
    return False
