"""Commands that read a dataset: query, stats, depth, to-bam."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import click

from bams3.cli.options import (
    FLAGS,
    NAMES,
    bed_option,
    json_option,
    quiet_option,
    reference_option,
    storage_options,
    threads_option,
    with_filters,
)

if TYPE_CHECKING:
    from bams3._core import Header
    from bams3.config import StorageOptions
    from bams3.reads.dataset import Dataset
    from bams3.reads.query import Query

TABLES = ("parquet", "arrow", "tsv", "json")
RECORDS = ("sam", "bam", "cram")


def _command_line() -> str:
    import shlex

    return shlex.join(["bams3", *sys.argv[1:]])


@contextmanager
def _output(path: str) -> Iterator[IO[bytes]]:
    """Open standard output, or a file that appears when it is whole."""
    from bams3.reads.to_bam import opened

    with opened(path) as (out, _):
        yield out


def _write(path: str, blocks: Iterable[bytes]) -> None:
    with _output(path) as out:
        for block in blocks:
            out.write(block)


@click.command(no_args_is_help=True)
@click.argument("dataset")
@click.argument("regions", nargs=-1, metavar="[REGION]...")
@bed_option
@with_filters
@click.option("-c", "--count", is_flag=True, help="Print only the number of records.")
@click.option("-h", "--with-header", is_flag=True, help="SAM with its header.")
@click.option("-H", "--header-only", is_flag=True, help="Print only the header.")
@click.option("-M", "--use-index", "once", is_flag=True, help="Each record once, in file order.")
@click.option("-b", "--bam", is_flag=True, help="Write BAM.")
@click.option("--format", type=click.Choice([*RECORDS, *TABLES]), help="Instead of -o's ending.")
@click.option("--columns", type=NAMES, metavar="NAME,...", help="Of parquet, arrow, tsv and json.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Instead of standard output.")
@click.option("--no-PG", "no_pg", is_flag=True, help="Add no @PG line to the header.")
@reference_option
@threads_option
@storage_options
def query(
    dataset: str, regions: tuple[str, ...], bed: str | None, storage: StorageOptions, **given: Any
) -> None:
    """Print the records of regions, as samtools view does.

    Regions are 1-based and closed: chr1, chr1:1,000,000-2M, chr1:5 (to the end), '*' (unplaced).
    Several are answered in turn; -M and -L give each record once, in file order. Tables (parquet,
    arrow, tsv, json) have 0-based positions; tags are columns too: NM, XY:i, XY:f, XY:Z.

    \b
    bams3 query sample.bams3 chr1:1,000,000-2,000,000
    bams3 query sample.bams3 -c -F 0x904 -q 30 -L exome.bed
    bams3 query sample.bams3 chrM -o chrM.parquet --columns name,pos,cigar,NM
    """
    from bams3.reads.dataset import open

    with open(dataset, storage, regions=regions) as source:
        selected = source.query(
            *regions, bed=bed, require=given["require"], exclude=given["exclude"],
            exclude_all=given["exclude_all"], min_mapq=given["min_mapq"], once=given["once"],
            columns=given["columns"], threads=given["threads"],
        )  # fmt: skip
        _answer(selected, given)


def _header(dataset: Dataset, bare: bool, no_pg: bool) -> Header:
    """Return the header of the output. Bare lines need the contigs alone, and no request."""
    from bams3 import _core
    from bams3.reads import headers

    if bare:
        return _core.Header(b"", dataset.index.contigs)
    return dataset.header if no_pg else headers.for_output(dataset, _command_line())


def _answer(query: Query, given: dict[str, Any]) -> None:
    from bams3.reads import headers, to_bam
    from bams3.reads.arrow import WRITERS

    output, kind = given["output"], _format(given)
    if given["columns"] and kind not in TABLES:
        raise click.UsageError("--columns is for tables: --format parquet, arrow, tsv or json")
    if given["count"]:
        return _write(output, [f"{query.count()}\n".encode()])
    if kind in WRITERS:
        with _output(output) as out:
            return WRITERS[kind](query, out)
    bare = kind == "sam" and not given["with_header"] and not given["header_only"]
    header = _header(query.dataset, bare, given["no_pg"])
    if given["header_only"]:
        return _write(output, [headers.sam_text(header)])
    if kind == "sam":
        lines = to_bam.sam_bytes(query.blocks(), header, given["threads"], not bare)
        return _write(output, lines)
    to_bam.write(
        query, output, header, format=kind, reference=given["reference"], threads=given["threads"]
    )
    return None


def _format(given: dict[str, Any]) -> str:
    """Return the format: as said, else by the file's name, else SAM."""
    if given["bam"] or given["format"]:
        return "bam" if given["bam"] else str(given["format"])
    ending = given["output"].rpartition(".")[2].lower()
    ending = {"feather": "arrow", "jsonl": "json"}.get(ending, ending)
    return ending if ending in (*RECORDS, *TABLES) else "sam"


