"""What the server says of itself holds for generated requests; a fuzz of headers finds nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.conftest import CONTENT
from tests.server.running import Running, everything

CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
)  # fmt: skip
QUIET = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)
RANGE = st.one_of(
    TEXT,
    st.text("bytes=-, 0123456789", max_size=40),
    st.lists(st.tuples(st.integers(0, 1 << 65), st.integers(0, 1 << 65)), max_size=40).map(
        lambda spans: "bytes=" + ",".join(f"{a}-{b}" for a, b in spans)
    ),
)


def test_generated_requests_are_answered_as_described(local: Running) -> None:
    schema = schemathesis.openapi.from_dict(local.ask("/openapi.json").json)
    schema.config.update(base_url=local.url)
    names = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        names.add(operation.label)

        @QUIET
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            if case.path_parameters and case.path_parameters.get("root") not in ("", None):
                case.path_parameters["root"] = "r"
            case.call_and_validate(checks=CHECKS)

        check()
    assert names == {
        "GET /files/{root}/{key}", "HEAD /files/{root}/{key}", "GET /healthz", "GET /metrics",
        "GET /openapi.json",
    }  # fmt: skip


@settings(QUIET, max_examples=400)
@given(RANGE, st.one_of(st.none(), TEXT), st.sampled_from(["x.bam", "empty.bam"]))
def test_any_range_header(local: Running, text: str, condition: str | None, name: str) -> None:
    head = f"GET /files/r/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRange: {text}"
    head += f"\r\nIf-Range: {condition}" if condition is not None else ""
    found = local.raw(head.encode("latin-1") + b"\r\n\r\n")
    top, _, body = found.partition(b"\r\n\r\n")
    status = int(top.split(b" ", 2)[1])
    headers = dict(line.split(b": ", 1) for line in top.split(b"\r\n")[1:])
    assert status in (200, 206, 400, 416)
    assert int(headers[b"Content-Length"]) == len(body)
    if status == 200:
        assert body == (CONTENT if name == "x.bam" else b"")
    elif status == 206 and b"multipart" not in headers[b"Content-Type"]:
        first, last = headers[b"Content-Range"].removeprefix(b"bytes ")[:-5].split(b"-")
        assert body == CONTENT[int(first) : int(last) + 1]
    elif status in (400, 416):
        assert json.loads(body)["error"]["status"] == status


@settings(QUIET, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes(local: Running, data: bytes) -> None:
    with local.connect() as client:
        client.sendall(data + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        found = everything(client)
    assert not found or found.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in found.partition(b"\r\n")[0]


@settings(QUIET, max_examples=300)
@given(TEXT)
def test_any_path(local: Running, folder: Path, path: str) -> None:
    quoted = "".join(c if c.isprintable() and c not in " #" else "_" for c in path)
    found = local.raw(
        f"GET /files/r/{quoted} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(
            "latin-1"
        )
    )
    there = quoted.partition("?")[0] in {file.name for file in folder.iterdir()}
    assert int(found.split(b" ", 2)[1]) in ((200,) if there else (400, 404))
