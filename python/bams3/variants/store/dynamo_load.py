"""A load into DynamoDB: calls of a generation that nobody sees yet; and its removal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from bams3.errors import InputError
from bams3.variants.store.catalog import Layer
from bams3.variants.store.dynamo_items import (
    BIN,
    LANE,
    Bin,
    band,
    bin_key,
    call_items,
    directory_key,
    gene_key,
    keys_of,
    packed_item,
    unpacked,
)
from bams3.variants.store.dynamo_table import Item, Key, Table
from bams3.variants.store.tally import Tally, count
from bams3.variants.vcf import Call

FLUSH = 10_000
"""Calls that are written together, in an order that spreads them over partitions."""
_MOST_BYTES = 400_000


class Load:
    """Writes the calls of a layer.

    What a flush will write is put into the directory before, so that a load that was killed can be
    removed.
    """

    def __init__(self, table: Table, layer: Layer, renew: Callable[[], None]) -> None:
        """Prepare.

        Args:
            table: Where to.
            layer: What.
            renew: Called before each flush, as a sign of life.
        """
        self._table, self._layer, self._renew = table, layer, renew
        self._directory = directory_key(layer.generation)
        self._genes: dict[str, set[Bin]] = defaultdict(set)
        self._bands: dict[int, set[Bin]] = defaultdict(set)
        self._tallies: dict[int, Tally] = defaultdict(dict)

    def write(self, calls: Iterable[Call]) -> int:
        """Write calls, then the indexes. Return how many calls there were."""
        rest, written, number = iter(calls), 0, 0
        while flush := [*islice(rest, FLUSH)]:
            self._renew()
            self._flush(number, flush)
            written, number = written + len(flush), number + 1
        self._renew()
        self._table.write([*self._indexes()])
        return written

    def _flush(self, number: int, calls: list[Call]) -> None:
        items: dict[Key, Item] = {}
        bins: dict[str, set[tuple[int, str, int]]] = {"rows": set(), "copies": set()}
        genes: set[str] = set()
        for call in calls:
            place = self._layer.numbers[call.sample]
            for (contig, at), item in call_items(call, self._layer.generation, place):
                _check_size(item, call)
                items[keys_of(item)] = item
                kind = "rows" if at == call.pos // BIN else "copies"
                bins[kind].add((place // LANE, contig, at))
            genes.update(self._note(call, place // LANE))
        part = {**{kind: sorted(found) for kind, found in bins.items()}, "genes": sorted(genes)}
        self._table.write([packed_item(self._directory, f"part#{number:06d}", part)])
        self._table.write([*items.values()])

    def _note(self, call: Call, lane: int) -> list[str]:
        """Note a call for the indexes and counts; return its genes."""
        place = call.contig, call.pos // BIN
        genes = [gene for gene in (call.gene or "").split(",") if gene]
        for gene in genes:
            self._genes[gene].add(place)
        if call.qual is not None:
            self._bands[band(call.qual)].add(place)
        count(self._tallies[lane], call)
        return genes

    def _indexes(self) -> Iterator[Item]:
        for gene, bins in self._genes.items():
            yield packed_item(gene_key(self._layer.generation, gene), "bins", sorted(bins))
        for number, bins in self._bands.items():
            yield packed_item(self._directory, f"quality#{number:03d}", sorted(bins))
        for lane, tally in self._tallies.items():
            yield packed_item(self._directory, f"counts#{lane:06d}", [*tally.items()])


def _check_size(item: Item, call: Call) -> None:
    size = sum(len(name) + sum(map(len, value.values())) for name, value in item.items())
    if size > _MOST_BYTES:
        raise InputError(
            f"{call.contig}:{call.pos + 1:,}: a call of {size:,} bytes is too large for DynamoDB",
            "keep these calls in sqlite:/// or duckdb:///",
        )


def remove(table: Table, generation: str) -> None:
    """Delete all items of a generation, its directory last. May be done again."""
    directory = directory_key(generation)
    parts = [unpacked(item) for item in table.query(directory, "part#", "part$")]
    places = [place for part in parts for place in (*part["rows"], *part["copies"])]
    bins = {bin_key(generation, lane, (contig, at)) for lane, contig, at in places}
    table.delete(
        keys_of(item) for pk in sorted(bins) for item in table.query(pk, "!", "~", keys=True)
    )
    genes = {gene for part in parts for gene in part["genes"]}
    table.delete((gene_key(generation, gene), "bins") for gene in sorted(genes))
    for first, last in (("counts#", "counts$"), ("quality#", "quality$"), ("part#", "part$")):
        table.delete(keys_of(item) for item in table.query(directory, first, last, keys=True))
