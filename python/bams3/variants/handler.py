"""The AWS Lambda function: calls shards, or a region for the event form of the older project.

    {"tasks": [...]}                                                a batch of shards
    {"bucket", "key", "region", "sample_id"}                        one region of one file
    {"Records": [{"s3": {"bucket": ..., "object": ...}}]}           reads that have just arrived

Reads have arrived with what is written last: the index of BAM and CRAM, the manifest of a dataset.

Failures are raised, so that retries and dead-letter queues work; a direct caller may ask for the
older reply instead with {"errors": "reply"}. Everything may be done twice: what has a receipt is
not done again, and results have the same names.

Environment: `BUCKET_RESULTS`, and `REFERENCE`, the address of the FASTA (or "reference" in the
event). `TABLE_NAME`, where it is set, is a table of DynamoDB that the calls of a region go into,
in place of those that it has of this region.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote_plus

from bams3.errors import Bams3Error, InputError, TooLargeError
from bams3.variants.call import CallSummary, call
from bams3.variants.callers import Caller
from bams3.variants.executors import processes
from bams3.variants.load import load
from bams3.variants.task import Task
from bams3.variants.tile import call_tile

MARGIN = 5.0
"""Seconds that are left for writing results when a caller is stopped."""
MIN_DEPTH, MIN_ALT_COUNT = 5, 2
REGION = "chr20:1000000-1010000"
if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    # Lambda adds layers to sys.path alone, and callers are processes of their own.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
_WRITTEN_LAST = (".bai", ".csi", ".crai", "/_metadata.json")


class Context(Protocol):
    """What Lambda tells of the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return how much time is left."""


def lambda_handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Answer an event. Raises what went wrong."""
    try:
        if "tasks" in event:
            return _batch(event["tasks"], context)
        if "Records" in event:
            return {"replies": [_region(*_arrived(one), context) for one in event["Records"]]}
        return _region(event, str(event.get("sample_id", "unknown")), context)
    except Bams3Error as error:
        if event.get("errors") != "reply":
            raise
        body = {"error": error.message, "message": "Variant calling failed"}
        return {"statusCode": 500, "body": body}


def _left(context: Context) -> float:
    return context.get_remaining_time_in_millis() / 1000 - MARGIN


def _batch(tasks: list[Mapping[str, Any]], context: Context) -> dict[str, Any]:
    """Call shards while there is time; give back those that there was none for."""
    receipts: list[dict[str, Any]] = []
    slowest = 0.0
    for number, values in enumerate(tasks):
        if receipts and _left(context) < 1.5 * slowest:
            return {"receipts": receipts, "unfinished": tasks[number:]}
        began = time.monotonic()
        receipts.append(call_tile(Task.from_json(values), max(_left(context), 0.0)).to_json())
        slowest = max(slowest, time.monotonic() - began)
    return {"receipts": receipts, "unfinished": []}


def _arrived(record: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the event of reads that S3 tells of, of which all is called, and the result's name."""
    try:
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
    except (KeyError, TypeError) as error:
        raise InputError(f"not an event of S3: {error!r}") from error
    key = unquote_plus(key)
    for ending in _WRITTEN_LAST:
        key = key.removesuffix(ending)
    name = (key.partition("/")[2] or key).rpartition(".")[0] or key
    return {"bucket": bucket, "key": key, "region": "."}, name


def _region(event: Mapping[str, Any], sample: str, context: Context) -> dict[str, Any]:
    """Call a region; the reply is that of the older project."""
    missing = [name for name in ("bucket", "key") if not event.get(name)]
    if missing:
        raise InputError(f"the event has no {' and no '.join(missing)}")
    region = str(event.get("region", REGION))
    done = _called(event, region, sample, time.monotonic() + _left(context))
    _keep(done, event.get("sample_id"))
    return {
        "statusCode": 200,
        "body": {
            "variants": done.records,
            "vcf_file": done.output,
            "region": region,
            "sample_id": sample,
            "reads": done.reads,
            "message": f"Successfully called {done.records} variants",
        },
    }


def _keep(done: CallSummary, sample: str | None) -> None:
    """Load the calls into the table; a file of one sample under the name that the event gives."""
    table = os.environ.get("TABLE_NAME")
    if table:
        name = sample if len(done.samples) == 1 else None
        load(done.output, f"dynamodb://{table}", sample=name)


def _called(event: Mapping[str, Any], region: str, sample: str, deadline: float) -> CallSummary:
    results, reference = os.environ.get("BUCKET_RESULTS"), event.get("reference")
    reference = reference or os.environ.get("REFERENCE")
    if not results or not reference:
        raise InputError("BUCKET_RESULTS and REFERENCE must be set", "in the function's settings")
    depth = int(event.get("min_depth", MIN_DEPTH))
    count = int(event.get("min_allele_count", MIN_ALT_COUNT))
    name = f"{sample}_{'all' if region == '.' else region}".replace(":", "_").replace("/", "_")
    output = f"s3://{results}/results/{name}.vcf.gz"
    if deadline <= time.monotonic():
        raise TooLargeError("there is no time left to call anything")
    with processes(2) as executor:
        return call(
            [f"s3://{event['bucket']}/{event['key']}"], str(reference), output, regions=[region],
            caller=Caller(min_depth=depth, min_alt_count=count), executor=executor, workers=2,
            overwrite=True, deadline=deadline,
        )  # fmt: skip
