"""One object down."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from bams3.storage.bucket import Bucket
from bams3.storage.objects import CustomerKey
from bams3.transfer.settings import Outcome, Progress, Settings, Silent


def download(
    bucket: Bucket,
    key: str,
    destination: Path | BinaryIO,
    settings: Settings = Settings(),  # noqa: B008
    *,
    customer_key: CustomerKey | None = None,
    version_id: str = "",
    progress: Progress = Silent(),  # noqa: B008
) -> Outcome:
    """Download one object, all of it and proven, or leave no file of that name.

    Args:
        bucket: Where from.
        key: The key, whole and literal.
        destination: A file, a directory (the last part of the key is appended), or an open binary
            stream, which gets the bytes in order.
        settings: How; `unfinished` is about `.NAME.partial` with its `.NAME.progress`.
        customer_key: SSE-C key.
        version_id: An older version.
        progress: Is told how it goes.

    Raises:
        NotFoundError: There is no such object; nothing was made.
        FileExistsAlreadyError: There is a file (exit 11), from the start or by now.
        DownloadExistsError: There is an unfinished download (exit 12).
        PartSizeError: `settings.part_size` is not that of the download to be resumed (exit 8).
        DestinationUrlError: `.partial` and `.progress` are not for files of yours (exit 6).
        ExistsError: The object was replaced while it was read; start again.
        CorruptError: The bytes are not those of the object's checksum.
    """
    raise NotImplementedError
