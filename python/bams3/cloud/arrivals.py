"""The S3 trigger: the function is told of reads that have arrived in the bucket, all of them.

What tells that reads are complete is what is written last: the index of BAM and CRAM, the manifest
of a dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bams3.cloud.function import Function
from bams3.cloud.resource import Aspect, Resource
from bams3.errors import NotFoundError

PREFIX = "samples/"
ENDINGS = (".bam.bai", ".bam.csi", ".cram.crai", ".bams3/_metadata.json")
_STATEMENT = "bams3-arrivals"


class Arrivals(Resource):
    """The bucket's notifications, and its permission to invoke the function."""

    kind = "trigger"

    def exists(self) -> bool:
        """Whether there is any part of it."""
        return self._permitted() or bool(self._ours())

    def create(self) -> None:
        """Do nothing: both parts are aspects."""

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be. The permission comes first: S3 tries it."""
        return (
            Aspect("permission", True, self._permitted, self._permit),
            Aspect("notifications", self._wanted(), lambda: _plain(self._ours()), self._notify),
        )

    # ---- the permission --------------------------------------------------------------------------
    def _permitted(self) -> bool:
        found = self.aws.find("lambda", "get_policy", FunctionName=self.name)
        return found is not None and _STATEMENT in found["Policy"]

    def _permit(self) -> None:
        self.aws.settle(
            "lambda", "add_permission", FunctionName=self.name, StatementId=_STATEMENT,
            Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
            SourceArn=f"arn:{self.place.partition}:s3:::{self.place.bucket}",
            SourceAccount=self.place.account,
        )  # fmt: skip

    # ---- the notifications -----------------------------------------------------------------------
    def _wanted(self) -> list[dict[str, Any]]:
        arn = Function(self.aws, self.place).arn
        return _plain(
            {
                "Id": f"{self.place.stem}-{number}",
                "LambdaFunctionArn": arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": _rules(ending)}},
            }
            for number, ending in enumerate(ENDINGS)
        )

    def _all(self) -> dict[str, Any]:
        found = self.aws.find(
            "s3", "get_bucket_notification_configuration", Bucket=self.place.bucket
        )
        return {key: value for key, value in (found or {}).items() if key != "ResponseMetadata"}

    def _ours(self) -> list[dict[str, Any]]:
        return [one for one in self._all().get(_KIND, ()) if self._is_ours(one)]

    def _is_ours(self, one: Mapping[str, Any]) -> bool:
        return str(one.get("Id", "")).startswith(f"{self.place.stem}-")

    def _notify(self) -> None:
        self._set(self._wanted())

    def _set(self, ours: list[dict[str, Any]]) -> None:
        """Set our notifications; those of others are kept."""
        there = self._all()
        there[_KIND] = [one for one in there.get(_KIND, ()) if not self._is_ours(one)] + ours
        self.aws.settle(
            "s3", "put_bucket_notification_configuration", Bucket=self.place.bucket,
            NotificationConfiguration={key: value for key, value in there.items() if value},
        )  # fmt: skip

    def counts(self) -> dict[str, int]:
        """Count notifications."""
        return {"notifications": len(self._ours())}

    def remove(self) -> None:
        """Remove both parts."""
        if self._ours():
            self._set([])
        if self._permitted():
            try:
                self.aws.settle(
                    "lambda", "remove_permission", FunctionName=self.name, StatementId=_STATEMENT
                )
            except NotFoundError:  # it went with the function
                pass


_KIND = "LambdaFunctionConfigurations"


def _rules(ending: str) -> list[dict[str, str]]:
    return [{"Name": "prefix", "Value": PREFIX}, {"Name": "suffix", "Value": ending}]


def _plain(notifications: Any) -> list[dict[str, Any]]:
    """Return notifications in one order and spelling: S3 writes Prefix for prefix."""
    found = []
    for one in notifications:
        rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
        named = [{"Name": rule["Name"].lower(), "Value": rule["Value"]} for rule in rules]
        rules = sorted(named, key=lambda rule: rule["Name"])
        found.append({**one, "Filter": {"Key": {"FilterRules": rules}}})
    return sorted(found, key=lambda one: str(one["Id"]))
