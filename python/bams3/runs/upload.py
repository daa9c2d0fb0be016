"""Upload one run: files, then markers, then a manifest that says what there is.

Nothing is published before everything that it speaks of is in the bucket: markers go up when all
files are there and a listing of the bucket has confirmed them, the manifest when the folder has not
changed since. Files that change or appear meanwhile are uploaded again; files that vanish are not
missed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bams3.errors import InputError, NotFoundError
from bams3.runs.files import MANIFEST, Exclude, Listing, RunFile, list_run, prefix_of
from bams3.runs.illumina import RUN_INFO, Rules, completion, is_run, read_run
from bams3.runs.place import Outcome, Place
from bams3.runs.state import Record, State, Stored
from bams3.storage.objects import ObjectInfo, crc_text
from bams3.transfer.settings import Exists, Unfinished

ROUNDS = 4
"""How often the folder is looked at again while it changes."""
_EXISTS: tuple[Exists, ...] = ("overwrite", "skip-identical")
_UNSETTLED = "it, or its object, changed whenever it was uploaded"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What to upload.

    Attributes:
        run: The run folder.
        remote_path: Folder in the bucket; the name of the run is appended.
        log_dir: Where the record of the run is kept.
        exclude: Files that stay out.
        rules: When the run is complete.
    """

    run: Path
    remote_path: str
    log_dir: Path
    exclude: Exclude = field(default_factory=Exclude)
    rules: Rules = field(default_factory=Rules)

    @property
    def prefix(self) -> str:
        """What all keys begin with."""
        return prefix_of(self.remote_path, self.run)


@dataclass(slots=True)
class Summary:
    """What an upload came to.

    Attributes:
        run: Path of the run.
        destination: Address of the run in the bucket.
        completed: Whether everything is there, and published.
        files: Files in the run that belong in the bucket.
        uploaded: Files that this call uploaded, repetitions included.
        bytes: Their bytes.
        failed: What could not be uploaded, and why.
        gone: Files that were uploaded once and have vanished from the folder.
        links: Links that were not followed, and their targets.
        passed_over: Sockets, pipes and devices.
        seconds: Wall time.
    """

    run: str
    destination: str
    completed: bool = False
    files: int = 0
    uploaded: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    seconds: float = 0.0


Watch = Callable[[Summary], None]
"""Called now and then with what has been done so far, from any thread."""


def check_complete(run: Path, rules: Rules) -> None:
    """Check that a directory is a complete run.

    Raises:
        NotFoundError: There is no such directory.
        InputError: It is no run, or not a complete one.
    """
    check_directory(run)
    if not is_run(run):
        raise InputError(f"{run}: not a run: no {RUN_INFO}", "--skip_check uploads any directory")
    found = completion(run, rules)
    if not found.complete:
        raise InputError(f"{run}: {found.reason}", "wait, or --follow, or --skip_check")


def check_directory(run: Path) -> None:
    """Check that a directory is there. Raises NotFoundError."""
    if not run.is_dir():
        raise NotFoundError(f"{run}: no such directory")


def upload_run(job: Job, place: Place, watch: Watch | None = None) -> Summary:
    """Upload a run, or what is missing of it, and publish it.

    Files that could not be uploaded are in the summary, and then nothing is published.

    Raises:
        NotFoundError: There is no such directory.
        ExistsError: Another process is uploading it.
        StorageError: The bucket cannot be read or written.
    """
    check_directory(job.run)
    with Uploader(job, place, watch) as uploader:
        return uploader.finish()


