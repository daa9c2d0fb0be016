"""How an object is cut into parts. Pure: sizes in, sizes out, all in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from bams3.errors import InputError, PartSizeError, UsageError
from bams3.storage.objects import Part

MIB = 1 << 20
LEAST = 5 * MIB
"""Every part but the last has at least so many bytes."""
MOST = 5 << 30
PARTS = 10_000
LARGEST = PARTS * MOST
"""Bytes of the largest object: 48.8 TiB."""
USUAL = 16 * MIB


@dataclass(frozen=True, slots=True)
class Plan:
    """An object of `size` bytes in parts of `part_size`, the last one shorter or as long."""

    size: int
    part_size: int

    @property
    def count(self) -> int:
        """The number of parts; an empty object has one."""
        return max(1, -(-self.size // self.part_size))

    def span(self, number: int) -> tuple[int, int]:
        """Return the bytes [start, end) of part `number`, from 1."""
        start = (number - 1) * self.part_size
        return start, min(start + self.part_size, self.size)

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield number, start and end of all parts in their order."""
        for number in range(1, self.count + 1):
            yield number, *self.span(number)


def plan(size: int, part_size: int | None = None) -> Plan:
    """Cut an object.

    Args:
        size: Of the object.
        part_size: What was asked for; None for one that suits: 16 MiB, more where there would be
            more than 10,000 parts, always whole MiB.

    Raises:
        UsageError: A part size under 5 MiB or over 5 GiB, or one that needs too many parts.
        InputError: The object is larger than an object can be.
    """
    if size > LARGEST:
        raise InputError(f"{size} bytes are more than an S3 object can have ({LARGEST})")
    if part_size is None:
        needed = -(-size // PARTS)
        return Plan(size, max(USUAL, -(-needed // MIB) * MIB))
    check_part_size(part_size)
    if size > part_size * PARTS:
        least = -(-size // PARTS)
        raise UsageError(
            f"--part-size {part_size}: {size} bytes would need more than {PARTS} parts",
            f"use at least {-(-least // MIB)}M, or leave it away",
        )
    return Plan(size, part_size)


def check_part_size(part_size: int) -> None:
    """Raise UsageError for a part size that S3 does not take."""
    if not LEAST <= part_size <= MOST:
        raise UsageError(f"--part-size {part_size}: not from {LEAST} (5M) to {MOST} (5G)")


def adopt(size: int, parts: Sequence[Part], asked: int | None = None) -> Plan:
    """Find the plan that the finished parts of an unfinished upload follow.

    Args:
        size: Of the object, as it is now.
        parts: What the server has.
        asked: The part size asked for.

    Returns:
        The plan. A lone last part gives it away by its number and the object's size; where a lone
        part allows for two plans, the one asked for, else that in which it is of full size.

    Raises:
        PartSizeError: `asked` is another part size than that of the parts.
        InputError: No part size explains the parts: the object had another size when they were
            made.
    """
    if not parts:
        return plan(size, asked)
    candidates = chain([Plan(size, asked)] if asked else [], _candidates(size, parts))
    found = next((p for p in candidates if _explains(p, parts)), None)
    if found is None:
        raise InputError(
            f"the unfinished upload has parts that do not fit to {size} bytes: the source changed",
            "--force starts over",
        )
    if asked is not None and asked != found.part_size:
        raise PartSizeError(
            f"--part-size {asked}: the unfinished upload has parts of {found.part_size} bytes",
            "leave --part-size away, or start over with --force",
        )
    return found


def _candidates(size: int, parts: Iterable[Part]) -> Iterator[Plan]:
    """Yield plans: every part may be one of full size, or the last one."""
    for part in parts:
        if part.size:
            yield Plan(size, part.size)
        before = part.number - 1
        if before and size > part.size and (size - part.size) % before == 0:
            yield Plan(size, (size - part.size) // before)
    if size <= MOST:
        yield Plan(size, max(size, LEAST))


def _explains(candidate: Plan, parts: Iterable[Part]) -> bool:
    if candidate.count > PARTS or candidate.part_size > MOST:
        return False
    if candidate.count > 1 and candidate.part_size < LEAST:
        return False
    return all(
        part.number <= candidate.count
        and part.size == candidate.span(part.number)[1] - candidate.span(part.number)[0]
        for part in parts
    )


def stream_base(memory: int) -> int:
    """Return the size of the first parts of a stream whose size nobody knows.

    A part is held in memory until it has arrived: a quarter of the budget, at least 5 MiB.
    """
    return min(MOST, max(LEAST, memory // 4 // MIB * MIB))


def stream_factor(number: int) -> int:
    """Return how many times larger than the first parts part `number` of a stream is.

    So that few parts go a long way: 64 MiB of memory suffice for about 300 GiB.
    """
    return 1 if number <= PARTS // 2 else 2 if number <= PARTS * 4 // 5 else 4
