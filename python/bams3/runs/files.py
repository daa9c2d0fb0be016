"""What of a run folder is uploaded, under which keys, and in which order.

Everything: dot files, names with brackets, empty files. Links to directories are not followed, but
recorded, like empty directories, in the manifest. What cannot be uploaded is reported, never
passed over in silence.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bams3.errors import UsageError
from bams3.runs.illumina import RUN_INFO, Rules, marker_rank
from bams3.runs.samplesheet import NAME as SHEET

MANIFEST = "bams3-manifest.json"
_FIRST = (RUN_INFO, "RunParameters.xml", "runParameters.xml")


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run; two that are equal have, as far as their times tell, the same content.

    Attributes:
        path: Path inside the run, with `/`.
        size: Bytes.
        mtime_ns: Time of its last change, nanoseconds since 1970.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Listing:
    """What there is in a run folder.

    Attributes:
        first: RunInfo, RunParameters, sample sheets.
        files: The others, largest first.
        markers: What to upload last, one after the other.
        empty: Directories without anything in them.
        links: Links that are not followed (to directories, or to nothing), and their targets.
        passed_over: Sockets, pipes and devices.
        failed: What cannot be read or named, and why.
        excluded: How many files the patterns leave out.
    """

    first: list[RunFile] = field(default_factory=list)
    files: list[RunFile] = field(default_factory=list)
    markers: list[RunFile] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    excluded: int = 0

    def all_files(self) -> list[RunFile]:
        """Return what is to be uploaded, in order."""
        return [*self.first, *self.files, *self.markers]


class Exclude:
    """Patterns of files that stay out: regular expressions, searched in the path inside the run.

    The path is tried with and without a slash before it, so that `^Data/`, `/Data/` and `Data/` all
    mean what they seem to.

    Raises:
        UsageError: A pattern is no regular expression.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self.patterns = tuple(patterns)
        try:
            self._compiled = [re.compile(pattern) for pattern in self.patterns]
        except re.error as error:
            raise UsageError(f"not a regular expression: {error.pattern!r}: {error}") from None

    def __call__(self, path: str) -> bool:
        """Return whether a path stays out."""
        return any(p.search(path) or p.search(f"/{path}") for p in self._compiled)


def list_run(run: Path, exclude: Exclude, rules: Rules) -> Listing:
    """List a run folder.

    Args:
        run: The folder.
        exclude: What stays out.
        rules: May name further markers.
    """
    listing = Listing()
    for file in _walk(str(run), "", exclude, listing):
        if marker_rank(file.path, rules):
            listing.markers.append(file)
        elif file.path in _FIRST or ("/" not in file.path and SHEET.match(file.path)):
            listing.first.append(file)
        else:
            listing.files.append(file)
    listing.first.sort(key=lambda file: (file.path not in _FIRST, file.path))
    listing.files.sort(key=lambda file: (-file.size, file.path))
    listing.markers.sort(key=lambda file: (marker_rank(file.path, rules), file.path))
    return listing


def _walk(run: str, folder: str, exclude: Exclude, listing: Listing) -> Iterator[RunFile]:
    try:
        with os.scandir(os.path.join(run, folder)) as entries:
            names = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if folder and isinstance(error, FileNotFoundError):
            return  # removed while we look
        listing.failed[folder or "."] = f"cannot be read: {error.strerror}"
        return
    if not names and folder and not exclude(f"{folder}/"):
        listing.empty.append(folder)
    for entry in names:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(run, path, exclude, listing)
        elif exclude(path):
            listing.excluded += 1
        elif path != MANIFEST and (file := _file(entry, path, listing)):
            yield file


def _file(entry: os.DirEntry[str], path: str, listing: Listing) -> RunFile | None:
    """Return a file, following a link to one; note what is none."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        listing.failed[shown] = "its name is not UTF-8, so that no object can have it"
        return None
    try:
        found = entry.stat()
    except FileNotFoundError:
        if entry.is_symlink():
            listing.links[path] = os.readlink(entry.path)
        return None
    except OSError as error:
        listing.failed[path] = f"cannot be read: {error.strerror}"
        return None
    if stat.S_ISREG(found.st_mode):
        return RunFile(path, found.st_size, found.st_mtime_ns)
    if entry.is_symlink():
        listing.links[path] = os.readlink(entry.path)
    else:
        listing.passed_over.append(path)
    return None


def run_name(run: Path) -> str:
    """Return the name of a run folder. Raises UsageError for the root of the file system."""
    name = os.path.basename(os.path.abspath(run))
    if not name:
        raise UsageError(f"{run}: has no name", "give the path of one run folder")
    return name


def prefix_of(remote_path: str, run: Path) -> str:
    """Return what the keys of a run begin with: `remote_path`, the name of the run, and a slash.

    Raises:
        UsageError: A part of `remote_path` is `.` or `..`.
    """
    parts = [part for part in remote_path.split("/") if part]
    if {".", ".."} & {*parts}:
        raise UsageError(f"remote_path {remote_path}: '.' and '..' are not allowed in keys")
    return "/".join([*parts, run_name(run)]) + "/"
