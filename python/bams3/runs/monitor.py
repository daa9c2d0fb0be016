"""One pass over all directories of a configuration: upload what is complete, and tell of it.

Meant to be started again and again, by cron or a timer. A pass that finds another one at work
leaves at once.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bams3.errors import Bams3Error, ExistsError
from bams3.runs import notify
from bams3.runs.config import Config
from bams3.runs.files import Exclude
from bams3.runs.lock import BusyError, monitor_lock
from bams3.runs.logs import logging_to, size_text
from bams3.runs.place import Place
from bams3.runs.preflight import Open, reach
from bams3.runs.state import Record
from bams3.runs.status import Verdict, examine
from bams3.runs.upload import Job, Summary, upload_run

_REFUSED = "refused.json"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pass:
    """What came of a pass.

    Attributes:
        picked: Runs that were to be uploaded, by their destinations, in order.
        uploaded: Destinations that are complete now.
        failed: Those that are not, and why.
        refused: Complete runs that are not picked up until somebody mends them, and why.
        unreadable: Directories that could not be read, and why.
        busy: Who holds the lock, where another pass was at work; then nothing was done.
        dry_run: Whether nothing was to be uploaded.
    """

    picked: dict[str, str] = field(default_factory=dict)
    uploaded: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    busy: str = ""
    dry_run: bool = False

    @property
    def good(self) -> bool:
        """Whether everything that was to be done has been done."""
        return not self.failed and not self.unreadable


def monitor(
    config: Config, open_place: Open, dry_run: bool = False, console: logging.Handler | None = None
) -> Pass:
    """Make one pass.

    Args:
        config: What to watch.
        open_place: Opens the buckets.
        dry_run: Do everything but upload; nothing is written but the log.
        console: Where log lines go besides the file.

    Raises:
        StorageError: A bucket cannot be reached (Slack is told).
        UsageError: Credentials are contradictory (Slack is told).
        PermissionDenied: The log directory cannot be written.
    """
    log_dir = Path(config.log_dir)
    try:
        with monitor_lock(log_dir), logging_to(log_dir, config.log_level, console):
            return _pass(config, open_place, dry_run)
    except BusyError as busy:
        return Pass(busy=busy.message)


def _pass(config: Config, open_place: Open, dry_run: bool) -> Pass:
    if not config.log_webhook:
        _log.warning("no Slack webhook in the configuration: nobody will be notified")
    alert = config.alert_webhook or os.environ.get("SLACK_ALERT_WEBHOOK")
    with ExitStack() as stack:
        places = reach({entry.bucket for entry in config.entries}, open_place, alert)
        for place in places.values():
            stack.callback(place.close)
        return _work(config, places, dry_run)


def _work(config: Config, places: Mapping[str, Place], dry_run: bool) -> Pass:
    verdicts = list(examine(config))
    result = Pass(dry_run=dry_run)
    for verdict in verdicts:
        _report(verdict, result)
    chosen = sorted((v for v in verdicts if v.picked), key=lambda v: v.state != "partial")
    result.picked = {verdict.destination: str(verdict.run) for verdict in chosen}
    if dry_run:
        for verdict in chosen:
            _log.info("%s would be uploaded to %s", verdict.run, verdict.destination)
        return result
    _adopt(verdicts, config)
    if not chosen:
        _log.info("No sequencing runs requiring upload found.")
    for number, verdict in enumerate(chosen, 1):
        _log.info("Uploading run %s [%s/%s]", verdict.run.name, number, len(chosen))
        _upload(verdict, config, places[verdict.entry.bucket], result)
    _tell(result, config)
    return result


# ---- before ----------------------------------------------------------------------------------


def _report(verdict: Verdict, result: Pass) -> None:
    if verdict.wrong == "directory":
        result.unreadable[str(verdict.run)] = verdict.reason
    elif verdict.wrong:
        result.refused[str(verdict.run)] = verdict.reason
    level = logging.ERROR if verdict.wrong else logging.INFO if verdict.picked else logging.DEBUG
    _log.log(level, "%s: %s", verdict.run, verdict.reason)


def _adopt(verdicts: Iterable[Verdict], config: Config) -> None:
    """Write the destination into finished records of s3_upload, which do not name it."""
    for verdict in verdicts:
        if verdict.inherited and verdict.state == "uploaded":
            log_dir, entry = Path(config.log_dir), verdict.entry
            Record(log_dir, verdict.run, entry.bucket, verdict.prefix).close()


# ---- the runs --------------------------------------------------------------------------------


def _upload(verdict: Verdict, config: Config, place: Place, result: Pass) -> None:
    entry, name = verdict.entry, verdict.destination
    exclude = Exclude(entry.exclude_patterns)
    job = Job(verdict.run, entry.remote_path, Path(config.log_dir), exclude, config.rules)
    began = time.monotonic()
    try:
        summary = upload_run(job, place)
    except ExistsError as error:
        _log.info("%s", error)
        return
    except (Bams3Error, OSError) as error:
        _log.error("%s: %s", verdict.run, error)
        result.failed[name] = str(error)
        return
    _log_summary(summary, time.monotonic() - began)
    if summary.completed:
        result.uploaded.append(name)
    else:
        result.failed[name] = f"{len(summary.failed)} files are not uploaded"


def _log_summary(summary: Summary, seconds: float) -> None:
    for path, target in summary.links.items():
        _log.warning("%s/%s: a link to %s, not followed", summary.run, path, target)
    for path in summary.passed_over:
        _log.warning("%s/%s: neither file nor directory, passed over", summary.run, path)
    for path, reason in summary.failed.items():
        _log.error("%s/%s: %s", summary.run, path, reason)
    how = "Fully" if summary.completed else "Partially"
    took = f"{int(seconds // 60)}m {int(seconds % 60)}s"
    name = os.path.basename(summary.run)
    sent = f"{summary.uploaded} files sent, {size_text(summary.bytes)}"
    _log.info("%s uploaded %s in %s: %s", how, name, took, sent)


# ---- after -----------------------------------------------------------------------------------


def _tell(result: Pass, config: Config) -> None:
    """Send the messages: one of success, one of failure, one of what nobody was told before."""
    if result.uploaded and config.log_webhook:
        notify.post(config.log_webhook, notify.result_text(completed=_names(result.uploaded)))
    if result.failed and config.alert_webhook:
        notify.post(config.alert_webhook, notify.result_text(failed=_names(result.failed)))
    wrong = result.refused | result.unreadable
    remembered = Path(config.log_dir) / "uploads" / _REFUSED
    known = _known(remembered)
    news = {os.path.basename(run): why for run, why in wrong.items() if known.get(run) != why}
    url = config.alert_webhook
    told = not news or not url or notify.post(url, notify.refused_text(news))
    if told and wrong != known:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        partial = remembered.with_name(f".{_REFUSED}.partial")
        partial.write_text(json.dumps(wrong, indent=1), encoding="utf-8")
        os.replace(partial, remembered)


def _names(runs: Iterable[str]) -> list[str]:
    return [os.path.basename(run) for run in runs]


def _known(path: Path) -> dict[str, str]:
    """Return what earlier passes have told."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
