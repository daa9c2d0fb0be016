"""How a transfer is to be done, what it tells on the way, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Exists: TypeAlias = Literal["fail", "overwrite", "skip", "skip-identical"]
"""What to do where the destination exists; `skip-identical` overwrites what differs."""
Unfinished: TypeAlias = Literal["fail", "resume", "restart"]
"""What to do with an unfinished transfer to the destination; `restart` drops it."""

MEMORY = 64 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How a transfer is to be done.

    Attributes:
        part_size: Bytes of a part; None for one that suits the object, or that of the transfer
            which is resumed.
        slots: Requests in flight at most; fewer where the store asks to slow down, or where
            `memory` does not suffice.
        memory: Bytes of data in memory at most, whatever `slots` and `part_size`.
        limit_rate: Bytes a second at most, of all connections together; None for no limit.
        exists: What to do where the destination exists.
        unfinished: What to do with an unfinished transfer.
        dry_run: Decide, and do nothing.
    """

    part_size: int | None = None
    slots: int = 64
    memory: int = MEMORY
    limit_rate: int | None = None
    exists: Exists = "fail"
    unfinished: Unfinished = "fail"
    dry_run: bool = False


class Progress(Protocol):
    """Is told how a transfer goes; called from several threads."""

    def begin(self, size: int | None) -> None:
        """`size` bytes are to come; None where nobody knows. Once for each object."""

    def advance(self, count: int) -> None:
        """`count` bytes more are done; negative where they have to be sent again."""

    def part(self, number: int, size: int, kept: bool) -> None:
        """A part is done; `kept`: the other side had it, and it was checked."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, size: int | None) -> None:
        """Pass."""

    def advance(self, count: int) -> None:
        """Pass."""

    def part(self, number: int, size: int, kept: bool) -> None:
        """Pass."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one object.

    Attributes:
        source: Where it came from.
        destination: Where it went.
        size: Bytes.
        etag: Of the object, with quotes; "" where nothing was done.
        crc64nvme: Of the whole, as we computed it; None where no byte passed through us. Of what
            was skipped: as the store says.
        proof: How the other side was compared: `crc64nvme`, `md5`, `sha256`, ..., or "" for size
            alone.
        parts: Number of parts; 0 for a single request.
        kept: Parts that were there already.
        skipped: Nothing was sent, because the destination exists (or `dry_run`).
        planned: It would have been sent, but for `dry_run`.
        error: What went wrong, where many objects go at once.
        version_id: Of the object, in a bucket with versions.
    """

    source: str
    destination: str
    size: int
    etag: str = ""
    crc64nvme: int | None = None
    proof: str = ""
    parts: int = 0
    kept: int = 0
    skipped: bool = False
    planned: bool = False
    error: Exception | None = None
    version_id: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What came of many objects."""

    files: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    """Bytes sent, those of skipped and failed files not counted."""
    seconds: float = 0.0
