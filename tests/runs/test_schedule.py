"""The units of systemd and the line of cron that the guide shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.run import bams3_
from tests.runs.made import config_file, config_table, entry

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "runs.md"
PROGRAM = "/usr/local/bin/bams3"


def units() -> list[str]:
    found = re.findall(r"```ini\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(found) == 2
    return found


def commands() -> list[list[str]]:
    """The command lines of the unit and of cron, without the program."""
    [unit] = re.findall(rf"^ExecStart={PROGRAM} (.*)$", units()[0], re.MULTILINE)
    [cron] = re.findall(r"^\*/10 \* \* \* \* bams3 (.*)$", GUIDE.read_text(), re.MULTILINE)
    return [unit.split(), cron.split()]


def verified(folder: Path, service: str, timer: str) -> str:
    """Return what systemd says of the units."""
    program = folder / "bams3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (folder / "bams3-runs.service").write_text(service.replace(PROGRAM, str(program)))
    (folder / "bams3-runs.timer").write_text(timer)
    words = ["systemd-analyze", "verify", "--man=no", str(folder / "bams3-runs.timer")]
    environment = {"PATH": os.environ["PATH"], "SYSTEMD_LOG_LEVEL": "warning"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    return "".join(line for line in done.stderr.splitlines(True) if "bams3" in line)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    service, timer = units()
    assert verified(tmp_path, service, timer) == ""
    assert "Typo" in verified(tmp_path, service, timer.replace("OnBootSec", "Typo"))
    assert "bams3-runs.service" in verified(tmp_path, service.replace("ExecStart=", "#"), timer)


@pytest.mark.parametrize("number", [0, 1], ids=["systemd", "cron"])
def test_the_command_lines_are_right(number: int, real_s3: str, tmp_path: Path) -> None:
    words = commands()[number]
    at = words.index("--config") + 1
    assert words[at] == "/etc/bams3/runs.toml"
    (tmp_path / "seq").mkdir()
    place = entry(tmp_path / "seq", bucket=real_s3.removeprefix("s3://"))
    words[at] = str(config_file(tmp_path, config_table(tmp_path, place)))
    done = bams3_(*words, "--dry_run")
    assert (done.code, done.out, done.err) == (0, b"", "")
