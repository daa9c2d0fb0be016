"""Prove on the user's data that cutting a request into shards changes nothing."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bams3.config import StorageOptions
from bams3.reads.limits import cpus
from bams3.regions import Region
from bams3.storage import open_store
from bams3.variants.callers import Caller
from bams3.variants.executors import processes
from bams3.variants.job import Progress, Scatter, cut, make_task
from bams3.variants.merge import merged
from bams3.variants.preflight import Prepared, prepare
from bams3.variants.shards import Shard
from bams3.variants.vcf import open_vcf


@dataclass(frozen=True, slots=True)
class ScatterReport:
    """What was found.

    Attributes:
        records: Records of the single run.
        shards: How many shards were compared with it.
        missing: Records of the single run that the scattered one has not.
        extra: Records that only the scattered run has.
    """

    records: int
    shards: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether both runs agree, record for record."""
        return not self.missing and not self.extra


def verify_scatter(
    inputs: Sequence[str],
    reference: str,
    *,
    regions: Sequence[str | Region] = (),
    bed: Iterable[Region] | str | os.PathLike[str] | None = None,
    caller: Caller | None = None,
    workers: int | None = None,
    tile_bases: int | None = None,
    storage: StorageOptions | None = None,
    progress: Progress | None = None,
) -> ScatterReport:
    """Call a request in one piece and in shards, and compare all fields of all records.

    The arguments are those of `call`. The single run takes as long as one worker needs: name
    regions where the data are large.
    """
    caller, count = caller or Caller(), workers or cpus()
    prepared = prepare(inputs, reference, regions=regions, bed=bed, storage=storage)
    try:
        shards = cut(prepared, [], caller, count, tile_bases)
        scattered = _lines(prepared, shards, caller, count, storage, progress)
        single = _lines(prepared, _single(prepared, caller), caller, 1, storage, progress)
    finally:
        prepared.close()
    return compared(single, scattered, len(shards))


def compared(single: Sequence[str], scattered: Sequence[str], shards: int) -> ScatterReport:
    """Compare two runs: every record as often, and in the same place.

    Where both have the same records in another order, those out of their place count as missing
    and extra.
    """
    want, have = Counter(single), Counter(scattered)
    missing, extra = [*(want - have).elements()], [*(have - want).elements()]
    if not missing and not extra:
        moved = [pair for pair in zip(single, scattered, strict=True) if pair[0] != pair[1]]
        missing, extra = [line for line, _ in moved], [line for _, line in moved]
    return ScatterReport(len(single), shards, tuple(missing), tuple(extra))


def _single(prepared: Prepared, caller: Caller) -> list[Shard]:
    """Return one shard; a gVCF has one for each piece, which no block crosses."""
    return [(piece,) for piece in prepared.pieces] if caller.gvcf else [prepared.pieces]


def _lines(
    prepared: Prepared,
    shards: Sequence[Shard],
    caller: Caller,
    workers: int,
    storage: StorageOptions | None,
    progress: Progress | None,
) -> list[str]:
    """Call shards, merge them, and return the lines of the records."""
    with tempfile.TemporaryDirectory(prefix="bams3-scatter-") as name:
        folder = str(Path(name) / "parts")
        template = make_task(prepared, caller, caller.version(), folder, storage)
        job = Scatter(template, progress, ahead=2 * workers)
        with processes(workers) as executor:
            job.run(shards, executor)
        with merged(open_store(folder), job.done, prepared, caller, "vcf.gz") as (path, _):
            with open_vcf(path) as file:
                return [str(record).rstrip("\n") for record in file]
