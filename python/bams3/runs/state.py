"""What is known to be uploaded, run by run: `LOG_DIR/uploads/RUN.upload.log.json`.

The file has the eight keys of s3_upload, and below `bams3` what makes it safe: whose record it is
(path of the run and destination), and size, time and checksum of every file. It is replaced
atomically. Between two replacements each uploaded file is appended to a journal beside it, so that
a process killed at any moment repeats only what was in flight.

A run of the same name from elsewhere, or to elsewhere, gets a file of its own,
`RUN.DIGEST.upload.log.json`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from bams3.errors import ExistsError
from bams3.runs.files import RunFile

SUFFIX = ".upload.log.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as it was uploaded: what it was then, and the object that it became.

    Of a file in a record of s3_upload only the etag is known; its size and time are -1.
    """

    size: int
    mtime_ns: int
    etag: str
    crc64nvme: str | None = None

    def is_of(self, file: RunFile) -> bool:
        """Return whether the file has not changed since."""
        return (self.size, self.mtime_ns) == (file.size, file.mtime_ns)


@dataclass(slots=True)
class State:
    """The record of one run and destination.

    Attributes:
        run: Absolute path of the run.
        bucket: Name of the bucket.
        prefix: What the keys of the run begin with.
        completed: Whether everything is in the bucket, verified, with manifest.
        stored: Uploaded files by their path inside the run.
        failed: Files that the last attempt could not upload, and why.
        local_files: Number of files that the last attempt found.
        inherited_ns: When s3_upload wrote the record that this one continues; 0 if none.
        exists: Whether there is a record already.
        unclaimed: Whether that is one of s3_upload, which names no destination.
    """

    run: str
    bucket: str
    prefix: str
    completed: bool = False
    stored: dict[str, Stored] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    local_files: int = 0
    inherited_ns: int = 0
    exists: bool = False
    unclaimed: bool = False

    def has(self, file: RunFile) -> bool:
        """Return whether this version of a file is uploaded."""
        stored = self.stored.get(file.path)
        return stored is not None and stored.is_of(file)

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is written."""
        etags = {path: stored.etag.strip('"') for path, stored in self.stored.items()}
        return {
            "run_id": os.path.basename(self.run),
            "run_path": self.run,
            "completed": self.completed,
            "total_local_files": self.local_files,
            "total_uploaded_files": len(self.stored),
            "total_failed_upload": len(self.failed),
            "failed_upload_files": [os.path.join(self.run, path) for path in self.failed],
            "uploaded_files": {os.path.join(self.run, path): e for path, e in etags.items()},
            "bams3": {
                "version": 1,
                "bucket": self.bucket,
                "prefix": self.prefix,
                "inherited_ns": self.inherited_ns,
                "failed": self.failed,
                "files": {path: asdict(stored) for path, stored in self.stored.items()},
            },
        }


class Record:
    """The record of a run on disk, held by one process at a time while it uploads.

    Raises:
        ExistsError: Another process is uploading this run to this destination.
    """

    def __init__(self, log_dir: Path, run: Path, bucket: str, prefix: str) -> None:
        owner = (os.path.abspath(run), bucket, prefix)
        (log_dir / "uploads").mkdir(parents=True, exist_ok=True)
        while True:
            self.path = record_path(log_dir, owner)
            self._journal = _locked(_journal_of(self.path), owner)
            if record_path(log_dir, owner) == self.path:
                break
            os.close(self._journal)  # meanwhile another run of this name took the file
        self.state = load_state(log_dir, run, bucket, prefix)
        self.save()

    def add(self, path: str, stored: Stored) -> None:
        """Note a file that has been uploaded: one line of the journal, in one write."""
        self.state.stored[path] = stored
        self._append({"path": path, **asdict(stored)})

    def forget(self, path: str) -> None:
        """Note that a file is not in the bucket after all."""
        if self.state.stored.pop(path, None):
            self._append({"path": path, "forgotten": True})

    def _append(self, line: Mapping[str, Any]) -> None:
        # Begins with a line end too, so that a line torn by a kill spoils no other.
        os.write(self._journal, f"\n{json.dumps(line)}\n".encode())

    def save(self) -> None:
        """Replace the file; the journal begins anew."""
        partial = self.path.with_name(f".{self.path.name}.partial")
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(self.state.as_json(), file, indent=4)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)
        os.ftruncate(self._journal, 0)

    def close(self) -> None:
        """Let go of the run."""
        os.close(self._journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Owner = tuple[str, str, str]
"""Path of the run, bucket, prefix."""


def record_path(log_dir: Path, owner: Owner) -> Path:
    """Return where the record of a run and destination is, or would be."""
    return _find(log_dir, owner)[0]


def load_state(log_dir: Path, run: Path, bucket: str, prefix: str) -> State:
    """Read the record of a run and destination; a new one where there is none."""
    path, state = _find(log_dir, (os.path.abspath(run), bucket, prefix))
    for line in _lines(_journal_of(path)):
        _replay(state, line)
    return state


def _find(log_dir: Path, owner: Owner) -> tuple[Path, State]:
    """Return the place of a record, and what it says without its journal."""
    run, bucket, prefix = owner
    name = os.path.basename(run)
    plain = log_dir / "uploads" / f"{name}{SUFFIX}"
    state = _read(plain)
    if state is None:
        return plain, State(*owner)
    if state.unclaimed and state.run == run:
        state.bucket, state.prefix = bucket, prefix
    if (state.run, state.bucket, state.prefix) == owner:
        return plain, state
    digest = hashlib.sha256("\0".join(owner).encode(errors="surrogateescape")).hexdigest()
    path = plain.with_name(f"{name}.{digest[:12]}{SUFFIX}")
    return path, _read(path) or State(*owner)


def _journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}l")


def _locked(path: Path, owner: Owner) -> int:
    """Open a journal and lock it. It is never deleted: the lock is on the file, not on its name."""
    journal = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(journal)
        run, bucket, prefix = owner
        raise ExistsError(
            f"{run}: is being uploaded to s3://{bucket}/{prefix} by another process",
            "let it finish",
        ) from None
    return journal


def _read(path: Path) -> State | None:
    """Return what a record says; None where there is none, or none that can be used."""
    try:
        return _parse(json.loads(path.read_bytes()), path)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError):
        _log.warning("%s: not a record of an upload, perhaps cut short; begun anew", path)
        return None


def _parse(table: Mapping[str, Any], path: Path) -> State:
    run, ours = os.path.abspath(table["run_path"]), table.get("bams3")
    state = State(run, "", "", completed=table["completed"] is True, exists=True)
    state.local_files = int(table["total_local_files"])
    if ours is None:
        state.unclaimed = True
        state.inherited_ns = path.stat().st_mtime_ns
        for name, etag in table["uploaded_files"].items():
            inside = os.path.relpath(name, run) if os.path.isabs(name) else name
            state.stored[inside] = Stored(-1, -1, str(etag))
        return state
    state.bucket, state.prefix = ours["bucket"], ours["prefix"]
    state.inherited_ns, state.failed = ours["inherited_ns"], dict(ours["failed"])
    state.stored = {path: Stored(**stored) for path, stored in ours["files"].items()}
    return state


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _replay(state: State, line: str) -> None:
    """Apply a line of the journal; one that was torn by a kill says nothing."""
    try:
        entry = json.loads(line)
        path = entry.pop("path")
        if entry.get("forgotten"):
            state.stored.pop(path, None)
        else:
            state.stored[path] = Stored(**entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    state.completed = False
