"""The log group of the function: made before it, so that logs do not stay for ever."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bams3.cloud.resource import Aspect, Resource

_DAY = 86_400
_ERRORS = '?Traceback ?"[ERROR]" ?"Task timed out" ?"Runtime exited"'


class Logs(Resource):
    """The log group; one that the function made itself is taken over."""

    kind = "log group"

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.log_group

    def exists(self) -> bool:
        """Whether it is there."""
        return self._retention() is not None

    def _retention(self) -> int | None:
        """Return the days that logs are kept, 0 for ever; None where there is no group."""
        found = self.aws.pages(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=self.name
        )
        for group in found:
            if group["logGroupName"] == self.name:
                return int(group.get("retentionInDays", 0))
        return None

    def create(self) -> None:
        """Create it."""
        self.aws.settle("logs", "create_log_group", logGroupName=self.name, tags=self.place.tags)

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        if self.settings is None:
            return ()
        days = self.settings.retention_days
        return (
            Aspect(
                "retention", days, self._retention,
                lambda: self.aws.ask(
                    "logs", "put_retention_policy", logGroupName=self.name, retentionInDays=days
                ),
            ),
        )  # fmt: skip

    def remove(self) -> None:
        """Delete it with all logs."""
        self.aws.ask("logs", "delete_log_group", logGroupName=self.name)

    def errors(self, most: int = 5) -> list[str]:
        """Return the last errors of a day, oldest first."""
        found = self.aws.pages(
            "logs", "filter_log_events", "events", logGroupName=self.name,
            filterPattern=_ERRORS, startTime=int((time.time() - _DAY) * 1000),
        )  # fmt: skip
        return [event["message"].strip() for event in found][-most:]
