"""The error tree, grouped by what a caller would do about it.

Bams3Error                    kind "error"            exit 1
├── InputError                kind "input"            exit 1   the input is malformed: mend it
│   └── SourceChanged         kind "source-changed"   exit 1   it changed while it was read
├── CorruptError              kind "corrupt"          exit 1   stored bytes fail their checks
├── NotFoundError             kind "not-found"        exit 1   (FileNotFoundError) nothing there
├── ExistsError               kind "exists"           exit 1   (FileExistsError) already there
│   ├── ObjectExists          kind "object-exists"    exit 3   --exists says what to do
│   ├── UploadExists          kind "upload-exists"    exit 4   --resume or --force
│   │   └── MultipleUploadsExist  kind "uploads-exist"  exit 13  --force, or cancel
│   ├── FileExists            kind "file-exists"      exit 11  --file-exists says what to do
│   └── DownloadExists        kind "download-exists"  exit 12  --download-exists says what to do
├── StorageError              kind "storage"          exit 1   (OSError) the store failed
│   └── PermissionDenied      kind "denied"           exit 14  (PermissionError) not allowed
├── RegionError               kind "region"           exit 1   (ValueError) no such region or contig
├── VersionError              kind "version"          exit 1   written by a newer format
└── UsageError                kind "usage"            exit 2   (ValueError) the call is wrong
    ├── InvalidSourceURL      kind "source-url"       exit 5   not a source
    ├── InvalidDestinationURL kind "destination-url"  exit 6   not a destination
    ├── InvalidS3URL          kind "s3-url"           exit 7   not s3://BUCKET/KEY
    ├── IncompatiblePartSize  kind "part-size"        exit 8   other parts are there already
    ├── InvalidChecksumAlgorithm  kind "checksum-algorithm"  exit 9  not known here
    └── InvalidEncryptionKey  kind "encryption-key"   exit 10  missing, malformed or wrong

Exit 0 is success, a skip that was asked for included; 130 interrupted. The table is append-only:
3 to 14 are what `s3am` has always answered with.
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


class SourceChanged(InputError):
    """The source of a transfer changed while it was read, or since it was begun."""

    kind = "source-changed"


class CorruptError(Bams3Error):
    """Stored bytes fail their checks."""

    kind = "corrupt"


class NotFoundError(Bams3Error, FileNotFoundError):
    """There is no such object or dataset."""

    kind = "not-found"


class ExistsError(Bams3Error, FileExistsError):
    """Something is already there."""

    kind = "exists"


class ObjectExists(ExistsError):
    """The object exists, and nobody said what to do then."""

    kind = "object-exists"
    exit_code = 3


class UploadExists(ExistsError):
    """An unfinished upload of this object exists."""

    kind = "upload-exists"
    exit_code = 4


class MultipleUploadsExist(UploadExists):
    """Several unfinished uploads of this object exist."""

    kind = "uploads-exist"
    exit_code = 13


class FileExists(ExistsError):
    """The file exists, and nobody said what to do then."""

    kind = "file-exists"
    exit_code = 11


class DownloadExists(ExistsError):
    """An unfinished download of this file exists."""

    kind = "download-exists"
    exit_code = 12


class StorageError(Bams3Error, OSError):
    """The store failed, after retries."""

    kind = "storage"


class PermissionDenied(StorageError, PermissionError):
    """The credentials do not allow it."""

    kind = "denied"
    exit_code = 14


class RegionError(Bams3Error, ValueError):
    """No such region or contig, or text that is not a region."""

    kind = "region"


class VersionError(Bams3Error):
    """The dataset was written by a newer format."""

    kind = "version"


class UsageError(Bams3Error, ValueError):
    """The call is wrong."""

    kind = "usage"
    exit_code = 2


class InvalidSourceURL(UsageError):
    """Not the address of a source."""

    kind = "source-url"
    exit_code = 5


class InvalidDestinationURL(UsageError):
    """Not the address of a destination."""

    kind = "destination-url"
    exit_code = 6


class InvalidS3URL(UsageError):
    """Not an address of the form s3://BUCKET/KEY."""

    kind = "s3-url"
    exit_code = 7


class IncompatiblePartSize(UsageError):
    """The part size differs from that of the parts which are there."""

    kind = "part-size"
    exit_code = 8


class InvalidChecksumAlgorithm(UsageError):
    """No such checksum algorithm."""

    kind = "checksum-algorithm"
    exit_code = 9


class InvalidEncryptionKey(UsageError):
    """A customer key is missing, malformed or wrong."""

    kind = "encryption-key"
    exit_code = 10
