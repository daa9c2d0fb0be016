"""The resources of a deployment, in the order in which they are made."""

from __future__ import annotations

from bams3.cloud.arrivals import Arrivals
from bams3.cloud.aws import Aws
from bams3.cloud.bucket import Bucket
from bams3.cloud.deployment import Deployment, Settings
from bams3.cloud.function import Function
from bams3.cloud.layer import Layer
from bams3.cloud.logs import Logs
from bams3.cloud.queue import Queue
from bams3.cloud.resource import Found, Resource
from bams3.cloud.role import Role
from bams3.cloud.table import Table

_ALL: tuple[type[Resource], ...] = (Bucket, Table, Queue, Logs, Role, Layer, Function, Arrivals)


def every(aws: Aws, place: Deployment) -> list[Resource]:
    """Return all that a deployment may have."""
    return [kind(aws, place) for kind in _ALL]


def wanted(aws: Aws, place: Deployment, settings: Settings) -> list[Resource]:
    """Return what a deployment with these settings has."""
    left_out = {Layer: not settings.layer, Arrivals: not settings.arrivals}
    return [kind(aws, place, settings) for kind in _ALL if not left_out.get(kind)]


def inventory(aws: Aws, place: Deployment) -> list[Found]:
    """Return what is there, and what it holds; nothing is changed."""
    looked = (resource.look() for resource in every(aws, place))
    return [found for found in looked if found is not None]
