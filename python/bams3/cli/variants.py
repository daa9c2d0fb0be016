"""Commands that call variants, and that judge calls: variants call, verify-scatter, compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bams3.cli import variant_report, variant_store
from bams3.cli.options import (
    SIZE,
    Command,
    Group,
    bed_option,
    json_option,
    print_json,
    quiet_option,
    storage_options,
)
from bams3.cli.progress import Progress
from bams3.cli.sizes import show_size
from bams3.errors import Bams3Error

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bams3.config import StorageOptions
    from bams3.variants.call import CallSummary
    from bams3.variants.callers import Caller
    from bams3.variants.compare import Comparison
    from bams3.variants.cost import Budget, Estimate


@click.group(cls=Group)
def variants() -> None:
    """Call variants where the reads lie, and judge the calls.

    \b
    bams3 variants call s3://bucket/sample.bams3 -f ref.fa -o calls.vcf.gz
    bams3 variants verify-scatter s3://bucket/sample.bams3 -f ref.fa -r chr20
    bams3 variants compare calls.vcf.gz --truth truth.vcf.gz --confident truth.bed -f ref.fa
    """


_REQUEST = (
    click.argument("inputs", nargs=-1, required=True, metavar="READS..."),
    click.option(
        "-f", "--fasta-ref", "reference", required=True, metavar="FASTA",
        help="Reference, with its .fai.",
    ),
    click.option(
        "-r", "--region", "regions", multiple=True, metavar="REGION",
        help="Only this region (1-based, closed); may be given more than once.",
    ),
    bed_option,
    click.option(
        "--caller", default="bcftools", show_default=True, metavar="NAME|COMMAND",
        help="bcftools, freebayes, or a command that writes VCF, with {reads} or {bam}, "
        "{reference}, {region}, {bed}.",
    ),
    click.option(
        "--gvcf", default="", metavar="DEPTHS",
        help="Also the sites without variant, in blocks divided by depths such as 5,10,20.",
    ),
    click.option("--ploidy", default="", metavar="N|NAME|FILE", help="As for bcftools call."),
    click.option(
        "--min-depth", type=click.IntRange(0), default=0, metavar="N",
        help="Only records where a sample has so many reads.",
    ),
    click.option(
        "--min-alt-count", type=click.IntRange(0), default=0, metavar="N",
        help="Only records where a sample has so many reads of another allele.",
    ),
    click.option(
        "--max-depth", type=click.IntRange(1), default=1_000_000, show_default=True, metavar="N",
        help="Reads over a position that are looked at; below the real depth, calls depend on "
        "how the request is cut.",
    ),
    click.option(
        "--workers", type=click.IntRange(1), metavar="N",
        help="Shards at a time.  [default: the CPUs that there are]",
    ),
    click.option(
        "--tile-size", "tile_bases", type=SIZE, metavar="BASES",
        help="Shards of so many bases.  [default: of about equal bytes]",
    ),
)  # fmt: skip


def _request(command: Command) -> Command:
    """Add what says which reads are called, and how."""
    for option in reversed(_REQUEST):
        option(command)
    return command


def _caller(given: dict[str, Any]) -> Caller:
    from bams3.variants.callers import Caller

    values = {
        name: given.pop(name)
        for name in ("gvcf", "ploidy", "min_depth", "min_alt_count", "max_depth")
    }
    return Caller(given.pop("caller"), **values)


@variants.command(no_args_is_help=True)
@_request
@click.option("-o", "--output", required=True, metavar="FILE|URL", help=".vcf.gz or .bcf.")
@click.option(
    "--executor", type=click.Choice(["processes", "dask", "lambda"]), default="processes",
    show_default=True, help="Where shards are called.",
)  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="Of Dask; without it, one is started here.")
@click.option("--function", metavar="NAME", help="Of AWS Lambda.")
@click.option(
    "--memory", type=click.IntRange(128), default=1769, show_default=True, metavar="MB",
    help="Memory of the function, for its cost.",
)  # fmt: skip
@click.option(
    "--max-cost", type=float, metavar="DOLLARS",
    help="Refuse what is expected to cost more, and begin no shard beyond it; Lambda.",
)  # fmt: skip
@click.option(
    "--folder", metavar="URL", help="For the parts of the job.  [default: beside the output]"
)
@click.option("--overwrite", is_flag=True, help="Replace the output that is there.")
@click.option("--store", metavar="URL", help="Load the calls into this store, too.")
@json_option
@quiet_option
@storage_options
def call(
    inputs: tuple[str, ...],
    reference: str,
    output: str,
    as_json: bool,
    quiet: bool,
    storage: StorageOptions,
    **given: Any,
) -> None:
    """Call variants of BAM, CRAM or BAMS3; samples are called together.

    The request is cut into shards that are called where the executor runs. The result is that of a
    single run, record for record. A command that was killed goes on where it was when it is run
    again.

    \b
    bams3 variants call s3://bucket/x.bams3 -f ref.fa -o x.vcf.gz
    bams3 variants call child.cram mother.cram father.cram -f ref.fa -o trio.bcf -L exome.bed
    bams3 variants call s3://b/x.bam -f s3://b/ref.fa -o s3://b/x.vcf.gz --executor lambda \\
        --function variant-calling --max-cost 2
    """
    from bams3.variants.call import call
    from bams3.variants.load import load
    from bams3.variants.store import open_store

    caller, budget, store = _caller(given), _budget(given, quiet or as_json), given["store"]
    if store:  # an address that is not understood is told before the work is done
        open_store(store, storage).close()
    workers = given["workers"] or (64 if given["executor"] == "lambda" else None)
    with (
        _executor(given, workers) as executor,
        Progress("call", quiet or as_json) as progress,
    ):
        done = call(
            inputs, reference, output, regions=given["regions"], bed=given["bed"], caller=caller,
            executor=executor, workers=workers, tile_bases=given["tile_bases"],
            folder=given["folder"], overwrite=given["overwrite"], budget=budget, storage=storage,
            progress=lambda n, total, records: progress.show(
                f"{n:,} of {total:,} shards, {records:,} records"
            ),
        )  # fmt: skip
    loaded = load(done.output, store, storage=storage) if store else None
    if as_json:
        cost = {} if budget is None else {"dollars": _dollars(done, budget)}
        print_json({**asdict(done), **cost})
    elif not quiet:
        click.echo(_called(done, budget), err=True)
        if loaded is not None:
            click.echo(f"{loaded.calls:,} calls in {loaded.store}", err=True)


def _budget(given: dict[str, Any], quiet: bool) -> Budget | None:
    from bams3.variants.cost import Budget

    most = given.pop("max_cost")
    if given["executor"] == "lambda":
        return Budget(given["memory"], most, None if quiet else _tell_estimate)
    if most is not None:
        raise click.UsageError("--max-cost is for --executor lambda")
    return None


def _tell_estimate(found: Estimate) -> None:
    from bams3.variants.cost import PRICES_OF, money

    by = "by the pace of those done" if found.measured else "a guess"
    click.echo(
        f"estimate: {found.shards:,} shards, {found.seconds:,.0f} s of the function ({by}), "
        f"about {money(found.dollars)} ({PRICES_OF})",
        err=True,
    )


def _dollars(done: CallSummary, budget: Budget) -> float:
    return budget.of(done.worker_seconds, done.shards)


@contextmanager
def _executor(given: dict[str, Any], workers: int | None) -> Iterator[Executor | None]:
    """Open the executor that was asked for; None is that of this machine."""
    from bams3.reads.limits import cpus
    from bams3.variants import executors

    if given["executor"] == "dask":
        with executors.dask(given["scheduler"], workers or cpus()) as executor:
            yield executor
    elif given["executor"] == "lambda":
        if not given["function"]:
            raise click.UsageError("--executor lambda needs --function")
        with executors.LambdaExecutor(given["function"], workers or 64) as executor:
            yield executor
    else:
        yield None


def _called(done: CallSummary, budget: Budget | None) -> str:
    from bams3.variants.cost import money

    parts = f"{done.shards:,} shards" + (f", {done.resumed:,} done before" if done.resumed else "")
    lines = [
        f"{done.records:,} records of {', '.join(done.samples)}: {done.output}",
        f"{done.bases:,} bases, {done.reads:,} reads, {show_size(done.bytes_read)} of BAM",
        f"{done.seconds:.1f} s, {done.worker_seconds:.1f} s of workers, {parts}",
    ]
    if budget is not None:
        lines.append(f"cost: about {money(_dollars(done, budget))}")
    return "\n".join(lines)


@variants.command("verify-scatter", no_args_is_help=True)
@_request
@json_option
@quiet_option
@storage_options
def verify_scatter(
    inputs: tuple[str, ...],
    reference: str,
    as_json: bool,
    quiet: bool,
    storage: StorageOptions,
    **given: Any,
) -> None:
    """Prove that cutting a request into shards changes no record: call it both ways, and compare.

    The single run takes as long as one worker needs; name a region where the data are large.

    \b
    bams3 variants verify-scatter x.bams3 -f ref.fa -r chr20:1-5,000,000
    """
    from bams3.variants.scatter import verify_scatter

    caller = _caller(given)
    with Progress("verify-scatter", quiet or as_json) as progress:
        found = verify_scatter(
            inputs, reference, caller=caller, storage=storage,
            progress=lambda n, total, _: progress.show(f"{n:,} of {total:,} shards"), **given,
        )  # fmt: skip
    if as_json:
        print_json({**asdict(found), "same": found.is_same})
    else:
        for sign, lines in (("-", found.missing), ("+", found.extra)):
            for line in lines[:20]:
                click.echo(f"{sign}{line}")
    if not found.is_same:
        differing = len(found.missing) + len(found.extra)
        raise Bams3Error(f"{differing:,} records differ (- single run, + {found.shards} shards)")
    if not as_json:
        if found.shards == 1:
            note = "note: all of it was one shard, so nothing was cut; --tile-size makes more"
            click.echo(note, err=True)
        shards = "1 shard" if found.shards == 1 else f"{found.shards} shards"
        click.echo(f"ok: {found.records:,} records, the same in one piece and in {shards}")


@variants.command(no_args_is_help=True)
@click.argument("calls")
@click.option("--truth", required=True, metavar="VCF", help="What is known to be there.")
@click.option("--confident", metavar="BED", help="Where the truth is known.")
@click.option("-f", "--fasta-ref", "reference", required=True, metavar="FASTA")
@click.option("--sample", metavar="NAME", help="Whose calls, where there are several samples.")
@json_option
@storage_options
def compare(
    calls: str, truth: str, reference: str, as_json: bool, storage: StorageOptions, **given: Any
) -> None:
    """Compare calls with the truth: precision, recall and F1 of SNVs and indels.

    Both sides are split into one allele a record and left-aligned; then alleles are equal where
    contig, position and bases are.

    \b
    bams3 variants compare x.vcf.gz --truth truth.vcf.gz --confident truth.bed -f ref.fa
    """
    from bams3.variants.compare import compare

    found = compare(calls, truth, reference, storage=storage, **given)
    if as_json:
        values = {kind: getattr(found, kind) for kind in ("snv", "indel")}
        print_json({kind: {**asdict(c), "f1": c.f1} for kind, c in values.items()})
    else:
        click.echo(_table(found))


def _table(found: Comparison) -> str:
    lines = ["        true  false  missed  precision  recall      F1  genotypes"]
    for name, c in (("SNVs", found.snv), ("indels", found.indel)):
        lines.append(
            f"{name:<7}{c.true_positives:>5}{c.false_positives:>7}{c.false_negatives:>8}"
            f"{c.precision:>11.4f}{c.recall:>8.4f}{c.f1:>8.4f}{c.genotypes:>11}"
        )
    return "\n".join(lines)


for _command in (*variant_store.COMMANDS, *variant_report.COMMANDS):
    variants.add_command(_command)
COMMANDS = (variants,)
