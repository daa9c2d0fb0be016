"""wrk against several servers in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Running

LUA = Path(__file__).with_name("load.lua")
CLIENTS = 32
SECONDS = 3


@dataclass(frozen=True)
class Load:
    """What wrk found: requests and bytes a second, milliseconds; the server's CPU a request."""

    requests: float
    bytes: float
    p50: float
    p99: float
    cpu: float


def race(
    place: Path, servers: Mapping[str, Running], wanted: Mapping[str, Sequence[tuple[str, str]]],
    rounds: int,
) -> dict[str, list[Load]]:  # fmt: skip
    """Load the servers in turns; `wanted` are paths and Range headers."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for number in range(rounds):
        for name, server in servers.items():
            loads[name].append(_wrk(place / "requests", server, wanted[name]))
            print(f"  {number + 1}/{rounds} {name}: {loads[name][-1]}", file=sys.stderr)
    return loads


def middle(loads: Sequence[Load]) -> Load:
    """Return the round in the middle, by bytes."""
    return sorted(loads, key=lambda load: load.bytes)[len(loads) // 2]


def ratios(loads: Sequence[Load], base: Sequence[Load]) -> list[float]:
    """Return the bytes of each round by those of the other server's, which ran beside it."""
    return [one.bytes / other.bytes for one, other in zip(loads, base, strict=True)]


def spread(values: Sequence[float]) -> str:
    """Return the median of values, the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _wrk(file: Path, server: Running, wanted: Sequence[tuple[str, str]]) -> Load:
    file.write_text("".join(f"{path}\t{span}\n" for path, span in wanted))
    words = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}", "-s", str(LUA), server.url.rstrip("/")]
    before = server.cpu
    shown = subprocess.run(
        words, env=os.environ | {"REQUESTS": str(file)}, capture_output=True, text=True, check=True
    ).stdout
    used = server.cpu - before
    result = next(line for line in shown.splitlines() if line.startswith("RESULT"))
    count, seconds, volume, p50, p99, errors = map(float, result.split()[1:])
    if errors:
        raise SystemExit(f"error: wrk met {errors:.0f} errors: {shown}")
    return Load(count / seconds, volume / seconds, p50, p99, used / max(count, 1))
