"""The table of calls, paid by the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bams3.cloud.resource import Aspect, Resource, mapping, pairs
from bams3.errors import ExistsError
from bams3.variants.store.dynamodb import table_definition


class Table(Resource):
    """The table."""

    kind = "table"

    def exists(self) -> bool:
        """Whether it is there. Raises ExistsError where it has other keys or indexes."""
        found = self._described()
        if found is None:
            return False
        tags = self.aws.ask("dynamodb", "list_tags_of_resource", ResourceArn=found["TableArn"])
        self.check_owner(mapping(tags.get("Tags", ())))
        if self.settings is not None and _schema(found) != _schema(table_definition(self.name)):
            raise ExistsError(
                f"table {self.name}: has other keys or indexes than bams3 would give it",
                f"bams3 cloud cleanup {self.place.name} --data removes it, with all calls in it",
            )
        return True

    def _described(self) -> dict[str, Any] | None:
        found = self.aws.find("dynamodb", "describe_table", TableName=self.name)
        return found["Table"] if found and found["Table"]["TableStatus"] != "DELETING" else None

    def create(self) -> None:
        """Create it, and wait until it can be used."""
        self.aws.settle(
            "dynamodb", "create_table", **table_definition(self.name), Tags=pairs(self.place.tags)
        )
        self.aws.wait("dynamodb", "table_exists", TableName=self.name)

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        return (
            Aspect(
                "paid by the request", "PAY_PER_REQUEST", self._billing,
                lambda: self.aws.settle(
                    "dynamodb", "update_table", TableName=self.name, BillingMode="PAY_PER_REQUEST"
                ),
            ),
        )  # fmt: skip

    def _billing(self) -> str:
        found = self._described() or {}
        return str(found.get("BillingModeSummary", {}).get("BillingMode"))

    def counts(self) -> dict[str, int]:
        """Count items; AWS counts anew every six hours, so an empty table is looked into."""
        items = int((self._described() or {}).get("ItemCount", 0))
        return {"items": items or self._some()}

    def _some(self) -> int:
        found = self.aws.ask("dynamodb", "scan", TableName=self.name, Limit=1, Select="COUNT")
        return int(found["Count"])

    def remove(self) -> None:
        """Delete it with all calls, and wait until it is gone."""
        self.aws.settle("dynamodb", "delete_table", TableName=self.name)
        self.aws.wait("dynamodb", "table_not_exists", TableName=self.name)


def _schema(table: Mapping[str, Any]) -> Any:
    """Return what cannot be changed without making the table anew, in one order."""
    indexes = [
        (
            index["IndexName"],
            _plain(index["KeySchema"]),
            index["Projection"]["ProjectionType"],
        )
        for index in table.get("GlobalSecondaryIndexes", ())
    ]
    return _plain(table["KeySchema"]), sorted(indexes)


def _plain(keys: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    return [(key["KeyType"], key["AttributeName"]) for key in keys]
