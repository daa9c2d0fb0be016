"""What the transfer commands tell: progress, events, a summary."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.progress import Progress
from bams3.cli.sizes import show_size
from bams3.errors import Bams3Error

if TYPE_CHECKING:
    from bams3.transfer.settings import Outcome

_EVERY = 1.0


class Report(Progress):
    """Watches a transfer, as `bams3.transfer.Progress`, and tells of it.

    On a terminal a moving line, else a line now and then; with `as_json` events, a line each, on
    standard output, or on standard error where that takes the data.
    """

    def __init__(
        self, title: str, quiet: bool = False, as_json: bool = False, to_stderr: bool = False
    ) -> None:
        super().__init__(title, quiet or as_json)
        self._quiet, self._as_json, self._to_stderr = quiet, as_json, to_stderr
        self._lock = threading.Lock()
        self._started = self._told = time.monotonic()
        self._done, self._total, self._open_ended = 0, 0, False
        self.files = self.planned = self.skipped = self.failed = self.bytes = 0
        self.failures: list[Bams3Error] = []

    # ---- what the engine says --------------------------------------------------------------------
    def begin(self, size: int | None) -> None:
        """Expect so many bytes more."""
        with self._lock:
            self._total += size or 0
            self._open_ended = self._open_ended or size is None

    def advance(self, count: int) -> None:
        """Count bytes that are done."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._as_json:
                if now - self._told >= _EVERY:
                    self._told = now
                    self._event("progress", bytes=self._done, total=self._known_total)
            else:
                self.show(self._position())

    def part(self, number: int, size: int, kept: bool) -> None:
        """Tell of a part."""
        if self._as_json:
            with self._lock:
                self._event("part", number=number, size=size, kept=kept)

    @property
    def _known_total(self) -> int | None:
        return None if self._open_ended else self._total

    def _position(self) -> str:
        rate = show_size(self._done / max(time.monotonic() - self._started, 1e-9))
        if self._open_ended or not self._total:
            return f"{show_size(self._done)}, {rate}/s"
        part = 100 * self._done // self._total
        return f"{show_size(self._done)} of {show_size(self._total)} ({part} %), {rate}/s"

    # ---- what came of it -------------------------------------------------------------------------
    def finished(self, outcome: Outcome, verb: str) -> None:
        """Tell of one object that is done, was skipped, or has failed."""
        with self._lock:
            if outcome.error is not None:
                self._failed(outcome, outcome.error)
            else:
                self.files += not outcome.skipped
                self.planned += outcome.planned
                self.skipped += outcome.skipped and not outcome.planned
                self.bytes += 0 if outcome.skipped else outcome.size
                self._tell(outcome, verb)

    def _tell(self, outcome: Outcome, verb: str) -> None:
        if self._as_json:
            self._event(_event_of(outcome), **_described(outcome))
        elif not self._quiet:
            click.echo(_sentence(outcome, verb), err=True)

    def _failed(self, outcome: Outcome, error: Exception) -> None:
        if not isinstance(error, Bams3Error):
            error = Bams3Error(f"{outcome.source}: {error}")
        self.failed += 1
        self.failures.append(error)
        if self._as_json:
            self._event("failed", source=outcome.source, **explained(error))
        else:
            click.echo(f"error: {error.message}", err=True)

    def summary(self) -> None:
        """Tell of all objects, and fail where one has.

        Raises:
            Bams3Error: An object failed.
        """
        seconds = time.monotonic() - self._started
        if self._as_json:
            self._event(
                "summary", files=self.files, skipped=self.skipped, failed=self.failed,
                bytes=self.bytes, seconds=round(seconds, 3),
            )  # fmt: skip
        elif not self._quiet and (self.files or self.failed or self.planned + self.skipped > 1):
            click.echo(self._counts(seconds), err=True)
        if self.failures:
            count = self.files + self.planned + self.skipped + self.failed
            raise Bams3Error(f"{self.failed} of {count} objects failed", "see above; then again")

    def _counts(self, seconds: float) -> str:
        others = f"{self.skipped:,} skipped, {self.failed:,} failed"
        if self.planned:
            return f"{_objects(self.planned)} to do, {others}; nothing was done"
        rate = show_size(self.bytes / max(seconds, 1e-9))
        moved = f"{show_size(self.bytes)} in {seconds:.1f} s, {rate}/s"
        return f"{_objects(self.files)}, {others}: {moved}"

    def error(self, error: Bams3Error) -> None:
        """Tell machines of the error that ends the command."""
        if self._as_json:
            self._event("error", **explained(error))

    def _event(self, name: str, **values: Any) -> None:
        line = json.dumps({"event": name, **values})
        click.echo(line, file=sys.stderr if self._to_stderr else sys.stdout)


def explained(error: Bams3Error) -> dict[str, Any]:
    """Return an error as machines are told of it."""
    return {
        "kind": error.kind, "exit_code": error.exit_code, "message": error.message,
        "hint": error.hint,
    }  # fmt: skip


def _described(outcome: Outcome) -> dict[str, Any]:
    crc = None if outcome.crc64nvme is None else f"{outcome.crc64nvme:016x}"
    return {
        "source": outcome.source, "destination": outcome.destination, "size": outcome.size,
        "etag": outcome.etag, "version_id": outcome.version_id, "crc64nvme": crc,
        "proof": outcome.proof, "parts": outcome.parts, "parts_kept": outcome.kept,
    }  # fmt: skip


def _event_of(outcome: Outcome) -> str:
    if outcome.planned:
        return "planned"
    return "skipped" if outcome.skipped else "done"


def _objects(count: int) -> str:
    return f"{count:,} object{'' if count == 1 else 's'}"


def _sentence(outcome: Outcome, verb: str) -> str:
    if outcome.planned:
        size = f": {show_size(outcome.size)}" if outcome.size else ""  # a stream's is not known
        return f"{verb} {outcome.destination}{size}"
    if outcome.skipped:
        return f"skipped {outcome.destination}"
    details = [show_size(outcome.size)]
    if outcome.parts:
        kept = f" ({outcome.kept} were there)" if outcome.kept else ""
        details.append(f"{outcome.parts} part{'' if outcome.parts == 1 else 's'}{kept}")
    details.append(
        f"{outcome.proof} compared" if outcome.proof else "size compared, no checksum to compare"
    )
    return f"{verb} {outcome.destination}: {', '.join(details)}"
