"""Commands that make and keep datasets: convert, verify, merge, clean."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import (
    NAMES,
    SIZE,
    json_option,
    print_json,
    quiet_option,
    reference_option,
    storage_options,
    threads_option,
)
from bams3.cli.progress import Progress
from bams3.cli.sizes import show_size

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.reads.convert import ConvertSummary
    from bams3.reads.verify import VerifySummary


@click.command(no_args_is_help=True)
@click.argument("names", nargs=-1, metavar="[SRC] DEST")
@click.option("--stdin", is_flag=True, help="Read standard input; then DEST is the only name.")
@click.option(
    "--profile", type=click.Choice(["fast", "balanced", "small"]), default="balanced",
    show_default=True, help="Time against size; all are lossless.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(0, 1024), default=0, metavar="N",
    help="Threads; 0: the CPUs that there are.",
)  # fmt: skip
@click.option(
    "--sort-buffer", type=SIZE, metavar="SIZE", help="Memory for sorting.  [default: 1/4 of all]"
)
@click.option(
    "--chunk-size", type=SIZE, default="1M", show_default=True, metavar="BASES",
    help="Chunks begin at multiples of so many bases.",
)  # fmt: skip
@click.option("--spill-dir", metavar="DIR|URL", help="For what exceeds the sort buffer.")
@click.option("--overwrite", is_flag=True, help="Replace the dataset that is there.")
@click.option(
    "--qualities", type=click.Choice(["bin8", "bin4", "crumble"]), help="Give up detail. LOSSY."
)
@click.option("--drop-tags", type=NAMES, default="", metavar="TAG,...", help="Leave out. LOSSY.")
@click.option("--drop-names", is_flag=True, help="Leave out read names. LOSSY.")
@reference_option
@json_option
@quiet_option
@storage_options
def convert(
    names: tuple[str, ...],
    stdin: bool,
    workers: int,
    as_json: bool,
    quiet: bool,
    storage: StorageOptions,
    **given: Any,
) -> None:
    """Make a dataset of SAM, BAM or CRAM. SRC is a file, a URL, or standard input (-).

    Coordinate-sorted input keeps its order; other input is sorted as samtools sort does. The
    dataset appears when all of it is written.

    \b
    bwa mem -t 8 ref.fa r1.fq r2.fq | bams3 convert --stdin s3://bucket/sample.bams3
    bams3 convert sample.bam sample.bams3 --profile small
    bams3 convert s3://bucket/sample.cram s3://bucket/sample.bams3 --reference ref.fa
    """
    from bams3.reads.convert import convert

    source, destination = _source_and_destination(names, stdin)
    with Progress("convert", quiet or as_json) as progress:
        done = convert(
            source, destination, workers=workers or None, storage=storage,
            progress=progress.converted, **given,
        )  # fmt: skip
    if as_json:
        print_json(asdict(done))
    elif not quiet:
        click.echo(_converted(done), err=True)


def _source_and_destination(names: tuple[str, ...], stdin: bool) -> tuple[str, str]:
    if stdin and len(names) == 1:
        return "-", names[0]
    if not stdin and len(names) == 2:
        return names[0], names[1]
    raise click.UsageError("give SRC and DEST, or --stdin and DEST")


GROUPS = {
    "position": "positions, flags",
    "cigar": "CIGAR",
    "mate": "mates",
    "name": "names",
    "sequence": "bases",
    "quality": "qualities",
}


def _converted(done: ConvertSummary) -> str:
    ratio = f", 1/{done.bytes_read / done.bytes_written:.2f}" if done.bytes_written else ""
    seconds = max(done.seconds, 1e-9)
    speed = f"{done.records / seconds:,.0f} records/s, {show_size(done.bytes_read / seconds)}/s"
    lines = [
        f"{done.records:,} records in {done.chunks:,} chunks: {done.destination}",
        f"{show_size(done.bytes_read)} read, {show_size(done.bytes_written)} written{ratio}",
        f"{seconds:.1f} s, {speed}",
    ]
    if done.bytes_spilled:
        lines.append(f"{show_size(done.bytes_spilled)} spilled while sorting")
    return "\n".join([*lines, *column_lines(done.column_sizes)])


def column_lines(columns: dict[str, int]) -> list[str]:
    """Return lines of sizes by group of columns, with shares."""
    groups: dict[str, int] = {}
    for column, count in columns.items():
        name = GROUPS.get(column, "tags")
        groups[name] = groups.get(name, 0) + count
    total = sum(groups.values()) or 1
    ranked = sorted(groups.items(), key=lambda item: -item[1])
    return [f"  {name:<16} {show_size(count):>10} {count / total:6.1%}" for name, count in ranked]


@click.command(no_args_is_help=True)
@click.argument("dataset")
@click.option("--against", metavar="FILE|URL", help="A SAM, BAM or CRAM with the same records.")
@click.option("--quick", is_flag=True, help="Only existence and sizes of the objects.")
@reference_option
@threads_option
@json_option
@quiet_option
@storage_options
def verify(dataset: str, storage: StorageOptions, as_json: bool, quiet: bool, **given: Any) -> None:
    """Check every object, every tile and the digest of all records. Damage exits with 1.

    \b
    bams3 verify s3://bucket/sample.bams3
    bams3 verify sample.bams3 --against sample.bam && rm sample.bam
    """
    from bams3.reads.dataset import open
    from bams3.reads.verify import verify

    with open(dataset, storage) as source, Progress("verify", quiet or as_json) as progress:
        found = verify(source, storage=storage, progress=progress.counted, **given)
    if as_json:
        print_json(asdict(found))
    else:
        _report(found, quiet)
    if not found.ok:
        raise click.exceptions.Exit(1)


def _report(found: VerifySummary, quiet: bool) -> None:
    for problem in found.problems:
        click.echo(f"error: {problem}", err=True)
    if found.ok and not quiet:
        same = f", the same as in {found.against}" if found.against else ""
        click.echo(f"ok: {found.records:,} records{same}; {found.objects:,} objects")
        click.echo(f"digest: {found.digest}" if found.digest else "only sizes were compared")
        if found.same_header is False:
            click.echo(f"note: the header of {found.against} is not that of the dataset", err=True)


@click.command(no_args_is_help=True)
@click.argument("destination", metavar="DEST")
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option("--overwrite", is_flag=True, help="Replace the dataset that is there.")
@threads_option
@json_option
@quiet_option
@storage_options
def merge(
    destination: str,
    sources: tuple[str, ...],
    storage: StorageOptions,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Join datasets of the same contigs, lanes or samples, into one.

    Chunks that meet no other's are copied as they are, on the server's side where possible.

    \b
    bams3 merge sample.bams3 lane1.bams3 lane2.bams3
    """
    from bams3.reads.merge import merge

    with Progress("merge", quiet or as_json) as progress:
        done = merge(destination, sources, storage=storage, progress=progress.counted, **given)
    if as_json:
        print_json(asdict(done))
    elif not quiet:
        click.echo(
            f"{done.records:,} records: {done.copied:,} chunks copied, {done.encoded:,} made anew",
            err=True,
        )


@click.command(no_args_is_help=True)
@click.argument("destination", metavar="DEST")
@json_option
@storage_options
def clean(destination: str, as_json: bool, storage: StorageOptions) -> None:
    """Remove what a killed conversion left behind. The dataset itself stays.

    No conversion to the same place may be under way.

    \b
    bams3 clean s3://bucket/sample.bams3
    """
    from bams3.reads.clean import clean

    done = clean(destination, storage=storage)
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(f"{done.objects:,} objects removed, {show_size(done.bytes)}")


COMMANDS = (convert, verify, merge, clean)
