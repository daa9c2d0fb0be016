"""Commands that move objects: transfer upload, download, copy, cancel, verify, generate-sse-key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import Group, json_option, quiet_option, storage_options
from bams3.cli.transfer_options import (
    AGE,
    EXIT_CODES,
    attribute_options,
    key_options,
    many_options,
    pace_options,
    part_size_option,
    unfinished_options,
    version_option,
)
from bams3.cli.transfer_pairs import refuse_collisions, sources_and_target, upload_pairs
from bams3.cli.transfer_report import Report
from bams3.cli.transfer_verify import verify
from bams3.errors import Bams3Error, NotFoundError

if TYPE_CHECKING:
    from datetime import timedelta

    from bams3.config import StorageOptions
    from bams3.storage.objects import Attributes
    from bams3.transfer.addresses import S3Object
    from bams3.transfer.jobs import Job, Pair
    from bams3.transfer.keys import GivenKey
    from bams3.transfer.tree import Filter

_EXISTS = click.Choice(["fail", "overwrite", "skip", "skip-identical"])
exists_option = click.option(
    "--exists", type=_EXISTS, default="fail", show_default=True,
    help="What to do where the destination exists.",
)  # fmt: skip


@click.group(cls=Group)
def transfer() -> None:
    """Move objects up, down and across: resumable, proven, in bounded memory.

    \b
    bams3 transfer upload run.tar s3://bucket/runs/
    bams3 transfer download s3://bucket/runs/run.tar .
    """


@transfer.command(no_args_is_help=True, epilog=EXIT_CODES)
@click.argument("names", nargs=-1, metavar="SRC... s3://BUCKET/KEY")
@exists_option
@unfinished_options
@part_size_option
@many_options
@attribute_options
@key_options()
@key_options("src-", " of an s3:// source")
@pace_options
@storage_options
def upload(names: tuple[str, ...], src_key: GivenKey | None, **given: Any) -> None:
    """Upload files, standard input (-), file:, http(s):// or ftp:// addresses; s3:// is copied.

    The source's name is added to a key that ends in `/`. With --recursive the files below a folder
    go below the key.

    \b
    bams3 transfer upload sample.bam s3://bucket/samples/ --resume
    samtools view -b in.cram | bams3 transfer upload - s3://bucket/out.bam
    bams3 transfer upload https://host/big.bam s3://bucket/ --exists skip-identical
    bams3 transfer upload --recursive run1 s3://bucket/run1/ --exclude '*.tmp'
    """
    from bams3.transfer.addresses import S3Object, parse_s3, parse_source
    from bams3.transfer.jobs import prefix_to_prefix

    sources, target = sources_and_target(names)
    addresses = [parse_source(text) for text in sources]
    if src_key and not any(isinstance(address, S3Object) for address in addresses):
        raise click.UsageError("--src-sse-key... is for an s3:// source")
    with _session("upload", "uploaded", source_key=src_key, **given) as (job, run, wanted):
        pairs: list[Pair] = []
        for address in addresses:
            if wanted is not None and isinstance(address, S3Object):
                pairs += prefix_to_prefix(address, parse_s3(target), job, wanted)
            else:
                pairs += upload_pairs(address, target, wanted, len(addresses) > 1)
        run(pairs)


@transfer.command(no_args_is_help=True, epilog=EXIT_CODES)
@click.argument("source", metavar="s3://BUCKET/KEY")
@click.argument("destination", metavar="DEST")
@exists_option
@unfinished_options
@part_size_option
@many_options
@version_option
@key_options()
@pace_options
@storage_options
def download(source: str, destination: str, **given: Any) -> None:
    """Download an object to a file, into a folder, or to standard output (-).

    The file appears when it is whole and proven. With --recursive all objects below a prefix come
    below DEST.

    \b
    bams3 transfer download s3://bucket/samples/sample.bam . --resume
    bams3 transfer download s3://bucket/sample.bam - | samtools view -c
    bams3 transfer download --recursive s3://bucket/run1/ run1 --include '*.bcl'
    """
    from pathlib import Path

    from bams3.transfer.addresses import parse_download_target, parse_object, parse_s3
    from bams3.transfer.jobs import prefix_to_folder

    with _session("download", "downloaded", to_stdout=destination == "-", **given) as session:
        job, run, wanted = session
        if wanted is not None:
            run(prefix_to_folder(parse_s3(source), Path(destination), job, wanted))
        else:
            place = parse_object(source)
            run([(place, parse_download_target(destination, place))])


@transfer.command(no_args_is_help=True, epilog=EXIT_CODES)
@click.argument("source", metavar="s3://FROM/KEY")
@click.argument("destination", metavar="s3://TO/KEY")
@exists_option
@unfinished_options
@part_size_option
@many_options
@version_option
@attribute_options
@key_options()
@key_options("src-", " of the source")
@pace_options
@storage_options
def copy(source: str, destination: str, src_key: GivenKey | None, **given: Any) -> None:
    """Copy an object on the server's side; another region or another key is no obstacle.

    Content type, metadata, tags and storage class come along, except where options say otherwise.

    \b
    bams3 transfer copy s3://bucket/a.bam s3://archive/ --storage-class GLACIER_IR
    bams3 transfer copy s3://b/k s3://b/n --src-sse-key-file old --sse-key-file new
    """
    from bams3.transfer.addresses import parse_object, parse_s3, parse_upload_target
    from bams3.transfer.jobs import prefix_to_prefix

    with _session("copy", "copied", source_key=src_key, **given) as (job, run, wanted):
        if wanted is not None:
            run(prefix_to_prefix(parse_s3(source), parse_s3(destination), job, wanted))
        else:
            place = parse_object(source)
            run([(place, parse_upload_target(destination, place))])


@contextmanager
def _session(
    title: str,
    verb: str,
    *,
    storage: StorageOptions,
    exists: Any,
    unfinished: Any,
    part_size: int | None,
    slots: int,
    memory: int,
    limit_rate: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    recursive: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    key: GivenKey | None,
    attributes: Attributes | None = None,
    source_key: GivenKey | None = None,
    version_id: str = "",
    to_stdout: bool = False,
) -> Iterator[tuple[Job, Any, Filter | None]]:
    """Yield the job, the function that does it, and what to take below a folder, if anything."""
    from bams3.storage.objects import Attributes
    from bams3.transfer.jobs import Job
    from bams3.transfer.settings import Settings
    from bams3.transfer.tree import Filter

    if (include or exclude) and not recursive:
        raise click.UsageError("--include and --exclude go with --recursive")
    settings = Settings(part_size, slots, memory, limit_rate, exists, unfinished, dry_run)
    with Report(title, quiet, as_json, to_stdout) as report:
        job = Job(
            settings, storage, attributes or Attributes(), key, source_key, version_id, report
        )
        verb = f"would have {verb}" if dry_run else verb
        try:
            wanted = Filter(include, exclude) if recursive else None
            yield job, lambda pairs: _run(pairs, job, report, verb, recursive), wanted
        except Bams3Error as error:
            report.error(error)
            raise
        finally:
            job.close()


def _run(pairs: Any, job: Job, report: Report, verb: str, recursive: bool) -> None:
    """Transfer one object, whose error is the command's; or many, and tell of each."""
    from bams3.transfer.addresses import S3Object
    from bams3.transfer.jobs import fetch, send, transfer_many

    pairs = [*pairs]
    if not pairs:
        raise NotFoundError("there is nothing of that name, or nothing that matches")
    refuse_collisions(pairs)
    if recursive or len(pairs) != 1:
        transfer_many(pairs, job, lambda outcome: report.finished(outcome, verb))
    else:
        [(source, target)] = pairs
        act = send if isinstance(target, S3Object) else fetch
        report.finished(act(source, target, job), verb)
    report.summary()


