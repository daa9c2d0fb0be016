"""The sweep over --cores and --threads: its table, and that it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

from bams3.storage import open_store
from tests.conftest import ROOT
from tests.runs.made import make_run, write


def test_u18_everything_is_deleted_afterwards(real_s3: str, tmp_path: Path) -> None:
    """The clean-up looked for keys with a leading slash, and found none."""
    folder = make_run(tmp_path / "seq")
    open_store(real_s3).put("benchmark_upload/other", b"goes")
    open_store(real_s3).put("benchmark_upload_2/other", b"stays")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.runs_sweep", "--local_path", folder),
            *("--bucket", real_s3.removeprefix("s3://"), "--remote_path", "/benchmark_upload"),
            *("--cores", "1", "--threads", "1", "4", "--repeats", "2"),
        ],
        cwd=write(tmp_path / "out" / "x", "").parent, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "python")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [entry.key for entry in open_store(real_s3).list()] == ["benchmark_upload_2/other"]
    lines = (tmp_path / f"out/s3_upload_benchmark_{date.today()}.tsv").read_text().splitlines()
    assert all(line.startswith("# ") for line in lines[:3])
    assert lines[3].split("\t")[:3] == ["cores", "threads", "elapsed time (h:m:s)"]
    assert [line.split("\t")[:2] for line in lines[4:]] == [["1", "1"]] * 2 + [["1", "4"]] * 2
