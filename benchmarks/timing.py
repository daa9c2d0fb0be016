"""Run commands in turns and measure them: wall and CPU seconds, peak memory."""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pysam

PYTHON = sys.executable
BAMS3 = str(Path(PYTHON).parent / "bams3")


@dataclass(frozen=True)
class Command:
    """A command; `stdin` is piped into it by cat, `stdout` is where its output goes."""

    words: list[str]
    stdin: Path | None = None
    stdout: Path | None = None
    removes: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return it as one would type it, with short paths."""
        words = [_short(word) for word in self.words]
        if self.words[:3] == newest_samtools():
            words[:3] = [f"samtools-{pysam.__samtools_version__}"]
        text = shlex.join(words)
        before = f"cat {self.stdin.name} | " if self.stdin else ""
        after = f" > {self.stdout.name}" if self.stdout else ""
        return before + text + after


def _short(word: str) -> str:
    """Leave folders away; of file##idx##index only the file stays."""
    return Path(word.partition("##")[0]).name if word.startswith("/") else word


@dataclass(frozen=True)
class Sample:
    """What one run took: seconds, seconds of CPU, MiB."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Result:
    """What several runs took."""

    command: Command
    samples: list[Sample]

    @property
    def wall(self) -> float:
        """The median of the wall seconds."""
        return statistics.median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        """The median of the CPU seconds."""
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def memory(self) -> float:
        """The largest peak, in MiB."""
        return max(sample.memory for sample in self.samples)

    @property
    def spread(self) -> str:
        """The least and the largest wall seconds."""
        walls = [sample.wall for sample in self.samples]
        return f"{min(walls):.3g}-{max(walls):.3g}"


def run(command: Command) -> Sample:
    """Run it once; what it made before is removed first.

    Raises:
        SystemExit: It failed; a figure of a failed run would mean nothing.
    """
    for path in command.removes:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    environment = os.environ | dict(command.environment)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    source = (
        subprocess.Popen(["cat", command.stdin], stdout=subprocess.PIPE) if command.stdin else None
    )
    with open(command.stdout or os.devnull, "wb") as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.words, stdin=source.stdout if source else subprocess.DEVNULL,
            stdout=out, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        if source and source.stdout:
            source.stdout.close()
        errors = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if source:
        source.wait()
    if process.returncode:
        raise SystemExit(f"error: {command}: exit {process.returncode}: {errors.decode()[-500:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def race(commands: Mapping[str, Command], rounds: int) -> dict[str, Result]:
    """Run all commands in turns, so many rounds: A B C A B C ..."""
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            samples[name].append(run(command))
            print(f"  {number + 1}/{rounds} {name}: {samples[name][-1]}", file=sys.stderr)
    return {name: Result(commands[name], found) for name, found in samples.items()}


def samtools_versions() -> dict[str, list[str]]:
    """Return the samtools at hand: name to the words that start it."""
    found = {}
    program = shutil.which("samtools")
    if program:
        found[f"samtools {_version([program])}"] = [program]
    bundled = [PYTHON, "-m", "benchmarks.samtools"]
    found[f"samtools {pysam.__samtools_version__} (pysam)"] = bundled
    return found


def newest_samtools() -> list[str]:
    """Return the words that start the newest samtools: the one of pysam."""
    return [PYTHON, "-m", "benchmarks.samtools"]


def _version(words: list[str]) -> str:
    shown = subprocess.run([*words, "--version"], capture_output=True, check=True)
    return shown.stdout.split()[1].decode()


def fastest(results: Mapping[str, Result], accept: Callable[[str], bool]) -> str:
    """Return the name of the fastest result that `accept` takes."""
    return min((name for name in results if accept(name)), key=lambda name: results[name].wall)
