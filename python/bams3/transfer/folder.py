"""Many files up, over one set of connections."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, CustomerKey, Upload
from bams3.transfer import decide
from bams3.transfer.engine import Engine, Job
from bams3.transfer.files import FileSource
from bams3.transfer.plan import check_part_size
from bams3.transfer.settings import Outcome, Progress, Settings, Silent, Totals
from bams3.transfer.upload import ObjectUpload

_NOTHING, _SILENT, _USUAL = Attributes(), Silent(), Settings()


@dataclass(frozen=True, slots=True)
class Item:
    """A file and its key; `attributes` None for those of all."""

    path: Path
    key: str
    attributes: Attributes | None = field(default=None, repr=False)


def upload_many(
    items: Iterable[Item],
    bucket: Bucket,
    settings: Settings = _USUAL,
    done: Callable[[Outcome], None] = lambda _: None,
    *,
    attributes: Attributes = _NOTHING,
    customer_key: CustomerKey | None = None,
    progress: Progress = _SILENT,
) -> Totals:
    """Upload files, the biggest first; small files and parts of big ones share the connections.

    A file that fails does not stop the others.

    Args:
        items: What goes where; read to the end before anything is sent.
        bucket: Where to.
        settings: How; `exists` and `unfinished` hold for each file.
        done: Is told of each file as it is finished, skipped or has failed (`Outcome.error`);
            called from one thread at a time. What it raises ends everything.
        attributes: What each object is given.
        customer_key: SSE-C key of all.
        progress: Is told how it goes.

    Returns:
        The totals; `failed` counts the files that are not there.

    Raises:
        KeyboardInterrupt: Was interrupted; finished files stay, unfinished uploads can be resumed.
    """
    if settings.part_size is not None:
        check_part_size(settings.part_size)
    sized = sorted(((_size(item.path), item) for item in items), key=lambda pair: -pair[0])
    if not sized:
        return Totals()
    unfinished = _unfinished(bucket, [item.key for _, item in sized], settings)
    tally = _Tally(done)
    with Engine(settings, bucket) as engine:

        def job(item: Item) -> Job:
            def begin() -> None:
                try:
                    source = FileSource(item.path)
                except Exception as error:
                    url = bucket.url_of(item.key)
                    return tally.add(Outcome(str(item.path), url, 0, error=error))
                return ObjectUpload(
                    source, bucket, item.key, settings, item.attributes or attributes,
                    customer_key, progress, engine, tally.add, unfinished.get(item.key, ()),
                ).begin()  # fmt: skip

            return begin

        engine.add(job(item) for _, item in sized)
        engine.wait()
    return tally.totals()


class _Tally:
    """Counts outcomes and passes them on, one at a time."""

    def __init__(self, done: Callable[[Outcome], None]) -> None:
        self._done, self._guard = done, threading.Lock()
        self._started = time.monotonic()
        self._files = self._skipped = self._failed = self._bytes = 0

    def add(self, outcome: Outcome) -> None:
        with self._guard:
            self._files += 1
            self._skipped += outcome.skipped
            self._failed += outcome.error is not None
            if not (outcome.skipped or outcome.error):
                self._bytes += outcome.size
            self._done(outcome)

    def totals(self) -> Totals:
        seconds = time.monotonic() - self._started
        return Totals(self._files, self._skipped, self._failed, self._bytes, seconds)


def _size(path: Path) -> int:
    """Return the size for the order; whoever opens the file finds out what is wrong with it."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _unfinished(
    bucket: Bucket, keys: Sequence[str], settings: Settings
) -> Mapping[str, Sequence[Upload]]:
    """Return the unfinished uploads by key, listed once for all."""
    wanted, found = set(keys), defaultdict(list)
    prefix = os.path.commonprefix(keys)  # noqa: RUF071 - of characters, as S3 has it
    for upload in decide.uploads_below(bucket, prefix, settings.unfinished):
        if upload.key in wanted:
            found[upload.key].append(upload)
    return found
