"""A pass over the directories of a configuration, against buckets in memory."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from bams3.errors import PermissionDenied, StorageError, UsageError
from bams3.runs.config import Config
from bams3.runs.lock import BusyError, monitor_lock
from bams3.runs.logs import logging_to, prune, size_text
from bams3.runs.monitor import Pass, monitor
from bams3.runs.state import Record
from bams3.runs.status import examine
from tests.runs.made import MemoryPlace, config, contents, entry, make_run, set_age, write
from tests.runs.test_state import old_log
from tests.servers.slack import Slack

DONE = ":white_check_mark:  *S3 Upload*: Successfully uploaded "
FAILED = ":x:  *S3 Upload*: Failed uploading "
LOST = ":warning:  *S3 Upload*: Error in connecting to AWS!\n\n"


class Buckets:
    """Buckets in memory, by name."""

    def __init__(self) -> None:
        self.places: dict[str, MemoryPlace] = {}

    def __call__(self, name: str) -> MemoryPlace:
        return self.places.setdefault(name, MemoryPlace(name))


@pytest.fixture
def buckets() -> Buckets:
    return Buckets()


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as server:
        yield server


def log_of(config: Config) -> str:
    path = Path(config.log_dir) / f"s3_upload.log.{date.today().isoformat()}"
    return path.read_text()


def uploaded(result: Pass) -> list[str]:
    return [os.path.basename(destination) for destination in result.uploaded]


def test_one_run_with_excludes(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")
    section = entry(tmp_path / "seq", remote_path="/a", exclude_patterns=[".*png$", "Logs/"])
    settings = config(tmp_path, section, slack_log_webhook=slack.url)
    result = monitor(settings, buckets)
    assert result.good and uploaded(result) == [run.name]
    expected = {p: d for p, d in contents(run).items() if "png" not in p and "Logs/" not in p}
    assert buckets("lab").run(f"a/{run.name}") == expected
    assert slack.messages == [f"{DONE}1 run\n\t\t• {run.name}"]
    assert " ERROR: " not in log_of(settings)
    table = json.loads((tmp_path / f"logs/uploads/{run.name}.upload.log.json").read_text())
    assert table["completed"] and table["total_uploaded_files"] == len(expected)


def test_two_runs_to_two_prefixes(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    runs = [make_run(tmp_path / f"seq{n}", f"run_{n}") for n in (1, 2)]
    sections = [entry(run.parent, remote_path=f"/s{n}") for n, run in enumerate(runs, 1)]
    settings = config(tmp_path, *sections, slack_alert_webhook=slack.url)
    assert monitor(settings, buckets).good
    for number, run in enumerate(runs, 1):
        assert buckets("lab").run(f"s{number}/{run.name}") == contents(run)
    assert slack.messages == [f"{DONE}2 runs\n\t\t• run_1\n\t\t• run_2"]


def test_three_runs_two_regexes(tmp_path: Path, buckets: Buckets) -> None:
    for name, assay in [("run_1", "assay_1"), ("run_2", "assay_2"), ("run_3", "assay_3")]:
        make_run(tmp_path / "seq", name, samples=[f"sample_1_{assay}", f"sample_2_{assay}"])
    sections = [
        entry(tmp_path / "seq", remote_path=f"/{n}", sample_regex=f"_assay_{n}$") for n in (1, 2)
    ]
    result = monitor(config(tmp_path, *sections), buckets)
    assert result.good and uploaded(result) == ["run_1", "run_2"]
    assert {key.split("/")[0] + "/" + key.split("/")[1] for key in buckets("lab").objects} == {
        "1/run_1",
        "2/run_2",
    }
    assert not (tmp_path / "logs/uploads/run_3.upload.log.json").exists()


def test_failure_then_resume(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")
    settings = config(
        tmp_path, entry(run.parent), slack_log_webhook=slack.url, slack_alert_webhook=slack.url
    )
    buckets("lab").fail = {"RunInfo.xml"}
    result = monitor(settings, buckets)
    assert not result.good and not result.uploaded
    assert slack.messages == [f"{FAILED}1 run\n\t\t• {run.name}"]
    buckets("lab").fail = set()
    set_age(run, 1000 * 3600)  # what has begun is not too old
    os.utime(run / "RunInfo.xml", (0, 0))
    assert uploaded(monitor(settings, buckets)) == [run.name]
    assert buckets("lab").run(run.name) == contents(run)
    assert slack.messages[1:] == [f"{DONE}1 run\n\t\t• {run.name}"]


def test_second_invocation_finds_nothing(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")
    settings = config(tmp_path, entry(run.parent), slack_log_webhook=slack.url)
    monitor(settings, buckets)
    buckets("lab").calls.clear()
    result = monitor(settings, buckets)
    assert result.good and not result.picked and buckets("lab").calls == ["CLOSE"]
    assert len(slack.messages) == 1
    assert "No sequencing runs requiring upload found" in log_of(settings)


def test_partial_runs_go_first(tmp_path: Path, buckets: Buckets) -> None:
    for name in ("a", "b", "c"):
        make_run(tmp_path / "seq", name)
    settings = config(tmp_path, entry(tmp_path / "seq"))
    with Record(tmp_path / "logs", tmp_path / "seq" / "b", "lab", "b/"):
        pass
    assert [os.path.basename(d) for d in monitor(settings, buckets).picked] == ["b", "a", "c"]


def test_one_run_that_fails_does_not_stop_the_others(
    tmp_path: Path, buckets: Buckets, slack: Slack
) -> None:
    for name in ("a", "b", "c"):
        make_run(tmp_path / "seq", name)
    buckets("lab").fail = {"b/bams3-manifest", "c/Data"}
    settings = config(tmp_path, entry(tmp_path / "seq"), slack_alert_webhook=slack.url)
    result = monitor(settings, buckets)
    assert uploaded(result) == ["a"]
    assert {os.path.basename(d) for d in result.failed} == {"b", "c"}
    assert slack.messages == [f"{DONE}1 run\n\t\t• a", f"{FAILED}2 runs\n\t\t• b\n\t\t• c"]


def test_dry_run(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")
    settings = config(tmp_path, entry(run.parent, remote_path="/a"), slack_log_webhook=slack.url)
    result = monitor(settings, buckets, dry_run=True)
    assert result.good and result.picked == {f"s3://lab/a/{run.name}": str(run)}
    assert not buckets("lab").objects and not slack.messages
    assert not (tmp_path / "logs/uploads").exists()
    assert f"{run} would be uploaded to s3://lab/a/{run.name}" in log_of(settings)


def test_u6_a_second_entry_is_not_fooled_by_the_first(tmp_path: Path, buckets: Buckets) -> None:
    run = make_run(tmp_path / "seq")
    first = entry(run.parent, bucket="one")
    monitor(config(tmp_path, first), buckets)
    result = monitor(config(tmp_path, first, entry(run.parent, bucket="two")), buckets)
    assert [*result.picked] == [f"s3://two/{run.name}"]
    assert buckets("one").run(run.name) == buckets("two").run(run.name) == contents(run)


def test_records_of_s3_upload_count_for_the_first_entry(tmp_path: Path, buckets: Buckets) -> None:
    """Nothing that the older tool has uploaded is uploaded again after a change to this one."""
    run = make_run(tmp_path / "seq")
    old_log(tmp_path / "logs", True, run, **{"RunInfo.xml": "abc"})
    sections = [entry(run.parent, bucket="one"), entry(run.parent, bucket="two")]
    settings = config(tmp_path, *sections)
    for _ in range(2):
        result = monitor(settings, buckets)
        assert not buckets("one").objects
        assert buckets("two").run(run.name) == contents(run)
    assert not result.picked


# ---- what is not picked up -------------------------------------------------------------------


def reasons(settings: Config, now: float | None = None) -> dict[str, str]:
    return {v.run.name: "" if v.picked else v.reason for v in examine(settings, now)}


def test_get_runs_to_upload(tmp_path: Path) -> None:
    seq = tmp_path / "seq"
    for name in ("ok", "incomplete", "bad_sheet", "no_sheet", "others", "done", "begun", "old"):
        make_run(seq, name)
    (seq / "no_run").mkdir()
    write(seq / "a file", "")
    (seq / "incomplete/CopyComplete.txt").unlink()
    write(seq / "bad_sheet/b_samplesheet.csv", "other")
    (seq / "no_sheet/SampleSheet.csv").unlink()
    write(seq / "others/SampleSheet.csv", "Sample_ID\nx_1\ns_2\n")
    for name in ("done", "begun"):
        with Record(tmp_path / "logs", seq / name, "lab", f"{name}/") as record:
            record.state.completed = name == "done"
            record.save()
    os.utime(seq / "old/RunInfo.xml", (time.time() - 100 * 3600,) * 2)
    settings = config(tmp_path, entry(seq, sample_regex="^s"))
    assert reasons(settings) == {
        "ok": "",
        "begun": "",
        "no_run": "not a run: no RunInfo.xml",
        "incomplete": "incomplete (NovaSeq 6000): waits for CopyComplete.txt",
        "bad_sheet": "sample sheets differ: SampleSheet.csv, b_samplesheet.csv",
        "no_sheet": "no sample sheet",
        "others": "samples do not match '^s': x_1",
        "done": "uploaded",
        "old": "too old: RunInfo.xml is 100 h old, max_age is 72 h",
    }


@pytest.mark.parametrize(("max_age", "picked"), [(96, False), (128, True)])
def test_age_of_100_hours(tmp_path: Path, max_age: int, picked: bool) -> None:
    run = make_run(tmp_path / "seq", age=100 * 3600)
    settings = config(tmp_path, entry(run.parent), max_age=max_age)
    assert [v.picked for v in examine(settings)] == [picked]
    os.utime(run / "RunInfo.xml")
    assert [v.picked for v in examine(settings)] == [True]


@pytest.mark.parametrize(
    ("regex", "picked"),
    [("assay_1$", True), ("_x$|_assay_1$", True), ("assay_9", False), ("sample_1", False)],
)
def test_regex_all_alternatives_none_some(tmp_path: Path, regex: str, picked: bool) -> None:
    run = make_run(tmp_path / "seq")
    settings = config(tmp_path, entry(run.parent, sample_regex=regex))
    assert [v.picked for v in examine(settings)] == [picked]


def test_regex_without_names(tmp_path: Path) -> None:
    run = make_run(tmp_path / "seq")
    write(run / "SampleSheet.csv", "[Data]\nLane,index\n")
    assert reasons(config(tmp_path, entry(run.parent))) == {run.name: ""}
    settings = config(tmp_path, entry(run.parent, sample_regex="a"))
    assert reasons(settings) == {run.name: "the sample sheet has no column Sample_ID"}


def test_empty_monitor_directory(tmp_path: Path, buckets: Buckets) -> None:
    (tmp_path / "seq").mkdir()
    assert reasons(config(tmp_path, entry(tmp_path / "seq"))) == {}
    assert monitor(config(tmp_path, entry(tmp_path / "seq")), buckets).good


def test_a_missing_directory_does_not_stop_the_others(
    tmp_path: Path, buckets: Buckets, slack: Slack
) -> None:
    run = make_run(tmp_path / "seq")
    sections = [entry(tmp_path / "unmounted"), entry(run.parent)]
    result = monitor(config(tmp_path, *sections, slack_alert_webhook=slack.url), buckets)
    assert not result.good and uploaded(result) == [run.name]
    assert [*result.unreadable] == [str(tmp_path / "unmounted")]
    assert "unmounted: cannot be read: No such file" in slack.messages[-1]


def test_u16_a_run_that_will_write_more_is_not_taken(tmp_path: Path, buckets: Buckets) -> None:
    run = make_run(tmp_path / "seq", markers=["RTAComplete.txt"])
    assert not monitor(config(tmp_path, entry(run.parent)), buckets).picked
    for marker in ("SequenceComplete.txt", "CopyComplete.txt"):
        write(run / marker, "")
    settings = config(tmp_path, entry(run.parent), settle_seconds=60)
    assert "must settle" in reasons(settings)[run.name]
    assert reasons(settings, time.time() + 61) == {run.name: ""}


def test_u17_a_bad_sample_sheet_is_told_once(
    tmp_path: Path, buckets: Buckets, slack: Slack
) -> None:
    run = make_run(tmp_path / "seq", samples=None)
    settings = config(tmp_path, entry(run.parent), slack_alert_webhook=slack.url)
    for _ in range(3):
        result = monitor(settings, buckets)
        assert result.refused == {str(run): "no sample sheet"}
    warning = ":warning:  *S3 Upload*: Not uploading 1 run\n\t\t• "
    assert slack.messages == [f"{warning}{run.name}: no sample sheet"]
    write(run / "SampleSheet.csv", "")
    monitor(settings, buckets)
    assert slack.messages[1:] == [f"{warning}{run.name}: the sample sheet SampleSheet.csv is empty"]


def test_what_slack_did_not_take_is_told_again(
    tmp_path: Path, buckets: Buckets, slack: Slack
) -> None:
    run = make_run(tmp_path / "seq", samples=None)
    settings = config(tmp_path, entry(run.parent), slack_alert_webhook=slack.url)
    slack.status = 500
    monitor(settings, buckets)
    slack.status = 200
    for _ in range(2):
        monitor(settings, buckets)
    assert len(slack.messages) == 2 and slack.messages[0] == slack.messages[1]


# ---- before anything is uploaded ---------------------------------------------------------------


def test_buckets_one_bad(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")
    buckets("two").missing = True
    sections = [entry(run.parent, bucket=name) for name in ("one", "two")]
    with pytest.raises(StorageError, match=r"1 bucket\(s\) not accessible or do not exist: two"):
        monitor(config(tmp_path, *sections, slack_alert_webhook=slack.url), buckets)
    assert slack.messages == [
        ":warning:  *S3 Upload*: Error in accessing specified S3 buckets!\n\n\t\t"
        "1 bucket(s) not accessible or do not exist: two"
    ]
    assert not buckets("one").objects


def test_buckets_two_bad(
    tmp_path: Path, buckets: Buckets, slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook comes from the environment where the configuration has none."""
    run = make_run(tmp_path / "seq")
    monkeypatch.setenv("SLACK_ALERT_WEBHOOK", slack.url)
    sections = [entry(run.parent, bucket=name) for name in ("one", "two")]
    for name in ("one", "two"):
        buckets(name).missing = True
    with pytest.raises(StorageError, match="2 bucket"):
        monitor(config(tmp_path, *sections), buckets)
    assert slack.messages[0].endswith("2 bucket(s) not accessible or do not exist: one, two")


