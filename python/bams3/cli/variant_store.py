"""Commands that keep calls and ask for them: variants load, variants query."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import json_option, print_json, quiet_option, storage_options

if TYPE_CHECKING:
    from bams3.config import StorageOptions

FORMS = ("table", "csv", "json", "vcf", "parquet")


def _named_store(_: click.Context, __: click.Parameter, url: str | None) -> str:
    """Return the store: that of the option, of BAMS3_STORE, or the table of the older project."""
    url = url or os.environ.get("BAMS3_STORE")
    table = os.environ.get("TABLE_NAME")
    if not url and not table:
        raise click.UsageError("which store?  --store URL, BAMS3_STORE, or TABLE_NAME")
    return url or f"dynamodb://{table}"


store_option = click.option(
    "--store", callback=_named_store, metavar="URL",
    help="sqlite:///calls.db, duckdb:///calls.duckdb or dynamodb://table; by default BAMS3_STORE.",
)  # fmt: skip


@click.command(no_args_is_help=True)
@click.argument("calls", metavar="VCF")
@store_option
@click.option(
    "-r",
    "--region",
    "regions",
    multiple=True,
    metavar="REGION",
    help="Load and replace only what begins in this region; may be given more than once.",
)
@click.option("--genes", metavar="GFF3", help="For calls without annotation: genes they overlap.")
@click.option("--sample", metavar="NAME", help="Another name for the file's one sample.")
@json_option
@quiet_option
@storage_options
def load(
    calls: str, store: str, as_json: bool, quiet: bool, storage: StorageOptions, **given: Any
) -> None:
    """Load the calls of a VCF or BCF file into a store.

    They replace what the store has of the same samples, all at once: where the calls were made by
    variants call, in the regions that were called, else everywhere, or as -r says. Doing it twice
    is the same as doing it once; a load that is killed leaves nothing to be seen.

    \b
    bams3 variants load calls.vcf.gz --store sqlite:///calls.db
    bams3 variants load s3://bucket/chr20.bcf --store dynamodb://variants -r chr20
    bams3 variants load calls.vcf.gz --store duckdb:///calls.duckdb --genes genes.gff3.gz
    """
    from bams3.variants.load import load as load_calls

    done = load_calls(calls, store, storage=storage, **given)
    if as_json:
        print_json(asdict(done))
    elif not quiet:
        where = f" ({', '.join(done.regions)})" if done.regions else ""
        click.echo(f"{done.calls:,} calls of {_names(done.samples)}{where}: {done.store}", err=True)


def _names(samples: tuple[str, ...]) -> str:
    more = f" and {len(samples) - 8:,} more" if len(samples) > 8 else ""
    return ", ".join(samples[:8]) + more


@click.command()
@store_option
@click.option("-r", "--region", metavar="REGION", help="What overlaps it (1-based, closed).")
@click.option("--gene", metavar="NAME", help="Calls in this gene.")
@click.option(
    "--min-qual", "--quality-filter", "min_qual", type=float, metavar="QUAL", help="Least QUAL."
)
@click.option("--sample", "samples", multiple=True, metavar="NAME", help="May be repeated.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="snv, mnv, insertion, deletion, indel, complex, symbolic; may be repeated.",
)
@click.option(
    "--genotype",
    "genotypes",
    multiple=True,
    metavar="GENOTYPE",
    help="het, hom, hemi, or such as 0/1, phase set aside; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Calls at most.")
@click.option("--page", metavar="TEXT", help="Go on after the last call, as was told there.")
@click.option(
    "-o",
    "--output",
    default="table",
    show_default=True,
    metavar="FORM|FILE",
    help="table, csv, json, vcf or parquet, to standard output or the FILE that follows; or a "
    "file with such an ending, .vcf.gz or .bcf.",
)
@click.argument("file", required=False)
@quiet_option
@storage_options
def query(
    store: str,
    output: str,
    file: str | None,
    limit: int | None,
    page: str | None,
    quiet: bool,
    storage: StorageOptions,
    **given: Any,
) -> None:
    """Print the calls of a store that fit all conditions, by position.

    A call is one allele in one sample. A deletion that begins before the region and reaches into
    it is printed, too. Positions are 1-based in all forms.

    \b
    bams3 variants query --store sqlite:///calls.db -r chr20:1-2,000,000 --min-qual 30
    bams3 variants query --store dynamodb://variants --gene BRCA2 --genotype het -o csv
    bams3 variants query --store sqlite:///calls.db --sample child --type indel -o calls.vcf.gz
    """
    from bams3.variants.output import form_of, write_calls
    from bams3.variants.query import Page, select
    from bams3.variants.store import open_store

    form = output if output in FORMS else form_of(output)
    target = file or ("-" if output in FORMS else output)
    opened = open_store(store, storage)
    try:
        header = opened.header()
        found = Page(opened, select(header, **given), limit, page)
        write_calls(
            found, header, form=form, file=target, samples=given["samples"], storage=storage
        )
    finally:
        opened.close()
    if not quiet:
        click.echo(f"{found.count:,} {'call' if found.count == 1 else 'calls'}", err=True)
    if found.after is not None:
        click.echo(f"next page: --page {found.after}", err=True)


COMMANDS = (load, query)