class Uploader:
    """The upload of one run, held by this process until the end of the `with` block."""

    def __init__(self, job: Job, place: Place, watch: Watch | None = None) -> None:
        self._job = job
        self._place = place
        self._watch = watch
        self._prefix = job.prefix
        self._record = Record(job.log_dir, job.run, place.bucket, self._prefix)
        self._remote: dict[str, ObjectInfo] = {}
        self._began = time.monotonic()
        self.summary = Summary(
            os.path.abspath(job.run), f"s3://{place.bucket}/{self._prefix.rstrip('/')}"
        )

    @property
    def _state(self) -> State:
        return self._record.state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._record.save()
        self._record.close()

    def advance(self, min_age: float, now: float) -> None:
        """Upload what no longer seems to change, and no markers; failures are tried again later.

        Args:
            min_age: Seconds since the last change of a file.
            now: Seconds since 1970.
        """
        before = int((now - min_age) * 1e9)
        listing = self._look()
        self._confirm(listing.all_files())
        for group in (listing.first, listing.files):
            self._send([file for file in group if file.mtime_ns <= before])
        self._record.save()

    def finish(self) -> Summary:
        """Upload everything, verify it, publish it."""
        self._confirm(self._look().all_files())
        for attempt in range(ROUNDS):
            # An unfinished upload of an earlier version of a file cannot be taken up.
            unfinished: Unfinished = "restart" if attempt else "resume"
            listing = self._look()
            if self._send_all(listing, unfinished) and self._look() == listing:
                return self._publish(listing)
        return self._give_up()

    def _send_all(self, listing: Listing, unfinished: Unfinished) -> bool:
        """Upload files, confirm them, then markers one after the other; False at a failure."""
        sent = [self._send(group, unfinished) for group in (listing.first, listing.files)]
        if not all(sent) or not self._confirm([*listing.first, *listing.files]) or listing.failed:
            return False
        return all(self._send([marker], unfinished) for marker in listing.markers)

    def _look(self) -> Listing:
        listing = list_run(self._job.run, self._job.exclude, self._job.rules)
        here = {file.path for file in listing.all_files()}
        if RUN_INFO in self._state.stored.keys() - here and not self._job.exclude(RUN_INFO):
            # A file system that is not mounted any more looks like a run without files.
            listing.failed[RUN_INFO] = "has vanished, so that the rest of the run may have too"
        self._state.local_files = self.summary.files = len(here)
        self.summary.links, self.summary.passed_over = listing.links, listing.passed_over
        self.summary.failed = dict(listing.failed)
        self.summary.gone = sorted(self._state.stored.keys() - here)
        return listing

    # ---- sending ---------------------------------------------------------------------------------

    def _send(self, files: Sequence[RunFile], unfinished: Unfinished = "resume") -> bool:
        """Upload those files that are not yet there; return whether all are now."""
        pending = [file for file in files if not self._state.has(file)]
        if pending:
            self._unpublish()
        by_key = {self._prefix + file.path: file for file in pending}

        def done(key: str, outcome: Outcome) -> None:
            self._note(by_key[key], outcome)

        # Only where there is an object already is it worth a request to compare first.
        for exists in _EXISTS:
            there = exists == "skip-identical"
            group = [
                (self._local(by_key[k].path), k) for k in by_key if (k in self._remote) == there
            ]
            if group:
                self._place.send(group, exists, unfinished, done)
        return all(self._state.has(file) for file in pending)

    def _note(self, file: RunFile, outcome: Outcome) -> None:
        if outcome.error is not None:
            _log.warning("%s: not uploaded: %s", self._local(file.path), outcome.error)
            self.summary.failed[file.path] = str(outcome.error)
            return
        if outcome.size != file.size:
            return  # changed since it was listed: the next round uploads it again
        crc = None if outcome.crc64nvme is None else crc_text(outcome.crc64nvme)
        self._record.add(file.path, Stored(file.size, file.mtime_ns, outcome.etag, crc))
        if not outcome.skipped:
            self.summary.uploaded += 1
            self.summary.bytes += file.size
        self._show()

    def _local(self, path: str) -> Path:
        return Path(self.summary.run, path)

    def _show(self) -> None:
        self.summary.seconds = time.monotonic() - self._began
        if self._watch:
            self._watch(self.summary)

    # ---- what the bucket has ---------------------------------------------------------------------

    def _confirm(self, files: Iterable[RunFile]) -> bool:
        """Compare the record with a listing of the bucket; forget what is not as it should be.

        Returns:
            Whether all `files` are there, as they are in the folder.
        """
        self._remote = remote = {entry.key: entry for entry in self._place.list(self._prefix)}
        here = {file.path: file for file in files}
        for path, stored in list(self._state.stored.items()):
            entry, file = remote.get(self._prefix + path), here.get(path)
            if entry is None or not _is_object_of(stored, entry):
                self._record.forget(path)
            elif stored.size < 0 and file and file.size == entry.size:
                # Uploaded by s3_upload, and not changed since it said so.
                if file.mtime_ns < self._state.inherited_ns:
                    self._record.add(path, Stored(file.size, file.mtime_ns, stored.etag))
        return all(self._state.has(file) for file in here.values())

    # ---- the end ---------------------------------------------------------------------------------

    def _unpublish(self) -> None:
        """Take away the manifest of an earlier upload: it does not speak of what comes now."""
        if self._state.completed:
            self._state.completed = False
            self._record.save()
        if self._remote.pop(self._prefix + MANIFEST, None):
            self._place.delete(self._prefix + MANIFEST)

    def _publish(self, listing: Listing) -> Summary:
        if self._prefix + MANIFEST not in self._remote:
            content = json.dumps(self._manifest(listing), indent=1).encode()
            self._place.put(self._prefix + MANIFEST, content)
        self._state.completed, self._state.failed = True, {}
        self.summary.completed, self.summary.failed = True, {}
        self._show()
        return self.summary

    def _give_up(self) -> Summary:
        if not self.summary.failed:
            listing = self._look()
            for group in ([*listing.first, *listing.files], listing.markers):
                pending = [file.path for file in group if not self._state.has(file)]
                self.summary.failed |= dict.fromkeys(pending, _UNSETTLED)
                if pending:
                    break
        self._state.completed, self._state.failed = False, dict(self.summary.failed)
        self._show()
        return self.summary

    def _manifest(self, listing: Listing) -> dict[str, Any]:
        import bams3

        here = {file.path for file in listing.all_files()}
        entries = [
            {"path": path, **asdict(stored)} for path, stored in sorted(self._state.stored.items())
        ]
        return {
            "format": "bams3-run-manifest",
            "version": 1,
            "run": os.path.basename(self.summary.run),
            "run_info": _run_info(self._job.run),
            "published": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": f"bams3 {bams3.__version__}",
            "total_files": len(here),
            "total_bytes": sum(file.size for file in listing.all_files()),
            "files": [entry for entry in entries if entry["path"] in here],
            "only_remote": [entry for entry in entries if entry["path"] not in here],
            "empty_directories": listing.empty,
            "links": listing.links,
            "passed_over": listing.passed_over,
            "exclude_patterns": list(self._job.exclude.patterns),
            "excluded_files": listing.excluded,
        }


def _run_info(run: Path) -> dict[str, str] | None:
    """Return what the XML files of a run say, where there are any that can be read."""
    try:
        return asdict(read_run(run))
    except InputError:
        return None


def _is_object_of(stored: Stored, entry: ObjectInfo) -> bool:
    """Return whether an object in the bucket is the one that was uploaded."""
    same = entry.etag.strip('"') == stored.etag.strip('"')
    return same and stored.size in (-1, entry.size)