def test_no_credentials(tmp_path: Path, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")

    def no_credentials(_: str) -> MemoryPlace:
        raise PermissionDenied("no AWS credentials found")

    with pytest.raises(PermissionDenied):
        monitor(config(tmp_path, entry(run.parent), slack_log_webhook=slack.url), no_credentials)
    assert slack.messages == [f"{LOST}\t\tno AWS credentials found"]


def test_client_error(tmp_path: Path, buckets: Buckets, slack: Slack) -> None:
    run = make_run(tmp_path / "seq")

    def unreachable() -> None:
        raise StorageError("s3://lab: connection refused")

    buckets("lab").check = unreachable  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="connection refused"):
        monitor(config(tmp_path, entry(run.parent), slack_alert_webhook=slack.url), buckets)
    assert slack.messages == [f"{LOST}\t\ts3://lab: connection refused"]


def test_both_ways_of_authentication(
    tmp_path: Path, buckets: Buckets, slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "seq")
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "lab")
    monkeypatch.setenv("AWS_ACCESS_KEY", "AKIA")
    with pytest.raises(UsageError, match="Only one authentication method"):
        monitor(config(tmp_path, entry(run.parent), slack_alert_webhook=slack.url), buckets)
    assert slack.messages == [
        f"{LOST}Both `AWS_DEFAULT_PROFILE` provided as well as `AWS_ACCESS_KEY` and / or "
        "`AWS_SECRET_KEY`. Only one authentication method may be used."
    ]


