"""The bucket that runs are uploaded to: all that this package wants of the engine."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

from bams3.errors import PermissionDenied
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes, ObjectInfo, Reader
from bams3.transfer.folder import Item, upload_many
from bams3.transfer.settings import Exists, Outcome, Progress, Settings, Silent, Unfinished

__all__ = ["BucketPlace", "Done", "Outcome", "Place"]

_SILENT = Silent()

Done = Callable[[str, Outcome], None]
"""Is told the key of a file and what came of it, one at a time."""


class Place(Protocol):
    """A bucket, as the upload of runs uses it."""

    @property
    def bucket(self) -> str:
        """Its name."""

    def send(
        self, files: Sequence[tuple[Path, str]], exists: Exists, unfinished: Unfinished, done: Done
    ) -> None:
        """Upload files to keys, several at a time; a failure is an outcome with an error."""

    def put(self, key: str, data: bytes) -> None:
        """Write a small JSON object."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose keys begin with `prefix`."""

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""

    def check(self) -> None:
        """Check that the bucket is there. Raises NotFoundError, StorageError."""

    def close(self) -> None:
        """Let go of the connections."""


class BucketPlace:
    """A real bucket. See `Place` for the methods."""

    def __init__(self, bucket: Bucket, settings: Settings, progress: Progress = _SILENT) -> None:
        self._bucket = bucket
        self._progress = progress
        self._settings = settings
        self._may_list_uploads = True

    @property
    def bucket(self) -> str:
        """Its name."""
        return self._bucket.name

    def send(
        self, files: Sequence[tuple[Path, str]], exists: Exists, unfinished: Unfinished, done: Done
    ) -> None:
        """Upload files to keys."""
        keys = {self._bucket.url_of(key): key for _, key in files}
        items = [Item(path, key) for path, key in files]

        def told(outcome: Outcome) -> None:
            done(keys[outcome.destination], outcome)

        settings = replace(self._settings, exists=exists, unfinished=unfinished)
        if self._may_list_uploads:
            try:
                upload_many(items, self._bucket, settings, told, progress=self._progress)
                return
            except PermissionDenied:
                # Raised before anything is sent. Roles that may only put and list are common;
                # without that right there is nothing to take up.
                self._may_list_uploads = False
        settings = replace(settings, unfinished="fail")
        upload_many(items, self._bucket, settings, told, progress=self._progress)

    def put(self, key: str, data: bytes) -> None:
        """Write a small JSON object."""
        content = {"content-type": "application/json"}
        self._bucket.put(key, _Bytes(data), Attributes(content=content))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose keys begin with `prefix`."""
        return self._bucket.list(prefix)

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._bucket.delete(key)

    def check(self) -> None:
        """Check that the bucket is there."""
        self._bucket.region()

    def close(self) -> None:
        """Let go of the connections."""
        self._bucket.close()


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A body in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(cast(Reader, io.BytesIO(self.data)))
