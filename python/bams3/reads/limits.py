"""How many CPUs and how much memory this process may use: of the machine, or of its cgroups.

A limit may be set on the cgroup of the process or on any above it; version 2 and version 1 of
cgroups are understood.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpus() -> int:
    """Return how many CPUs: those of the affinity, and no more than a quota gives."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([count or 1, *_quotas()]))


def memory() -> int:
    """Return how many bytes of memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    texts = (_read(group / name) for group in _groups("memory") for name in names)
    return min([total, *(int(text) for text in texts if text.isdigit())])


def _quotas() -> Iterator[int]:
    for group in _groups("cpu"):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = (_read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            yield -(-int(quota) // int(period))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of all above it."""
    for line in _read(MEMBERSHIP).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = CGROUP / controller if controllers else CGROUP
        folder = top / path.strip("/")
        yield folder
        yield from (above for above in folder.parents if above.is_relative_to(top))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
