"""Calls of a mark, to be told apart by it, and tables of DynamoDB to put them into."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from bams3.variants.store import Header, Selection, Store, dynamodb, open_store
from bams3.variants.vcf import Call

HEADER = Header({"chr1": 10_000_000}, ("s",))


def calls_of(mark: str, count: int = 40) -> list[Call]:
    """Calls in several bins; those of a load have its mark."""
    return [
        Call(
            "s", "chr1", 50_000 * n, "A", "T", float(n), mark, "0/1", end=50_000 * n + 1, gene=mark
        )
        for n in range(count)
    ]


def marks(store: Store) -> dict[str, int]:
    return dict(Counter(call.filter for call in store.query(Selection())))


def dynamo() -> dynamodb.DynamoStore:
    opened = open_store(f"dynamodb://t-{uuid.uuid4().hex}")
    assert isinstance(opened, dynamodb.DynamoStore)
    return opened


def count_items(store: dynamodb.DynamoStore) -> int:
    """Count all items of the table, which our own code never does."""
    client: Any = store._table._client
    return int(client.scan(TableName=store._table.name, Select="COUNT")["Count"])


class Death(BaseException):
    """The process ends here."""


def die(*_: object) -> None:
    raise Death
