"""Remove a deployment: everything, and only what is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bams3.cloud.aws import Aws
from bams3.cloud.bucket import Bucket
from bams3.cloud.deployment import CODE_PREFIX, Deployment
from bams3.cloud.resource import Found, Resource
from bams3.cloud.resources import every, inventory
from bams3.cloud.table import Table
from bams3.errors import NotFoundError, StorageError


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a deployment.

    Attributes:
        before: What was there.
        after: What is there now: data that were to be kept.
    """

    before: tuple[Found, ...]
    after: tuple[Found, ...]


def look(aws: Aws, name: str) -> tuple[Found, ...]:
    """Return what of a deployment is there, and what it holds. Raises as `cleanup`."""
    return tuple(inventory(aws, aws.deployment(name)))


def cleanup(
    aws: Aws, name: str, *, data: bool = False, told: Callable[[str, str], None] | None = None
) -> Removed:
    """Remove a deployment; what is not there any more is passed over.

    Args:
        aws: Account and region.
        name: Of the deployment.
        data: Remove the data too: all versions of all objects in the bucket, and the calls in the
            table. Otherwise a bucket or a table that holds some is kept.
        told: Is told of each resource that was removed.

    Raises:
        ExistsError: Something of that name is somebody else's; nothing was removed.
        StorageError: Something is left although it was removed, or AWS fails.
        UsageError, PermissionDenied: See `Aws`.
    """
    place = aws.deployment(name)
    before = tuple(inventory(aws, place))
    there = {found.kind for found in before}
    for resource in reversed(every(aws, place)):
        if resource.kind in there and _remove(resource, data) and told is not None:
            told(resource.kind, resource.name)
    return Removed(before, _left(aws, place, data))


def _remove(resource: Resource, data: bool) -> bool:
    """Remove a resource, unless it holds data that are to be kept; return whether it went."""
    try:
        if not data and _holds_data(resource):
            return False
        resource.remove()
    except NotFoundError:  # it went meanwhile, or with another one
        pass
    return True


def _holds_data(resource: Resource) -> bool:
    if isinstance(resource, Bucket):
        resource.empty(CODE_PREFIX)
        return resource.holds_data()
    return isinstance(resource, Table) and resource.counts()["items"] > 0


def _left(aws: Aws, place: Deployment, data: bool) -> tuple[Found, ...]:
    """Return what is left, which can only be data."""
    after = tuple(inventory(aws, place))
    wrong = [found for found in after if data or found.kind not in (Bucket.kind, Table.kind)]
    if wrong:
        raise StorageError(
            f"{', '.join(f'{found.kind} {found.name}' for found in wrong)}: still there",
            f"bams3 cloud cleanup {place.name} again, in a minute",
        )
    return after
