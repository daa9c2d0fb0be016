"""What goes where, of the names on a command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bams3.transfer.addresses import Source as Address
    from bams3.transfer.jobs import Pair
    from bams3.transfer.tree import Filter


def sources_and_target(names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Tell sources and target apart. Raises UsageError where there is no target for all."""
    if len(names) < 2:
        raise click.UsageError("give SRC and s3://BUCKET/KEY")
    target = names[-1]
    if len(names) > 2 and not target.endswith("/"):
        raise click.UsageError(f"{target}: with several sources it has to end in /")
    return names[:-1], target


def upload_pairs(
    address: Address, target: str, wanted: Filter | None, several: bool
) -> Iterator[Pair]:
    """Yield what goes where for one source; of several, folders keep their names."""
    from pathlib import Path

    from bams3.transfer.addresses import FilePath, S3Object, parse_s3, parse_upload_target
    from bams3.transfer.jobs import folder_to_prefix

    folder = Path(address.path) if isinstance(address, FilePath) else None
    if folder is None or not folder.is_dir():
        yield address, parse_upload_target(target, address)
        return
    if wanted is None:
        raise click.UsageError(f"{folder}: is a directory; --recursive takes the files below it")
    place = parse_s3(target)
    if several:
        place = S3Object(place.bucket, f"{place.key}{folder.name}/")
    yield from folder_to_prefix(folder, place, wanted)


def refuse_collisions(pairs: list[Pair]) -> None:
    """Raise UsageError where two sources would go to one place."""
    from bams3.transfer.tree import Left

    seen: dict[str, str] = {}
    for pair in pairs:
        if not isinstance(pair, Left):
            source, target = map(str, pair)
            if target in seen:
                raise click.UsageError(f"{target}: both {seen[target]} and {source} would go there")
            seen[target] = source