# ---- the lock ----------------------------------------------------------------------------------


def test_lock_new_and_existing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "logs" / "s3_upload.lock"
    for _ in range(2):
        with monitor_lock(path.parent):
            text = path.read_text()
            held = r"file lock acquired from running upload at \d\d:\d\d:\d\d from process "
            assert re.fullmatch(f"{held}{os.getpid()}", text)
        assert path.read_text() == ""


def test_second_lock(tmp_path: Path) -> None:
    with monitor_lock(tmp_path):
        with pytest.raises(BusyError, match=f"running upload at .* from process {os.getpid()}"):
            with monitor_lock(tmp_path):
                pass
        assert str(os.getpid()) in (tmp_path / "s3_upload.lock").read_text()
    with monitor_lock(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from bams3.runs.lock import monitor_lock\n"
        "with monitor_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match=f"from process {process.pid}"):
            with monitor_lock(tmp_path):
                pass
        process.kill()
    with monitor_lock(tmp_path):
        pass


def test_a_busy_pass_does_nothing(tmp_path: Path, buckets: Buckets) -> None:
    run = make_run(tmp_path / "seq")
    settings = config(tmp_path, entry(run.parent))
    with monitor_lock(tmp_path / "logs"):
        result = monitor(settings, buckets)
    assert result.good and "running upload at" in result.busy
    assert not buckets.places


def test_u8_a_missing_log_directory_is_made(tmp_path: Path, buckets: Buckets) -> None:
    run = make_run(tmp_path / "seq")
    settings = config(tmp_path, entry(run.parent), log_dir=str(tmp_path / "deep" / "logs"))
    assert monitor(settings, buckets).good
    assert (tmp_path / "deep/logs/uploads").is_dir()


def test_a_log_directory_that_may_not_be_written(tmp_path: Path, buckets: Buckets) -> None:
    write(tmp_path / "logs", "a file")
    with pytest.raises(PermissionDenied, match="logs: cannot be written"):
        monitor(config(tmp_path, entry(tmp_path)), buckets)


# ---- logs --------------------------------------------------------------------------------------


def test_log_format_and_handlers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("bams3.runs.monitor")
    before = [*logging.getLogger("bams3").handlers]
    console = logging.StreamHandler()
    for _ in range(2):  # the second call adds no duplicate
        with logging_to(tmp_path, logging.INFO, console) as path:
            logger.info("a message")
            logger.debug("not this")
    assert path.name == f"s3_upload.log.{date.today().isoformat()}"
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[test_monitor\] INFO: a message"
    assert [bool(re.fullmatch(line, text)) for text in path.read_text().splitlines()] == [True] * 2
    assert capsys.readouterr().err == path.read_text()
    assert logging.getLogger("bams3").handlers == before


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.00B"), (1, "1.00B"), (1023, "1023.00B"), (1050, "1.03KB"), (1234567, "1.18MB"),
        (112233445566, "104.53GB"), (92 * 1024**8, "92.00YiB"),
    ],
)  # fmt: skip
def test_size_format(count: int, text: str) -> None:
    assert size_text(count) == text


def test_delete_logs_older_than_five_days(tmp_path: Path) -> None:
    for days in range(10):
        path = write(tmp_path / f"s3_upload.log.2026-01-{days:02}", "x")
        os.utime(path, (time.time() - days * 86400 - 60,) * 2)
    write(tmp_path / "other.log", "x")
    os.utime(tmp_path / "other.log", (0, 0))
    prune(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["other.log", *(f"s3_upload.log.2026-01-{days:02}" for days in range(5))]


def test_delete_error_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "s3_upload.log.2020-01-01").mkdir()
    os.utime(tmp_path / "s3_upload.log.2020-01-01", (0, 0))
    prune(tmp_path)
    assert "cannot be deleted" in caplog.text
