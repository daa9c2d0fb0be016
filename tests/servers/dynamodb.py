"""DynamoDB servers on loopback: dynalite, which keeps AWS's limits, and moto, which knows more.

`make dynalite` installs dynalite into .cache/dynalite; moto comes with the development packages.
Neither checks signatures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.moto import command as moto_command
from tests.servers.program import Program, free_port
from tests.servers.proxy import Fault, Handler

PROGRAM = Path(__file__).parents[2] / ".cache" / "dynalite" / "node_modules" / "dynalite" / "cli.js"
KEEP = Path(__file__).with_name("keep_running.cjs")
MISSING = "dynalite is not installed: `make dynalite` does that, where npm reaches its registry"


def find() -> list[str] | None:
    """Return the command that runs dynalite, if it is installed."""
    node = shutil.which("node")
    return [node, "--require", str(KEEP), str(PROGRAM)] if node and PROGRAM.exists() else None


def dynalite(folder: Path, command: Sequence[str]) -> DynamoServer:
    """Start dynalite."""
    port = free_port()
    times = ("--createTableMs", "0", "--deleteTableMs", "0")
    words = [*command, "--host", "127.0.0.1", "--port", str(port), *times]
    return DynamoServer(folder, words, port)


def moto(folder: Path) -> DynamoServer:
    """Start moto's server."""
    port = free_port()
    return DynamoServer(folder, moto_command(port), port)


class DynamoServer(Program):
    """A running server; the end of the `with` block stops it."""

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which AWS tools, and bams3, reach this server."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "throw",
            "AWS_SECRET_ACCESS_KEY": "away",
        }


# ---- what DynamoDB does on bad days, for the fault proxy -----------------------------------------
def refuse(code: str) -> Fault:
    """Answer with an error."""

    def fault(handler: Handler) -> bool:
        _answer(handler, 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}"})
        return True

    return fault


def leave_unprocessed(keep: int) -> Fault:
    """Process the first `keep` items of a batch, and give back the others."""

    def fault(handler: Handler) -> bool:
        request = json.loads(handler.body)
        ((table, items),) = request["RequestItems"].items()
        if keep:
            handler.body = json.dumps({"RequestItems": {table: items[:keep]}}).encode()
            handler.headers.replace_header("Content-Length", str(len(handler.body)))
            response, _ = handler.forward()
            assert response.status == 200
        left = {table: items[keep:]} if items[keep:] else {}
        _answer(handler, 200, {"UnprocessedItems": left})
        return True

    return fault


def _answer(handler: Handler, status: int, value: Any) -> None:
    body = json.dumps(value).encode()
    handler.send_response_only(status)
    handler.send_header("Content-Type", "application/x-amz-json-1.0")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
