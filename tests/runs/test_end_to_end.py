"""Runs to a real S3 server through the command line, under the new name and the old one."""

from __future__ import annotations

import json
import os
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bams3.runs.lock import monitor_lock
from bams3.storage import open_store
from tests.runs.made import (
    MARKERS,
    NOVASEQ,
    config_file,
    config_table,
    contents,
    entry,
    make_run,
    run_info,
    set_age,
    write,
)
from tests.runs.processes import objects, run, start
from tests.servers.proxy import FaultProxy, fail, reset
from tests.servers.slack import Slack
from tests.servers.versitygw import Versitygw


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def bucket(real_s3: str) -> str:
    return real_s3.removeprefix("s3://")


def manifest(url: str) -> Any:
    return json.loads(open_store(url).get("bams3-manifest.json"))


def test_upload_under_the_old_name(bucket: str, tmp_path: Path) -> None:
    """A command line of s3_upload, unchanged."""
    folder = make_run(tmp_path / "seq")
    done = run(
        "s3_upload", "upload", "--local_path", folder, "--bucket", bucket,
        "--remote_path", "/sequencer_1", "--cores", "2", "--threads", "4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert objects(f"s3://{bucket}/sequencer_1/{NOVASEQ}") == contents(folder)
    assert {e.key.split("/")[0] for e in open_store(f"s3://{bucket}").list()} == {"sequencer_1"}


def test_upload_again_sends_nothing(bucket: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    counts = []
    for _ in range(2):
        done = run("bams3", "runs", "upload", "--local-path", folder, "--bucket", bucket, "--json")
        assert done.returncode == 0, done.stderr
        counts.append(json.loads(done.stdout)["uploaded"])
    assert counts == [len(contents(folder)), 0]


def test_the_manifest_is_true(bucket: str, tmp_path: Path) -> None:
    """Sizes and etags as the server says; checksums as it computed them itself."""
    folder = make_run(tmp_path / "seq")
    assert (
        run("bams3", "runs", "upload", "--local_path", folder, "--bucket", bucket).returncode == 0
    )
    url = f"s3://{bucket}/{NOVASEQ}"
    table = manifest(url)
    store = open_store(url)
    from bams3.storage.bucket import Bucket

    heads = {file["path"]: store.head(file["path"]) for file in table["files"]}
    assert heads.keys() == contents(folder).keys()
    reader = Bucket(bucket)
    for file in table["files"]:
        assert heads[file["path"]].size == file["size"]
        assert heads[file["path"]].etag.strip('"') == file["etag"].strip('"')
        said = reader.head(f"{NOVASEQ}/{file['path']}").checksums.get("crc64nvme")
        assert said == file["crc64nvme"]
    reader.close()


@pytest.mark.parametrize("program", [["s3_upload"], ["bams3", "runs"]])
def test_u1_exit_codes_tell_the_truth(bucket: str, tmp_path: Path, program: list[str]) -> None:
    """All of these exited with 0."""
    folder = make_run(tmp_path / "seq", markers=[])
    upload = [*program, "upload", "--bucket", bucket, "--local_path"]
    incomplete = run(*upload, folder)
    assert incomplete.returncode == 1 and "waits for CopyComplete.txt" in incomplete.stderr
    no_run = run(*upload, tmp_path / "seq")
    assert no_run.returncode == 1 and "not a run" in no_run.stderr
    missing = run(*upload, tmp_path / "none")
    assert missing.returncode == 1 and "no such directory" in missing.stderr
    os.close(os.open(os.fsencode(folder) + b"/bad\xff", os.O_CREAT))
    failed = run(*upload, folder, "--skip_check")
    assert failed.returncode == 1 and "not UTF-8" in failed.stderr
    (folder / os.fsdecode(b"bad\xff")).unlink()
    assert run(*upload, folder, "--skip_check").returncode == 0
    assert run(*upload, folder, "--no_such_option").returncode == 2


def test_u15_no_request_but_uploads_and_listings(
    s3_server: Versitygw, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    """Each file was asked for once more, only to read its etag."""
    folder = make_run(tmp_path / "seq", cycles=40)
    bucket = s3_server.make_bucket("requests").removeprefix("s3://")
    fault_proxy.plan()
    done = run("bams3", "runs", "upload", "--local_path", folder, "--bucket", bucket)
    assert done.returncode == 0, done.stderr
    count = len(contents(folder)) + 1  # and the manifest
    assert sum(line.startswith("PUT ") for line in fault_proxy.requests) == count
    others = [line for line in fault_proxy.requests if not line.startswith("PUT ")]
    # The bucket, two listings, and one of unfinished uploads for each group of files.
    assert len(others) == 8 and not [line for line in others if NOVASEQ in line.split("?")[0]]


def test_through_faults(s3_server: Versitygw, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    """Throttled, reset, answers lost after the deed: all bytes arrive, and the exit is right."""
    folder = make_run(tmp_path / "seq", cycles=60)
    bucket = s3_server.make_bucket("faults").removeprefix("s3://")
    faults = [fail(503), None, reset(), fail(500), None, fail(500, arrive=True), reset(arrive=True)]
    fault_proxy.plan(*faults * 6)
    done = run("bams3", "runs", "upload", "--local_path", folder, "--bucket", bucket)
    assert done.returncode == 0, done.stderr
    assert fault_proxy.faults >= 20
    assert objects(f"s3://{bucket}/{NOVASEQ}") == contents(folder)


def test_u13_a_relative_path_below_a_parent_that_looks_like_a_pattern(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "(A)+1 [x]", "run1 [1]")
    monkeypatch.chdir(folder.parent)
    assert (
        run("s3_upload", "upload", "--local_path", folder.name, "--bucket", bucket).returncode == 0
    )
    assert objects(f"s3://{bucket}/run1 [1]") == contents(folder)


def test_u19_a_huge_file_goes_up_in_parts(bucket: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    with open(folder / "Data/huge.cbcl", "wb") as file:
        for number in range(40):
            file.write(bytes([number]) * (1 << 20))
    done = run("bams3", "runs", "upload", "--local_path", folder, "--bucket", bucket)
    assert done.returncode == 0, done.stderr
    etags = {file["path"]: file["etag"] for file in manifest(f"s3://{bucket}/{NOVASEQ}")["files"]}
    assert "-" in etags["Data/huge.cbcl"]
    assert objects(f"s3://{bucket}/{NOVASEQ}") == contents(folder)


def test_monitor_under_the_old_name(bucket: str, tmp_path: Path) -> None:
    """A configuration of s3_upload, its cron line, its log, its record, its messages."""
    folder = make_run(tmp_path / "seq", age=0)  # it knew no settle time
    section = entry(
        folder.parent, bucket=bucket, remote_path="/a", sample_regex="assay_1$",
        exclude_patterns=[".*png$"],
    )  # fmt: skip
    with Slack() as slack:
        webhooks = {"slack_log_webhook": slack.url, "slack_alert_webhook": slack.url}
        path = config_file(tmp_path, config_table(tmp_path, section, comment="ours", **webhooks))
        dry = run("s3_upload", "monitor", "--config", path, "--dry_run")
        assert dry.returncode == 0 and "would be uploaded" in dry.stdout
        assert not objects(f"s3://{bucket}")
        for _ in range(2):
            done = run("s3_upload", "monitor", "--config", path)
            assert done.returncode == 0, done.stderr
        assert slack.messages == [
            f":white_check_mark:  *S3 Upload*: Successfully uploaded 1 run\n\t\t• {NOVASEQ}"
        ]
    expected = {p: d for p, d in contents(folder).items() if not p.endswith("png")}
    assert objects(f"s3://{bucket}/a/{NOVASEQ}") == expected
    log = json.loads((tmp_path / f"logs/uploads/{NOVASEQ}.upload.log.json").read_text())
    assert log["completed"] and log["uploaded_files"].keys() == {f"{folder}/{p}" for p in expected}


def test_monitor_failure_then_success(bucket: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    path = config_file(
        tmp_path, config_table(tmp_path, entry(folder.parent, bucket=bucket), settle_seconds=0)
    )
    bad = os.fsencode(folder) + b"/bad\xff"
    os.close(os.open(bad, os.O_CREAT))
    failed = run("bams3", "runs", "monitor", "--config", path)
    assert failed.returncode == 1 and "FAILED" in failed.stdout
    assert not {*MARKERS} & {*objects(f"s3://{bucket}/{NOVASEQ}")}
    os.unlink(bad)
    done = run("bams3", "runs", "monitor", "--config", path)
    assert done.returncode == 0, done.stderr
    assert objects(f"s3://{bucket}/{NOVASEQ}") == contents(folder)


def test_configurations_with_errors(bucket: str, tmp_path: Path) -> None:
    table = config_table(tmp_path, {"bucket": bucket}, max_cores="4", no_such="x")
    path = config_file(tmp_path, table)
    new = run("bams3", "runs", "monitor", "--config", path)
    assert new.returncode == 2
    assert "4 errors found in config:\n\tmax_cores must be an integer\n" in new.stderr
    old = run("s3_upload", "monitor", "--config", path)
    assert old.returncode == 1 and "3 errors found in config:" in old.stderr
    status = run("bams3", "runs", "status", "--config", path)
    assert status.returncode == 2


@pytest.mark.parametrize("program", [["s3_upload"], ["bams3", "runs"]])
def test_a_busy_lock_exits_with_0(bucket: str, tmp_path: Path, program: list[str]) -> None:
    path = config_file(tmp_path, config_table(tmp_path, entry(tmp_path, bucket=bucket)))
    with monitor_lock(tmp_path / "logs"):
        done = run(*program, "monitor", "--config", path)
    assert done.returncode == 0
    assert "file lock acquired from running upload at" in done.stdout
    assert f"from process {os.getpid()}" in done.stdout


def test_two_monitors_at_once(bucket: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq", cycles=100)
    table = config_table(tmp_path, entry(folder.parent, bucket=bucket), settle_seconds=0)
    path = config_file(tmp_path, table)
    both = [start("bams3", "runs", "monitor", "--config", path, "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    results = [json.loads(out) for out, _ in outputs]
    assert sum(len(result["uploaded"]) for result in results) == 1
    assert objects(f"s3://{bucket}/{NOVASEQ}") == contents(folder)


def test_a_bucket_that_is_not_there(real_s3: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq")
    table = config_table(tmp_path, entry(folder.parent, bucket="no-such-bucket-here"))
    path = config_file(tmp_path, table)
    with Slack() as slack:
        for program in (["s3_upload"], ["bams3", "runs"]):
            done = run(*program, "monitor", "--config", path, SLACK_ALERT_WEBHOOK=slack.url)
            assert done.returncode == 1
            text = "1 bucket(s) not accessible or do not exist: no-such-bucket-here"
            assert text in done.stderr
        assert [message.endswith(text) for message in slack.messages] == [True, True]


def test_old_names_of_credentials(
    s3_server: Versitygw, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "seq")
    upload = ["s3_upload", "upload", "--local_path", folder, "--bucket", bucket]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    none = run(*upload)
    assert none.returncode == 1 and "no AWS credentials" in none.stderr
    keys = {"AWS_ACCESS_KEY": s3_server.access_key, "AWS_SECRET_KEY": s3_server.secret_key}
    both = run(*upload, AWS_DEFAULT_PROFILE="lab", **keys)
    assert both.returncode == 1 and "Only one authentication method" in both.stderr
    done = run(*upload, **keys)
    assert done.returncode == 0, done.stderr
    credentials = write(
        tmp_path / "credentials",
        f"[lab]\naws_access_key_id = {s3_server.access_key}\n"
        f"aws_secret_access_key = {s3_server.secret_key}\n",
    )
    profile = {"AWS_DEFAULT_PROFILE": "lab", "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    done = run(*upload, **profile)
    assert done.returncode == 0, done.stderr
    wrong = run(*upload, AWS_ACCESS_KEY=s3_server.access_key, AWS_SECRET_KEY="wrong")
    assert wrong.returncode == 1


def test_a_run_that_grows_while_it_is_followed(bucket: str, tmp_path: Path) -> None:
    """A sequencer writes for some seconds, in pieces, and rewrites; the bucket never runs ahead."""
    folder = tmp_path / NOVASEQ
    folder.mkdir()
    follower = start(
        "bams3", "runs", "upload", "--local_path", folder, "--bucket", bucket, "--follow",
        "--min-age", "0.3", "--interval", "0.1", "--settle", "0.3", "--json",
    )  # fmt: skip
    url = f"s3://{bucket}/{NOVASEQ}"
    during: list[set[str]] = []

    def sequence() -> None:
        write(folder / "RunInfo.xml", run_info(NOVASEQ))
        for cycle in range(25):
            write(folder / f"Data/C{cycle}.cbcl", os.urandom(10_000))
            with open(folder / "growing.log", "ab") as log:
                log.write(f"cycle {cycle}\n".encode())
            time.sleep(0.1)
            if cycle % 8 == 7:
                during.append({*objects(url)})
        write(folder / "Data/C0.cbcl", b"rewritten")
        for marker in MARKERS:
            write(folder / marker, "")

    writer = threading.Thread(target=sequence)
    writer.start()
    out, err = follower.communicate(timeout=120)
    writer.join()
    assert follower.returncode == 0, err
    assert during[-1] and not {*MARKERS} & during[-1]
    assert objects(url) == contents(folder)
    assert manifest(url)["total_files"] == len(contents(folder))
    assert json.loads(out)["uploaded"] > len(contents(folder))


def test_follow_gives_up(bucket: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "seq", markers=[])
    done = run(
        "bams3", "runs", "upload", "--local_path", folder, "--bucket", bucket, "--follow",
        "--interval", "0.1", "--give-up", "0.0001",
    )  # fmt: skip
    assert done.returncode == 1
    assert "given up after" in done.stderr and "hint: " in done.stderr
    assert not {*MARKERS} & {*objects(f"s3://{bucket}/{NOVASEQ}")}


def test_status(bucket: str, tmp_path: Path) -> None:
    make_run(tmp_path / "seq", "run_1")
    make_run(tmp_path / "seq", "run_2", markers=[])
    table = config_table(tmp_path, entry(tmp_path / "seq", bucket=bucket))
    path = config_file(tmp_path, table)
    assert run("bams3", "runs", "monitor", "--config", path).returncode == 0
    done = run("bams3", "runs", "status", "--config", path)
    assert done.returncode == 0
    rows = [line.split(maxsplit=4) for line in done.stdout.splitlines()]
    assert rows == [
        ["RUN", "DESTINATION", "STATE", "UPLOAD", "REASON"],
        ["run_1", f"s3://{bucket}/run_1", "uploaded", "no", "uploaded"],
        ["run_2", f"s3://{bucket}/run_2", "new", "no", "incomplete (NovaSeq 6000): waits for "
         "CopyComplete.txt, RTAComplete.txt, SequenceComplete.txt"],
    ]  # fmt: skip
    table = json.loads(run("bams3", "runs", "status", "--config", path, "--json").stdout)
    assert [row["picked_up"] for row in table] == [False, False]
    assert table[0]["run"] == str(tmp_path / "seq/run_1")


def test_a_real_run(bucket: str, tmp_path: Path, shared_data: Path) -> None:
    """A run folder put together from published files: 1,641 files of a NovaSeq 6000."""
    archive = shared_data / "derived/runfolders_assembled/230912_A00187_1009_AHK33MDRX3.tar.gz"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "seq", filter="data")
    folder = tmp_path / "seq" / "230912_A00187_1009_AHK33MDRX3"
    set_age(folder, 3600)
    section = entry(folder.parent, bucket=bucket, remote_path="/novaseq", sample_regex="^ACC")
    path = config_file(tmp_path, config_table(tmp_path, section))
    done = run("bams3", "runs", "monitor", "--config", path)
    assert done.returncode == 0, done.stderr + done.stdout
    url = f"s3://{bucket}/novaseq/{folder.name}"
    assert objects(url) == contents(folder)
    assert manifest(url)["run_info"]["platform"] == "NovaSeq 6000"
