"""The items of the table: calls under the keys of their bins, and what finds the bins.

| pk                           | sk                     |                               |
|------------------------------|------------------------|-------------------------------|
| `catalog`                    | `catalog`              | what is to be seen: `Catalog` |
| `GENERATION#LANE#BIN#CONTIG` | `POS#ALLELES#SAMPLE`   | a call                        |
| `GENERATION#LANE#BIN#CONTIG` | `-POS#ALLELES#SAMPLE`  | one that reaches into the bin |
| `GENERATION#gene#GENE`       | `bins`                 | bins with calls in a gene     |
| `GENERATION#directory`       | `quality#BAND`         | bins with calls of a quality  |
| `GENERATION#directory`       | `part#NUMBER`          | bins and genes of some calls  |
| `GENERATION#directory`       | `counts#LANE`          | counts of calls               |

A bin is 100 kb of a contig; a lane 16 samples, so that a cohort is spread over partitions. Long
alleles are hashed in keys.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from bams3.variants.store.dynamo_table import Item, Key
from bams3.variants.vcf import Call

BIN = 100_000
LANE = 16
_LONGEST_IN_KEY = 200
_PACKED_FROM = 1000
_FLOATS = frozenset({"qual", "allele_fraction"})
_DEFAULTS = {entry.name: entry.default for entry in fields(Call)}

Bin = tuple[str, int]
"""Contig, and position // BIN."""


# ---- keys ----------------------------------------------------------------------------------------
def bin_key(generation: str, lane: int, place: Bin) -> str:
    """Return the partition key of a bin; the name of the contig may be anything, so it is last."""
    return f"{generation}#{lane}#{place[1]:06d}#{place[0]}"


def gene_key(generation: str, gene: str) -> str:
    """Return the partition key of a gene."""
    return f"{generation}#gene#{gene}"


def directory_key(generation: str) -> str:
    """Return the partition key of a generation's directory."""
    return f"{generation}#directory"


def call_key(call: Call, number: int) -> str:
    """Return the sort key of a call, given the place of its sample."""
    alleles = f"{call.ref}#{call.alt}"
    if len(alleles) > _LONGEST_IN_KEY:
        alleles = f"*{hashlib.sha256(alleles.encode()).hexdigest()}"
    return f"{position_key(call.pos)}#{alleles}#{number}"


def position_key(pos: int) -> str:
    """Return what sort keys of calls begin with: the position counted from 1, telomeres have 0."""
    return f"{pos + 1:010d}"


def band(qual: float) -> int:
    """Return the band of a quality: four for each doubling."""
    return int(4 * math.log2(1 + max(0.0, qual)))


def keys_of(item: Item) -> Key:
    """Return the keys of an item."""
    return item["pk"]["S"], item["sk"]["S"]


# ---- calls ---------------------------------------------------------------------------------------
def call_items(call: Call, generation: str, number: int) -> Iterable[tuple[Bin, Item]]:
    """Yield the items of a call: that of its bin, and those of further bins that it reaches into.

    Args:
        call: The call.
        generation: That it belongs to.
        number: The place of its sample.
    """
    values = {name: _attribute(getattr(call, name)) for name in _DEFAULTS}
    item = {
        name: value
        for name, value in values.items()
        if value is not None and getattr(call, name) != _DEFAULTS[name]
    }
    first, last = call.pos // BIN, (max(call.end, call.pos + 1) - 1) // BIN
    for place in ((call.contig, at) for at in range(first, last + 1)):
        key = call_key(call, number)
        pk = bin_key(generation, number // LANE, place)
        keys = {"pk": {"S": pk}, "sk": {"S": key if place[1] == first else f"-{key}"}}
        yield place, {**item, **keys}


def call_of(item: Item) -> Call:
    """Return the call of an item."""
    return Call(**{name: _value(name, item[name]) for name in _DEFAULTS if name in item})


def _attribute(value: str | float | None) -> dict[str, Any] | None:
    """Return a value as DynamoDB takes it: numbers in decimal text, long text packed."""
    if value is None:
        return None
    if isinstance(value, str):
        long = len(value) >= _PACKED_FROM
        return {"B": zlib.compress(value.encode())} if long else {"S": value}
    return {"N": repr(value)}


def _value(name: str, attribute: dict[str, Any]) -> Any:
    if "B" in attribute:
        return zlib.decompress(attribute["B"]).decode()
    if "S" in attribute:
        return attribute["S"]
    return float(attribute["N"]) if name in _FLOATS else int(float(attribute["N"]))


# ---- everything else -----------------------------------------------------------------------------
def packed_item(pk: str, sk: str, value: Any) -> Item:
    """Return an item that holds a value of JSON."""
    data = zlib.compress(json.dumps(value).encode(), 9)
    return {"pk": {"S": pk}, "sk": {"S": sk}, "data": {"B": data}}


def unpacked(item: Item) -> Any:
    """Return what `packed_item` was given."""
    return json.loads(zlib.decompress(item["data"]["B"]))
