"""Many files compared with their objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bams3.errors import Bams3Error
from bams3.transfer.access import find_object
from bams3.transfer.addresses import FilePath, S3Object
from bams3.transfer.files import FileSource
from bams3.transfer.jobs import Job, Pair
from bams3.transfer.tree import Left
from bams3.transfer.verify import Verified, verify

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Audited:
    """A file, its object, and either what proves them the same or what speaks against it."""

    source: str
    destination: str
    same: Verified | None = None
    error: Bams3Error | None = None


def audit(
    pairs: Iterable[Pair], job: Job, advance: Callable[[int], None] = lambda _: None
) -> Iterator[Audited]:
    """Compare files with objects, several at once; yield what came of each, in their order.

    Args:
        pairs: Which file is to be which object.
        job: How to reach the store; customer key, version and slots.
        advance: Is told of bytes as they are compared.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda pair: _audited(pair, job, advance), pairs)


def _audited(pair: Pair, job: Job, advance: Callable[[int], None]) -> Audited:
    if isinstance(pair, Left):
        return Audited(pair.path, "", error=pair.error)
    local, place = pair
    assert isinstance(local, FilePath) and isinstance(place, S3Object)
    try:
        source, bucket = FileSource(local.path), job.bucket(place.bucket)
        info, customer_key = find_object(bucket, place.key, job.key, job.version_id)
        same = verify(
            source, bucket, info, customer_key=customer_key, version_id=job.version_id,
            slots=max(job.settings.slots // _AT_ONCE, 1), advance=advance,
        )  # fmt: skip
    except Bams3Error as error:
        return Audited(local.path, str(place), error=error)
    return Audited(local.path, str(place), same)
