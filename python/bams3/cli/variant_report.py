"""Commands that sum calls up, draw them and say what they do: variants stats, report, annotate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import Command, json_option, quiet_option, storage_options
from bams3.cli.progress import Progress

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.variants.statistics import SampleCounts, Statistics
    from bams3.variants.store import Store

_CALLS = (
    click.argument("calls", required=False, metavar="[CALLS]"),
    click.option("--store", metavar="URL", help="Calls of a store, rather than of a file."),
)


def _calls(command: Command) -> Command:
    """Add what says which calls: a file, or a store."""
    for option in reversed(_CALLS):
        option(command)
    return command


@contextmanager
def _opened(calls: str | None, store: str | None) -> Iterator[str | Store]:
    """Open what was named; the store is closed at the end."""
    if (calls is None) == (store is None):
        raise click.UsageError("give a file with calls, or --store URL")
    if store is None:
        assert calls is not None
        yield calls
        return
    from bams3.variants.store import open_store

    opened = open_store(store)
    try:
        yield opened
    finally:
        opened.close()


def _counted(calls: str | Store, title: str, quiet: bool, storage: StorageOptions) -> Statistics:
    from bams3.variants.statistics import statistics

    with Progress(title, quiet) as progress:
        return statistics(
            calls, storage=storage, progress=lambda n: progress.show(f"{n:,} records")
        )


@click.command(no_args_is_help=True)
@_calls
@json_option
@quiet_option
@storage_options
def stats(
    calls: str | None, store: str | None, as_json: bool, quiet: bool, storage: StorageOptions
) -> None:
    """Sum up calls of a VCF or BCF file, or of a store.

    Variants are alternative alleles; a record with two of them counts twice.

    \b
    bams3 variants stats calls.vcf.gz
    bams3 variants stats --store sqlite:///calls.db --json
    """
    with _opened(calls, store) as source:
        counts = _counted(source, "stats", quiet or as_json, storage)
    if as_json:
        import json

        click.echo(json.dumps(counts.to_json()))
    else:
        click.echo("\n".join(_summary(counts)))


def _summary(counts: Statistics) -> Iterator[str]:
    yield f"{counts.variants:,} variants in {counts.records:,} records of {counts.source}"
    kinds = [f"{counts.kinds[kind]:,} {name}" for kind, name in _KINDS if counts.kinds[kind]]
    if kinds:
        yield ", ".join(kinds)
    yield (
        f"Ti/Tv {_number(counts.ti_tv)} ({counts.transitions:,} to {counts.transversions:,}), "
        f"{counts.multiallelic:,} multiallelic"
    )
    depth = counts.depth
    if depth.count:
        yield f"depth {_number(depth.mean)} on average, median {depth.quantile(0.5):,}"
    yield "filters: " + (", ".join(f"{n} {c:,}" for n, c in counts.filters.most_common()) or "none")
    if counts.samples:
        yield from _table(counts.samples)


_KINDS = (
    ("snv", "SNVs"), ("insertion", "insertions"), ("deletion", "deletions"), ("mnv", "MNVs"),
    ("complex", "complex"), ("symbolic", "symbolic"),
)  # fmt: skip
_HEAD = ("variants", "SNVs", "indels", "het", "hom", "hemi", "het/hom", "Ti/Tv", "depth", "alone")


def _table(samples: dict[str, SampleCounts]) -> Iterator[str]:
    width = max(len("sample"), *map(len, samples))
    yield f"\n{'sample':<{width}}" + "".join(f"{name:>11}" for name in _HEAD)
    for name, row in samples.items():
        indels = row.kinds["insertion"] + row.kinds["deletion"]
        values: list[Any] = [row.variants, row.kinds["snv"], indels, row.het, row.hom, row.hemi]
        values += [row.het_hom, row.ti_tv, row.depth.mean, row.alone]
        yield f"{name:<{width}}" + "".join(f"{_number(value):>11}" for value in values)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


COMMANDS = (stats,)
