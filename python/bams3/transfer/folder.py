"""Many files up, over one set of connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey
from bams3.transfer.settings import Outcome, Progress, Settings, Silent, Totals


@dataclass(frozen=True, slots=True)
class Item:
    """A file and its key; `attributes` None for those of all."""

    path: Path
    key: str
    attributes: Attributes | None = field(default=None, repr=False)


def upload_many(
    items: Iterable[Item],
    bucket: Bucket,
    settings: Settings = Settings(),  # noqa: B008
    done: Callable[[Outcome], None] = lambda _: None,
    *,
    attributes: Attributes = Attributes(),  # noqa: B008
    customer_key: CustomerKey | None = None,
    progress: Progress = Silent(),  # noqa: B008
) -> Totals:
    """Upload files, the biggest first; small files and parts of big ones share the connections.

    A file that fails does not stop the others.

    Args:
        items: What goes where; read to the end before anything is sent.
        bucket: Where to.
        settings: How; `exists` and `unfinished` hold for each file.
        done: Is told of each file as it is finished, skipped or has failed (`Outcome.error`);
            called from one thread at a time.
        attributes: What each object is given.
        customer_key: SSE-C key of all.
        progress: Is told how it goes.

    Returns:
        The totals; `failed` counts the files that are not there.

    Raises:
        KeyboardInterrupt: Was interrupted; finished files stay, unfinished uploads can be resumed.
    """
    raise NotImplementedError
