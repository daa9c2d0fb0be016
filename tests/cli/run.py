"""Run a command as `bams3` would, in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import bams3.cli
from bams3.cli import s3am


class Done(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: bytes
    err: str


def bams3_(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """Run a command line; its output is caught."""
    return _caught(bams3.cli._run, ["bams3", *map(str, arguments)], stdin)


def s3am_(*arguments: str | Path) -> Done:
    """Run a command line of S3AM; its output is caught."""

    def act() -> int:
        try:
            s3am.main()
        except SystemExit as end:
            return int(end.code or 0)
        raise AssertionError("main returned")

    return _caught(act, ["s3am", *map(str, arguments)])


def _caught(act: Callable[[], int], argv: list[str], stdin: bytes = b"") -> Done:
    streams = [io.TextIOWrapper(io.BytesIO(data), write_through=True) for data in (stdin, b"", b"")]
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "stdin", streams[0]),
        patch.object(sys, "stdout", streams[1]),
        patch.object(sys, "stderr", streams[2]),
    ):
        code = act()
    _, out, err = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
    return Done(code, out, err.decode())
