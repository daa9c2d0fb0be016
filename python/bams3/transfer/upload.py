"""One object up."""

from __future__ import annotations

from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey
from bams3.transfer.settings import Outcome, Progress, Settings, Silent
from bams3.transfer.sources import Source


def upload(
    source: Source,
    bucket: Bucket,
    key: str,
    settings: Settings = Settings(),  # noqa: B008
    *,
    attributes: Attributes = Attributes(),  # noqa: B008
    customer_key: CustomerKey | None = None,
    progress: Progress = Silent(),  # noqa: B008
) -> Outcome:
    """Upload one source to one key: all of it, proven, or not at all.

    An unfinished upload to the key is taken up (`settings.unfinished="resume"`): its part size is
    adopted, its parts are kept after their checksums were compared with the source.

    Args:
        source: What to upload; it has been opened, so it exists.
        bucket: Where to.
        key: The key, whole and literal.
        settings: How.
        attributes: Content type, metadata, tags, ...
        customer_key: SSE-C key.
        progress: Is told how it goes.

    Returns:
        What came of it; `skipped` where an existing object was left alone.

    Raises:
        ObjectExistsError: There is an object (exit 3).
        UploadExistsError: There is an unfinished upload (exit 4).
        ManyUploadsExistError: There are several (exit 13).
        PartSizeError: `settings.part_size` is not that of the upload to be resumed (exit 8).
        InputError: The source changed or ended early; nothing was completed.
        CorruptError: The object is not what was sent. It is not left in place.
    """
    raise NotImplementedError
