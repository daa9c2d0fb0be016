"""What is to be called, and what came of it: plain data that goes through JSON and pickle.

A task's id is a digest of all that its calls depend on: content of reads and reference, caller with
version and parameters, and the pieces it owns. A task that is done twice writes the same twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bams3.config import StorageOptions
from bams3.errors import InputError
from bams3.variants.alignments import stem
from bams3.variants.callers import Caller
from bams3.variants.shards import Piece, Shard

RECEIPT = ".receipt.json"
"""Follows the name of calls in that of the receipt of their job."""


@dataclass(frozen=True, slots=True)
class Source:
    """Reads: where they lie, and what changes when they do."""

    url: str
    identity: str


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to call.

    Attributes:
        sources: The alignments.
        reference: Address of the FASTA.
        checksums: M5 of the contigs that are called.
        caller: What to run.
        version: Name and version of it.
        shard: The pieces that the task owns.
        folder: Where the calls go, and the receipt after them.
        storage: How to reach stores; never travels as JSON.
    """

    sources: tuple[Source, ...]
    reference: str
    checksums: tuple[tuple[str, str], ...]
    caller: Caller
    version: str
    shard: Shard
    folder: str
    storage: StorageOptions | None = field(default=None, compare=False)

    @property
    def job(self) -> str:
        """Digest of all but the pieces: names of inputs too, as of those without read groups."""
        return _digest(
            [
                [[stem(source.url), source.identity] for source in self.sources],
                sorted(self.checksums),
                asdict(self.caller),
                self.version,
            ]
        )

    @property
    def id(self) -> str:
        """Digest of everything that the calls depend on."""
        return _digest([self.job, _plain(self.shard)])

    @property
    def name(self) -> str:
        """The pieces, for people."""
        first = str(self.shard[0].region)
        return first if len(self.shard) == 1 else f"{first} and {len(self.shard) - 1} more"

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON values."""
        values = {name: value for name, value in asdict(self).items() if name != "storage"}
        return {**values, "shard": _plain(self.shard)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], storage: StorageOptions | None = None) -> Task:
        """Read what `to_json` wrote. Raises InputError."""
        try:
            return cls(
                sources=tuple(Source(**source) for source in values["sources"]),
                reference=values["reference"],
                checksums=tuple((name, digest) for name, digest in values["checksums"]),
                caller=Caller(**values["caller"]),
                version=values["version"],
                shard=_shard(values["shard"]),
                folder=values["folder"],
                storage=storage,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a task: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a task.

    Attributes:
        task: Id of the task.
        job: Digest of all that the calls depend on but the pieces.
        shard: The pieces.
        key: Where the calls lie in the job's folder (VCF, bgzipped).
        digest: SHA-256 of that object.
        records: Records in it.
        reads: Reads that the caller was given, those of the padding included.
        bytes_read: Bytes of BAM that the caller was given.
        seconds: How long it took.
        version: Name and version of the caller.
    """

    task: str
    job: str
    shard: Shard
    key: str
    digest: str
    records: int
    reads: int
    bytes_read: int
    seconds: float
    version: str

    def to_json(self) -> dict[str, Any]:
        """Return the receipt as JSON values."""
        return {**asdict(self), "shard": _plain(self.shard)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Receipt:
        """Read what `to_json` wrote. Raises InputError."""
        try:
            return cls(**{**values, "shard": _shard(values["shard"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a receipt: {error!r}") from error


def _plain(shard: Shard) -> list[list[Any]]:
    """Return pieces as lists: some JSON writers make objects of named tuples."""
    return [list(piece) for piece in shard]


def _shard(values: Sequence[Sequence[Any]]) -> Shard:
    return tuple(Piece(str(name), int(start), int(end)) for name, start, end in values)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