@click.command(no_args_is_help=True)
@click.argument("dataset")
@json_option
@storage_options
def stats(dataset: str, as_json: bool, storage: StorageOptions) -> None:
    """Print counts, coverage, insert sizes and sizes. Reads the manifest alone.

    \b
    bams3 stats sample.bams3
    bams3 stats s3://bucket/sample.bams3 --json | jq .flagstat
    """
    from bams3.reads.dataset import open
    from bams3.reads.stats import render

    with open(dataset, storage) as source:
        if as_json:
            import json

            click.echo(json.dumps(source.stats(), indent=1))
        else:
            click.echo(render(source.stats()), nl=False)


@click.command(no_args_is_help=True)
@click.argument("dataset")
@click.argument("regions", nargs=-1, metavar="[REGION]...")
@bed_option
@click.option("-a", "zeros", count=True, help="Also positions without reads; -aa: unused contigs.")
@click.option("--by", metavar="BASES|BED", help="Mean depth of windows, or of a BED's intervals.")
@click.option(
    "-f", "--require-flags", "require", type=FLAGS, default=0, metavar="FLAG",
    help="Only reads with all of these bits.",
)  # fmt: skip
@click.option(
    "-F", "--exclude-flags", "exclude", type=FLAGS, default=0x704, metavar="FLAG",
    help="Only reads with none of these bits.  [default: UNMAP,SECONDARY,QCFAIL,DUP]",
)  # fmt: skip
@click.option(
    "-G", "excluded_too", type=FLAGS, default=0, metavar="FLAG", help="Add bits to those of -F."
)
@click.option(
    "-g", "counted_too", type=FLAGS, default=0, metavar="FLAG", help="Take bits away from -F."
)
@click.option(
    "-Q", "--min-MQ", "min_mapq", type=click.IntRange(0, 255), default=0, metavar="N",
    help="Least mapping quality.",
)  # fmt: skip
@click.option("-o", "--output", default="-", metavar="FILE", help="Instead of standard output.")
@threads_option
@storage_options
def depth(
    dataset: str,
    regions: tuple[str, ...],
    bed: str | None,
    zeros: int,
    by: str | None,
    output: str,
    storage: StorageOptions,
    exclude: int,
    excluded_too: int,
    counted_too: int,
    **filters: Any,
) -> None:
    """Print the depth of each position, as samtools depth does. With --by: means.

    Positions are 1-based; windows are 0-based half-open, as in BED.

    \b
    bams3 depth sample.bams3 -a chr20:1-1,000,000
    bams3 depth sample.bams3 --by 500
    bams3 depth sample.bams3 --by genes.bed
    """
    from bams3.reads.dataset import open

    with open(dataset, storage, regions=regions) as source:
        bits = (exclude | excluded_too) & ~counted_too
        asked = source.depth(*regions, bed=bed, exclude=bits, **filters)
        if by is None:
            _write(output, asked.text(zeros > 0, zeros > 1))
        else:
            _write(output, asked.means(int(by) if by.isdigit() else by))


@click.command("to-bam", no_args_is_help=True)
@click.argument("dataset")
@click.argument("output", metavar="OUT.bam|OUT.cram|OUT.sam|-")
@click.option(
    "-r", "--region", "regions", multiple=True, metavar="REGION",
    help="Only what overlaps; may be given more than once.",
)  # fmt: skip
@click.option("--format", type=click.Choice(RECORDS), help="Instead of the ending of the name.")
@click.option("-l", "--level", type=click.IntRange(0, 12), default=6, help="BGZF level.")
@click.option("--no-index", is_flag=True, help="Write no .bai, .csi or .crai.")
@click.option("--no-PG", "no_pg", is_flag=True, help="Exactly the header of the input.")
@reference_option
@threads_option
@json_option
@quiet_option
@storage_options
def to_bam(
    dataset: str, output: str, storage: StorageOptions, as_json: bool, quiet: bool, **given: Any
) -> None:
    """Write the dataset as BAM, SAM or CRAM, with its index.

    The records are those of the input, bit for bit.

    \b
    bams3 to-bam sample.bams3 sample.bam
    bams3 to-bam sample.bams3 sample.cram --reference ref.fa
    bams3 to-bam sample.bams3 - --region chr20 | samtools flagstat -
    """
    from bams3.cli.progress import Progress
    from bams3.reads.dataset import open
    from bams3.reads.to_bam import to_bam

    index, pg = not given.pop("no_index"), not given.pop("no_pg")
    quiet = quiet or output == "-"
    opened = open(dataset, storage, regions=given["regions"])
    with opened as source, Progress("to-bam", quiet or as_json) as progress:
        done = to_bam(
            source, output, index=index, pg=pg, command_line=_command_line(),
            progress=progress.counted, **given,
        )  # fmt: skip
    if as_json:
        import json

        click.echo(json.dumps(asdict(done)), err=output == "-")
    elif not quiet:
        click.echo(f"{done.records:,} records in {done.output}", err=True)


COMMANDS = (query, stats, depth, to_bam)
