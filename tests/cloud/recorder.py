"""A proxy that notes which permissions AWS would ask for, by the requests that pass through."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import unescape

from tests.servers.proxy import FaultProxy, Handler


class Need(NamedTuple):
    """A permission that a request needs: what, and on what."""

    action: str
    resource: str


class Recorder(FaultProxy):
    """The proxy; `needs` are the permissions that were needed, by the rules of AWS."""

    def __init__(self, target: str) -> None:
        self.needs: set[Need] = set()
        super().__init__(target)
        self.RequestHandlerClass = _Noting


class _Noting(Handler):
    server: Recorder

    def relay(
        self, response: http.client.HTTPResponse, data: bytes, send: int | None = None
    ) -> None:
        target = self.headers.get("X-Amz-Target")
        if target:
            self.server.needs.update(_of_dynamodb(target, json.loads(self.body)))
        else:
            self.server.needs.update(_of_s3(self, response.status))
        super().relay(response, data, send)


def _of_dynamodb(target: str, body: dict[str, Any]) -> Iterator[Need]:
    for table in body.get("RequestItems") or [body["TableName"]]:
        yield Need(f"dynamodb:{target.partition('.')[2]}", f"table/{table}")


def _of_s3(request: Handler, status: int) -> Iterator[Need]:
    parts = urlsplit(request.path)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    asked = parse_qs(parts.query, keep_blank_values=True).keys()
    method, source = request.command, request.headers.get("x-amz-copy-source")
    assert not asked & {"versionId", "location", "acl", "tagging", "attributes"}, request.path
    if not key:
        yield from _of_bucket(method, bucket, asked, request.body)
    elif method in ("GET", "HEAD"):
        yield Need("s3:GetObject", f"{bucket}/{key}")
        if status == 404:  # without it S3 says 403 where there is nothing
            yield Need("s3:ListBucket", bucket)
    elif method == "DELETE":
        name = "AbortMultipartUpload" if "uploadId" in asked else "DeleteObject"
        yield Need(f"s3:{name}", f"{bucket}/{key}")
    else:
        yield Need("s3:PutObject", f"{bucket}/{key}")
        if source:
            yield Need("s3:GetObject", unquote(source).lstrip("/"))


def _of_bucket(method: str, bucket: str, asked: Any, body: bytes) -> Iterator[Need]:
    if method == "POST" and "delete" in asked:
        for key in re.findall(r"<Key>(.*?)</Key>", body.decode()):
            yield Need("s3:DeleteObject", f"{bucket}/{unescape(key)}")
    else:
        assert method == "GET" and ("list-type" in asked or "prefix" in asked), (method, asked)
        yield Need("s3:ListBucket", bucket)
