"""The command `s3_upload`: the command lines of the older tool, run by `bams3 runs`."""

from __future__ import annotations

import sys

import click

from bams3.cli import Commands, explain, guarded
from bams3.cli.runs import LEGACY, monitor, upload
from bams3.errors import Bams3Error


class _Legacy(Commands):
    """Whatever goes wrong exits with 1, as it did; a wrong command line with 2."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except Bams3Error as error:
            explain(error)
            return 1


cli = _Legacy(
    LEGACY,
    commands={"upload": upload, "monitor": monitor},
    help="The command lines of s3_upload; new ones are in `bams3 runs`.",
)


def main() -> None:
    """Run the command line."""
    sys.exit(guarded(lambda: cli.main(prog_name=LEGACY, standalone_mode=False)))
