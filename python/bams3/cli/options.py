"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bams3.cli.sizes import parse_size

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAG_NAMES = "PAIRED PROPER_PAIR UNMAP MUNMAP REVERSE MREVERSE READ1 READ2 SECONDARY".split()
_FLAG_NAMES += ["QCFAIL", "DUP", "SUPPLEMENTARY"]
FLAG_BITS = {name: 1 << bit for bit, name in enumerate(_FLAG_NAMES)}


class Group(click.Group):
    """A group whose help has the first sentence of each command; click would cut it off."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(limit=200)) for name, one in self.commands.items()]
            )


class Flags(click.ParamType[int]):
    """FLAG bits as samtools takes them: decimal, 0x hex, 0 octal, or names."""

    name = "flags"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Return the bits."""
        if isinstance(value, int):
            return value
        try:
            bits = sum({FLAG_BITS[name.upper()] for name in value.split(",")})
        except KeyError:
            bits = self._number(value, param, context)
        if not 0 <= bits < 1 << 16:
            self.fail(f"{value!r} is not from 0 to 0xffff", param, context)
        return bits

    def _number(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        octal = re.fullmatch("0[0-7]+", value)
        try:
            return int(value, 8 if octal else 0)
        except ValueError:
            self.fail(f"{value!r} is no number (16, 0x10, 020) and no flag name", param, context)


class Size(click.ParamType[int]):
    """A number of bytes or bases with K, M, G, T, ... (MiB, mega), powers of 1024."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Return the number."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, context)


class Names(click.ParamType[list[str]]):
    """Names with commas between them."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> list[str]:
        """Return the names."""
        return value if isinstance(value, list) else [n for n in value.split(",") if n]


FLAGS, SIZE, NAMES = Flags(), Size(), Names()

_STORAGE = (
    click.option("--endpoint-url", metavar="URL", help="S3 endpoint, where it is not AWS."),
    click.option("--aws-region", "aws_region", metavar="NAME", help="AWS region."),
    click.option("--aws-profile", metavar="NAME", help="Named profile of the AWS configuration."),
    click.option("--no-sign-request", is_flag=True, default=None, help="Public buckets."),
    click.option(
        "--path-style/--no-path-style", default=None, help="endpoint/bucket/key addresses."
    ),
    click.option("--requester-pays", is_flag=True, default=None, help="Accept to pay for reading."),
    click.option("--sse", metavar="KIND", help="Encryption: AES256, aws:kms or aws:kms:KEY-ID."),
)


def storage_options(command: Command) -> Command:
    """Add the options of storage; the command gets them as one argument `storage`."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from bams3.config import StorageOptions

        given = {name: kwargs.pop(name) for name in _STORAGE_NAMES}
        given["region"] = given.pop("aws_region")
        given["profile"] = given.pop("aws_profile")
        return command(*args, storage=StorageOptions.resolve(given), **kwargs)

    for option in reversed(_STORAGE):
        option(wrapped)
    return wrapped  # type: ignore[return-value]


_STORAGE_NAMES = (
    "endpoint_url",
    "aws_region",
    "aws_profile",
    "no_sign_request",
    "path_style",
    "requester_pays",
    "sse",
)


def _all_threads(_: click.Context, __: click.Parameter, additional: int | None) -> int | None:
    return None if additional is None else additional + 1


threads_option = click.option(
    "-@", "--threads", type=click.IntRange(0, 1024), metavar="N", callback=_all_threads,
    help="Additional threads.  [default: one thread for each CPU]",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress, no summary.")
reference_option = click.option(
    "--reference", "-T", type=click.Path(), metavar="FASTA", help="Reference, for CRAM."
)
bed_option = click.option(
    "-L", "--bed", "--targets-file", type=click.Path(exists=True, dir_okay=False), metavar="BED",
    help="Only what overlaps the intervals of a BED file.",
)  # fmt: skip
filter_options = (
    click.option(
        "-f", "--require-flags", "require", type=FLAGS, default=0, metavar="FLAG",
        help="Only records with all of these bits (decimal, 0x hex, 0 octal, or names).",
    ),
    click.option(
        "-F", "--exclude-flags", "--excl-flags", "exclude", type=FLAGS, default=0, metavar="FLAG",
        help="Only records with none of these bits.",
    ),
    click.option(
        "-G", "exclude_all", type=FLAGS, default=0, metavar="FLAG",
        help="Not the records with all of these bits.",
    ),
    click.option(
        "-q", "--min-MQ", "min_mapq", type=click.IntRange(0, 255), default=0, metavar="N",
        help="Least mapping quality.",
    ),
)  # fmt: skip


def with_filters(command: Command) -> Command:
    """Add -f -F -G -q."""
    for option in reversed(filter_options):
        option(command)
    return command


def print_json(value: Any) -> None:
    """Print what `--json` asks for, on one line."""
    import json

    click.echo(json.dumps(value))
