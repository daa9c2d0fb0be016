"""Upload of one run to a bucket in memory: order, resumption, changes, verification, manifest."""

from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from bams3.errors import ExistsError, InputError, NotFoundError, StorageError
from bams3.runs.files import Exclude
from bams3.runs.illumina import Rules
from bams3.runs.state import Record, load_state
from bams3.runs.upload import Job, check_complete, upload_run
from tests.runs.made import MARKERS, NOVASEQ, MemoryPlace, contents, make_run, write
from tests.runs.test_state import old_log

PREFIX = f"runs/{NOVASEQ}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "seq")


@pytest.fixture
def job(run: Path, tmp_path: Path) -> Job:
    return Job(run, "/runs", tmp_path / "logs")


def record(job: Job) -> dict[str, object]:
    path = job.log_dir / "uploads" / f"{job.run.name}.upload.log.json"
    return dict(json.loads(path.read_text()))


def test_everything_goes_up(job: Job) -> None:
    place = MemoryPlace()
    summary = upload_run(job, place)
    assert summary.completed and not summary.failed
    assert summary.files == summary.uploaded == len(contents(job.run))
    assert summary.destination == f"s3://lab/{PREFIX}"
    assert place.run(PREFIX) == contents(job.run)
    table = record(job)
    assert table["completed"] and table["total_uploaded_files"] == summary.files
    assert table["total_local_files"] == summary.files


def test_markers_last_then_the_manifest(job: Job) -> None:
    place = MemoryPlace()
    upload_run(job, place)
    puts = [call.removeprefix(f"PUT {PREFIX}/") for call in place.calls if "PUT" in call]
    assert puts[:3] == ["RunInfo.xml", "RunParameters.xml", "SampleSheet.csv"]
    assert puts[-4:] == [*MARKERS, "bams3-manifest.json"]
    # The bucket is listed after the last file, and before the first marker.
    last = place.calls.index(f"PUT {PREFIX}/RTAComplete.txt")
    assert place.calls[last - 1] == f"LIST {PREFIX}/"


def test_the_manifest(job: Job) -> None:
    place = MemoryPlace()
    (job.run / "empty").mkdir()
    (job.run / "link").symlink_to("/nowhere")
    job = Job(job.run, job.remote_path, job.log_dir, Exclude(["Logs/"]))
    summary = upload_run(job, place)
    assert summary.links == {"link": "/nowhere"}
    manifest = place.manifest(PREFIX)
    expected = {path: len(data) for path, data in place.run(PREFIX).items()}
    assert {file["path"]: file["size"] for file in manifest["files"]} == expected
    assert all(file["crc64nvme"] and file["etag"] for file in manifest["files"])
    assert manifest["run"] == NOVASEQ
    assert manifest["run_info"]["platform"] == "NovaSeq 6000"
    assert manifest["total_bytes"] == sum(expected.values())
    assert (manifest["empty_directories"], manifest["links"]) == (["empty"], {"link": "/nowhere"})
    assert (manifest["exclude_patterns"], manifest["excluded_files"]) == (["Logs/"], 1)


def test_again_sends_nothing(job: Job) -> None:
    place = MemoryPlace()
    upload_run(job, place)
    place.calls.clear()
    summary = upload_run(job, place)
    assert summary.completed and summary.uploaded == 0
    assert not [call for call in place.calls if not call.startswith("LIST")]


def test_filter_uploaded_a_failure_publishes_nothing_and_is_resumed(job: Job) -> None:
    """Failure of RunInfo.xml, then resume completes."""
    place = MemoryPlace()
    place.fail = {"RunInfo.xml"}
    summary = upload_run(job, place)
    assert not summary.completed and summary.failed == {"RunInfo.xml": "injected"}
    assert not {*MARKERS} & {*place.run(PREFIX)}
    assert f"{PREFIX}/bams3-manifest.json" not in place.objects
    table = record(job)
    assert not table["completed"] and table["total_failed_upload"] == 1
    assert table["failed_upload_files"] == [f"{job.run}/RunInfo.xml"]
    place.fail, place.sent = set(), []
    summary = upload_run(job, place)
    assert summary.completed
    assert {key.removeprefix(f"{PREFIX}/") for key in place.sent} == {"RunInfo.xml", *MARKERS}
    assert record(job)["failed_upload_files"] == []


def test_u14_what_is_resumed_goes_up_largest_first(job: Job) -> None:
    place = MemoryPlace()
    place.fail = {"Data/", "InterOp/"}
    upload_run(job, place)
    place.fail, place.sent = set(), []
    upload_run(job, place)
    sizes = [len(place.objects[key]) for key in place.sent[: -len(MARKERS)]]
    assert len(sizes) == 4 and sizes == sorted(sizes, reverse=True)


