"""botocore's client: what the tests put in place, and look at, without our own code."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import botocore.session
from botocore.config import Config


def client() -> Any:
    """Return a client of the server that the environment leads to."""
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 2},
    )
    return _session().create_client(
        "s3", config=config, region_name="us-east-1",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


@functools.cache
def _session() -> botocore.session.Session:
    """Return one session, which reads the description of S3 but once; it keeps no keys."""
    return botocore.session.Session()


def multipart(bucket: str, key: str, pieces: Sequence[bytes], **given: Any) -> str:
    """Write an object in parts; `given` goes to CreateMultipartUpload. Returns its ETag."""
    s3 = client()
    upload = begin(bucket, key, pieces, **given)
    keys = {name: value for name, value in given.items() if name.startswith("SSECustomer")}
    listed = s3.list_parts(Bucket=bucket, Key=key, UploadId=upload, **keys).get("Parts", [])
    parts = [
        {n: v for n, v in part.items() if n not in ("LastModified", "Size")} for part in listed
    ]
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **keys
    )
    return str(done["ETag"])


def begin(bucket: str, key: str, pieces: Sequence[bytes], **given: Any) -> str:
    """Begin a multipart upload, send parts, and leave it. Returns its id."""
    s3 = client()
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **given)["UploadId"]
    extra = {n: v for n, v in given.items() if n in ("ChecksumAlgorithm", *sse_c(b"x" * 32))}
    for number, piece in enumerate(pieces, 1):
        s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=piece, **extra
        )
    return str(upload)


def uploads(bucket: str, prefix: str = "") -> list[tuple[str, str]]:
    """Return keys and ids of the unfinished uploads."""
    pages = client().get_paginator("list_multipart_uploads")
    found = pages.paginate(Bucket=bucket, Prefix=prefix)
    return [(u["Key"], u["UploadId"]) for page in found for u in page.get("Uploads", [])]


def content(bucket: str, key: str, **given: Any) -> bytes:
    """Return the bytes of an object."""
    return bytes(client().get_object(Bucket=bucket, Key=key, **given)["Body"].read())


def sse_c(secret: bytes) -> dict[str, str]:
    """Return the parameters of a customer key."""
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(secret).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(secret).digest()).decode(),
    }
