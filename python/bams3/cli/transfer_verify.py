"""The command transfer verify: files beside objects, or the checksum of an object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import SIZE, json_option, quiet_option, storage_options
from bams3.cli.transfer_options import EXIT_CODES, key_options, many_options, version_option
from bams3.cli.transfer_pairs import sources_and_target, upload_pairs
from bams3.cli.transfer_report import Report, explained
from bams3.errors import Bams3Error, NotFoundError

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.transfer.audit import Audited
    from bams3.transfer.jobs import Job, Pair
    from bams3.transfer.keys import GivenKey
    from bams3.transfer.tree import Filter


@click.command(no_args_is_help=True, epilog=EXIT_CODES)
@click.argument("names", nargs=-1, metavar="[FILE...] s3://BUCKET/KEY")
@many_options
@click.option(
    "--checksum",
    default="md5",
    show_default=True,
    metavar="TYPE",
    help="Without FILE: what to print.",
)
@click.option(
    "--part-size",
    type=SIZE,
    default="16M",
    show_default=True,
    metavar="SIZE",
    help="Without FILE: bytes of a request.",
)
@version_option
@key_options()
@json_option
@quiet_option
@storage_options
def verify(
    names: tuple[str, ...], recursive: bool, include: tuple[str, ...], exclude: tuple[str, ...],
    checksum: str, part_size: int, as_json: bool, quiet: bool, key: GivenKey | None,
    version_id: str, storage: StorageOptions,
) -> None:  # fmt: skip
    """Compare files with objects; without a file, print the object's checksum.

    Nothing is downloaded where S3 states a checksum of the whole or of its parts, or an ETag that
    is one; else all bytes are compared. Names are added to a key that ends in `/`, and with
    --recursive the files below a folder are looked for below the key, as `upload` puts them.

    \b
    bams3 transfer verify sample.bam s3://bucket/samples/sample.bam
    bams3 transfer verify a.bam b.bam s3://bucket/samples/
    bams3 transfer verify --recursive run1 s3://bucket/run1/ --exclude '*.tmp'
    bams3 transfer verify s3://bucket/samples/sample.bam --checksum sha256
    """
    from bams3.transfer.jobs import Job
    from bams3.transfer.tree import Filter

    if part_size < 1:
        raise click.UsageError("--part-size has to be positive")
    if (include or exclude) and not recursive:
        raise click.UsageError("--include and --exclude go with --recursive")
    job = Job(storage=storage, key=key, version_id=version_id)
    try:
        if len(names) == 1:
            _print_digest(names[0], checksum, part_size, job, quiet)
            return
        _compare(names, Filter(include, exclude) if recursive else None, job, quiet, as_json)
    finally:
        job.close()


def _print_digest(url: str, checksum: str, part_size: int, job: Job, quiet: bool) -> None:
    from bams3.transfer.access import find_object
    from bams3.transfer.addresses import parse_object
    from bams3.transfer.claims import new_hash
    from bams3.transfer.verify import digest

    new_hash(checksum)
    place = parse_object(url)
    bucket = job.bucket(place.bucket)
    with Report("verify", quiet) as report:
        info, customer_key = find_object(bucket, place.key, job.key, job.version_id)
        report.begin(info.size)
        found = digest(
            bucket, info, checksum, part_size, customer_key=customer_key,
            version_id=job.version_id, advance=report.advance,
        )  # fmt: skip
    click.echo(found)


def _compare(
    names: tuple[str, ...], wanted: Filter | None, job: Job, quiet: bool, as_json: bool
) -> None:
    """Tell of each file; fail where one is not what is there."""
    from bams3.transfer.audit import audit

    pairs = _pairs(names, wanted)
    if job.version_id and len(pairs) > 1:
        raise click.UsageError("--version-id is for one object")
    with Report("verify", quiet or as_json) as report:
        report.begin(None)
        found = audit(pairs, job, report.advance)
        if wanted is None and len(pairs) == 1:
            _tell(_only(found), as_json)
            return
        failed, downloaded = 0, 0
        for one in found:
            _tell(one, as_json)
            failed += one.error is not None
            downloaded += one.same.downloaded if one.same else 0
    if not quiet and not as_json:
        same = len(pairs) - failed
        click.echo(f"{same:,} of {len(pairs):,} files verified, {downloaded:,} bytes downloaded",
                   err=True)  # fmt: skip
    if failed:
        raise Bams3Error(f"{failed:,} of {len(pairs):,} files are not what is there", "see above")


def _pairs(names: tuple[str, ...], wanted: Filter | None) -> list[Pair]:
    """Return which file is to be which object."""
    from bams3.transfer.addresses import FilePath, parse_source

    sources, target = sources_and_target(names)
    pairs: list[Pair] = []
    for name in sources:
        local = parse_source(name)
        if not isinstance(local, FilePath):
            raise click.UsageError(f"{name}: not a local file")
        pairs += upload_pairs(local, target, wanted, len(sources) > 1)
    if not pairs:
        raise NotFoundError("there are no files, or none that matches")
    return pairs


def _only(found: Iterable[Audited]) -> Audited:
    """Return the only one; its error is the command's."""
    [one] = found
    if one.error:
        raise one.error
    return one


def _tell(one: Audited, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(_described(one)))
    elif one.same:
        same = one.same
        how = f"{same.proof} compared, {same.downloaded:,} bytes downloaded"
        click.echo(f"ok: {same.source} is {same.destination}: {same.size:,} bytes, {how}")
    else:
        assert one.error
        click.echo(f"error: {one.error.message}", err=True)


def _described(one: Audited) -> dict[str, Any]:
    from dataclasses import asdict

    if one.same:
        return {"same": True, **asdict(one.same)}
    assert one.error
    return {
        "same": False, "source": one.source, "destination": one.destination,
        **explained(one.error),
    }  # fmt: skip
