"""Make what a deployment needs, and mend what is not as it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bams3.cloud.aws import Aws
from bams3.cloud.deployment import Settings
from bams3.cloud.layer import check_layer
from bams3.cloud.resources import wanted
from bams3.errors import UsageError

Told = Callable[[str, str, str], None]
"""Called with the kind and the name of a resource, and what was done with it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was done with a resource: created, mended or kept."""

    kind: str
    name: str
    done: str


def deploy(aws: Aws, name: str, settings: Settings, told: Told | None = None) -> list[Step]:
    """Make a deployment. What is there and as it should be is left alone.

    One that broke off is finished by the same call; nothing has to be removed first.

    Args:
        aws: Account and region.
        name: Of the deployment.
        settings: How it should be.
        told: Is told of each step.

    Raises:
        UsageError: Neither an image nor a layer was given, or a bad name.
        ExistsError: Something of that name is somebody else's, or has another form.
        InputError, NotFoundError: The layer is none.
        PermissionDenied, StorageError: AWS refuses or fails.
    """
    check_code(settings)
    place, steps = aws.deployment(name), []
    for resource in wanted(aws, place, settings):
        step = Step(resource.kind, resource.name, resource.ensure())
        steps.append(step)
        if told is not None:
            told(step.kind, step.name, step.done)
    return steps


def check_code(settings: Settings) -> None:
    """Check that there is code for the function. Raises UsageError, InputError, NotFoundError."""
    if settings.layer:
        check_layer(settings.layer)
    elif not settings.image:
        raise UsageError("the function needs code", "--image URI, or --layer FILE of `make layer`")
