"""The dated log of the monitor: `LOG_DIR/s3_upload.log.YYYY-MM-DD`, five days of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

FORMAT = "%(asctime)s [%(module)s] %(levelname)s: %(message)s"
KEPT = 5
"""Days."""
_NAME = "s3_upload.log"
_log = logging.getLogger(__name__)


@contextmanager
def logging_to(log_dir: Path, level: int, console: logging.Handler | None) -> Iterator[Path]:
    """Send what bams3 logs to today's file, and to a console; old files are deleted.

    Args:
        log_dir: Where the file is; made if it is missing.
        level: Lowest level that is logged.
        console: A second place; None for none.

    Returns:
        The path of the file.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    path = log_dir / f"{_NAME}.{date.today().isoformat()}"
    handlers = [logging.FileHandler(path, encoding="utf-8"), *([console] if console else [])]
    logger = logging.getLogger("bams3")
    before = logger.level
    logger.setLevel(level or logging.DEBUG)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(handler)
    try:
        prune(log_dir)
        yield path
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
        handlers[0].close()


def size_text(count: float) -> str:
    """Return a number of bytes as s3_upload writes it: `1.18MB`, in powers of 1024."""
    for unit in ("", "K", "M", "G", "T", "P", "E", "Z"):
        if count < 1024:
            return f"{count:.2f}{unit}B"
        count /= 1024
    return f"{count:.2f}YiB"


def prune(log_dir: Path, now: float | None = None) -> None:
    """Delete logs that nobody has written to for five days."""
    oldest = (time.time() if now is None else now) - KEPT * 86400
    for path in log_dir.glob(f"{_NAME}.*"):
        try:
            if path.stat().st_mtime < oldest:
                path.unlink()
        except OSError as error:
            _log.error("%s: cannot be deleted: %s", path, error.strerror)
