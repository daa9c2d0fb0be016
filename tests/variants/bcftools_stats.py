"""What `bcftools stats` counts, of a file split into one allele a record."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

Rows = dict[str, list[list[str]]]

_RUN = """
import sys, pysam.bcftools
said = getattr(pysam.bcftools, sys.argv[1])(*sys.argv[2:])
sys.stdout.buffer.write(said if isinstance(said, bytes) else said.encode())
"""


def bundled() -> list[str]:
    """Return the command of the bcftools that pysam has."""
    return [sys.executable, "-c", _RUN]


def stats_of(path: str | Path, program: Sequence[str], samples: bool = True) -> Rows:
    """Return the rows of each section, without its name and the number of the set."""
    with tempfile.TemporaryDirectory() as folder:
        split = Path(folder, "split.bcf")
        split.write_bytes(_said([*program, "norm", "-m", "-any", "-Ob", os.fspath(path)]))
        text = _said([*program, "stats", *(["-s", "-"] if samples else []), str(split)]).decode()
    rows: Rows = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, *fields = line.split("\t")
            rows.setdefault(name, []).append(fields)
    return rows


def _said(command: Sequence[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def column(rows: Rows, section: str, number: int) -> dict[str, int]:
    """Return a column of a section by its first one, zeros left out."""
    counts = {row[0]: int(float(row[number])) for row in rows.get(section, [])}
    return {name: count for name, count in counts.items() if count}


def summary(rows: Rows) -> dict[str, int]:
    """Return the summary numbers."""
    return {name.removeprefix("number of ").rstrip(":"): int(n) for name, n in rows["SN"]}
