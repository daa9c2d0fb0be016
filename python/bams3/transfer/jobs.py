"""Transfers by address: from whatever can be named to whatever can be named, one or many.

>>> from bams3.transfer.addresses import parse_s3, parse_source
>>> from bams3.transfer.jobs import Job, send
>>> send(parse_source("ftp://host/run.tar"), parse_s3("s3://lab/run.tar"), Job())  # doctest: +SKIP
Outcome(source='ftp://host/run.tar', destination='s3://lab/run.tar', ...)
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, InputError, KeyRejectedError, PermissionDenied
from bams3.storage.bucket import Bucket
from bams3.storage.objects import Attributes
from bams3.transfer.access import explained_write, find_object, key_missing, key_to_write
from bams3.transfer.addresses import FilePath, Remote, S3Object, Standard, Target
from bams3.transfer.addresses import Source as Address
from bams3.transfer.copy import copy
from bams3.transfer.download import download
from bams3.transfer.files import FileSource
from bams3.transfer.folder import Item, upload_many
from bams3.transfer.keys import GivenKey
from bams3.transfer.settings import Outcome, Progress, Settings, Silent
from bams3.transfer.sources import Source
from bams3.transfer.standard import StreamSource
from bams3.transfer.tree import Filter, Left, files_below, local_path, objects_below
from bams3.transfer.upload import upload

_AT_ONCE = 8
"""Objects under way at once, where many are transferred; they share slots and memory."""
_LEAST_MEMORY = 4 << 20

Pair: TypeAlias = "tuple[Address, S3Object | Target] | Left"
"""What is to go where; or what cannot."""


class Buckets:
    """Buckets that stay open from one object to the next."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, StorageOptions], Bucket] = {}
        self._lock = threading.Lock()

    def get(self, name: str, storage: StorageOptions) -> Bucket:
        """Return a bucket, which is opened once."""
        with self._lock:
            if (name, storage) not in self._open:
                self._open[name, storage] = Bucket(name, storage)
            return self._open[name, storage]

    def close(self) -> None:
        """Let go of all connections."""
        for bucket in self._open.values():
            bucket.close()
        self._open.clear()


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for, besides from where to where.

    Attributes:
        settings: How.
        storage: How to reach the stores.
        attributes: What objects are given; on a copy, over what the source has.
        key: Customer key (SSE-C) of the destination of an upload or copy, else of the source.
        source_key: Customer key of the source of a copy.
        version_id: Of the source.
        progress: Is told how it goes.
        buckets: Those that are open; `close` them at the end.
    """

    settings: Settings = field(default_factory=Settings)
    storage: StorageOptions = field(default_factory=StorageOptions)
    attributes: Attributes = field(default_factory=Attributes)
    key: GivenKey | None = None
    source_key: GivenKey | None = None
    version_id: str = ""
    progress: Progress = field(default_factory=Silent)
    buckets: Buckets = field(default_factory=Buckets, repr=False)

    def bucket(self, name: str) -> Bucket:
        """Return an open bucket."""
        return self.buckets.get(name, self.storage)

    def origin(self, name: str) -> Bucket:
        """Return the bucket of a copy's source, whose region is found out."""
        return self.buckets.get(name, replace(self.storage, region=None))

    def close(self) -> None:
        """Let go of all connections."""
        self.buckets.close()


def send(source: Address, target: S3Object, job: Job) -> Outcome:
    """Upload or, from S3, copy one object. Errors: see `upload` and `copy`."""
    opened = None if isinstance(source, S3Object) else _opened(source, job.storage)
    bucket = job.bucket(target.bucket)
    try:
        if isinstance(source, S3Object):
            return _copy(source, bucket, target.key, job)
        assert opened is not None
        return upload(
            opened, bucket, target.key, job.settings,
            attributes=job.attributes, customer_key=key_to_write(job.key, bucket, target.key),
            progress=job.progress,
        )  # fmt: skip
    except PermissionDenied as error:
        raise _denied(error, target, job) from error


def _denied(error: PermissionDenied, target: S3Object, job: Job) -> PermissionDenied:
    return explained_write(error, str(target)) if job.key else error


def _opened(source: Address, storage: StorageOptions) -> Source:
    if isinstance(source, Standard):
        return StreamSource()
    if isinstance(source, Remote):
        from bams3.transfer.remote import RemoteSource

        return RemoteSource(source, storage)
    assert isinstance(source, FilePath)
    return FileSource(source.path)


def _copy(source: S3Object, bucket: Bucket, key: str, job: Job) -> Outcome:
    origin = job.origin(source.bucket)
    info, source_key = find_object(origin, source.key, job.source_key, job.version_id)
    attributes = None
    if job.attributes != Attributes():
        tags = origin.tags(source.key, job.version_id) if info.tag_count else {}
        attributes = _over(replace(info.attributes, tags=tags), job.attributes)
    return copy(
        origin, source.key, bucket, key, job.settings, attributes=attributes,
        source_customer_key=source_key, customer_key=key_to_write(job.key, bucket, key),
        source_version=job.version_id, progress=job.progress,
    )  # fmt: skip