def test_u3_a_file_deleted_after_a_partial_upload(job: Job) -> None:
    """Counts were compared, so that the run never completed."""
    place = MemoryPlace()
    place.fail = {"InterOp"}
    upload_run(job, place)
    (job.run / "Logs/run.log").unlink()
    place.fail = set()
    summary = upload_run(job, place)
    assert summary.completed and summary.gone == ["Logs/run.log"]
    manifest = place.manifest(PREFIX)
    assert [file["path"] for file in manifest["only_remote"]] == ["Logs/run.log"]
    assert "Logs/run.log" not in {file["path"] for file in manifest["files"]}


def test_u4_a_resumed_run_keeps_its_patterns(job: Job) -> None:
    place = MemoryPlace()
    job = Job(job.run, job.remote_path, job.log_dir, Exclude([".*png$"]))
    place.fail = {"InterOp"}
    upload_run(job, place)
    place.fail = set()
    assert upload_run(job, place).completed
    assert not [key for key in place.objects if key.endswith("png")]


@pytest.mark.parametrize("data", [b"changed", b"!" * 1000], ids=["size", "time"])
def test_u5_changed_files_go_up_again(job: Job, data: bytes) -> None:
    place = MemoryPlace()
    upload_run(job, place)
    write(job.run / "Data/Intensities/BaseCalls/L001/C1.1/L001_1.cbcl", data)
    place.calls.clear()
    states: list[dict[str, object]] = []
    place.before = lambda _: states.append(record(job))
    summary = upload_run(job, place)
    assert summary.completed and summary.uploaded == 1
    assert place.run(PREFIX) == contents(job.run)
    assert not states[0]["completed"]
    # While the bucket holds something else than the manifest says, there is no manifest.
    assert place.calls[1] == f"DELETE {PREFIX}/bams3-manifest.json"


@pytest.mark.parametrize("harm", ["gone", "cut", "other"])
def test_u5_what_the_bucket_lost_goes_up_again(job: Job, harm: str) -> None:
    place = MemoryPlace()
    upload_run(job, place)
    key = f"{PREFIX}/InterOp/QMetricsOut.bin"
    if harm == "gone":
        del place.objects[key]
    else:
        place.objects[key] = place.objects[key][:-1] + (b"" if harm == "cut" else b"?")
    summary = upload_run(job, place)
    assert summary.completed and summary.uploaded == 1
    assert place.run(PREFIX) == contents(job.run)


def test_a_bucket_that_loses_what_it_took_is_found_out(job: Job) -> None:
    place = MemoryPlace()
    key = f"{PREFIX}/Logs/run.log"
    place.before = lambda _: place.objects.pop(key, None) and None
    place.fail = set()
    real = place.list

    def forgetful(prefix: str):  # type: ignore[no-untyped-def]
        place.objects.pop(key, None)
        return real(prefix)

    place.list = forgetful  # type: ignore[method-assign]
    summary = upload_run(job, place)
    assert not summary.completed and [*summary.failed] == ["Logs/run.log"]
    assert not {*MARKERS} & {*place.run(PREFIX)}


def test_files_that_appear_change_and_vanish_meanwhile(job: Job) -> None:
    place = MemoryPlace()
    seen = []

    def meddle(key: str) -> None:
        if not seen and key.endswith("C3.1/L001_1.cbcl"):
            write(job.run / "Logs/late.log", "late")
            write(job.run / "Logs/run.log", "longer than before")
            (job.run / "InterOp/QMetricsOut.bin").unlink()
            seen.append(key)

    place.before = meddle
    summary = upload_run(job, place)
    assert seen and summary.completed and not summary.failed
    assert place.run(PREFIX) == contents(job.run)
    # What is unfinished of a file that has changed since cannot be taken up.
    assert place.unfinished[0] == "resume" and place.unfinished[-1] == "restart"


@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("at", ["C1.1/L001_1.cbcl", "Logs/run.log"])
def test_a_run_that_vanishes_is_not_published(job: Job, leave: bool, at: str) -> None:
    """Its file system was unmounted: nothing there, or an empty directory."""
    place = MemoryPlace()

    def vanish(key: str) -> None:
        if key.endswith(at) and job.run.exists():
            shutil.rmtree(job.run)
            if leave:
                job.run.mkdir()

    place.before = vanish
    summary = upload_run(job, place)
    assert not summary.completed and summary.failed
    assert not {*MARKERS} & {*place.run(PREFIX)}
    assert f"{PREFIX}/bams3-manifest.json" not in place.objects


def test_a_file_that_appears_with_the_markers(job: Job) -> None:
    place = MemoryPlace()
    place.before = lambda key: (
        write(job.run / "late.txt", "late") and None if "CopyComplete" in key else None
    )
    assert upload_run(job, place).completed
    assert place.run(PREFIX) == contents(job.run)
    assert "late.txt" in {file["path"] for file in place.manifest(PREFIX)["files"]}


def test_a_file_that_never_stops_changing(job: Job) -> None:
    place = MemoryPlace()
    log = job.run / "Logs/run.log"
    place.before = lambda key: (
        write(log, log.read_bytes() + b"more\n") and None if key.endswith("run.log") else None
    )
    summary = upload_run(job, place)
    assert not summary.completed
    assert summary.failed == {"Logs/run.log": "it, or its object, changed whenever it was uploaded"}
    assert not {*MARKERS} & {*place.run(PREFIX)}


