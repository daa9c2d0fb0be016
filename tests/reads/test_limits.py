"""CPUs and memory are those of the cgroup, and no local disk is touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest

from bams3.reads import limits
from bams3.reads.convert import default_sort_buffer
from tests.reads import made

GIB = 1 << 30


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of /sys/fs/cgroup; the process is in /batch/job of it, on eight CPUs."""
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    values = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", values.__getitem__)
    write(tmp_path, {"membership": "0::/batch/job\n"})
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


UNLIMITED = {"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.high": "max\n"}
V1 = "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/a\n0::/\n"
CASES: dict[str, tuple[dict[str, str], int, int]] = {
    "no files": ({}, 8, 64 * GIB),
    "no limits": (UNLIMITED, 8, 64 * GIB),
    "in a container": ({"cpu.max": "200000 100000", "memory.max": f"{4 * GIB}\n"}, 2, 4 * GIB),
    "half a CPU": ({"batch/job/cpu.max": "50000 100000\n"}, 1, 64 * GIB),
    "two and a half": ({"batch/job/cpu.max": "250000 100000\n"}, 3, 64 * GIB),
    "more than there is": (
        {"batch/job/cpu.max": "9900000 100000\n", "batch/job/memory.max": f"{999 * GIB}"},
        8, 64 * GIB,
    ),
    "of the group above": (
        {"batch/cpu.max": "400000 100000\n", "batch/memory.max": f"{8 * GIB}\n"}, 4, 8 * GIB,
    ),
    "the least of several": (
        {"batch/memory.max": f"{2 * GIB}\n", "batch/job/memory.max": f"{3 * GIB}\n"}, 8, 2 * GIB,
    ),
    "throttled": ({"batch/job/memory.high": f"{5 * GIB}\n"}, 8, 5 * GIB),
    "not understood": ({"cpu.max": "?? 1", "memory.max": "-1", "membership": "\n:\n"}, 8, 64 * GIB),
    "a period of nothing": ({"cpu.max": "1000 0"}, 8, 64 * GIB),
    "version 1": (
        {
            "membership": V1,
            "memory/a/memory.limit_in_bytes": f"{6 * GIB}\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "cpu/a/cpu.cfs_quota_us": "300000\n",
            "cpu/a/cpu.cfs_period_us": "100000\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
        },
        3, 6 * GIB,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_limits_of_cgroups(cgroup: Path, case: str) -> None:
    files, cpus, memory = CASES[case]
    write(cgroup, files)
    assert (limits.cpus(), limits.memory()) == (cpus, memory)
    assert default_sort_buffer() == max(GIB // 4, min(8 * GIB, memory // 4))


@pytest.fixture
def real_cgroup() -> Iterator[Path]:
    """A new cgroup with 300 MiB of memory; skips where none can be made."""
    group = limits.CGROUP / "memory" / f"bams3-test-{os.getpid()}"
    limit = group / "memory.limit_in_bytes"
    if (limits.CGROUP / "cgroup.controllers").exists():
        group = limits.CGROUP / group.name
        limit = group / "memory.max"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    limit.write_text(str(300 << 20))
    yield group
    group.rmdir()


@pytest.mark.soak
def test_limits_of_a_real_cgroup(real_cgroup: Path) -> None:
    code = "import bams3.reads.limits as limits; print(limits.memory())"
    join = f"open({str(real_cgroup / 'cgroup.procs')!r}, 'w').write('0'); {code}"
    done = subprocess.run([sys.executable, "-c", join], capture_output=True, check=True)
    assert int(done.stdout) == 300 << 20


# ---- no local disk -------------------------------------------------------------------------------
PROGRAM = """
import resource, sys
if sys.argv.pop(1) == "limited":  # no byte can be written to any file
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from bams3.cli import main
main()
"""
CONVERT = ["convert", "--stdin", "s3://bucket/x", "--sort-buffer", "1M", "--workers", "1"]


def run(prefix: list[str], mode: str, path: Path, home: Path) -> bytes:
    """Convert with spills; return what was said."""
    home.mkdir()
    done = subprocess.run(
        [*prefix, sys.executable, "-B", "-c", PROGRAM, mode, *CONVERT],
        input=path.read_bytes(), capture_output=True, cwd=home,
        env={**os.environ, "HOME": str(home), "TMPDIR": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert b"spilled" in done.stderr
    assert not list(home.iterdir())
    assert len(made.dataset("s3://bucket/x")[1]) == 12_000
    return done.stderr


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("disk")
    return made.write_sam(folder, made.header() + made.shuffled(12_000))


def test_no_byte_is_written_to_local_files(fake_s3: object, sam: str, tmp_path: Path) -> None:
    run([], "limited", Path(sam), tmp_path / "home")


def test_cram_makes_no_local_files(fake_s3: object, sam: str, tmp_path: Path) -> None:
    """htslib decodes it in a child, whose temporary files are in memory."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    path, log = str(tmp_path / "in.cram"), tmp_path / "log"
    options = ["-C", "--no-PG", "--output-fmt-option", "no_ref=1", "-o", path]
    pysam.view(*options, sam, catch_stdout=False)
    calls = "trace=openat,open,creat,mkdir,mkdirat,rename,link,symlink,mknod"
    prefix = ["strace", "-f", "-qq", "-o", str(log), "-e", calls]
    run(prefix, "free", Path(path), tmp_path / "home")
    made_files = [line for line in log.read_text().splitlines() if re.search(WRITING, line)]
    assert [line for line in made_files if not re.search('"/dev/(shm/|null")', line)] == []


WRITING = r"O_CREAT|O_WRONLY|O_RDWR|creat\(|mkdir|rename|link\(|mknod"
