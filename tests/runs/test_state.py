"""The record of a run: keys, atomic writing, journal, old files, two owners of a name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bams3.errors import ExistsError
from bams3.runs.files import RunFile
from bams3.runs.state import Record, State, Stored, load_state

KEYS = {
    "run_id", "run_path", "completed", "total_local_files", "total_uploaded_files",
    "total_failed_upload", "failed_upload_files", "uploaded_files",
}  # fmt: skip
RUN = Path("/genetics/181024_A01295_001_ABC123")
LOG = f"{RUN.name}.upload.log.json"
ONE = Stored(10, 123, '"abc123"', "AAAAAAAAAAA=")


def old_log(folder: Path, completed: bool, run: Path = RUN, **files: str) -> Path:
    (folder / "uploads").mkdir(parents=True, exist_ok=True)
    path = folder / "uploads" / f"{run.name}.upload.log.json"
    path.write_text(
        json.dumps(
            {
                "run_id": run.name,
                "run_path": str(run),
                "completed": completed,
                "total_local_files": 2,
                "total_uploaded_files": len(files),
                "total_failed_upload": 0,
                "failed_upload_files": [],
                "uploaded_files": {f"{run}/{name}": etag for name, etag in files.items()},
            },
            indent=4,
        )
    )
    return path


def load(folder: Path, run: Path = RUN, bucket: str = "lab", prefix: str = "p/") -> State:
    return load_state(folder, run, bucket, prefix)


def test_state_new(tmp_path: Path) -> None:
    state = load(tmp_path)
    assert not state.exists and not state.stored
    assert not (tmp_path / "uploads").exists()


def test_write_new_partial_then_complete(tmp_path: Path) -> None:
    with Record(tmp_path, RUN, "lab", "p/") as record:
        record.add("Data/a", ONE)
        record.state.failed = {"b": "refused"}
        record.state.local_files = 2
        record.save()
        table = json.loads((tmp_path / "uploads" / LOG).read_text())
        assert table.pop("bams3")["bucket"] == "lab"
        assert table == {
            "run_id": RUN.name,
            "run_path": str(RUN),
            "completed": False,
            "total_local_files": 2,
            "total_uploaded_files": 1,
            "total_failed_upload": 1,
            "failed_upload_files": [f"{RUN}/b"],
            "uploaded_files": {f"{RUN}/Data/a": "abc123"},
        }
        assert table.keys() == KEYS
        record.add("b", ONE)
        record.state.completed, record.state.failed = True, {}
        record.save()
    state = load(tmp_path)
    assert state.exists and state.completed and not state.failed
    assert state.stored == {"Data/a": ONE, "b": ONE}


def test_merge_to_partial_still(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Record(tmp_path, RUN, "lab", "p/") as record:
            record.add(name, ONE)
            record.save()
    assert load(tmp_path).stored.keys() == {"a", "b"}


def test_u2_what_was_uploaded_before_a_kill_is_known(tmp_path: Path) -> None:
    """The state was written once, at the end of a run."""
    record = Record(tmp_path, RUN, "lab", "p/")
    record.add("a", ONE)
    record.add("b", ONE)
    record.forget("b")
    # Nobody saved, nobody closed: this is what a killed process leaves.
    assert load(tmp_path).stored == {"a": ONE}
    record.close()


def test_a_torn_line_of_the_journal_spoils_nothing(tmp_path: Path) -> None:
    record = Record(tmp_path, RUN, "lab", "p/")
    record.add("a", ONE)
    journal = tmp_path / "uploads" / f"{LOG}l"
    whole = journal.read_bytes()
    for cut in range(len(whole)):
        journal.write_bytes(whole[:cut])
        os.write(record._journal, b'\n{"path": "b", "size": 1, "mtime_ns": 2, "etag": "e"}\n')
        assert load(tmp_path).stored["b"] == Stored(1, 2, "e")
    record.close()


def test_a_journal_line_takes_completed_back(tmp_path: Path) -> None:
    with Record(tmp_path, RUN, "lab", "p/") as record:
        record.state.completed = True
        record.save()
        record.add("late", ONE)
    assert not load(tmp_path).completed


@pytest.mark.parametrize("completed", [True, False])
def test_state_log_of_s3_upload(tmp_path: Path, completed: bool) -> None:
    old_log(tmp_path, completed, a="abc", b="def")
    state = load(tmp_path)
    assert state.exists and state.unclaimed and state.completed is completed
    assert state.stored["a"] == Stored(-1, -1, "abc")
    assert not state.has(RunFile("a", 10, 5))


def test_published_logs_of_s3_upload(shared_data: Path, tmp_path: Path) -> None:
    for kind in ("complete", "incomplete"):
        source = (
            shared_data / f"runfolders/s3_upload/tests/unit/test_data/{kind}_run_upload.log.json"
        )
        (tmp_path / kind / "uploads").mkdir(parents=True)
        (tmp_path / kind / "uploads" / LOG).write_bytes(source.read_bytes())
        state = load(tmp_path / kind)
        assert state.completed is (kind == "complete")
        assert state.stored["file1.txt"].etag == "abc123"


def test_u6_runs_of_one_name_have_records_of_their_own(tmp_path: Path) -> None:
    """Two sequencers, two buckets, two folders in one: four records."""
    other = Path("/other") / RUN.name
    owners = [(RUN, "lab", "p/"), (other, "lab", "p/"), (RUN, "lab2", "p/"), (RUN, "lab", "q/")]
    for number, (run, bucket, prefix) in enumerate(owners):
        assert not load(tmp_path, run, bucket, prefix).exists
        with Record(tmp_path, run, bucket, prefix) as record:
            record.add(f"file {number}", ONE)
            record.save()
    for number, (run, bucket, prefix) in enumerate(owners):
        assert load(tmp_path, run, bucket, prefix).stored == {f"file {number}": ONE}
    assert len(list((tmp_path / "uploads").glob("*.json"))) == 4


def test_a_record_cut_short_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """s3_upload wrote in place: a kill could leave half a file, which then stopped the next run."""
    path = old_log(tmp_path, True, a="abc")
    whole = path.read_text()
    for text in (
        "",
        whole[:100],
        "[]",
        '{"run_path": 3}',
        '{"run_path": "/x", "uploaded_files": 1}',
    ):
        path.write_text(text)
        assert not load(tmp_path).exists
        assert "cut short" in caplog.text
        caplog.clear()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        Record(tmp_path, RUN, "lab", "p/"),
        pytest.raises(ExistsError, match="by another process"),
    ):
        Record(tmp_path, RUN, "lab", "p/")
    Record(tmp_path, RUN, "lab", "p/").close()
