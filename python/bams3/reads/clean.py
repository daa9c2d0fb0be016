"""Removing what killed conversions left behind."""

from __future__ import annotations

from dataclasses import dataclass

from bams3.errors import NotFoundError
from bams3.reads.manifest import METADATA, Manifest
from bams3.reads.marks import MARKS
from bams3.storage import StorageOptions, Store, open_store


@dataclass(frozen=True)
class CleanSummary:
    """What was removed."""

    objects: int
    bytes: int


def clean(destination: str, *, storage: StorageOptions | None = None) -> CleanSummary:
    """Remove the objects of ours at `destination` that no manifest refers to.

    Only names that a conversion gives are looked at. No conversion to the same place may be
    under way: its objects are not yet referred to.

    Raises:
        CorruptError: The manifest is damaged; nothing is removed.
        VersionError: The dataset is of a newer version; nothing is removed.
    """
    store = open_store(destination, storage)
    ours = [entry for entry in store.list() if _is_ours(entry.key)]
    kept = _referred(store) | {METADATA}  # read after the list, which may take long
    left = [entry for entry in ours if entry.key not in kept]
    store.delete_many([entry.key for entry in left])
    return CleanSummary(len(left), sum(entry.size for entry in left))


def _referred(store: Store) -> set[str]:
    try:
        data = store.get(METADATA)
    except NotFoundError:
        return set()
    return Manifest.from_bytes(data, store.url_of(METADATA)).keys()


def _is_ours(key: str) -> bool:
    folder, _, name = key.rpartition("/")
    if name.startswith(".") and name.endswith(".partial"):
        return folder == "" or key.startswith(("data/", "_spill/"))
    chunk = key.startswith("data/") and key.endswith(".chunk")
    spill = key.startswith("_spill/") and (name.endswith(".spill") or name in MARKS)
    return chunk or spill or (key.startswith("_header.") and key.endswith(".zst"))
