"""Upload a run while the sequencer writes it.

Files that have not changed for a while go up as the run goes on. When the run is complete,
everything is compared once more, what was rewritten meanwhile goes up again, and only then the
markers and the manifest: the bucket never shows a run as complete before it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from bams3.errors import InputError, StorageError
from bams3.runs.illumina import completion
from bams3.runs.place import Place
from bams3.runs.upload import Job, Summary, Uploader, Watch, check_directory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a run that is followed is looked at; all in seconds.

    Attributes:
        min_age: Files that changed later than this are left for the next time.
        interval: Pause between two looks.
        limit: A run that is not complete after so long is given up.
    """

    min_age: float = 300.0
    interval: float = 120.0
    limit: float = 72 * 3600.0


def follow_run(
    job: Job,
    place: Place,
    timing: Timing,
    watch: Watch | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Upload a run until it is complete, then publish it.

    Failures while it goes on are tried again at the next look.

    Raises:
        NotFoundError: There is no such directory.
        ExistsError: Another process is uploading it.
        InputError: It is not complete after `timing.limit`; nothing was published.
        StorageError: The bucket cannot be read or written at the end.
    """
    check_directory(job.run)
    began = time.monotonic()
    with Uploader(job, place, watch) as uploader:
        while not (state := completion(job.run, job.rules)).complete:
            if time.monotonic() - began >= timing.limit:
                raise InputError(
                    f"{job.run}: given up after {timing.limit / 3600:.3g} h: {state.reason}",
                    "no marker and no manifest was uploaded; the same command goes on from here",
                )
            _log.info("%s: %s", job.run, state.reason)
            try:
                uploader.advance(timing.min_age, time.time())
            except StorageError as error:
                _log.warning("%s: %s; will be tried again", job.run, error)
            sleep(timing.interval)
        return uploader.finish()
