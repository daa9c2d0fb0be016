"""Calls in a table of Amazon DynamoDB."""

from __future__ import annotations

from typing import Any


def table_definition(name: str) -> dict[str, Any]:
    """Return what `CreateTable` is given: two text keys, paid by request, and no other index.

    The indexes by gene and by quality are items of the table itself, so that they are read
    consistently and belong to a generation.
    """
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    }
