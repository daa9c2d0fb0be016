"""The command `bams3`: the only code that prints and exits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from bams3.cli import cloud, reads, runs, serve, transfer, variants, view
from bams3.cli.options import Group
from bams3.errors import Bams3Error

INTERRUPTED = 130
CONTEXT = {"help_option_names": ["--help"], "max_content_width": 100}


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        import bams3

        click.echo(f"bams3 {bams3.__version__}")
        context.exit()


class _ClosedPipe(Exception):
    """The reader of our output has gone."""


class Commands(Group):
    """The commands; a closed pipe is taken out of click's hands, which would exit with 1."""

    def invoke(self, context: click.Context) -> object:
        """Run the command that was named."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise _ClosedPipe from None


@click.group(cls=Commands, context_settings=CONTEXT)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Print the version and exit.",
)  # fmt: skip
def cli() -> None:
    """Genomics on object storage: alignments queried where they lie, transfers that are proven.

    \b
    bwa mem ref.fa r1.fq r2.fq | bams3 convert --stdin s3://bucket/sample.bams3
    bams3 query s3://bucket/sample.bams3 chr1:1,000,000-2,000,000
    bams3 transfer upload run.tar s3://bucket/runs/ --resume
    """


_COMMANDS = (
    *reads.COMMANDS,
    *view.COMMANDS,
    *transfer.COMMANDS,
    *runs.COMMANDS,
    *serve.COMMANDS,
    *variants.COMMANDS,
    *cloud.COMMANDS,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command line; exit with 0, the error's code, 2 for usage, 130 if interrupted."""
    sys.exit(_run())


def _run() -> int:
    return guarded(lambda: cli.main(prog_name="bams3", standalone_mode=False))


def guarded(act: Callable[[], object]) -> int:
    """Do something, explain its errors on standard error, and return the exit code."""
    try:
        code = act()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Bams3Error as error:
        return explain(error)
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo("interrupted", err=True)
        # click turns a KeyboardInterrupt into an Abort; its text says how to go on.
        how = str(error.__cause__ or error)
        if how:
            click.echo(f"hint: {how}", err=True)
        return INTERRUPTED
    except (BrokenPipeError, _ClosedPipe):
        # The reader has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else error
        click.echo(f"error: {told}", err=True)
        return 1


def explain(error: Bams3Error) -> int:
    """Say what went wrong and what to do; return the exit code."""
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
    return error.exit_code
