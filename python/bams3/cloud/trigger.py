"""Have the function call: now, for one event, or whenever reads arrive in the bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bams3.cloud.arrivals import Arrivals
from bams3.cloud.aws import Aws
from bams3.cloud.function import Function
from bams3.errors import CallError, NotFoundError, UsageError


def invoke(
    aws: Aws, name: str, event: Mapping[str, Any], *, wait: bool = True
) -> dict[str, Any] | None:
    """Invoke the function with an event.

    Args:
        aws: Account and region.
        name: Of the deployment.
        event: {"bucket", "key", "region", "sample_id"} as in the older project, or what else the
            handler takes.
        wait: Return the answer; otherwise AWS queues the event, tries it three times, and then
            puts it into the dead-letter queue.

    Returns:
        What the function answered; None without `wait`.

    Raises:
        CallError: The function raised.
        NotFoundError: There is no such deployment.
    """
    place = aws.deployment(name)
    answer = aws.ask(
        "lambda", "invoke", FunctionName=place.stem, Payload=json.dumps(event).encode(),
        InvocationType="RequestResponse" if wait else "Event",
    )  # fmt: skip
    if not wait:
        return None
    reply = json.loads(answer["Payload"].read() or "null")
    if answer.get("FunctionError"):
        told = reply if isinstance(reply, dict) else {"errorMessage": reply}
        raise CallError(
            f"{told.get('errorType', 'error')}: {told.get('errorMessage')}",
            f"bams3 cloud status {name} shows the last errors",
        )
    return reply if isinstance(reply, dict) else {"answer": reply}


def event_of(reads: str, region: str | None, sample: str | None) -> dict[str, Any]:
    """Return the event for reads on S3. Raises UsageError."""
    bucket, _, key = reads.removeprefix("s3://").partition("/")
    if not reads.startswith("s3://") or not key:
        raise UsageError(f"{reads}: is not on S3", "s3://BUCKET/KEY")
    more = {"region": region or ".", "sample_id": sample or key.rpartition("/")[2].split(".")[0]}
    return {"bucket": bucket, "key": key, **more}


def arrivals(aws: Aws, name: str, on: bool) -> str:
    """Switch on or off that reads are called when they have arrived; return what was done.

    Raises:
        NotFoundError: There is no such deployment.
    """
    place = aws.deployment(name)
    if not Function(aws, place).exists():
        raise NotFoundError(f"{name}: is not deployed", f"bams3 cloud deploy {name}")
    trigger = Arrivals(aws, place)
    if on:
        return trigger.ensure()
    if not trigger.exists():
        return "kept"
    trigger.remove()
    return "removed"
