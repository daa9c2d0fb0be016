"""What a store asks of DynamoDB: never a scan, few bins, no hot keys, nothing left behind."""

from __future__ import annotations

from collections import Counter

import pytest

from bams3.regions import Region
from bams3.variants.store import Header, Selection, dynamodb
from bams3.variants.store.catalog import Layer
from bams3.variants.store.dynamo_load import remove
from bams3.variants.vcf import Call
from tests.servers.dynamodb import DynamoServer
from tests.servers.proxy import FaultProxy
from tests.variants.stored import HEADER, Death, calls_of, count_items, die, dynamo, marks


def operations(proxy: FaultProxy) -> dict[str, int]:
    return dict(Counter(line.rpartition(".")[2] for line in proxy.requests))


def test_queries_never_scan_and_ask_for_few_bins(proxied: FaultProxy) -> None:
    """40 calls in 20 bins: a region, a gene or a quality is found without reading the others."""
    store = dynamo()
    calls = [*calls_of("a", 20), *calls_of("b", 40)[20:]]
    store.replace(HEADER, calls)
    asked: dict[str, dict[str, int]] = {}
    selections = {
        "region": Selection(Region("chr1", 100_000, 200_000)),
        "gene": Selection(gene="b"),
        "quality": Selection(min_qual=38.0),
        "all": Selection(),
    }
    for name, selection in selections.items():
        proxied.plan()
        assert [*store.query(selection)] == [c for c in calls if selection.holds(c)]
        asked[name] = operations(proxied)
    proxied.plan()
    store.stats()
    assert operations(proxied) == {"GetItem": 1, "Query": 1}
    # The catalogue before and after; for a gene, its bins; else the directory is a query.
    assert asked["region"] == {"GetItem": 2, "Query": 1}
    assert asked["gene"] == {"GetItem": 3, "Query": 10}
    assert asked["quality"] == {"GetItem": 2, "Query": 1 + 1}
    assert asked["all"] == {"GetItem": 2, "Query": 1 + 20}


def test_a_load_asks_for_nothing_but_its_own(proxied: FaultProxy) -> None:
    store = dynamo()
    store.replace(HEADER, calls_of("old"))
    proxied.plan()
    store.replace(HEADER, calls_of("new"))
    assert {*operations(proxied)} == {"GetItem", "PutItem", "BatchWriteItem", "Query"}


def test_no_partition_gets_many_items(dynalite: DynamoServer) -> None:
    """A cohort: the calls of one bin are spread over lanes of 16 samples."""
    store = dynamo()
    names = tuple(f"s{n}" for n in range(64))
    calls = [Call(name, "chr1", pos, "A", "T", 50.0, genotype="0/1", end=pos + 1)
             for pos in range(1_000, 1_020) for name in sorted(names)]  # fmt: skip
    store.replace(Header({"chr1": 10_000}, names), calls)
    items = store._table._client.scan(TableName=store._table.name)["Items"]
    partitions = Counter(item["pk"]["S"].partition("#")[2] for item in items if "pos" in item)
    assert {*partitions.values()} == {16 * 20} and len(partitions) == 4
    got = [*store.query(Selection(samples=["s40"]))]
    assert len(got) == 20 and {call.sample for call in got} == {"s40"}
    assert [*store.query(Selection())] == calls


def test_a_region_to_the_end_of_a_contig_goes_on_beyond_it() -> None:
    """Insertions behind the last base begin there, and go with the rest."""
    known = Header({"chr1": 1_000, "chr2": 1_000}, ("s",))
    regions = [Region("chr1", 500, 1_000), Region("chr2", 0, 999)]
    layer = Layer.over("g", known, regions, known)
    seen = [layer.has("s", *place) for place in (("chr1", 499), ("chr1", 1_000), ("chr2", 1_000))]
    assert seen == [False, True, False]


def test_old_generations_are_removed(dynalite: DynamoServer) -> None:
    store = dynamo()
    store.replace(HEADER, calls_of("old", 300))
    items = count_items(store)
    for _ in range(3):
        store.replace(HEADER, calls_of("new", 300))
        assert count_items(store) == items


def test_removing_that_was_broken_off_is_gone_on_with(
    dynalite: DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = dynamo()
    store.replace(HEADER, calls_of("old", 300))
    items = count_items(store)
    monkeypatch.setattr(dynamodb, "remove", die)
    with pytest.raises(Death):
        store.replace(HEADER, calls_of("new", 300))
    assert marks(store) == {"new": 300} and count_items(store) == 2 * items - 1
    monkeypatch.setattr(dynamodb, "remove", remove)
    store.replace(HEADER, calls_of("newer", 300))
    assert count_items(store) == items
