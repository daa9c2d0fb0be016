"""Which files belong together: samples with their alignments and variants, tracks, references.

Files of a folder belong to the sample whose name theirs begins with, up to a dot: `s1.bam`,
`s1.cram`, `s1.hard-filtered.vcf.gz`. What belongs to none is offered beside all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bams3.server.keys import alternatives
from bams3.server.listing import DATASET, Found

Kind = Literal["alignment", "variant", "annotation", "signal"]

SMALL = 20 << 20
"""Bytes up to which a file without index is read whole by the browser."""
_FORMATS: Mapping[str, tuple[Kind, str]] = {
    ".bams3": ("alignment", "bams3"),
    ".bam": ("alignment", "bam"),
    ".cram": ("alignment", "cram"),
    ".vcf.gz": ("variant", "vcf"),
    ".vcf": ("variant", "vcf"),
    ".bed.gz": ("annotation", "bed"),
    ".bed": ("annotation", "bed"),
    ".bb": ("annotation", "bigbed"),
    ".bigbed": ("annotation", "bigbed"),
    ".gff.gz": ("annotation", "gff3"),
    ".gff3.gz": ("annotation", "gff3"),
    ".gtf.gz": ("annotation", "gtf"),
    ".gff": ("annotation", "gff3"),
    ".gff3": ("annotation", "gff3"),
    ".gtf": ("annotation", "gtf"),
    ".bw": ("signal", "bigwig"),
    ".bigwig": ("signal", "bigwig"),
}
_INDEXES = {"bam": (".bai", ".csi"), "cram": (".crai",)}
_TABIX = (".tbi", ".csi")
_SELF_INDEXED = ("bams3", "bigbed", "bigwig")
_FASTA = (".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz")


@dataclass(frozen=True, slots=True)
class Track:
    """A file, or dataset, that the page can draw.

    Attributes:
        key: Name of the root, a slash, and the key in it.
        index: Key of its index; None where it has none or needs none.
        usable: It has the index that its size calls for.
    """

    key: str
    kind: Kind
    format: str
    index: str | None
    usable: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as the page gets it."""
        return {
            "key": self.key, "name": self.key.rpartition("/")[2], "kind": self.kind,
            "format": self.format, "index": self.index, "usable": self.usable,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """An indexed FASTA. `gzi` is the index of the blocks of a compressed one."""

    key: str
    fai: str
    gzi: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as the page gets it."""
        return {"key": self.key, "fai": self.fai, "gzi": self.gzi}


@dataclass(slots=True)
class Sample:
    """Alignments and what belongs to them; or a file of variants alone."""

    key: str
    tracks: list[Track] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as the page gets it."""
        folder, _, name = self.key.rpartition("/")
        tracks = [track.to_dict() for track in sorted(self.tracks, key=_rank)]
        return {"key": self.key, "name": name, "folder": folder, "tracks": tracks}


@dataclass(slots=True)
class Contents:
    """What the roots hold."""

    samples: list[Sample] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as the page gets it."""
        return {
            "samples": [sample.to_dict() for sample in self.samples],
            "tracks": [track.to_dict() for track in self.tracks],
        }


def contents(name: str, found: Iterable[Found]) -> Contents:
    """Sort what lies in the root `name`."""
    sizes = {item.key: item.size for item in found}
    result = Contents()
    samples: dict[str, Sample] = {}
    others: list[tuple[str, Track]] = []
    for key, size in sizes.items():
        if reference := _reference(name, key, sizes):
            result.references.append(reference)
        elif track := _track(name, key, size, sizes):
            stem = f"{name}/{_stem(key)}"
            if track.kind == "alignment":
                samples.setdefault(stem, Sample(stem)).tracks.append(track)
            else:
                others.append((stem, track))
    for stem, track in others:
        owner = _owner(stem, samples)
        if owner is None and track.kind == "variant":
            owner = samples.setdefault(stem, Sample(stem))
        (owner.tracks if owner else result.tracks).append(track)
    result.samples = [samples[stem] for stem in sorted(samples)]
    return result


def _track(name: str, key: str, size: int | None, sizes: Mapping[str, int | None]) -> Track | None:
    ending = _ending(key)
    if ending is None or (size is None) != (ending == DATASET):
        return None
    kind, format = _FORMATS[ending]
    endings = _INDEXES.get(format, _TABIX if key.endswith(".gz") else ())
    index = _index(key, endings, sizes)
    small = kind != "alignment" and size is not None and size <= SMALL
    usable = index is not None or format in _SELF_INDEXED or small
    return Track(f"{name}/{key}", kind, format, f"{name}/{index}" if index else None, usable)


def _reference(name: str, key: str, sizes: Mapping[str, int | None]) -> Reference | None:
    fai, gzi = f"{key}.fai", f"{key}.gzi"
    if not key.lower().endswith(_FASTA) or fai not in sizes:
        return None
    if not key.lower().endswith(".gz"):
        return Reference(f"{name}/{key}", f"{name}/{fai}")
    whole = Reference(f"{name}/{key}", f"{name}/{fai}", f"{name}/{gzi}")
    return whole if gzi in sizes else None


def _index(key: str, endings: Iterable[str], sizes: Mapping[str, int | None]) -> str | None:
    for ending in endings:
        if any(name in sizes for name in (key + ending, *alternatives(key + ending))):
            return key + ending
    return None


def _ending(key: str) -> str | None:
    low = key.lower()
    return next((ending for ending in _FORMATS if low.endswith(ending)), None)


def _stem(key: str) -> str:
    return key[: -len(_ending(key) or "")]


def _owner(stem: str, samples: Mapping[str, Sample]) -> Sample | None:
    """Return the sample with the longest name that `stem` begins with, up to a dot."""
    for end in range(len(stem), stem.rfind("/") + 1, -1):
        if (end == len(stem) or stem[end] == ".") and stem[:end] in samples:
            return samples[stem[:end]]
    return None


def _rank(track: Track) -> tuple[int, str]:
    order = ("bams3", "bam", "cram", "vcf")
    return (order.index(track.format) if track.format in order else len(order), track.key)
