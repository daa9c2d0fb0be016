"""The command that serves files: serve."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from bams3.cli.options import quiet_option, storage_options

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.server.config import Config


@click.command(no_args_is_help=True)
@click.argument("roots", nargs=-1, metavar="[NAME=]FOLDER|FILE|URL...")
@click.option("--config", "file", type=click.Path(), metavar="TOML", help="Everything in a file.")
@click.option("--listen", metavar="ADDRESS", help="Interface.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0: any that is free.  [default: 8080]"
)
@click.option(
    "--public", count=True, help="Twice: serve to a network without encryption or authentication."
)
@click.option("--first-block", is_flag=True, help="A BAM without Range: 65,536 bytes, as of old.")
@quiet_option
@storage_options
def serve(
    roots: tuple[str, ...],
    file: str | None,
    listen: str | None,
    port: int | None,
    public: int,
    first_block: bool,
    quiet: bool,
    storage: StorageOptions,
) -> None:
    """Serve alignments, variants and references by HTTP: to IGV, JBrowse, samtools, bcftools.

    Prints an address, which opens a page: pick a sample, go to a locus.

    Each FOLDER, FILE or s3:// address appears as http://127.0.0.1:8080/files/NAME/; without a name,
    its last part is the name. Only files of genomic formats are served, and only to this machine
    unless the configuration has TLS and tokens.

    \b
    bams3 serve s3://bucket/project/ ref=/data/GRCh38.fa samples=/data/run7
    bams3 serve --config server.toml
    samtools view http://127.0.0.1:8080/files/samples/s1.bam chr17:43,044,295-43,170,245
    """
    import logging

    from bams3.server.serve import Server, run
    from bams3.server.serve import serve as serve_

    config = _config(roots, file)
    config = replace(
        config,
        listen=config.listen if listen is None else listen,
        port=config.port if port is None else port,
        public=public or config.public,
        first_block=first_block or config.first_block,
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")

    def started(server: Server) -> None:
        if not quiet:
            click.echo(f"serving {', '.join(server.app.roots)} at {server.url}", err=True)
        click.echo(server.url)

    run(lambda: serve_(config, storage, started))


def _config(roots: tuple[str, ...], file: str | None) -> Config:
    from bams3.server.config import Config, read, root_of

    if bool(roots) == bool(file):
        raise click.UsageError("give what to serve, or --config")
    return read(file) if file else Config(roots=tuple(root_of(root) for root in roots))


COMMANDS = (serve,)
