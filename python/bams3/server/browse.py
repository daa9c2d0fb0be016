"""What the page asks for: samples, contigs and references, genes, statistics, depth."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bams3 import _core
from bams3.errors import Bams3Error, InputError, NotFoundError
from bams3.server.auth import User
from bams3.server.catalog import Catalog, Library
from bams3.server.depth import overview, window
from bams3.server.genes import Gene, Genes
from bams3.server.listing import DATASET, Listings
from bams3.server.roots import Root
from bams3.server.samples import Contents, Reference, contents
from bams3.server.sources import KnownFiles, read_whole

if TYPE_CHECKING:
    from bams3.reads.dataset import Dataset

log = logging.getLogger(__name__)

_CONTIG = re.compile(rb"^##contig=<(?=.*\bID=([^,>]+))(?=.*\blength=(\d+))", re.MULTILINE)
_ANNOTATIONS = (".gff", ".gff3", ".gtf", ".gff.gz", ".gff3.gz", ".gtf.gz")


class Browse:
    """Answers with values for JSON. All methods may block."""

    def __init__(self, roots: Mapping[str, Root], library: Library, catalog: Catalog) -> None:
        self._roots, self._library, self._catalog = roots, library, catalog
        self._listings, self._genes = Listings(), Genes()
        self._fai: KnownFiles[dict[str, int]] = KnownFiles()
        self._overviews: KnownFiles[dict[str, Any]] = KnownFiles(16)

    def samples(self, user: User) -> dict[str, Any]:
        """Return samples and tracks of all roots that the user may read, and what went wrong."""
        samples: list[Any] = []
        tracks: list[Any] = []
        problems: list[str] = []
        for root in self._of(user):
            try:
                held, cut = self._contents(root)
            except Bams3Error as error:
                log.error("%s", error)
                problems.append(f"{root.name} cannot be listed")
                continue
            if cut:
                problems.append(f"{root.name} has more files than are shown")
            found = held.to_dict()
            samples += found["samples"]
            tracks += found["tracks"]
        limited = user.regions is not None
        genes = any(key.lower().endswith(_ANNOTATIONS) for key in self._annotations(user))
        return {
            "samples": samples, "tracks": [] if limited else tracks, "problems": problems,
            "user": user.name, "regions": list(user.regions or ()), "limited": limited,
            "genes": genes,
        }  # fmt: skip

    def contigs(self, user: User, key: str) -> dict[str, Any]:
        """Return the contigs of a file with their lengths, and the reference that fits best."""
        lengths = self.lengths(key)
        reference = self._reference(user, lengths)
        return {
            "contigs": list(lengths.items()),
            "reference": reference.to_dict() if reference else None,
        }

    def lengths(self, key: str) -> dict[str, int]:
        """Return contigs and lengths as the header tells them."""
        if key.endswith(DATASET):
            return dict(self._dataset(key).contigs)
        low = key.lower()
        format = "CRAM" if low.endswith(".cram") else "BAM" if low.endswith(".bam") else "VCF"
        source = self._catalog.open("files", format, key)
        try:
            if source.native == "BAM":
                found = _core.bam_header(source.head)
                return dict(found[0].contigs) if found else {}
            return {name.decode(): int(length) for name, length in _CONTIG.findall(source.head)}
        finally:
            source.close()

    def genes(self, user: User, text: str) -> dict[str, Any]:
        """Return genes whose names begin so, of all annotations that the user may read."""
        found: dict[Gene, None] = {}
        for key in self._annotations(user):
            resource = self._library.open(key)
            try:
                found |= dict.fromkeys(self._genes.of(key, resource).find(text))
            except InputError as error:
                log.warning("%s", error)
            finally:
                resource.close()
        return {"genes": [gene._asdict() for gene in found]}

    def stats(self, key: str) -> dict[str, Any]:
        """Return what `Dataset.stats` does, without the address."""
        dataset = self._dataset(key)
        return dataset.stats() | {"dataset": key}

    def overview(self, key: str, bins: int) -> dict[str, Any]:
        """Return the depth along all contigs, estimated."""
        dataset = self._dataset(key)

        def make() -> dict[str, Any]:
            found = overview(dataset, bins)
            return {
                "contigs": [
                    {"contig": contig, "width": width, "means": means}
                    for contig, (width, means) in found.contigs.items()
                ]
            }

        return self._overviews.get(f"{key}?{bins}", dataset.etag, make)

    def depth(self, key: str, contig: str, start: int, end: int, bins: int) -> dict[str, Any]:
        """Return the depth along a stretch."""
        return window(self._dataset(key), contig, start, end, bins)._asdict()

    # ---- parts -----------------------------------------------------------------------------------
    def _of(self, user: User) -> Iterable[Root]:
        return (root for name, root in self._roots.items()
                if user.roots is None or name in user.roots)  # fmt: skip

    def _contents(self, root: Root) -> tuple[Contents, bool]:
        found, cut = self._listings.of(root)
        return contents(root.name, found), cut

    def _all(self, user: User) -> Iterable[Contents]:
        for root in self._of(user):
            try:
                yield self._contents(root)[0]
            except Bams3Error:
                continue  # `samples` says so

    def _annotations(self, user: User) -> list[str]:
        return [
            track.key
            for held in self._all(user)
            for track in (*held.tracks, *(track for s in held.samples for track in s.tracks))
            if track.key.lower().endswith(_ANNOTATIONS)
        ]

    def _dataset(self, key: str) -> Dataset:
        if not key.endswith(DATASET):
            raise NotFoundError(f"{key}: is not a dataset", "its name ends in .bams3")
        return self._library.virtual(key).dataset

    def _reference(self, user: User, lengths: Mapping[str, int]) -> Reference | None:
        """Return the reference with the most of the contigs, none of them of another length."""
        best: tuple[int, Reference | None] = 0, None
        for held in self._all(user):
            for reference in held.references:
                known = self._known(reference)
                shared = [name for name in lengths if name in known]
                if all(known[name] == lengths[name] for name in shared) and len(shared) > best[0]:
                    best = len(shared), reference
        return best[1]

    def _known(self, reference: Reference) -> dict[str, int]:
        try:
            resource = self._library.open(reference.fai)
        except Bams3Error:
            return {}
        try:
            data = self._fai.get(reference.fai, resource.etag, lambda: _fai(read_whole(resource)))
        finally:
            resource.close()
        return data


def _fai(data: bytes) -> dict[str, int]:
    rows = (line.split("\t") for line in data.decode("utf-8", "replace").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) >= 5 and row[1].isdigit()}
