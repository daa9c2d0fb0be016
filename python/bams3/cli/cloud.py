"""Commands for calling on AWS: cloud plan, deploy, trigger, status, cleanup."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bams3.cli.options import Command, Group, json_option, quiet_option
from bams3.cli.sizes import show_size
from bams3.errors import Bams3Error

if TYPE_CHECKING:
    from bams3.cloud.aws import Aws
    from bams3.cloud.cost import Line
    from bams3.cloud.deployment import Settings
    from bams3.cloud.plan import Plan
    from bams3.cloud.resource import Found
    from bams3.cloud.status import Status


@click.group(cls=Group)
def cloud() -> None:
    """Set up what calling on AWS Lambda needs, look at it, remove it.

    A deployment is its name: names of all resources follow from it.

    \b
    bams3 cloud plan calling --layer build/layer.zip
    bams3 cloud deploy calling --layer build/layer.zip
    bams3 cloud status calling
    bams3 cloud cleanup calling
    """


_ACCOUNT = (
    click.option("--aws-region", metavar="NAME", help="AWS region."),
    click.option("--aws-profile", metavar="NAME", help="Named profile of the AWS configuration."),
)
_SETTINGS = (
    click.option("--image", default="", metavar="URI", help="Container image in ECR."),
    click.option(
        "--layer", default="", metavar="FILE", help="Layer that `make layer` wrote, for no image."
    ),
    click.option(
        "--reference", default="", metavar="URL", help="FASTA on S3, for events that name none."
    ),
    click.option(
        "--reads", multiple=True, metavar="URL",
        help="What else on S3 the function may read; may be given more than once.",
    ),
    click.option(
        "--memory", "memory_mb", type=click.IntRange(128, 10240), default=1769, show_default=True,
        metavar="MB", help="Memory of the function; 1769 are one whole CPU.",
    ),
    click.option(
        "--timeout", type=click.IntRange(10, 900), default=900, show_default=True,
        metavar="SECONDS", help="After which the function is killed.",
    ),
    click.option(
        "--scratch", "scratch_mb", type=click.IntRange(512, 10240), default=4096,
        show_default=True, metavar="MB", help="Its disk, for contigs of the reference.",
    ),
    click.option(
        "--retention", "retention_days", default="30", show_default=True, metavar="DAYS",
        type=click.Choice(["1", "3", "5", "7", "14", "30", "60", "90", "180", "365"]),
        help="How long logs are kept.",
    ),
    click.option(
        "--architecture", type=click.Choice(["x86_64", "arm64"]), default="x86_64",
        show_default=True, help="That of the image or the layer.",
    ),
    click.option(
        "--runtime", default="python3.12", show_default=True, help="Python that runs the layer."
    ),
    click.option(
        "--on-arrival", "arrivals", is_flag=True, help="Call reads that arrive below samples/."
    ),
)  # fmt: skip


def _account(command: Command) -> Command:
    """Add the options of the account; the command gets them as one argument `aws`."""

    @functools.wraps(command)
    def wrapped(*args: Any, aws_region: str | None, aws_profile: str | None, **given: Any) -> Any:
        from bams3.cloud.aws import Aws

        return command(*args, aws=Aws(aws_region, aws_profile), **given)

    for option in reversed(_ACCOUNT):
        option(wrapped)
    return wrapped  # type: ignore[return-value]


def _settings(command: Command) -> Command:
    """Add what says how a deployment is; the command gets it as one argument `settings`."""

    @functools.wraps(command)
    def wrapped(*args: Any, **given: Any) -> Any:
        from bams3.cloud.deployment import Settings

        values = {name: given.pop(name) for name in Settings.__dataclass_fields__}
        values["retention_days"] = int(values["retention_days"])
        return command(*args, settings=Settings(**values), **given)

    for option in reversed(_SETTINGS):
        option(wrapped)
    return wrapped  # type: ignore[return-value]


@cloud.command(no_args_is_help=True)
@click.argument("name")
@_settings
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, help="To call.")
@click.option(
    "--gib", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True,
    help="GiB of compressed reads of each.",
)  # fmt: skip
@json_option
@_account
def plan(name: str, settings: Settings, samples: int, gib: float, as_json: bool, aws: Aws) -> None:
    """Say what deploy would make, what the function may do, and what it costs. Changes nothing.

    \b
    bams3 cloud plan calling --layer build/layer.zip --samples 10 --gib 30
    """
    from bams3.cloud.cost import Workload
    from bams3.cloud.plan import plan

    found = plan(aws, name, settings, Workload(samples, gib))
    if as_json:
        click.echo(json.dumps(_plan_json(found)))
    else:
        _show_plan(found, f"{samples:,} {'sample' if samples == 1 else 'samples'} of {gib:g} GiB")


def _plan_json(plan: Plan) -> dict[str, Any]:
    from bams3.cloud.cost import total
    from bams3.variants.cost import PRICES_OF

    def lines(these: Sequence[Line]) -> dict[str, Any]:
        return {
            "lines": [{**asdict(line), "dollars": line.dollars} for line in these],
            "total": total(these),
        }

    return {
        "resources": [asdict(resource) for resource in plan.resources],
        "policy": plan.policy,
        "prices": PRICES_OF,
        "once": lines(plan.once),
        "monthly": lines(plan.monthly),
    }


def _show_plan(plan: Plan, load: str) -> None:
    from bams3.variants.cost import PRICES_OF

    _table((r.kind, r.name, r.todo) for r in plan.resources)
    click.echo("\nPolicy of the role:")
    click.echo(json.dumps(plan.policy, indent=2))
    click.echo(f"\nCost of calling {load} ({PRICES_OF}):")
    _bill(plan.once)
    click.echo("\nCost of keeping them, each month:")
    _bill(plan.monthly)
    click.echo("\nIdle, a deployment costs what its data cost.")


def _bill(lines: Sequence[Line]) -> None:
    from bams3.cloud.cost import total

    for line in lines:
        click.echo(
            f"  {line.what:<26}{line.amount:>18,.4f} {line.unit:<9}"
            f"x {line.price:<12.6g}${line.dollars:>9.4f}"
        )
    click.echo(f"  {'total':<67}${total(lines):>9.4f}")


def _table(rows: Iterable[tuple[str, str, str]]) -> None:
    for kind, name, text in rows:
        click.echo(f"{kind:<10}  {name:<52}  {text}".rstrip())


@cloud.command(no_args_is_help=True)
@click.argument("name")
@_settings
@json_option
@quiet_option
@_account
def deploy(name: str, settings: Settings, as_json: bool, quiet: bool, aws: Aws) -> None:
    """Make bucket, table, role, log group, dead-letter queue and function; or mend them.

    What is there and as it should be is left alone. If it breaks off, run the same command again.

    \b
    bams3 cloud deploy calling --layer build/layer.zip
    bams3 cloud deploy calling --image 1234.dkr.ecr.eu-west-1.amazonaws.com/bams3:1 --on-arrival
    """
    from bams3.cloud.deploy import deploy

    def tell(kind: str, name: str, done: str) -> None:
        if not quiet and not as_json:
            _table([(kind, name, done)])

    steps = deploy(aws, name, settings, tell)
    if as_json:
        click.echo(json.dumps([asdict(step) for step in steps]))


@cloud.command(no_args_is_help=True)
@click.argument("name")
@click.argument("reads", required=False, metavar="[READS]")
@click.option("-r", "--region", metavar="REGION", help="What to call.  [default: everything]")
@click.option("--sample-id", metavar="NAME", help="Names the result.  [default: the file's name]")
@click.option("--no-wait", is_flag=True, help="Let AWS queue it, and try it three times.")
@click.option(
    "--arrivals", type=click.Choice(["on", "off"]), help="Call what arrives below samples/, or not."
)
@_account
def trigger(
    name: str,
    reads: str | None,
    region: str | None,
    sample_id: str | None,
    no_wait: bool,
    arrivals: str | None,
    aws: Aws,
) -> None:
    """Have the function call reads on S3, now; or whenever some arrive in the bucket.

    The function calls all that it is asked for in one go, so that it suits panels, exomes and
    regions: for a genome, see `bams3 variants call --executor lambda`.

    \b
    bams3 cloud trigger calling s3://b/samples/x.bam -r chr20:1,000,000-1,010,000
    bams3 cloud trigger calling --arrivals on
    """
    from bams3.cloud import trigger

    if bool(reads) == bool(arrivals):
        raise click.UsageError("give READS, or --arrivals on|off")
    if arrivals:
        click.echo(f"trigger {trigger.arrivals(aws, name, arrivals == 'on')}")
        return
    event = trigger.event_of(str(reads), region, sample_id)
    answer = trigger.invoke(aws, name, event, wait=not no_wait)
    click.echo("queued" if answer is None else json.dumps(answer))


@cloud.command(no_args_is_help=True)
@click.argument("name")
@json_option
@_account
def status(name: str, as_json: bool, aws: Aws) -> None:
    """Say what is there, what is missing or wrong, and what went wrong lately.

    Exits with 1 where something is missing or wrong.
    """
    from bams3.cloud.status import status

    found = status(aws, name)
    if as_json:
        click.echo(json.dumps({**asdict(found), "whole": found.is_whole}))
    else:
        _show_status(found)
    if not found.is_whole:
        raise Bams3Error(f"{name}: is not whole", f"bams3 cloud deploy {name} ... mends it")


def _show_status(status: Status) -> None:
    _table((found.kind, found.name, _state(found)) for found in status.found)
    _table((kind, name, "missing") for kind, name in status.missing)
    for title, entries in (
        ("last errors", status.errors),
        ("dead letters", [f"{letter.error}: {letter.event}" for letter in status.dead_letters]),
    ):
        if entries:
            click.echo(f"\n{title}:")
        for entry in entries:
            click.echo(f"  {entry[:500]}")


def _state(found: Found) -> str:
    wrong = f"wrong: {', '.join(found.wrong)}" if found.wrong else "ok"
    return "; ".join([wrong, *_counted(found.counts)])


def _counted(counts: Mapping[str, int]) -> list[str]:
    return [
        show_size(count) if what == "bytes" else f"{count:,} {what}"
        for what, count in counts.items()
        if count or what in ("objects", "items")
    ]


@cloud.command(no_args_is_help=True)
@click.argument("name")
@click.option("--data", is_flag=True, help="The data, too: bucket and table, with all versions.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@quiet_option
@_account
def cleanup(name: str, data: bool, yes: bool, as_json: bool, quiet: bool, aws: Aws) -> None:
    """Remove a deployment. A bucket or table that holds data is kept, unless --data is given.

    \b
    bams3 cloud cleanup calling
    bams3 cloud cleanup calling --data --yes
    """
    from bams3.cloud.cleanup import cleanup, look

    there = look(aws, name)
    if not as_json and not quiet:
        _table((found.kind, found.name, "; ".join(_counted(found.counts))) for found in there)
    if there and not yes:
        kept = "with all data" if data else "data are kept"
        if not click.confirm(f"Remove these, {kept}?", err=True):
            raise Bams3Error("nothing was removed")
    done = cleanup(aws, name, data=data)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    elif not quiet:
        left = [
            f"{found.kind} {found.name} ({'; '.join(_counted(found.counts))})"
            for found in done.after
        ]
        click.echo(f"removed {len(done.before) - len(done.after)} of {len(done.before)} resources")
        click.echo(f"kept, with data: {', '.join(left)}" if left else "nothing is left")


COMMANDS = (cloud,)
