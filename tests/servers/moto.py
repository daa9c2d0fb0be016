"""moto: the services of AWS as a process of its own, on loopback. It runs no functions."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.program import Program, free_port

ACCOUNT = "123456789012"
MISSING = "moto is not installed: pip install 'moto[server]'"


def is_installed() -> bool:
    return importlib.util.find_spec("moto") is not None


def command(port: int) -> list[str]:
    """Return the command that runs the server."""
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


class Moto(Program):
    """The running server; the end of the `with` block stops it."""

    ready = "/moto-api/data.json"

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__(folder, command(port), port)
        self._send("config", {"lambda": {"use_docker": False}})

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which AWS tools, and bams3, reach this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def reset(self) -> None:
        """Forget everything."""
        self._send("reset")

    def resources(self) -> dict[str, int]:
        """Count everything that there is, by the server's own books."""
        with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=30) as answer:
            books = json.load(answer)
        return {
            f"{service} {kind}": len(entries)
            for service, kinds in books.items()
            for kind, entries in kinds.items()
            if entries
        }

    def _send(self, what: str, body: Any = None) -> None:
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.url}/moto-api/{what}", data, method="POST")
        urllib.request.urlopen(request, timeout=30).close()
