"""The bucket that runs are uploaded to: all that this package wants of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Item:
    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    etag: str
    crc64nvme: str | None
    size: int
    skipped: bool
    error: Exception | None


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    size: int
    etag: str


Done = Callable[[Item, Outcome], None]


class Place(Protocol):
    """A bucket, as the upload of runs uses it."""

    @property
    def bucket(self) -> str:
        """Its name."""

    def send(self, items: Sequence[Item], done: Done) -> None:
        """Upload files in this order, several at a time; `done` learns of each, also of failures."""

    def put(self, key: str, data: bytes) -> None:
        """Write a small object."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield all objects whose keys begin with `prefix`."""

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""

    def check(self) -> None:
        """Check that the bucket is there and may be used. Raises StorageError."""
