"""Why each run folder is, or is not, picked up by the monitor."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bams3.errors import InputError
from bams3.runs.config import Config, Entry
from bams3.runs.files import prefix_of
from bams3.runs.illumina import RUN_INFO, completion
from bams3.runs.samplesheet import read_sheet, sample_names
from bams3.runs.state import load_state

Kind = Literal["new", "partial", "uploaded"]
Wrong = Literal["", "samples", "directory"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the monitor makes of one folder for one of its entries.

    Attributes:
        run: Path of the folder.
        entry: The section of the configuration.
        prefix: What its keys begin with.
        state: How much of it is in the bucket, as far as the record says.
        picked: Whether it will be uploaded.
        reason: Why, or why not.
        wrong: What somebody has to mend before it can be uploaded: the sample sheet, or a
            directory that cannot be read.
        inherited: Whether the record is one of s3_upload, which does not name the destination.
    """

    run: Path
    entry: Entry
    prefix: str
    state: Kind
    picked: bool
    reason: str
    wrong: Wrong = ""
    inherited: bool = False

    @property
    def destination(self) -> str:
        """Address of the run in the bucket."""
        return f"s3://{self.entry.bucket}/{self.prefix.rstrip('/')}"


def examine(config: Config, now: float | None = None) -> Iterator[Verdict]:
    """Yield what there is to say about each folder below the directories of a configuration.

    A folder that several entries lead to is spoken of once for each. Nothing is changed.

    A directory that cannot be read is spoken of too.
    """
    now = time.time() if now is None else now
    claimed: set[Path] = set()
    for entry in config.entries:
        for directory in entry.directories:
            for verdict in _below(Path(os.path.abspath(directory)), entry, config, now, claimed):
                if verdict.inherited:
                    claimed.add(verdict.run)
                yield verdict


def _below(
    directory: Path, entry: Entry, config: Config, now: float, claimed: set[Path]
) -> Iterator[Verdict]:
    try:
        names = sorted(e.name for e in os.scandir(directory) if e.is_dir())
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        yield Verdict(directory, entry, "", "new", False, reason, "directory")
        return
    for name in names:
        run = directory / name
        try:
            yield _examine(run, entry, config, now, run in claimed)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            yield Verdict(run, entry, prefix_of(entry.remote_path, run), "new", False, reason)


def _examine(run: Path, entry: Entry, config: Config, now: float, claimed: bool) -> Verdict:
    prefix = prefix_of(entry.remote_path, run)
    record = load_state(Path(config.log_dir), run, entry.bucket, prefix)
    # A record of s3_upload counts for the first entry that leads to the run.
    exists = record.exists and not (record.unclaimed and claimed)
    state: Kind = "new"
    if exists:
        state = "uploaded" if record.completed else "partial"
    inherited = exists and record.unclaimed

    def verdict(picked: bool, reason: str, wrong: Wrong = "") -> Verdict:
        return Verdict(run, entry, prefix, state, picked, reason, wrong, inherited)

    if state == "uploaded":
        return verdict(False, "uploaded")
    done = completion(run, config.rules, now)
    if not done.complete:
        return verdict(False, done.reason)
    hours = (now - (run / RUN_INFO).stat().st_mtime) / 3600
    if state == "new" and hours > config.max_age:
        reason = f"too old: {RUN_INFO} is {hours:.0f} h old, max_age is {config.max_age} h"
        return verdict(False, reason)
    try:
        lines = read_sheet(run)
        mismatch = _mismatch(sample_names(lines), entry) if entry.sample_regex else None
    except InputError as error:
        return verdict(False, error.message, "samples")
    if mismatch:
        return verdict(False, mismatch)
    begun = f", {len(record.stored)} files are uploaded" if state == "partial" else ""
    return verdict(True, f"{done.reason}{begun}")


def _mismatch(names: list[str], entry: Entry) -> str | None:
    """Return what is against a run by the names of its samples."""
    pattern = re.compile(entry.sample_regex or "")
    others = [name for name in names if not pattern.search(name)]
    if not others:
        return None
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"samples do not match {pattern.pattern!r}: {', '.join(others[:3])}{more}"
