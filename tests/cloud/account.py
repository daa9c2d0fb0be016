"""Everything in an account, asked of each service by itself, and a client that breaks off."""

from __future__ import annotations

import functools
from typing import Any

import boto3

from bams3.cloud.aws import Aws

REGION = "eu-west-1"
READS = ("Get", "List", "Head", "Describe", "Filter", "Receive", "Scan")


@functools.cache
def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def everything() -> set[str]:
    """List all resources of the account, whoever made them."""
    functions = client("lambda").list_functions()["Functions"]
    layers = client("lambda").list_layers()["Layers"]
    groups = client("logs").describe_log_groups()["logGroups"]
    return {
        *(f"bucket {one['Name']}" for one in client("s3").list_buckets()["Buckets"]),
        *(f"table {one}" for one in client("dynamodb").list_tables()["TableNames"]),
        *(f"queue {one}" for one in client("sqs").list_queues().get("QueueUrls", ())),
        *(f"log group {one['logGroupName']}" for one in groups),
        *(f"role {one['RoleName']}" for one in client("iam").list_roles()["Roles"]),
        *(f"layer {one['LayerName']}" for one in layers),
        *(f"function {one['FunctionName']}" for one in functions),
    }


class Killed(BaseException):
    """The process is gone."""


class Watched(Aws):
    """Notes what is asked for, as boto3 sends it; may break off after so many changes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._left = -1
        self.session.events.register("after-call", self._after)

    @property
    def changes(self) -> list[str]:
        """What was asked for and is no reading."""
        return [name for name in self.asked if _changes(name)]

    def break_off_after(self, changes: int) -> None:
        self._left = changes

    def _after(self, model: Any, **_: Any) -> None:
        name = f"{model.service_model.service_name}.{model.name}"
        self.asked.append(name)
        self._left -= _changes(name)
        if self._left == 0:
            self._left = -1
            raise Killed


def _changes(name: str) -> bool:
    return not name.split(".")[1].startswith(READS)
