"""What the function's role may do: the calls that the function makes, and no other.

`tests/cloud/test_policy.py` records the requests of real runs and compares: each is allowed, and
each action here is asked for.
"""

from __future__ import annotations

from typing import Any

from bams3.cloud.deployment import Deployment, Settings

READ = ("s3:GetObject",)
WRITE = ("s3:PutObject", "s3:DeleteObject")
LIST = ("s3:ListBucket",)
LOG = ("logs:CreateLogStream", "logs:PutLogEvents")
"""Lambda itself writes logs and dead letters, in the name of the role."""
TABLE = tuple(f"dynamodb:{name}" for name in ("BatchWriteItem", "GetItem", "PutItem", "Query"))

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def policy(place: Deployment, settings: Settings) -> dict[str, Any]:
    """Return the policy of the function's role."""
    own = f"arn:{place.partition}:s3:::{place.bucket}"
    others = [url for url in (*settings.reads, settings.reference) if url]
    reads = sorted({f"{own}/*", *(_objects(place, url) for url in others)})
    lists = sorted({own, *(_bucket(place, url) for url in others)})
    if f"{own}/*" in reads:  # the reference may lie in the bucket
        reads = [arn for arn in reads if arn == f"{own}/*" or not arn.startswith(f"{own}/")]
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow("ReadObjects", READ, *reads),
            _allow("WriteResults", WRITE, f"{own}/*"),
            _allow("ListBuckets", LIST, *lists),
            _allow("LoadCalls", TABLE, place.arn("dynamodb", f"table/{place.stem}")),
            _allow("WriteLogs", LOG, f"{place.arn('logs', f'log-group:{place.log_group}')}:*"),
            _allow("WriteDeadLetters", ("sqs:SendMessage",), place.arn("sqs", place.queue)),
        ],
    }


def _allow(name: str, actions: tuple[str, ...], *resources: str) -> dict[str, Any]:
    return {
        "Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": list(resources),
    }  # fmt: skip


def _objects(place: Deployment, url: str) -> str:
    """Return the ARN of all objects whose address begins so: an index lies beside its file."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return f"arn:{place.partition}:s3:::{bucket}/{key}*"


def _bucket(place: Deployment, url: str) -> str:
    return f"arn:{place.partition}:s3:::{url.removeprefix('s3://').partition('/')[0]}"
