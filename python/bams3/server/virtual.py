"""BAMS3 datasets among the files of a root: `sample.bams3.bam`, its `.bai` and `.csi`."""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING

from bams3.errors import NotFoundError, UsageError
from bams3.reads.dataset import open as open_dataset
from bams3.reads.manifest import METADATA
from bams3.reads.tile_cache import TileCache
from bams3.reads.virtual_bam import VirtualBam
from bams3.server.loci import LocusMap, located
from bams3.server.resources import BINARY, Resource
from bams3.storage import open_store
from bams3.storage.store import local_path, scheme_of

if TYPE_CHECKING:
    from bams3.config import StorageOptions

_NAME = re.compile(r"(.*\.bams3)\.(?:bam|bam\.bai|bam\.csi|bai|csi)")
_PIECE = 1 << 20
_PAUSE = 0.0005
"""Seconds for a client to leave before the next tile is decoded: htslib does so after a region, and
the system's buffers have taken a whole tile before it has read the beginning."""
BELIEVED = 5.0
"""For so many seconds the version of a dataset is believed."""


@dataclass
class _Open:
    """An open dataset, and the version of the manifest that it was opened from."""

    etag: str
    modified: datetime
    bam: VirtualBam
    until: float = field(default_factory=lambda: time.monotonic() + BELIEVED)
    """Until when nobody asks whether it is still the same."""


class VirtualBams:
    """Opens datasets, keeps the last of them open, and shares one cache of tiles among them."""

    def __init__(
        self,
        options: StorageOptions | None = None,
        tiles: int = 64 << 20,
        datasets: int = 64,
    ) -> None:
        """`tiles`: bytes of decoded tiles to keep. `datasets`: how many to keep open."""
        self._options, self._datasets = options, datasets
        self._tiles = TileCache(tiles)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = Lock()

    def matches(self, key: str) -> bool:
        """Whether a key names the BAM of a dataset, or its index."""
        return _NAME.fullmatch(key) is not None

    def open(self, url: str, key: str) -> Resource:
        """Return the BAM of a dataset or its index; `url` is the address of the root.

        Raises:
            NotFoundError: There is no such dataset, or no BAI of it.
        """
        found = _NAME.fullmatch(key)
        if found is None:
            raise NotFoundError(f"{key}: is not the BAM of a dataset")
        held = self._dataset(url, found[1])
        name = key.rpartition("/")[2]
        if key.endswith(".bam"):
            return BamFile(name, held)
        kind = key.rpartition(".")[2]
        try:
            data = held.bam.bai if kind == "bai" else held.bam.csi
        except UsageError as error:
            raise NotFoundError(error.message, error.hint) from error
        return _IndexFile(name, f'"{held.bam.etag}-{kind}"', held.modified, data)

    def dataset(self, url: str, key: str) -> VirtualBam:
        """Return a dataset, which stays open; `key` ends in `.bams3`. Raises NotFoundError."""
        return self._dataset(url, key).bam

    def _dataset(self, root: str, key: str) -> _Open:
        """Return a dataset as it is now, or was some seconds ago."""
        url = _address(root, key)
        with self._lock:
            held = self._open.get(url)
        if held is not None and held.until > time.monotonic():
            return held
        store = held.bam.dataset.store if held else open_store(url, self._options)
        head = store.head(METADATA)
        if held is not None and held.etag == head.etag:
            held.until = time.monotonic() + BELIEVED
            return held
        bam = VirtualBam(open_dataset(url, self._options), self._tiles)
        return self._hold(url, _Open(head.etag, head.last_modified, bam))

    def _hold(self, url: str, held: _Open) -> _Open:
        with self._lock:
            self._open[url] = held
            self._open.move_to_end(url)
            # Requests under way may still read from those dropped, which end with their last use.
            while len(self._open) > self._datasets:
                self._open.popitem(last=False)
        return held


def _address(root: str, key: str) -> str:
    """Return the address of a dataset. Raises NotFoundError where a link leads out of the root."""
    url = f"{root.rstrip('/')}/{key}"
    if scheme_of(root) in ("", "file"):
        inside = os.path.relpath(
            os.path.realpath(local_path(url)), os.path.realpath(local_path(root))
        )
        if inside.startswith(".."):
            raise NotFoundError(f"{key}: a symbolic link leads out of the root")
    return url


class BamFile:
    """A virtual BAM as a resource.

    Attributes:
        left: To be set when the client has gone.
    """

    media_type = BINARY

    def __init__(self, name: str, held: _Open) -> None:
        self.name, self.modified = name, held.modified
        self.size, self.etag = held.bam.size, f'"{held.bam.etag}"'
        self._bam = held.bam
        self.left = Event()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [start, end)."""
        return self._bam.read(start, end, partial(self.left.wait, _PAUSE))

    def locus_map(self) -> LocusMap:
        """Return which bytes hold which places: what its tiles say, more than an index can."""
        points = ((at, tid, start, start + 1) for at, tid, start in self._bam.places())
        return located(points, list(self._bam.dataset.contigs))

    def close(self) -> None:
        """The dataset stays open for others."""


@dataclass(frozen=True)
class _IndexFile:
    """An index in memory as a resource."""

    name: str
    etag: str
    modified: datetime
    data: bytes
    media_type: str = BINARY

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [start, end)."""
        for at in range(start, end, _PIECE):
            yield self.data[at : min(at + _PIECE, end)]

    def close(self) -> None:
        """Nothing is held."""