def test_a_file_that_may_not_be_read_is_not_passed_over(job: Job) -> None:
    os.close(os.open(os.fsencode(job.run) + b"/bad\xff", os.O_CREAT))
    place = MemoryPlace()
    summary = upload_run(job, place)
    assert not summary.completed and [*summary.failed] == ["bad\\xff"]
    assert not {*MARKERS} & {*place.run(PREFIX)}
    assert {*place.run(PREFIX)} == {*contents(job.run)} - {"bad\udcff", *MARKERS}


def test_a_manifest_that_fails_leaves_the_run_incomplete(job: Job) -> None:
    place = MemoryPlace()
    place.fail = {"bams3-manifest"}
    with pytest.raises(StorageError):
        upload_run(job, place)
    assert not record(job)["completed"]
    place.fail, place.sent = set(), []
    assert upload_run(job, place).completed
    assert place.sent == []


def test_a_lost_record_does_not_send_everything_again(job: Job) -> None:
    place = MemoryPlace()
    upload_run(job, place)
    place.sent.clear()
    other = Job(job.run, job.remote_path, job.log_dir / "other")
    del place.objects[f"{PREFIX}/bams3-manifest.json"]
    assert upload_run(other, place).completed
    assert place.sent == []
    assert all(file["crc64nvme"] and file["etag"] for file in place.manifest(PREFIX)["files"])


def test_a_manifest_in_the_run_is_not_uploaded(job: Job) -> None:
    """A run that was downloaded from the bucket has one."""
    write(job.run / "bams3-manifest.json", "stale")
    place = MemoryPlace()
    upload_run(job, place)
    assert place.manifest(PREFIX)["run"] == NOVASEQ
    assert place.calls.count(f"PUT {PREFIX}/bams3-manifest.json") == 1
    assert {file["path"] for file in place.manifest(PREFIX)["files"]} == {*place.run(PREFIX)}


def test_a_partial_record_of_s3_upload_is_continued(job: Job) -> None:
    """Files that the bucket has, with the etag it says, and unchanged since, are not sent again."""
    place = MemoryPlace()
    upload_run(job, place)
    etags = {o.key.removeprefix(f"{PREFIX}/"): o.etag.strip('"') for o in place.list(PREFIX)}
    etags.pop("bams3-manifest.json")
    for name in ("InterOp/QMetricsOut.bin", "Logs/run.log"):
        del place.objects[f"{PREFIX}/{name}"]
    etags.pop("InterOp/QMetricsOut.bin")
    place.sent.clear()
    logs = job.log_dir / "old"
    old_log(logs, False, job.run, **etags)
    write(job.run / "RunParameters.xml", "<RunParameters>!")  # of the same size
    os.utime(job.run / "RunParameters.xml", (4e9, 4e9))
    assert upload_run(Job(job.run, "/runs", logs), place).completed
    expected = {"InterOp/QMetricsOut.bin", "Logs/run.log", "RunParameters.xml"}
    assert {key.removeprefix(f"{PREFIX}/") for key in place.sent} == expected
    assert not load_state(logs, job.run, "lab", f"{PREFIX}/").unclaimed


def test_check_complete(run: Path, tmp_path: Path) -> None:
    check_complete(run, Rules())
    with pytest.raises(NotFoundError, match="no such directory"):
        check_complete(tmp_path / "none", Rules())
    with pytest.raises(InputError, match="not a run"):
        check_complete(tmp_path, Rules())
    (run / "CopyComplete.txt").unlink()
    with pytest.raises(InputError, match=r"waits for CopyComplete\.txt"):
        check_complete(run, Rules())


def test_any_directory_can_be_uploaded(tmp_path: Path) -> None:
    write(tmp_path / "any" / "a b#c?d%.txt", "x")
    write(tmp_path / "any" / "ä" / "🧬", "y")
    place = MemoryPlace()
    assert upload_run(Job(tmp_path / "any", "/", tmp_path / "logs"), place).completed
    assert place.run("any") == {"a b#c?d%.txt": b"x", "ä/🧬": b"y"}
    assert place.manifest("any")["run_info"] is None


def test_two_at_once(job: Job) -> None:
    with (
        Record(job.log_dir, job.run, "lab", job.prefix),
        pytest.raises(ExistsError, match="by another process"),
    ):
        upload_run(job, MemoryPlace())


def test_many_files_cost_one_line_each(tmp_path: Path) -> None:
    """The record is not rewritten with every file."""
    run = make_run(tmp_path / "seq", cycles=300)
    place = MemoryPlace()
    sizes = []
    journal = tmp_path / "logs" / "uploads" / f"{run.name}.upload.log.jsonl"
    place.before = lambda _: sizes.append(journal.stat().st_size)
    upload_run(Job(run, "/", tmp_path / "logs"), place)
    steps = [b - a for a, b in pairwise(sizes)]
    assert max(steps) < 400 and sum(step > 0 for step in steps) >= 300
