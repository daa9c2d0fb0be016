"""Say what of a deployment is there, what is missing or wrong, and what went wrong lately."""

from __future__ import annotations

from dataclasses import dataclass

from bams3.cloud.aws import Aws
from bams3.cloud.logs import Logs
from bams3.cloud.queue import DeadLetter, Queue
from bams3.cloud.resource import Found
from bams3.cloud.resources import every

OPTIONAL = ("layer", "trigger")
"""What a deployment may go without."""


@dataclass(frozen=True, slots=True)
class Status:
    """A deployment as it is.

    Attributes:
        found: What is there.
        missing: Kinds and names of what is not.
        errors: What the function last complained of, at most five of the last day.
        dead_letters: Some of the events that were given up.
    """

    found: tuple[Found, ...]
    missing: tuple[tuple[str, str], ...]
    errors: tuple[str, ...]
    dead_letters: tuple[DeadLetter, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all is there, and as it should be."""
        return not self.missing and not any(found.wrong for found in self.found)


def status(aws: Aws, name: str) -> Status:
    """Look at a deployment; nothing is changed.

    Raises:
        ExistsError: Something of that name is somebody else's.
        UsageError, PermissionDenied, StorageError: See `Aws`.
    """
    place = aws.deployment(name)
    looked = [(resource, resource.look()) for resource in every(aws, place)]
    missing = [(r.kind, r.name) for r, found in looked if not found and r.kind not in OPTIONAL]
    logs, queue = Logs(aws, place), Queue(aws, place)
    kinds = {found.kind for _, found in looked if found}
    return Status(
        tuple(found for _, found in looked if found),
        tuple(missing),
        tuple(logs.errors() if logs.kind in kinds else ()),
        tuple(queue.letters() if queue.kind in kinds else ()),
    )
