"""Commands that sum calls up, draw them and say what they do: variants stats, report, annotate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from bams3.cli.options import Command, json_option, print_json, quiet_option, storage_options
from bams3.cli.progress import Progress

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.variants.statistics import SampleCounts, Statistics
    from bams3.variants.store import Store
    from bams3.variants.vcf import Kind

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
def _opened(calls: str | None, store: str | None, storage: StorageOptions) -> Iterator[str | Store]:
    """Open what was named; the store is closed at the end."""
    if (calls is None) == (store is None):
        raise click.UsageError("give a file with calls, or --store URL")
    if store is None:
        assert calls is not None
        yield calls
        return
    from bams3.variants.store import open_store

    opened = open_store(store, storage)
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
    with _opened(calls, store, storage) as source:
        counts = _counted(source, "stats", quiet or as_json, storage)
    if as_json:
        print_json(counts.to_json())
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


_KINDS: tuple[tuple[Kind, str], ...] = (
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


@click.command(no_args_is_help=True)
@_calls
@click.option(
    "-o",
    "--output",
    default="report.html",
    show_default=True,
    metavar="FILE|URL",
    help="The page.",
)
@click.option("--png", metavar="FOLDER|URL", help="Write the plots as PNG, too.")
@click.option("--svg", metavar="FOLDER|URL", help="Write the plots as SVG, too.")
@click.option("--dark", is_flag=True, help="PNG and SVG for a dark ground; the page has both.")
@click.option(
    "--server",
    metavar="URL",
    help="Link variants to the page of bams3 serve: its address, #sample=... included.",
)
@quiet_option
@storage_options
def report(
    calls: str | None,
    store: str | None,
    output: str,
    quiet: bool,
    storage: StorageOptions,
    server: str | None,
    **given: Any,
) -> None:
    """Draw calls of a VCF or BCF file, or of a store, as one page that needs no network.

    \b
    bams3 variants report calls.vcf.gz -o report.html
    bams3 variants report --store sqlite:///calls.db -o report.html --png plots
    bams3 variants report x.vcf.gz --server 'http://127.0.0.1:8080/#sample=run/x'
    """
    from bams3.variants.report import check_request, pictures, report, write

    check_request(output, server)
    with _opened(calls, store, storage) as source:
        counts = _counted(source, "report", quiet, storage)
    write(output, report(counts, server=server).encode(), storage)
    kinds: tuple[Literal["png", "svg"], ...] = ("png", "svg")
    for kind in kinds:
        if given[kind]:
            for name, data in pictures(counts, kind, dark=given["dark"]):
                write(f"{given[kind].rstrip('/')}/{name}", data, storage)
    if not quiet:
        click.echo(f"{counts.variants:,} variants: {output}", err=True)


@click.command(no_args_is_help=True)
@click.argument("calls", metavar="CALLS")
@click.option("-g", "--genes", required=True, metavar="GFF3", help="Genes, as of Ensembl.")
@click.option("-f", "--fasta-ref", "reference", required=True, metavar="FASTA", help="With .fai.")
@click.option("-o", "--output", required=True, metavar="FILE|URL", help=".vcf.gz or .bcf.")
@click.option("--overwrite", is_flag=True, help="Replace the output that is there.")
@json_option
@quiet_option
@storage_options
def annotate(calls: str, as_json: bool, quiet: bool, storage: StorageOptions, **given: Any) -> None:
    """Say what variants do to genes (INFO/BCSQ of bcftools csq), each by itself.

    \b
    bams3 variants annotate calls.vcf.gz -g genes.gff3.gz -f ref.fa -o annotated.vcf.gz
    """
    from bams3.variants.annotate import annotate

    done = annotate(calls, storage=storage, **given)
    if as_json:
        print_json(asdict(done))
    elif not quiet:
        click.echo(f"{done.annotated:,} of {done.records:,} records: {done.output}", err=True)


COMMANDS = (stats, report, annotate)
