"""The command line of `bams3 runs` and `s3_upload`: spellings, outputs, hints, start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run import bams3_
from tests.runs.made import NOVASEQ, config_file, config_table, contents, entry, make_run
from tests.runs.processes import objects, run


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("dash", ["_", "-"])
def test_both_spellings(real_s3: str, tmp_path: Path, dash: str) -> None:
    folder = make_run(tmp_path / "seq", markers=[])
    bucket = real_s3.removeprefix("s3://")
    options = {"local path": folder, "remote path": "/a", "bucket": bucket}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    words = [str(flag).replace(" ", dash) if str(flag)[:2] == "--" else flag for flag in flags]
    done = bams3_("runs", "upload", *words, f"--skip{dash}check", "--quiet")
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert objects(f"{real_s3}/a/{NOVASEQ}") == contents(folder)


def test_the_summary(real_s3: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    (folder / "link").symlink_to("/nowhere")
    upload = ["runs", "upload", "--local_path", folder, "--bucket", real_s3[5:]]
    done = bams3_(*upload)
    count = len(contents(folder))
    text = f"{real_s3}/{NOVASEQ}: complete; {count} files, {count} sent ("
    assert done.code == 0 and done.out.decode().startswith(text)
    assert done.err == "warning: link: a link to /nowhere, not followed\n"
    summary = json.loads(bams3_(*upload, "--json").out)
    assert summary["completed"] and summary["uploaded"] == 0 and summary["files"] == count


def test_what_cannot_be_uploaded_is_named(real_s3: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    for number in range(25):
        Path(f"{folder}/bad\udcff{number:02}").touch()
    done = bams3_("runs", "upload", "--local_path", folder, "--bucket", real_s3[5:])
    assert done.code == 1 and b"NOT complete" in done.out
    lines = done.err.splitlines()
    assert lines[0].startswith("error: bad\\xff00: its name is not UTF-8")
    assert lines[-2:] == [
        "error: and 5 more",
        "hint: the same command goes on where this one stopped",
    ]


def test_a_pass_as_text_and_json(real_s3: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    make_run(tmp_path / "seq", "no_sheet", samples=None)
    table = config_table(tmp_path, entry(folder.parent, bucket=real_s3[5:]))
    monitor = ["runs", "monitor", "--config", config_file(tmp_path, table)]
    dry = bams3_(*monitor, "--dry-run")
    refused = f"{tmp_path}/seq/no_sheet not uploaded: no sample sheet\n"
    where = f"{real_s3}/{NOVASEQ}"
    assert dry.out.decode() == f"{folder} would be uploaded to {where}\n{refused}"
    assert "ERROR: " in dry.err and "no sample sheet" in dry.err
    assert bams3_(*monitor).out.decode() == f"{folder} uploaded to {where}\n{refused}"
    assert bams3_(*monitor).out.decode() == f"no run to upload\n{refused}"
    quiet = bams3_(*monitor, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, b"", "")
    assert json.loads(bams3_(*monitor, "--json", "--quiet").out)["refused"]
    Path(f"{make_run(tmp_path / 'seq', 'run_2')}/bad\udcff").touch()
    quiet = bams3_(*monitor, "--quiet")
    assert (quiet.code, quiet.out) == (1, b"")
    assert quiet.err == f"error: {real_s3}/run_2: 1 files are not uploaded\n"


def test_hints(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq", markers=[])
    done = bams3_("runs", "upload", "--local_path", folder, "--bucket", "b")
    assert done.code == 1 and done.err.endswith("hint: wait, or --follow, or --skip_check\n")
    done = bams3_("runs", "monitor", "--config", tmp_path / "none")
    assert done.code == 1 and "no such configuration file" in done.err
    done = bams3_("runs", "upload", "--bucket", "b")
    assert done.code == 2 and "--local_path" in done.err


def test_both_names_have_help() -> None:
    for name in ("upload", "monitor", "status"):
        assert b"bams3 runs " in bams3_("runs", name, "--help").out
    for name in ("upload", "monitor"):
        done = run("s3_upload", name, "--help")
        assert done.returncode == 0 and f"s3_upload {name} [OPTIONS]" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, bams3.cli\n"
        "print([name for name in sys.modules if name.startswith(('bams3.runs', 'bams3.transfer', "
        "'bams3.storage', 'bams3._core', 'obstore', 'urllib.request', 'xml.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
