"""Genomics on object storage.

>>> import bams3
>>> ds = bams3.open("s3://bucket/sample.bams3")               # doctest: +SKIP
>>> ds.query("chr1:1-2,000,000", exclude=0x400).count()       # doctest: +SKIP
81235
>>> polars.DataFrame(ds.query("chrM", columns=["pos", "NM"])) # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.errors import Bams3Error
    from bams3.reads.clean import clean
    from bams3.reads.convert import convert
    from bams3.reads.dataset import Dataset, open
    from bams3.reads.merge import merge
    from bams3.reads.record import Record
    from bams3.reads.to_bam import to_bam
    from bams3.reads.verify import verify
    from bams3.regions import Region, parse_region

    __version__: str

_HOMES = {
    "Bams3Error": "bams3.errors",
    "Dataset": "bams3.reads.dataset",
    "Record": "bams3.reads.record",
    "Region": "bams3.regions",
    "StorageOptions": "bams3.config",
    "__version__": "bams3._core",
    "clean": "bams3.reads.clean",
    "convert": "bams3.reads.convert",
    "merge": "bams3.reads.merge",
    "open": "bams3.reads.dataset",
    "parse_region": "bams3.regions",
    "to_bam": "bams3.reads.to_bam",
    "verify": "bams3.reads.verify",
}

__all__ = [
    "Bams3Error",
    "Dataset",
    "Record",
    "Region",
    "StorageOptions",
    "__version__",
    "clean",
    "convert",
    "merge",
    "open",
    "parse_region",
    "to_bam",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bams3' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