# ---- what is there -------------------------------------------------------------------------------
@transfer.command(no_args_is_help=True)
@click.argument("url", metavar="s3://BUCKET/KEY")
@click.option("--prefix", is_flag=True, help="All keys that begin with KEY; KEY may be empty.")
@click.option("--older-than", type=AGE, metavar="AGE", help="Begun so long ago: 12h, 7d, 2w.")
@click.option("--dry-run", is_flag=True, help="List them, and drop none.")
@json_option
@quiet_option
@storage_options
def cancel(
    url: str,
    prefix: bool,
    older_than: timedelta | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    storage: StorageOptions,
) -> None:
    """Drop unfinished uploads, which are paid for until somebody does, and list them.

    \b
    bams3 transfer cancel s3://bucket/samples/sample.bam
    bams3 transfer cancel --prefix s3://bucket/ --older-than 7d --dry-run
    """
    from contextlib import closing

    from bams3.storage.bucket import Bucket
    from bams3.transfer.addresses import parse_object, parse_s3
    from bams3.transfer.cancel import cancel

    place: S3Object = parse_s3(url) if prefix else parse_object(url)
    count = 0
    with closing(Bucket(place.bucket, storage)) as bucket:
        for found in cancel(
            bucket, place.key, prefix=prefix, older_than=older_than, dry_run=dry_run
        ):
            count += 1
            begun = found.initiated.isoformat() if found.initiated else ""
            _print_upload(bucket.url_of(found.key), begun, found.upload_id, as_json)
    if not quiet and not as_json:
        done = "would be dropped" if dry_run else "dropped"
        click.echo(f"{count:,} unfinished uploads {done}", err=True)


def _print_upload(url: str, begun: str, upload_id: str, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps({"url": url, "initiated": begun, "upload_id": upload_id}))
    else:
        click.echo(f"{begun}\t{upload_id}\t{url}")


@transfer.command(name="generate-sse-key", no_args_is_help=True)
@click.argument("file", type=click.Path(), metavar="FILE")
@click.option("--overwrite", is_flag=True, help="Replace the key that is there. Objects lose it.")
def generate_sse_key(file: str, overwrite: bool) -> None:
    """Write a random key of 32 bytes to a file that only you can read.

    \b
    bams3 transfer generate-sse-key ~/lab.key
    bams3 transfer upload sample.bam s3://bucket/ --sse-key-file ~/lab.key
    """
    from bams3.transfer.keys import generate_key

    generate_key(file, overwrite)


transfer.add_command(verify)
COMMANDS = (transfer,)
