"""Removing what killed conversions left behind."""

from __future__ import annotations

from dataclasses import dataclass

from bams3.errors import NotFoundError
from bams3.reads.manifest import INDEX_ENDINGS, METADATA, Manifest
from bams3.reads.marks import MARKS
from bams3.reads.tables import mend_hints
from bams3.storage import StorageOptions, Store, open_store


@dataclass(frozen=True)
class CleanSummary:
    """What was removed."""

    objects: int
    bytes: int


def clean(destination: str, *, storage: StorageOptions | None = None) -> CleanSummary:
    """Remove the objects of ours at `destination` that no manifest refers to.

    Hints, copies of tile tables, that a killed conversion left missing or old are made anew.

    Only names that a conversion gives are looked at. No conversion to the same place may be
    under way: its objects are not yet referred to.

    Raises:
        CorruptError: The manifest is damaged; nothing is removed.
        VersionError: The dataset is of a newer version; nothing is removed.
    """
    store = open_store(destination, storage)
    ours = [entry for entry in store.list() if _is_ours(entry.key)]
    manifest = _manifest(store)  # read after the list, which may take long
    kept = {METADATA} if manifest is None else {METADATA} | manifest.keys() | manifest.hints()
    left = [entry for entry in ours if entry.key not in kept]
    store.delete_many([entry.key for entry in left])
    if manifest is not None:
        mend_hints(store, manifest.index)
    return CleanSummary(len(left), sum(entry.size for entry in left))


def _manifest(store: Store) -> Manifest | None:
    try:
        data = store.get(METADATA)
    except NotFoundError:
        return None
    return Manifest.from_bytes(data, store.url_of(METADATA))


def _is_ours(key: str) -> bool:
    folder, _, name = key.rpartition("/")
    if name.startswith(".") and name.endswith(".partial"):
        return folder == "" or key.startswith(("data/", "_index/", "_spill/"))
    chunk = key.startswith("data/") and key.endswith(".chunk")
    spill = key.startswith("_spill/") and (name.endswith(".spill") or name in MARKS)
    table = key.startswith("_index/") and key.endswith(INDEX_ENDINGS)
    return chunk or spill or table or (key.startswith("_header.") and key.endswith(".zst"))
