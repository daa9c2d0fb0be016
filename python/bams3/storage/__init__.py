"""Storage: the only code that reaches an object store.

>>> import tempfile
>>> store = open_store(tempfile.mkdtemp())
>>> etag = store.put("data/chr1/part", b"ACGT")
>>> store.get("data/chr1/part", 1, 3)
b'CG'
>>> [entry.key for entry in store.list("data")]
['data/chr1/part']

One bucket request by request, for transfers, is `bams3.storage.bucket`.
"""

from bams3.config import StorageOptions
from bams3.storage.local import file_etag
from bams3.storage.store import (
    Data,
    Entry,
    Head,
    Span,
    Store,
    check_key,
    copy_between,
    open_input,
    open_store,
)

__all__ = [
    "Data",
    "Entry",
    "Head",
    "Span",
    "StorageOptions",
    "Store",
    "check_key",
    "copy_between",
    "file_etag",
    "open_input",
    "open_store",
]
