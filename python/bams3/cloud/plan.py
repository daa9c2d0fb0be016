"""Say what `deploy` would make, what the function may do, and what it costs. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bams3.cloud.aws import Aws
from bams3.cloud.cost import Line, Workload, calling, keeping
from bams3.cloud.deployment import Settings
from bams3.cloud.policy import policy
from bams3.cloud.resource import Resource
from bams3.cloud.resources import wanted


@dataclass(frozen=True, slots=True)
class Planned:
    """A resource, and what `deploy` would do: "create", "mend: ...", or "keep"."""

    kind: str
    name: str
    todo: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be made.

    Attributes:
        resources: In the order in which they are made.
        policy: Of the function's role.
        once: What calling costs.
        monthly: What keeping costs.
    """

    resources: tuple[Planned, ...]
    policy: dict[str, Any]
    once: tuple[Line, ...]
    monthly: tuple[Line, ...]


def plan(aws: Aws, name: str, settings: Settings, load: Workload | None = None) -> Plan:
    """Plan a deployment; only what AWS calls reading is asked.

    Args:
        aws: Account and region.
        name: Of the deployment.
        settings: How it should be.
        load: What is to be called, for the cost; by default one genome at 30x.

    Raises:
        ExistsError, UsageError, PermissionDenied, StorageError: See `deploy`.
    """
    place, load = aws.deployment(name), load or Workload()
    return Plan(
        tuple(_planned(resource) for resource in wanted(aws, place, settings)),
        policy(place, settings),
        tuple(calling(settings, load)),
        tuple(keeping(load)),
    )


def _planned(resource: Resource) -> Planned:
    found = resource.look()
    if found is None:
        todo = "create"
    else:
        todo = f"mend: {', '.join(found.wrong)}" if found.wrong else "keep"
    return Planned(resource.kind, resource.name, todo)
