"""One monitor at a time: an advisory lock on `LOG_DIR/s3_upload.lock`, as s3_upload takes it.

The kernel lets go of it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bams3.errors import ExistsError, PermissionDenied

NAME = "s3_upload.lock"


class BusyError(ExistsError):
    """Another process holds the lock."""


@contextmanager
def monitor_lock(log_dir: Path) -> Iterator[None]:
    """Hold the lock; the directory is made where it is missing.

    Raises:
        BusyError: Another process holds it.
        PermissionDenied: The directory cannot be made or written.
    """
    path = log_dir / NAME
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise PermissionDenied(
            f"{log_dir}: cannot be written: {error.strerror}", "choose another log_dir"
        ) from error
    try:
        _take(lock, path)
        yield
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 1000, 0).decode(errors="replace").strip()
        raise BusyError(f"{path}: {holder or 'held by another process'}") from None
    os.ftruncate(lock, 0)
    now = datetime.now().strftime("%H:%M:%S")
    text = f"file lock acquired from running upload at {now} from process {os.getpid()}"
    os.pwrite(lock, text.encode(), 0)
