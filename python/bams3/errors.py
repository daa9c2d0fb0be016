"""The error tree, grouped by what a caller would do about it.

Bams3Error                        kind "error"            exit 1
├── InputError                    kind "input"            exit 1   malformed, or changed: mend it
├── CorruptError                  kind "corrupt"          exit 1   stored bytes fail their checks
├── NotFoundError                 kind "not-found"        exit 1   (FileNotFoundError)
├── ExistsError                   kind "exists"           exit 1   (FileExistsError)
│   ├── ObjectExistsError         kind "object-exists"    exit 3   nobody said what to do then
│   ├── UploadExistsError         kind "upload-exists"    exit 4   one unfinished upload
│   ├── FileExistsAlreadyError    kind "file-exists"      exit 11  nobody said what to do then
│   ├── DownloadExistsError       kind "download-exists"  exit 12  an unfinished download
│   └── ManyUploadsExistError     kind "uploads-exist"    exit 13  several unfinished uploads
├── StorageError                  kind "storage"          exit 1   (OSError) the store failed
│   ├── PermissionDenied          kind "denied"           exit 14  (PermissionError) not allowed
│   └── ChangedError              kind "changed"          exit 1   replaced while it was read
├── KeyRejectedError              kind "encryption-key"   exit 10  SSE-C: wrong, missing, needless
├── RegionError                   kind "region"           exit 1   (ValueError) no such region
├── CallError                     kind "call"             exit 1   a caller failed: rerun that
│   └── TooLargeError             kind "too-large"        exit 1   a shard exceeds time or memory
├── VersionError                  kind "version"          exit 1   written by a newer format
└── UsageError                    kind "usage"            exit 2   (ValueError) the call is wrong
    ├── SourceUrlError            kind "source-url"       exit 5   not a source
    ├── DestinationUrlError       kind "destination-url"  exit 6   not a destination
    ├── S3UrlError                kind "s3-url"           exit 7   not s3://BUCKET/KEY
    ├── PartSizeError             kind "part-size"        exit 8   not that of the parts there
    └── ChecksumNameError         kind "checksum-name"    exit 9   no such algorithm

0 is success, a skip that was asked for included; 130 interrupted. The table is append-only: 3 to 14
are what `s3am` has always answered with.
"""

from __future__ import annotations

from typing import ClassVar


class Bams3Error(Exception):
    """Base of all errors of bams3: what happened, to what, and a hint what to do.

    Attributes:
        message: What happened, to what.
        hint: What to do.
        status: The HTTP status, where it was S3 that refused.
        code: The code that S3 gave then, such as `AccessDenied`; "" where it gave none.
    """

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    status: int | None = None
    code: str = ""

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
    """What was asked is not allowed, or there are no credentials."""

    kind = "denied"
    exit_code = 14


class ChangedError(StorageError):
    """The object was replaced by another version while it was read."""

    kind = "changed"


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


class SourceUrlError(UsageError):
    """The source is no address that can be read."""

    kind = "source-url"
    exit_code = 5


class DestinationUrlError(UsageError):
    """The destination is no address that can be written."""

    kind = "destination-url"
    exit_code = 6


class S3UrlError(UsageError):
    """Not an `s3://BUCKET/KEY` address."""

    kind = "s3-url"
    exit_code = 7


class PartSizeError(UsageError):
    """The part size asked for is not that of the transfer to be resumed."""

    kind = "part-size"
    exit_code = 8


class ChecksumNameError(UsageError):
    """There is no such checksum algorithm."""

    kind = "checksum-name"
    exit_code = 9


class KeyRejectedError(Bams3Error):
    """An encryption key is malformed, wrong, missing, or given for an object without one."""

    kind = "encryption-key"
    exit_code = 10


class ObjectExistsError(ExistsError):
    """There is an object at the destination."""

    kind = "object-exists"
    exit_code = 3


class UploadExistsError(ExistsError):
    """There is an unfinished upload to the destination."""

    kind = "upload-exists"
    exit_code = 4


class FileExistsAlreadyError(ExistsError):
    """There is a file at the destination."""

    kind = "file-exists"
    exit_code = 11


class DownloadExistsError(ExistsError):
    """There is an unfinished download to the destination."""

    kind = "download-exists"
    exit_code = 12


class ManyUploadsExistError(ExistsError):
    """There are several unfinished uploads to the destination."""

    kind = "uploads-exist"
    exit_code = 13
