"""The command `s3am`: the command line of S3AM 2.1, as it was, over the transfer engine of bams3.

Flags, defaults of their absence, precedence and exit codes are the old ones. What differs is named
in docs/guides/transfer.md: defects are gone, and without --part-size a size is chosen that suits.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bams3.cli import guarded
from bams3.cli.sizes import parse_size
from bams3.cli.transfer_report import Report
from bams3.errors import Bams3Error, StorageError, UsageError

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.transfer.jobs import Job
    from bams3.transfer.keys import GivenKey
    from bams3.transfer.settings import Outcome

VERSION = "2.1.0a1"
_ACL = "bucket-owner-full-control"
_SLOTS = 64


def main() -> None:
    """Run an old command line; exit with S3AM's codes, 130 if interrupted."""
    sys.exit(guarded(lambda: _run(sys.argv[1:])))


def _run(arguments: list[str]) -> None:
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    level = "DEBUG" if options.pop("debug") else "INFO" if options.get("verbose") else "WARNING"
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
    command(**options)


# ---- the command line ----------------------------------------------------------------------------
class _Parser(argparse.ArgumentParser):
    """A parser whose --help prints the help of all commands, and whose commands have none."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given, add_help=False)


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        parser.print_help()
        for command in self.const.values():
            print(file=sys.stderr)
            command.print_help(sys.stderr)
        parser.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="s3am", description="Upload, copy and download big objects of S3.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    parser.add_argument(
        "--help", action=_Help, nargs=0, const=commands.choices, help="Show help of all commands."
    )
    _add_upload(commands)
    _add_cancel(commands)
    _add_verify(commands)
    _add_generate(commands)
    _add_download(commands)
    return parser


def _command(commands: Any, name: str, function: Any, help: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    command.set_defaults(command=function)
    command.add_argument("--verbose", action="store_true", help="Tell what is done.")
    command.add_argument("--debug", action="store_true", help="Tell more; keys are never shown.")
    command.add_argument("--requester-pays", action="store_true", help="Accept to pay.")
    return command


def _add_upload(commands: Any) -> None:
    command = _command(commands, "upload", _upload, "Upload a file or URL to S3, or copy in S3.")
    command.add_argument("src_url", metavar="SRC")
    command.add_argument("dst_url", metavar="s3://BUCKET/KEY")
    unfinished = command.add_mutually_exclusive_group()
    unfinished.add_argument("--resume", action="store_true", help="Take up an unfinished upload.")
    unfinished.add_argument("--force", action="store_true", help="Drop unfinished uploads.")
    command.add_argument("--exists", choices=["overwrite", "skip"], help="What to do then.")
    _add_slots(command, "--download-slots", "--upload-slots")
    _add_part_size(command, 5 << 20, 5 << 30)
    _add_key(command, "")
    _add_key(command, "src-")


def _add_cancel(commands: Any) -> None:
    command = _command(commands, "cancel", _cancel, "Drop unfinished uploads.")
    command.add_argument("url", metavar="s3://BUCKET/KEY")
    command.add_argument("--prefix", action="store_true", help="KEY is what keys begin with.")


def _add_verify(commands: Any) -> None:
    command = _command(commands, "verify", _verify, "Print the checksum of an object.")
    command.add_argument("url", metavar="s3://BUCKET/KEY")
    command.add_argument("--checksum", default="md5", metavar="TYPE", help="As hashlib knows them.")
    _add_part_size(command, 1, None)
    _add_key(command, "")


def _add_generate(commands: Any) -> None:
    command = _command(commands, "generate-sse-key", _generate, "Write a random key to a file.")
    command.add_argument("key_file", metavar="FILE")


def _add_download(commands: Any) -> None:
    command = _command(commands, "download", _download, "Download an object to a file.")
    command.add_argument("src_url", metavar="s3://BUCKET/KEY")
    command.add_argument("dst_url", metavar="DST")
    command.add_argument("--file-exists", choices=["overwrite", "skip"], help="What to do then.")
    command.add_argument(
        "--download-exists", choices=["resume", "discard"], help="What to do then."
    )
    _add_slots(command, "--download-slots", "--checksum-slots")
    _add_part_size(command, 1, None)
    _add_key(command, "")


def _add_slots(command: argparse.ArgumentParser, *flags: str) -> None:
    for flag in flags:
        command.add_argument(flag, type=_slots, metavar="N", help="Requests at once; 0 is legal.")


def _slots(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return count


def _add_part_size(command: argparse.ArgumentParser, least: int, most: int | None) -> None:
    def size(text: str) -> int:
        try:
            value = parse_size(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text}: parts have {least} to {most or 'any'} bytes")
        return value

    command.add_argument("--part-size", type=size, metavar="NUM", help="Bytes, or 5M, 1G, ...")


def _add_key(command: argparse.ArgumentParser, prefix: str) -> None:
    form = command.add_mutually_exclusive_group()
    form.add_argument(f"--{prefix}sse-key", metavar="KEY", help="32 bytes; --sse-key=-... for a -.")
    form.add_argument(f"--{prefix}sse-key-file", metavar="PATH", help="A file with 32 bytes.")
    form.add_argument(f"--{prefix}sse-key-base64", metavar="TEXT", help="32 bytes in base64.")
    command.add_argument(
        f"--{prefix}sse-key-is-master", action="store_true", help="Keys are derived from it."
    )


# ---- the commands --------------------------------------------------------------------------------
def _upload(
    src_url: str, dst_url: str, resume: bool, force: bool, exists: str | None,
    download_slots: int | None, upload_slots: int | None, part_size: int | None, **given: Any,
) -> None:  # fmt: skip
    from dataclasses import replace

    from bams3.storage.objects import Attributes
    from bams3.transfer.addresses import S3Object, parse_source, parse_upload_target
    from bams3.transfer.jobs import send
    from bams3.transfer.settings import Settings

    source_key = _key(given, "src_")
    source = parse_source(src_url)
    target = parse_upload_target(dst_url, source)
    if source_key and not isinstance(source, S3Object):
        raise UsageError("--src-sse-key is for an s3:// source")
    settings = Settings(
        part_size=part_size,
        slots=_together(download_slots, upload_slots),
        exists=exists or "fail",  # type: ignore[arg-type]
        unfinished="resume" if resume else "restart" if force else "fail",
    )
    with _report("upload", given) as report, closing(_job(settings, given, report)) as job:
        job = replace(job, source_key=source_key, attributes=Attributes(acl=_ACL))
        try:
            outcome = send(source, target, job)
        except StorageError as error:
            if error.code != "AccessControlListNotSupported":
                raise
            outcome = send(source, target, replace(job, attributes=Attributes()))
        _tell(outcome, report, "uploaded")


def _download(
    src_url: str, dst_url: str, file_exists: str | None, download_exists: str | None,
    download_slots: int | None, checksum_slots: int | None, part_size: int | None, **given: Any,
) -> None:  # fmt: skip
    from bams3.transfer.addresses import parse_download_target, parse_object
    from bams3.transfer.jobs import fetch
    from bams3.transfer.settings import Settings

    source = parse_object(src_url)
    target = parse_download_target(dst_url, source)
    settings = Settings(
        part_size=part_size,
        slots=_together(download_slots, checksum_slots),
        exists=file_exists or "fail",  # type: ignore[arg-type]
        unfinished=_UNFINISHED[download_exists],  # type: ignore[arg-type]
    )
    with _report("download", given) as report, closing(_job(settings, given, report)) as job:
        _tell(fetch(source, target, job), report, "downloaded")


_UNFINISHED = {None: "fail", "resume": "resume", "discard": "restart"}


def _cancel(url: str, prefix: bool, **given: Any) -> None:
    from bams3.storage.bucket import Bucket
    from bams3.transfer.addresses import parse_object, parse_s3
    from bams3.transfer.cancel import cancel

    place = parse_s3(url) if prefix else parse_object(url)
    with closing(Bucket(place.bucket, _storage(given))) as bucket:
        for dropped in cancel(bucket, place.key, prefix=prefix):
            logging.info("dropped upload %s of %s", dropped.upload_id, bucket.url_of(dropped.key))


def _verify(url: str, checksum: str, part_size: int | None, **given: Any) -> None:
    from bams3.storage.bucket import Bucket
    from bams3.transfer.access import find_object
    from bams3.transfer.addresses import parse_object
    from bams3.transfer.claims import new_hash
    from bams3.transfer.verify import digest

    if not url.startswith("s3:"):
        raise Bams3Error(f"{url}: only objects of S3 can be verified")
    place = parse_object(url)
    new_hash(checksum)
    with _report("verify", given), closing(Bucket(place.bucket, _storage(given))) as bucket:
        info, customer_key = find_object(bucket, place.key, _key(given))
        size = part_size or 5 << 20
        click.echo(digest(bucket, info, checksum, size, customer_key=customer_key))


def _generate(key_file: str, **_: Any) -> None:
    from bams3.transfer.keys import generate_key

    generate_key(key_file)


# ---- what they share -----------------------------------------------------------------------------
def _together(*slots: int | None) -> int:
    """Return how many requests are in flight at most: S3AM's two numbers together."""
    given: Iterable[int] = [count for count in slots if count is not None]
    return max(sum(given), 1) if given else _SLOTS


def _storage(given: dict[str, Any]) -> StorageOptions:
    from bams3.config import StorageOptions

    return StorageOptions.resolve({"requester_pays": given["requester_pays"] or None})


def _key(given: dict[str, Any], prefix: str = "") -> GivenKey | None:
    from bams3.transfer.keys import read_key

    stem = f"{prefix}sse_key"
    forms = (given[stem], given[f"{stem}_file"], given[f"{stem}_base64"])
    return read_key(*forms, is_master=given[f"{stem}_is_master"])


def _job(settings: Any, given: dict[str, Any], report: Report) -> Job:
    from bams3.transfer.jobs import Job

    return Job(settings, _storage(given), key=_key(given), progress=report)


def _report(title: str, given: dict[str, Any]) -> Report:
    return Report(title, quiet=not given["verbose"])


def _tell(outcome: Outcome, report: Report, verb: str) -> None:
    if outcome.skipped:
        click.echo(f"warning: {outcome.destination} exists already, skipped", err=True)
    else:
        report.finished(outcome, verb)
