"""Upload a run with all combinations of --cores and --threads, and measure time and memory.

    python -m benchmarks.runs_sweep --local_path RUN --bucket B --cores 1 2 --threads 1 4 8

Writes `s3_upload_benchmark_DATE.tsv`. What was uploaded is deleted after each upload.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

from bams3.config import StorageOptions
from bams3.storage.bucket import Bucket

HEADINGS = ("cores", "threads", "elapsed time (h:m:s)", "maximum resident set size (MB)")


class Measured(NamedTuple):
    """One upload."""

    seconds: float
    megabytes: float


def measure(run: str, bucket: str, remote_path: str, cores: int, threads: int) -> Measured:
    """Upload a directory in a process of its own, from nothing."""
    code = "from bams3.cli.s3_upload import main; main()"
    with tempfile.TemporaryDirectory() as records:
        command = [
            *(sys.executable, "-c", code, "upload", "--skip_check", "--quiet"),
            *("--local_path", run, "--bucket", bucket, "--remote_path", remote_path),
            *("--cores", str(cores), "--threads", str(threads), "--log-dir", records),
        ]
        began = time.monotonic()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the upload failed with {process.returncode}")
    return Measured(time.monotonic() - began, usage.ru_maxrss / 1000)


def clean_up(bucket: Bucket, remote_path: str) -> int:
    """Delete what is below `remote_path`; keys do not begin with a slash. Return the number."""
    keys = [found.key for found in bucket.list(remote_path.strip("/") + "/")]
    for key in keys:
        bucket.delete(key)
    return len(keys)


def hours(seconds: float) -> str:
    """Return a time as h:m:s."""
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local_path", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--remote_path", default=f"/benchmark_upload_{date.today()}")
    parser.add_argument("--cores", type=int, nargs="+", required=True)
    parser.add_argument("--threads", type=int, nargs="+", required=True)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    if not given.remote_path.strip("/"):
        parser.error("--remote_path has to be a folder: what is in it will be deleted")
    if max(given.cores) > (os.cpu_count() or 1):
        parser.error(f"there are only {os.cpu_count()} CPUs")
    target = Bucket(given.bucket, StorageOptions.resolve())
    lines = [f"# {given.local_path}", f"# {date.today()}", f"# {given.repeats} uploads each"]
    lines.append("\t".join(HEADINGS))
    for cores in given.cores:
        for threads in given.threads:
            for _ in range(given.repeats):
                done = measure(given.local_path, given.bucket, given.remote_path, cores, threads)
                clean_up(target, given.remote_path)
                row = (cores, threads, hours(done.seconds), f"{done.megabytes:.2f}")
                lines.append("\t".join(map(str, row)))
                print(lines[-1])
    target.close()
    Path(f"s3_upload_benchmark_{date.today()}.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
