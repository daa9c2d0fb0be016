"""One object from S3 to S3, on the server's side."""

from __future__ import annotations

from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey
from bams3.transfer.settings import Outcome, Progress, Settings, Silent


def copy(
    source: Bucket,
    source_key: str,
    bucket: Bucket,
    key: str,
    settings: Settings = Settings(),  # noqa: B008
    *,
    attributes: Attributes | None = None,
    source_customer_key: CustomerKey | None = None,
    customer_key: CustomerKey | None = None,
    source_version: str = "",
    progress: Progress = Silent(),  # noqa: B008
) -> Outcome:
    """Copy one object; no byte of it passes through this machine.

    Content headers, metadata, tags and storage class come along, unless `attributes` says
    otherwise. Regions and keys may differ (which re-encrypts). Errors as for `upload`, and
    `NotFoundError` for the source; `ExistsError` where it is replaced meanwhile.
    """
    raise NotImplementedError
