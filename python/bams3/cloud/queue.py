"""The dead-letter queue: events that the function failed to answer three times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bams3.cloud.resource import Aspect, Resource

_DAYS_14 = str(14 * 86_400)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up, and the last error."""

    event: str
    error: str


class Queue(Resource):
    """The queue."""

    kind = "queue"

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.queue

    @property
    def url(self) -> str:
        """Its address, "" where it is not there."""
        found = self.aws.find("sqs", "get_queue_url", QueueName=self.name)
        return str(found["QueueUrl"]) if found else ""

    def exists(self) -> bool:
        """Whether it is there."""
        url = self.url
        if not url:
            return False
        return self.check_owner(
            self.aws.ask("sqs", "list_queue_tags", QueueUrl=url).get("Tags", {})
        )

    def create(self) -> None:
        """Create it."""
        self.aws.settle(
            "sqs", "create_queue", QueueName=self.name, tags=self.place.tags,
            Attributes={"MessageRetentionPeriod": _DAYS_14, "SqsManagedSseEnabled": "true"},
        )  # fmt: skip

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        return (
            Aspect(
                "retention", _DAYS_14, lambda: self._attribute("MessageRetentionPeriod"),
                lambda: self.aws.ask(
                    "sqs", "set_queue_attributes", QueueUrl=self.url,
                    Attributes={"MessageRetentionPeriod": _DAYS_14},
                ),
            ),
        )  # fmt: skip

    def _attribute(self, name: str) -> str:
        found = self.aws.ask(
            "sqs", "get_queue_attributes", QueueUrl=self.url, AttributeNames=[name]
        )
        return str(found.get("Attributes", {}).get(name, ""))

    def counts(self) -> dict[str, int]:
        """Count dead letters, about."""
        return {"dead letters": int(self._attribute("ApproximateNumberOfMessages") or 0)}

    def letters(self, most: int = 3) -> list[DeadLetter]:
        """Look at some dead letters; they stay in the queue."""
        found = self.aws.ask(
            "sqs", "receive_message", QueueUrl=self.url, MaxNumberOfMessages=most,
            VisibilityTimeout=0,
        )  # fmt: skip
        return [_letter(message["Body"]) for message in found.get("Messages", ())]

    def remove(self) -> None:
        """Delete it with all dead letters."""
        self.aws.ask("sqs", "delete_queue", QueueUrl=self.url)


def _letter(body: str) -> DeadLetter:
    """Read what Lambda writes: the event, and what the function answered to it."""
    try:
        told = json.loads(body)
        answer = told.get("responsePayload") or {}
        return DeadLetter(json.dumps(told["requestPayload"]), str(answer.get("errorMessage", "")))
    except (ValueError, KeyError, AttributeError):
        return DeadLetter(body, "")
