"""The error tree, grouped by what a caller would do about it.

Bams3Error                 kind "error"        exit 1
├── InputError             kind "input"        exit 1   the input is malformed: mend it
├── CorruptError           kind "corrupt"      exit 1   stored bytes fail their checks
├── NotFoundError          kind "not-found"    exit 1   (FileNotFoundError) nothing there
├── ExistsError            kind "exists"       exit 1   (FileExistsError) already there
├── StorageError           kind "storage"      exit 1   (OSError) the store failed
│   └── PermissionDenied   kind "denied"       exit 14  (PermissionError) not allowed
├── RegionError            kind "region"       exit 1   (ValueError) no such region or contig
├── CallError              kind "call"         exit 1   a caller failed: rerun what is named
│   └── TooLargeError      kind "too-large"    exit 1   a shard exceeds time or memory: split it
├── VersionError           kind "version"      exit 1   written by a newer format
└── UsageError             kind "usage"        exit 2   (ValueError) the call is wrong
"""

from __future__ import annotations

from typing import ClassVar


class Bams3Error(Exception):
    """Base of all errors of bams3: what happened, to what, and a hint what to do."""

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(Bams3Error, ValueError):
    """The input is malformed."""

    kind = "input"


class CorruptError(Bams3Error):
    """Stored bytes fail their checks."""

    kind = "corrupt"


class NotFoundError(Bams3Error, FileNotFoundError):
    """There is no such object or dataset."""

    kind = "not-found"


class ExistsError(Bams3Error, FileExistsError):
    """Something is already there."""

    kind = "exists"


class StorageError(Bams3Error, OSError):
    """The store failed, after retries."""

    kind = "storage"


class PermissionDenied(StorageError, PermissionError):
    """The not allowed."""

    kind = "denied"
    exit_code = 14


class RegionError(Bams3Error, ValueError):
    """No such region or contig, or text that is not a region."""

    kind = "region"


class CallError(Bams3Error):
    """A variant caller failed, or calls of some shards are missing."""

    kind = "call"


class TooLargeError(CallError):
    """A shard does not fit into the time or memory of its worker."""

    kind = "too-large"


class VersionError(Bams3Error):
    """The dataset was written by a newer format."""

    kind = "version"


class UsageError(Bams3Error, ValueError):
    """The call is wrong."""

    kind = "usage"
    exit_code = 2
