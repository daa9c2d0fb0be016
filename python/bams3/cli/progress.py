"""Progress on stderr: a moving line on a terminal, else a line now and then."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any, Self

import click

from bams3.cli.sizes import show_size

EVERY = 10.0


class Progress:
    """Shows how far a long command is. Nothing where it is quiet or NO_PROGRESS is set."""

    def __init__(self, title: str, quiet: bool = False) -> None:
        self._title = title
        self._silent = quiet or bool(os.environ.get("NO_PROGRESS"))
        self._live = not self._silent and sys.stderr.isatty()
        self._status: Any = None
        self._began = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, text: str) -> None:
        """Show how far it is: on a terminal at most ten times a second."""
        now = time.monotonic()
        if self._silent or now - self._last < (0.1 if self._live else EVERY):
            return
        self._last = now
        line = f"{self._title}: {text}, {now - self._began:.0f} s"
        if self._live:
            self._draw(line)
        else:
            click.echo(line, err=True)

    def _draw(self, line: str) -> None:
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(line)
            self._status.start()
        self._status.update(line)

    def converted(self, stage: str, read: int, records: int, written: int) -> None:
        """Show the progress of a conversion."""
        self.show(
            f"{stage}, {records:,} records, {show_size(read)} read, {show_size(written)} written"
        )

    def counted(self, records: int) -> None:
        """Show a number of records."""
        self.show(f"{records:,} records")
