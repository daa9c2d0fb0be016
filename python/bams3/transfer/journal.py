"""Which parts of a download are on disk: `.NAME.progress` beside `.NAME.partial`.

The first line is JSON that says of which object, the others are a part each: number and CRC64NVME
in hex. A line is added after the bytes of its part are written; a torn last line is left out, and
what is recorded is compared with the disk again before it is believed. Anything else in the file
(S3AM's binary records among it) counts as nothing recorded.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from bams3.errors import DownloadExistsError

_FORMAT = "bams3-download-1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is being downloaded."""

    etag: str
    size: int
    part_size: int


class Journal:
    """The open record of one download; only one process can have it open.

    Attributes:
        wanted: What the file said; None where it was new or not understood.
        recorded: CRC64NVME by part number, as the file said.
    """

    def __init__(self, path: Path) -> None:
        """Open or create it, and read what is there.

        Raises:
            DownloadExistsError: Another process is at work on this download.
        """
        self._path = path
        self._guard = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise DownloadExistsError(f"{path}: another process is at work on it") from None
        self.wanted: Wanted | None = None
        self.recorded: dict[int, int] = {}
        self._read()

    def begin(self, wanted: Wanted, keep: bool) -> None:
        """Say what is being downloaded; unless `keep`, forget the parts."""
        if not keep:
            self.recorded = {}
            os.ftruncate(self._file, 0)
            self._write(json.dumps({"format": _FORMAT, **asdict(wanted)}))
        self.wanted = wanted

    def record(self, number: int, crc: int) -> None:
        """Note that a part is written."""
        with self._guard:
            self.recorded[number] = crc
            self._write(f"{number} {crc:016x}")

    def close(self, remove: bool = False) -> None:
        """Close it; `remove` it too."""
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _write(self, line: str) -> None:
        os.lseek(self._file, 0, os.SEEK_END)
        os.write(self._file, f"{line}\n".encode())

    def _read(self) -> None:
        with open(self._path, "rb") as file:
            first, *lines = file.read().split(b"\n")
        try:
            found = json.loads(first)
            if found.pop("format") != _FORMAT:
                return
            self.wanted = Wanted(**found)
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        # A line that was torn has no end; a new one must not be glued to it.
        torn = lines.pop() if lines else b""
        if torn:
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(torn))
        for line in lines:
            number, _, crc = line.partition(b" ")
            if number.isdigit() and len(crc) == 16:
                self.recorded[int(number)] = int(crc, 16)
