"""Options of the transfer commands, and what their texts mean."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import SIZE, Command

if TYPE_CHECKING:
    from datetime import timedelta

    from bams3.transfer.keys import GivenKey

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
CONTENT_HEADERS = (
    "content-type", "content-encoding", "content-disposition", "content-language", "cache-control",
)  # fmt: skip


class Age(click.ParamType["timedelta"]):
    """A time span: 90s, 30m, 12h, 7d, 2w."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> timedelta:
        """Return the time span."""
        from datetime import timedelta

        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,9}) *([smhdw])", value.strip().lower())
        if found is None:
            self.fail(f"{value!r} is no time span, such as 12h or 7d", param, context)
        return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


class NameAndValue(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "pair"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, str]:
        """Return name and value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not NAME=VALUE", param, context)
        return name, text


AGE, PAIR = Age(), NameAndValue()


def _positive(context: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise click.BadParameter("must be at least 1", context, param)
    return value


def _part_size(context: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and not 5 << 20 <= value <= 5 << 30:
        raise click.BadParameter("parts have 5 MiB to 5 GiB", context, param)
    return value


part_size_option = click.option(
    "--part-size", type=SIZE, callback=_part_size, metavar="SIZE",
    help="5M to 5G.  [default: one that suits the object, or that of what is resumed]",
)  # fmt: skip
_PACE = (
    click.option(
        "--slots", type=click.IntRange(1, 1024), default=64, show_default=True, metavar="N",
        help="Requests in flight at most; fewer where the store asks to slow down.",
    ),
    click.option(
        "--memory", type=SIZE, default="64M", show_default=True, metavar="SIZE",
        callback=_positive, help="Data in memory at most, whatever the part size.",
    ),
    click.option(
        "--limit-rate", type=SIZE, metavar="SIZE", callback=_positive,
        help="Bytes a second at most.",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would be done."),
    click.option("--json", "as_json", is_flag=True, help="Events on standard output, a line each."),
    click.option("--quiet", is_flag=True, help="No progress, no summary."),
)  # fmt: skip
EXIT_CODES = (
    "Exit codes: 0 done or skipped, 1 failed, 2 usage, 3 the object exists, 4 an unfinished upload"
    " exists (13: several), 5 6 7 source, destination or s3:// address, 8 part size, 9 checksum"
    " algorithm, 10 encryption key, 11 the file exists, 12 an unfinished download exists, 14 not"
    " allowed, 130 interrupted."
)
version_option = click.option("--version-id", default="", metavar="ID", help="An older version.")
_MANY = (
    click.option("--recursive", is_flag=True, help="All that is below a folder or prefix."),
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Only names that match; may be repeated.",
    ),
    click.option(
        "--exclude", multiple=True, metavar="PATTERN", help="Not names that match; may be repeated."
    ),
)
_ATTRIBUTES = (
    click.option("--storage-class", metavar="NAME", help="STANDARD_IA, GLACIER_IR, ..."),
    click.option(
        "--metadata", type=PAIR, multiple=True, metavar="NAME=VALUE", help="May be repeated."
    ),
    click.option("--tags", type=PAIR, multiple=True, metavar="NAME=VALUE", help="May be repeated."),
    *(
        click.option(f"--{name}", metavar="TEXT", help=f"Header {name.title()}.")
        for name in CONTENT_HEADERS
    ),
    click.option("--acl", metavar="NAME", help="Canned ACL, such as bucket-owner-full-control."),
)
_UNFINISHED = (
    click.option("--resume", is_flag=True, help="Take up the unfinished transfer."),
    click.option("--force", is_flag=True, help="Drop unfinished transfers, and begin anew."),
)


def _apply(options: tuple[Any, ...], command: Command) -> Command:
    for option in reversed(options):
        option(command)
    return command


def pace_options(command: Command) -> Command:
    """Add --slots --memory --limit-rate --dry-run --json --quiet."""
    return _apply(_PACE, command)


def many_options(command: Command) -> Command:
    """Add --recursive --include --exclude."""
    return _apply(_MANY, command)


def attribute_options(command: Command) -> Command:
    """Add what objects can be given; the command gets one argument `attributes`."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from bams3.storage.objects import Attributes

        texts = {name: kwargs.pop(name.replace("-", "_")) for name in CONTENT_HEADERS}
        attributes = Attributes(
            content={name: text for name, text in texts.items() if text},
            metadata={name.lower(): text for name, text in kwargs.pop("metadata")},
            tags=dict(kwargs.pop("tags")),
            storage_class=kwargs.pop("storage_class"),
            acl=kwargs.pop("acl"),
        )
        return command(*args, attributes=attributes, **kwargs)

    return _apply(_ATTRIBUTES, wrapped)  # type: ignore[return-value]


def unfinished_options(command: Command) -> Command:
    """Add --resume and --force; the command gets one argument `unfinished`."""

    @functools.wraps(command)
    def wrapped(*args: Any, resume: bool, force: bool, **kwargs: Any) -> Any:
        if resume and force:
            raise click.UsageError("--resume and --force exclude each other")
        unfinished = "resume" if resume else "restart" if force else "fail"
        return command(*args, unfinished=unfinished, **kwargs)

    return _apply(_UNFINISHED, wrapped)  # type: ignore[return-value]


def key_options(prefix: str = "", whose: str = "") -> Callable[[Command], Command]:
    """Add the forms of a customer key; the command gets one argument `key` or `src_key`."""
    flag, name = f"--{prefix}sse-key", f"{prefix.replace('-', '_')}key"
    stem = f"{prefix.replace('-', '_')}sse_key"
    options = (
        click.option(
            f"{flag}-file", type=click.Path(), metavar="FILE",
            help=f"Customer key{whose} (SSE-C): a file with its 32 bytes.",
        ),
        click.option(f"{flag}-base64", metavar="TEXT", help="The key in base64."),
        click.option(flag, metavar="TEXT", help="The key itself; `ps` shows it to others."),
        click.option(
            f"{flag}-is-master", is_flag=True, help="Each object has a key derived from it."
        ),
    )  # fmt: skip

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            from bams3.transfer.keys import read_key

            key: GivenKey | None = read_key(
                kwargs.pop(stem), kwargs.pop(f"{stem}_file"), kwargs.pop(f"{stem}_base64"),
                kwargs.pop(f"{stem}_is_master"),
            )  # fmt: skip
            return command(*args, **{name: key}, **kwargs)

        return _apply(options, wrapped)  # type: ignore[return-value]

    return decorate
