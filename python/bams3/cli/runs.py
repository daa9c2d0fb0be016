"""Sequencing runs: `bams3 runs upload`, `monitor`, `status`, and the same under `s3_upload`."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import Group, json_option, quiet_option, storage_options
from bams3.cli.progress import Progress
from bams3.cli.sizes import show_size

if TYPE_CHECKING:
    from bams3.config import StorageOptions
    from bams3.runs.config import Config
    from bams3.runs.monitor import Pass
    from bams3.runs.place import Place
    from bams3.runs.status import Verdict
    from bams3.runs.upload import Summary

LEGACY = "s3_upload"
_SETTLE = 60
_SHOWN = 20


@click.group(cls=Group)
def runs() -> None:
    """Bring sequencing runs to a bucket: by hand, while they are written, or watched.

    \b
    bams3 runs upload --local_path /seq/RUN --bucket lab --remote_path /runs
    bams3 runs monitor --config /etc/bams3/runs.json
    bams3 runs status --config /etc/bams3/runs.json
    """


config_option = click.option(
    "--config", "config_path", required=True, metavar="FILE", help="JSON or TOML file."
)


@runs.command()
@click.option("--local_path", "--local-path", required=True, metavar="DIR", help="The run folder.")
@click.option("--bucket", required=True, metavar="NAME", help="The bucket.")
@click.option(
    "--remote_path", "--remote-path", default="/", show_default=True, metavar="PATH",
    help="Folder in the bucket; the name of the run is appended.",
)  # fmt: skip
@click.option(
    "--skip_check", "--skip-check", is_flag=True,
    help="Upload any directory, complete run or not.",
)  # fmt: skip
@click.option(
    "--cores", type=click.IntRange(1), metavar="N", help="Times --threads: transfers at a time."
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N",
    help="Transfers at a time.  [default: as many as the store takes, up to 64]",
)  # fmt: skip
@click.option(
    "--exclude", multiple=True, metavar="REGEX",
    help="Leave out files whose path inside the run matches. Repeatable.",
)  # fmt: skip
@click.option("--follow", is_flag=True, help="Upload while the sequencer writes, until the end.")
@click.option(
    "--min-age", type=click.FloatRange(0), default=300, show_default=True, metavar="SECONDS",
    help="With --follow: leave files that changed later than this for the next time.",
)  # fmt: skip
@click.option(
    "--interval", type=click.FloatRange(0), default=120, show_default=True, metavar="SECONDS",
    help="With --follow: pause between two looks.",
)  # fmt: skip
@click.option(
    "--give-up", type=click.FloatRange(0), default=72, show_default=True, metavar="HOURS",
    help="With --follow: stop if the run is not complete by then.",
)  # fmt: skip
@click.option(
    "--settle", type=click.FloatRange(0), metavar="SECONDS",
    help=f"How long markers must be unchanged.  [default: 0; with --follow {_SETTLE}]",
)  # fmt: skip
@click.option(
    "--log-dir", metavar="DIR",
    help="For the record of what is uploaded.  [default: ~/.local/state/bams3/runs]",
)  # fmt: skip
@json_option
@quiet_option
@storage_options
def upload(
    local_path: str, bucket: str, remote_path: str, skip_check: bool, cores: int | None,
    threads: int | None, exclude: tuple[str, ...], follow: bool, min_age: float, interval: float,
    give_up: float, settle: float | None, log_dir: str | None, as_json: bool, quiet: bool,
    storage: StorageOptions,
) -> int:  # fmt: skip
    """Upload one run; the same command again goes on where it stopped.

    Markers go up last, and after them bams3-manifest.json, which lists all files with their
    checksums. The exit code is 0 only if everything is in the bucket.

    \b
    bams3 runs upload --local_path /seq/RUN --bucket lab --remote_path /runs
    bams3 runs upload --local_path /seq/RUN --bucket lab --follow
    """
    from bams3.runs.files import Exclude
    from bams3.runs.follow import Timing, follow_run
    from bams3.runs.illumina import Rules
    from bams3.runs.preflight import reach
    from bams3.runs.upload import Job, check_complete, check_directory, upload_run

    _log(follow and not quiet and not as_json)
    rules = Rules(settle=(_SETTLE if follow else 0) if settle is None else settle)
    run = Path(local_path)
    check_directory(run)
    if not (follow or skip_check):
        check_complete(run, rules)
    moving = _Moving(quiet or as_json)
    open_place = partial(_place, storage=storage, cores=cores, threads=threads, progress=moving)
    place = reach([bucket], open_place, os.environ.get("SLACK_ALERT_WEBHOOK"))[bucket]
    job = Job(run, remote_path, Path(log_dir) if log_dir else _state_dir(), Exclude(exclude), rules)
    with closing(place), moving:
        if follow:
            timing = Timing(min_age, interval, give_up * 3600)
            summary = follow_run(job, place, timing, moving.watch)
        else:
            summary = upload_run(job, place, moving.watch)
    return _conclude(summary, as_json, quiet)


class _Moving(Progress):
    """Shows files and bytes as they go."""

    def __init__(self, quiet: bool) -> None:
        super().__init__("upload", quiet)
        self._guard = threading.Lock()
        self._files = self._bytes = 0

    def watch(self, summary: Summary) -> None:
        """Take over the number of files."""
        self._files = summary.uploaded

    def begin(self, size: int | None) -> None:
        """Pass: nobody knows how much is still to come."""

    def part(self, number: int, size: int, kept: bool) -> None:
        """Pass."""

    def advance(self, count: int) -> None:
        """Count bytes; negative where they have to be sent again."""
        with self._guard:
            self._bytes += count
            self.show(f"{self._files:,} files, {show_size(self._bytes)}")


def _log(shown: bool) -> None:
    """Show what `bams3.runs` logs, or leave it to the summary."""
    import logging

    logger = logging.getLogger("bams3")
    logger.addHandler(logging.StreamHandler() if shown else logging.NullHandler())
    if shown:
        logger.setLevel(logging.INFO)


def _place(
    bucket: str,
    storage: StorageOptions,
    cores: int | None,
    threads: int | None,
    progress: _Moving | None = None,
) -> Place:
    from bams3.runs.credentials import standard_names
    from bams3.runs.place import BucketPlace
    from bams3.storage.bucket import Bucket
    from bams3.transfer.settings import Settings, Silent

    names = standard_names(os.environ)
    storage = replace(storage, profile=storage.profile or names.pop("AWS_PROFILE", None))
    os.environ.update(names)
    settings = Settings()
    if cores or threads:
        settings = replace(settings, slots=min((cores or 1) * (threads or 8), settings.slots))
    return BucketPlace(Bucket(bucket, storage), settings, progress or Silent())


def _state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "bams3" / "runs"


def _conclude(summary: Summary, as_json: bool, quiet: bool) -> int:
    if as_json:
        _print_json(asdict(summary))
    else:
        for path, target in summary.links.items():
            click.echo(f"warning: {path}: a link to {target}, not followed", err=True)
        for path in summary.passed_over:
            click.echo(f"warning: {path}: neither file nor directory, passed over", err=True)
        for path, reason in list(summary.failed.items())[:_SHOWN]:
            click.echo(f"error: {path}: {reason}", err=True)
        if len(summary.failed) > _SHOWN:
            click.echo(f"error: and {len(summary.failed) - _SHOWN} more", err=True)
        if not quiet:
            _print_summary(summary)
    if not summary.completed and not as_json:
        click.echo("hint: the same command goes on where this one stopped", err=True)
    return 0 if summary.completed else 1


def _print_summary(summary: Summary) -> None:
    rate = show_size(summary.bytes / summary.seconds) if summary.seconds else "0 B"
    state = "complete" if summary.completed else "NOT complete"
    click.echo(
        f"{summary.destination}: {state}; {summary.files:,} files, {summary.uploaded:,} sent "
        f"({show_size(summary.bytes)}, {rate}/s), {len(summary.failed)} failed"
    )


@runs.command()
@config_option
@click.option(
    "--dry_run", "--dry-run", is_flag=True, help="Say what would be uploaded, and upload nothing."
)
@json_option
@quiet_option
@storage_options
def monitor(
    config_path: str, dry_run: bool, as_json: bool, quiet: bool, storage: StorageOptions
) -> int:
    """Make one pass over the directories of a configuration; for cron or a timer.

    Exits with 0 if nothing went wrong, also where there was nothing to do or another pass is at
    work; with 1 if a run was not uploaded whole.

    \b
    */10 * * * * bams3 runs monitor --config /etc/bams3/runs.json --quiet
    """
    import logging

    from bams3.runs.monitor import monitor as one_pass

    config = _config(config_path)
    threads = config.max_threads
    open_place = partial(_place, storage=storage, cores=config.max_cores, threads=threads)
    console = None if quiet else logging.StreamHandler()
    result = one_pass(config, open_place, dry_run, console)
    if as_json:
        _print_json(asdict(result))
    elif not quiet:
        _print_pass(result)
    else:
        for name, reason in (result.failed | result.unreadable).items():
            click.echo(f"error: {name}: {reason}", err=True)
    return 0 if result.good else 1


def _config(path: str) -> Config:
    from bams3.runs.config import SETTLE, read_config

    legacy = _is_legacy()
    return read_config(path, settle=0 if legacy else SETTLE, strict=not legacy)


def _is_legacy() -> bool:
    return click.get_current_context().find_root().info_name == LEGACY


def _print_pass(result: Pass) -> None:
    if result.busy:
        click.echo(result.busy)
        return
    for destination, run in result.picked.items():
        if result.dry_run:
            click.echo(f"{run} would be uploaded to {destination}")
        elif destination in result.failed:
            click.echo(f"{run} FAILED: {result.failed[destination]}")
        elif destination in result.uploaded:
            click.echo(f"{run} uploaded to {destination}")
    if not result.picked:
        click.echo("no run to upload")
    for run, reason in (result.refused | result.unreadable).items():
        click.echo(f"{run} not uploaded: {reason}")


@runs.command()
@config_option
@json_option
def status(config_path: str, as_json: bool) -> int:
    """Say of each folder that a configuration leads to why it is, or is not, picked up.

    \b
    bams3 runs status --config /etc/bams3/runs.json
    """
    from bams3.runs.status import examine

    verdicts = list(examine(_config(config_path)))
    if as_json:
        _print_json([_row(verdict) for verdict in verdicts])
    else:
        _print_table([_row(verdict) for verdict in verdicts])
    return 0


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "run": str(verdict.run),
        "destination": verdict.destination if verdict.prefix else "",
        "state": verdict.state,
        "picked_up": verdict.picked,
        "reason": verdict.reason,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    heading = {"run": "RUN", "destination": "DESTINATION", "state": "STATE", "reason": "REASON"}
    shown = [row | {"run": os.path.basename(row["run"])} for row in rows]
    columns = ("run", "destination", "state")
    widths = {name: max(len(row[name]) for row in [heading, *shown]) for name in columns}
    for row in [heading | {"picked_up": "UPLOAD"}, *shown]:
        picked = row["picked_up"]
        picked = picked if isinstance(picked, str) else "yes" if picked else "no"
        cells = [row[name].ljust(widths[name]) for name in columns]
        click.echo("  ".join([*cells, picked.ljust(6), row["reason"]]))


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=1))


COMMANDS = (runs,)
