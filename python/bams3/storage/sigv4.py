"""Signature Version 4 for S3, for requests whose body is not part of the signature.

Source: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

EMPTY = hashlib.sha256(b"").hexdigest()
"""Payload hash of a request without a body."""
UNSIGNED = "UNSIGNED-PAYLOAD"
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class Keys(NamedTuple):
    """Credentials as they are used for one request; `token` "" for none."""

    access_key: str
    secret_key: str
    token: str = ""


def query_text(query: Mapping[str, str]) -> str:
    """Return a query string in canonical order, so that what is sent is what is signed."""
    pairs = sorted((quote(name, safe="~"), quote(text, safe="~")) for name, text in query.items())
    return "&".join(f"{name}={text}" for name, text in pairs)


def sign(
    keys: Keys,
    region: str,
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    now: float | None = None,
) -> None:
    """Add the headers `x-amz-date`, `x-amz-security-token` and `authorization`.

    Args:
        keys: The credentials.
        region: The region that the request is sent to.
        method: `GET`, ...
        path: As it is sent, percent-encoded.
        query: As `query_text` returns it.
        headers: By name in lower case; `host` and `x-amz-content-sha256` must be there. All of
            them are signed.
        now: Seconds since 1970; now by default.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers["x-amz-date"] = stamp
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in names])
    request = (
        f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{headers['x-amz-content-sha256']}".encode()
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request).hexdigest()}"
    signature = hmac.digest(
        _signing_key(keys.secret_key, stamp[:8], region), text.encode(), "sha256"
    )
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope},"
        f"SignedHeaders={signed},Signature={signature.hex()}"
    )


@functools.lru_cache(maxsize=8)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for text in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    return key
