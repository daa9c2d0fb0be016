"""Run a command as `bams3` would, in this process."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import bams3.cli


class Done(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: bytes
    err: str


def bams3_(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """Run a command line; its output is caught."""
    argv = ["bams3", *map(str, arguments)]
    streams = [io.TextIOWrapper(io.BytesIO(data), write_through=True) for data in (stdin, b"", b"")]
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "stdin", streams[0]),
        patch.object(sys, "stdout", streams[1]),
        patch.object(sys, "stderr", streams[2]),
    ):
        code = bams3.cli._run()
    _, out, err = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
    return Done(code, out, err.decode())
