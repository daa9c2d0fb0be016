"""Commands as processes of their own, and what a bucket holds, read by another client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bams3.storage import open_store

MANIFEST = "bams3-manifest.json"


def command(*arguments: str | Path) -> list[str]:
    """Return the argument list that runs `bams3 ...` or `s3_upload ...`."""
    program, *rest = map(str, arguments)
    module = "bams3.cli.s3_upload" if program == "s3_upload" else "bams3.cli"
    return [sys.executable, "-c", f"from {module} import main; main()", *rest]


def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120,
        env={**os.environ, **environ}, check=False,
    )  # fmt: skip


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*arguments), text=True, **pipes)  # type: ignore[call-overload, no-any-return]


def objects(url: str) -> dict[str, bytes]:
    """Return all objects below an address by their keys, without manifests."""
    store = open_store(url)
    keys = [entry.key for entry in store.list() if not entry.key.endswith(MANIFEST)]
    spans = [(key, None, None) for key in keys]
    return {key: store.get(key) for key, _, _ in spans}
