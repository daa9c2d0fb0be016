"""Which file, or dataset, an htsget id means, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from bams3.errors import NotFoundError
from bams3.server.bin_index import BinIndex
from bams3.server.sources import (
    BamReads,
    CramIndex,
    CramReads,
    DatasetReads,
    Known,
    KnownFiles,
    Source,
    missing_index,
    read_bam_head,
    read_cram_head,
    read_whole,
)
from bams3.server.variant_sources import Bcf, Vcf, read_bcf_head, read_vcf_head

if TYPE_CHECKING:
    from bams3.reads.virtual_bam import VirtualBam
    from bams3.server.resources import Resource

T = TypeVar("T")

ENDINGS = {
    "BAM": (".bam", ".bams3", ".cram"),
    "CRAM": (".cram", ".bams3", ".bam"),
    "VCF": (".vcf.gz", ".bcf"),
    "BCF": (".bcf", ".vcf.gz"),
}
"""For each format, where it is looked for: as it is, then what it can be made of."""
INDEXES = {
    ".bam": (".bai", ".csi"),
    ".cram": (".crai",),
    ".vcf.gz": (".tbi", ".csi"),
    ".bcf": (".csi",),
}


class Library(Protocol):
    """Where files come from. Keys begin with the name of a root."""

    def open(self, key: str) -> Resource:
        """Return a file. Raises NotFoundError, PermissionDenied, StorageError."""

    def virtual(self, key: str) -> VirtualBam:
        """Return a BAMS3 dataset. Raises as `open` does."""


class Catalog:
    """Finds sources by id, and keeps headers and indexes."""

    def __init__(self, library: Library, reference: str | None = None) -> None:
        """`reference`: FASTA on this machine, for CRAM."""
        self._library, self._reference = library, reference
        self._heads: KnownFiles[Known] = KnownFiles()
        self._indexes: KnownFiles[BinIndex | CramIndex] = KnownFiles()

    def open(self, kind: str, format: str, identifier: str) -> Source:
        """Return what an id means, as a source of a format; close it after use.

        Raises:
            NotFoundError: There is no such file or dataset.
        """
        for ending in ENDINGS[format]:
            for key in _keys(identifier, ending):
                try:
                    return self._source(key, ending)
                except NotFoundError:
                    continue
        raise NotFoundError(f"there are no {kind} {identifier}")

    def _source(self, key: str, ending: str) -> Source:
        if ending == ".bams3":
            return DatasetReads(self._library.virtual(key), self._reference)
        resource = self._library.open(key)
        try:
            return self._of_file(key, ending, resource)
        except BaseException:
            resource.close()
            raise

    def _of_file(self, key: str, ending: str, resource: Resource) -> Source:
        def known(read: Callable[[Resource], Known]) -> Known:
            return self._heads.get(key, resource.etag, lambda: read(resource))

        def bins() -> BinIndex:
            return self._index(key, resource.etag, ending, BinIndex)

        def crai() -> CramIndex:
            return self._index(key, resource.etag, ending, CramIndex)

        if ending == ".bam":
            return BamReads(resource, known(read_bam_head), bins, self._reference)
        if ending == ".cram":
            head = known(lambda file: read_cram_head(file, self._reference))
            return CramReads(resource, head, crai, self._reference)
        if ending == ".bcf":
            return Bcf(resource, known(read_bcf_head), bins)
        return Vcf(resource, known(read_vcf_head), bins)

    def _index(self, key: str, etag: str, ending: str, parse: Callable[[bytes], T]) -> T:
        """Return the index beside a file, read once for each version of the file."""

        def read() -> T:
            for place in INDEXES[ending]:
                try:
                    resource = self._library.open(key + place)
                except NotFoundError:
                    continue
                try:
                    return parse(read_whole(resource))
                finally:
                    resource.close()
            raise missing_index(key, INDEXES[ending])

        return self._indexes.get(key, etag, read)  # type: ignore[arg-type, return-value]


def _keys(identifier: str, ending: str) -> Sequence[str]:
    """Return what an id can mean: with the ending, or as it stands."""
    whole = (identifier,) if identifier.endswith(ending) else ()
    return (*whole, identifier + ending)
