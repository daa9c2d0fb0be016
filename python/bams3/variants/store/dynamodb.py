"""Calls in a table of Amazon DynamoDB. The keys are in `dynamo_items`, generations in `catalog`."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, ChangedError, NotFoundError, StorageError, UsageError
from bams3.regions import Region
from bams3.variants.store import Header, Selection
from bams3.variants.store.catalog import Catalog, Layer
from bams3.variants.store.dynamo_items import directory_key, unpacked
from bams3.variants.store.dynamo_load import Load, remove
from bams3.variants.store.dynamo_query import Reading
from bams3.variants.store.dynamo_table import Item, Key, Table
from bams3.variants.store.pages import Place, read_page
from bams3.variants.store.tally import Key as TallyKey
from bams3.variants.store.tally import Tally, Values, count, summary
from bams3.variants.vcf import Call

CATALOG: Key = ("catalog", "catalog")
_RENEW = 600.0
"""Seconds between signs of life of a load."""
_ATTEMPTS = 200
_MOST_BYTES = 400_000


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


class DynamoStore:
    """Calls in a table."""

    def __init__(self, name: str, options: StorageOptions) -> None:
        self._table = Table(name, options)

    @property
    def url(self) -> str:
        """The address that opens it."""
        return self._table.url

    def close(self) -> None:
        """Let go of threads and connections."""
        self._table.close()

    # ---- the catalogue ---------------------------------------------------------------------------
    def _catalog(self) -> Catalog:
        item = self._table.get(CATALOG)
        if item is None:
            return Catalog()
        return Catalog.unpack(item["data"]["B"], int(item["version"]["N"]))

    def _filled(self) -> Catalog:
        catalog = self._catalog()
        if catalog.version == 0:
            raise NotFoundError(
                f"{self.url}: holds no calls", f"bams3 variants load x.vcf.gz --store {self.url}"
            )
        return catalog

    def _change(self, change: Callable[[Catalog], Catalog]) -> Catalog:
        """Change the catalogue; where others do at the same time, one after the other."""
        for _ in range(_ATTEMPTS):
            before = self._catalog()
            after = change(before)
            if after is before or self._put(after):
                return after
            time.sleep(random.uniform(0.01, 0.2))
        raise StorageError(f"{self.url}: too many loads at a time", "try it again")

    def _put(self, catalog: Catalog) -> bool:
        data = catalog.pack()
        if len(data) > _MOST_BYTES:
            raise StorageError(
                f"{self.url}: has too many loads in its catalogue ({len(catalog.layers):,})",
                "load files of several samples, or of whole genomes; or begin another table",
            )
        item: Item = {"pk": {"S": CATALOG[0]}, "sk": {"S": CATALOG[1]}, "data": {"B": data}}
        return self._table.put_version(item, catalog.version)

    # ---- writing ---------------------------------------------------------------------------------
    def replace(
        self, header: Header, calls: Iterable[Call], scope: Sequence[Region] | None = None
    ) -> int:
        """Put calls in place of those of the same samples. See `Store`."""
        known = self._ready().header.joined(header, self.url)
        layer = Layer.over(uuid.uuid4().hex[:12], header, scope, known)
        renew = _every(_RENEW, lambda: self._change(lambda c: c.begun(layer.generation)))
        renew()
        try:
            written = Load(self._table, layer, renew).write(calls)
            after = self._change(lambda c: c.committed(layer, header, self.url))
        except BaseException:
            with suppress(Bams3Error):
                self._clean(self._change(lambda c: c.abandoned(layer.generation)))
            raise
        self._clean(after)
        return written

    def _ready(self) -> Catalog:
        """Return the catalogue; make the table where there is none."""
        try:
            return self._catalog()
        except NotFoundError:
            self._table.create(table_definition(self._table.name))
            return self._catalog()

    def _clean(self, catalog: Catalog) -> None:
        """Remove what no one sees any more, leftovers of others' loads included."""
        for generation in catalog.dropped:
            remove(self._table, generation)
            self._change(lambda c, g=generation: c.without(g))  # type: ignore[misc]

    # ---- reading ---------------------------------------------------------------------------------
    def header(self) -> Header:
        """Return contigs, samples and definitions."""
        return self._filled().header

    def stats(self) -> dict[str, Any]:
        """Return counts. See `Store`."""
        catalog = self._filled()
        rows = [row for layer in catalog.layers for row in self._tally(catalog, layer)]
        return summary(catalog.header, rows)

    def _tally(self, catalog: Catalog, layer: Layer) -> Iterable[tuple[TallyKey, Values]]:
        """Return the counts of a layer; where a part of it is hidden, count what is not."""
        if catalog.is_whole(layer):
            found = self._table.query(directory_key(layer.generation), "counts#", "counts$")
            return [(tuple(key), values) for item in found for key, values in unpacked(item)]
        tally: Tally = {}
        for call in self._reading(catalog, (layer,), Selection()).calls():
            count(tally, call)
        return tally.items()

    def _reading(
        self,
        catalog: Catalog,
        layers: Sequence[Layer],
        selection: Selection,
        after: Place | None = None,
    ) -> Reading:
        used = {layer.generation for layer in layers}

        def is_current() -> bool:
            return used <= {layer.generation for layer in self._catalog().layers}

        return Reading(self._table, catalog, layers, selection, after, is_current)

    def query(self, selection: Selection, *, page: str | None = None) -> Iterator[Call]:
        """Yield calls by contig, position, alleles, sample. See `Store`.

        Raises:
            ChangedError: Calls that were to come next have been replaced.
        """
        after = None if page is None else read_page(page)
        for _ in range(_ATTEMPTS):
            catalog = self._filled()
            if after is not None and after[0] not in catalog.header.contigs:
                raise UsageError(f"{self.url}: has no contig {after[0]}, which the page names")
            begun = False
            try:
                for call in self._reading(catalog, catalog.layers, selection, after).calls():
                    begun = True
                    yield call
                return
            except ChangedError:
                if begun:
                    raise
        raise StorageError(f"{self.url}: is changed all the time", "try it again")


def _every(seconds: float, act: Callable[[], object]) -> Callable[[], None]:
    """Return what does something at the first call, then only when some time has passed."""
    last = -seconds

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            act()
            last = time.monotonic()

    return maybe
