"""Run commands connected by pipes, feeding the first one streams of bytes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from bams3.errors import CallError, TooLargeError

_KILLED = -9
_NOISE = re.compile(
    r"^\[mpileup\]|^Note: none of|^\[warning\]|^\s*$|^Traceback|^\[W::", re.IGNORECASE
)


def run(
    commands: Sequence[Sequence[str]],
    feeds: Mapping[str, Iterable[bytes]],
    folder: Path,
    output: str = os.devnull,
    deadline: float | None = None,
) -> None:
    """Run commands in a folder, each reading what the one before writes.

    Args:
        commands: Programs with their arguments.
        feeds: Streams for the first command, by the file name under which it finds each of them.
        folder: Where it runs.
        output: File in the folder for what the last command writes to standard output.
        deadline: `time.monotonic()` at which all is stopped.

    Raises:
        CallError: A command failed.
        TooLargeError: The deadline passed, or a command was killed, as for want of memory.
        Whatever a feed raises.
    """
    with ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        feeders = [Feeder(folder / name, blocks) for name, blocks in feeds.items()]
        children: list[subprocess.Popen[bytes]] = []
        stack.callback(_stop, children, feeders)
        out = stack.enter_context(open(folder / output, "wb"))
        _start(commands, feeders, folder, out, errors, children)
        for feeder in feeders:
            feeder.start()
        _wait(children, feeders, deadline)
        for feeder in feeders:
            feeder.check()
        _check(commands, children, errors)


def _start(
    commands: Sequence[Sequence[str]],
    feeders: Sequence[Feeder],
    folder: Path,
    out: IO[bytes],
    errors: Sequence[IO[bytes]],
    children: list[subprocess.Popen[bytes]],
) -> None:
    before: IO[bytes] | int | None = subprocess.DEVNULL
    for command, error in zip(commands, errors, strict=True):
        last = len(children) == len(commands) - 1
        child = subprocess.Popen(
            command,
            stdin=before,
            stdout=out if last else subprocess.PIPE,
            stderr=error,
            cwd=folder,
            pass_fds=[feeder.far_end for feeder in feeders] if not children else (),
            process_group=0,
        )
        children.append(child)
        if isinstance(before, int):
            for feeder in feeders:
                feeder.let_go()
        else:
            assert before is not None
            before.close()
        before = child.stdout


def _wait(
    children: Sequence[subprocess.Popen[bytes]],
    feeders: Sequence[Feeder],
    deadline: float | None,
) -> None:
    """Wait for all commands, the last one first; stop all where a feed fails."""
    while running := [child for child in children if child.poll() is None]:
        left = 0.5 if deadline is None else max(0.0, min(0.5, deadline - time.monotonic()))
        if _ends(running[-1], left):
            continue
        if any(feeder.failure for feeder in feeders):
            return
        if deadline is not None and time.monotonic() >= deadline:
            raise TooLargeError("the time is up")


def _ends(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a child, at most so long; return whether it has ended."""
    try:
        handle = os.pidfd_open(child.pid)
    except (AttributeError, OSError):  # another system, or an older Linux: looks every 50 ms
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=seconds)
        return child.returncode is not None
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(1000 * seconds))
    finally:
        os.close(handle)


def _check(
    commands: Sequence[Sequence[str]],
    children: Sequence[subprocess.Popen[bytes]],
    errors: Sequence[IO[bytes]],
) -> None:
    """Raise what the commands complain about."""
    if all(child.returncode == 0 for child in children):
        return
    if any(child.returncode == _KILLED for child in children):
        raise TooLargeError("the caller was killed, as happens where memory is short")
    said = [
        f"{_name(command)}: {_complaint(error) or f'exit code {child.returncode}'}"
        for command, child, error in zip(commands, children, errors, strict=True)
        if child.returncode
    ]
    raise CallError("; ".join(said))


def _name(command: Sequence[str]) -> str:
    """Return how to call a command in a message."""
    return "bcftools" if "bams3.variants.stage" in command else command[0]


def _complaint(error: IO[bytes]) -> str:
    error.seek(0)
    lines = error.read()[-8000:].decode(errors="replace").splitlines()
    told = [line.strip() for line in lines if not _NOISE.search(line)]
    return " ".join(told)[-600:]


def _stop(children: Sequence[subprocess.Popen[bytes]], feeders: Sequence[Feeder]) -> None:
    for child in children:
        with suppress(ProcessLookupError):  # with all that a command has started
            os.killpg(child.pid, signal.SIGKILL)
    for child in children:
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    for feeder in feeders:
        feeder.close()


class Feeder:
    """Writes a stream into a pipe, on a thread; a link gives the far end a name.

    Callers take the name of a file for that of the sample where there are no read groups.
    """

    def __init__(self, path: Path, blocks: Iterable[bytes]) -> None:
        self.far_end, self._near_end = os.pipe()
        path.symlink_to(f"/dev/fd/{self.far_end}")
        self._blocks = blocks
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._held = True

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def let_go(self) -> None:
        """Close the far end here: the command has it."""
        if self._held:
            os.close(self.far_end)
            self._held = False

    def _feed(self) -> None:
        try:
            with open(self._near_end, "wb", buffering=0) as pipe:
                for block in self._blocks:
                    view = memoryview(block)
                    while view:
                        view = view[pipe.write(view) :]
        except BrokenPipeError:
            pass  # the command has ended: its exit code tells why
        except BaseException as error:  # raised again by `check`
            self.failure = error

    def check(self) -> None:
        """Raise what went wrong."""
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Let go of everything."""
        self.let_go()
        if self._thread.ident is not None:
            self._thread.join()
        else:
            with suppress(OSError):
                os.close(self._near_end)