def _over(old: Attributes, new: Attributes) -> Attributes:
    """Return the attributes of a source with what was asked for laid over them."""
    return Attributes(
        content={**old.content, **new.content},
        metadata={**old.metadata, **new.metadata},
        tags={**old.tags, **new.tags},
        storage_class=new.storage_class or old.storage_class,
        acl=new.acl,
        sse=new.sse,
    )


def fetch(source: S3Object, target: Target, job: Job) -> Outcome:
    """Download one object. Errors: see `download`."""
    destination = sys.stdout.buffer if isinstance(target, Standard) else Path(target.path)
    bucket, customer_key = job.bucket(source.bucket), None
    if job.key:
        _, customer_key = find_object(bucket, source.key, job.key, job.version_id)
    try:
        return download(
            bucket, source.key, destination, job.settings, customer_key=customer_key,
            version_id=job.version_id, progress=job.progress,
        )  # fmt: skip
    except KeyRejectedError as error:
        raise error if job.key else key_missing(str(source)) from error


# ---- many ----------------------------------------------------------------------------------------
def folder_to_prefix(folder: Path, target: S3Object, wanted: Filter) -> Iterator[Pair]:
    """Yield what goes where when a folder goes up; its own name is not part of the keys."""
    prefix = _as_folder(target.key)
    for found in files_below(folder, wanted):
        if isinstance(found, Left):
            yield found
        else:
            yield FilePath(str(found[1])), S3Object(target.bucket, prefix + found[0])


def prefix_to_folder(source: S3Object, folder: Path, job: Job, wanted: Filter) -> Iterator[Pair]:
    """Yield what goes where when a prefix comes down."""
    for name, place in _below(source, job, wanted):
        try:
            yield place, FilePath(str(local_path(folder, name)))
        except InputError as error:
            yield Left(str(place), error)


def prefix_to_prefix(
    source: S3Object, target: S3Object, job: Job, wanted: Filter
) -> Iterator[Pair]:
    """Yield what goes where when a prefix is copied."""
    for name, place in _below(source, job, wanted):
        yield place, S3Object(target.bucket, _as_folder(target.key) + name)


def _below(source: S3Object, job: Job, wanted: Filter) -> Iterator[tuple[str, S3Object]]:
    for name, info in objects_below(job.bucket(source.bucket), _as_folder(source.key), wanted):
        yield name, S3Object(source.bucket, info.key)


def _as_folder(key: str) -> str:
    return key if not key or key.endswith("/") else f"{key}/"


def transfer_many(pairs: Iterable[Pair], job: Job, done: Callable[[Outcome], None]) -> None:
    """Transfer objects, several at once; one that fails does not stop the others.

    Local files that go up under one key go through `upload_many`.

    Args:
        pairs: What goes where.
        job: How; what is left of memory and slots is shared.
        done: Is told of each; `Outcome.error` where it failed.
    """
    if not (job.key and job.key.is_master):
        pairs = _sent_together(pairs, job, done)
    settings = job.settings
    shared = replace(
        job,
        settings=replace(
            settings,
            slots=max(settings.slots // _AT_ONCE, 1),
            memory=max(settings.memory // _AT_ONCE, _LEAST_MEMORY),
            limit_rate=settings.limit_rate and max(settings.limit_rate // _AT_ONCE, 1),
        ),
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for outcome in pool.map(lambda pair: _attempted(pair, shared), pairs):
            done(outcome)


def _sent_together(pairs: Iterable[Pair], job: Job, done: Callable[[Outcome], None]) -> list[Pair]:
    """Upload the local files among the pairs, and return the others."""
    files: dict[str, list[Item]] = {}
    others: list[Pair] = []
    for pair in pairs:
        if not isinstance(pair, Left):
            source, target = pair
            if isinstance(source, FilePath) and isinstance(target, S3Object):
                files.setdefault(target.bucket, []).append(Item(Path(source.path), target.key))
                continue
        others.append(pair)
    for name, items in files.items():
        upload_many(
            items, job.bucket(name), job.settings, done, attributes=job.attributes,
            customer_key=job.key.secret if job.key else None, progress=job.progress,
        )  # fmt: skip
    return others


def _attempted(pair: Pair, job: Job) -> Outcome:
    if isinstance(pair, Left):
        return Outcome(pair.path, "", 0, error=pair.error)
    source, target = pair
    try:
        if isinstance(target, S3Object):
            return send(source, target, job)
        assert isinstance(source, S3Object)
        if isinstance(target, FilePath) and not job.settings.dry_run:
            _make_folder(Path(target.path).parent)
        return fetch(source, target, job)
    except Bams3Error as error:
        return Outcome(str(source), str(target), 0, error=error)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
