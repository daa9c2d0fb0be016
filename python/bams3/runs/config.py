"""The configuration of `monitor` and `status`: JSON with the keys of s3_upload, or TOML.

All problems of a file are listed at once, in the words of s3_upload where it had any.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bams3.errors import NotFoundError, UsageError
from bams3.runs.illumina import MARKERS, Rules

LOG_DIR = "/var/log/s3_upload"
MAX_AGE = 72
SETTLE = 60
LEVELS = {"NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_LEVEL_NAMES = {**LEVELS, "WARN": 30, "FATAL": 50}

Check = Callable[[Any], "str | None"]
"""Returns what is wrong with a value."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One section of `monitor`: directories, and where the runs below them go.

    Attributes:
        directories: Their immediate sub-directories are looked at.
        bucket: Name of the bucket.
        remote_path: Folder in the bucket; "/" for its root.
        sample_regex: All samples of a run have to match; None: any.
        exclude_patterns: Files whose path inside the run matches one are left out.
    """

    directories: tuple[str, ...]
    bucket: str
    remote_path: str
    sample_regex: str | None = None
    exclude_patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration.

    Attributes:
        entries: What to watch.
        max_cores, max_threads: Their product is the number of transfers at a time.
        max_age: Hours after which a new run is not taken any more, by the time of its RunInfo.xml.
        log_level: Level of `logging`.
        log_dir: For logs, the lock, and the record of each run.
        slack_log_webhook, slack_alert_webhook: Addresses for success and failure.
        rules: When a run is complete.
    """

    entries: tuple[Entry, ...]
    max_cores: int
    max_threads: int
    max_age: int
    log_level: int
    log_dir: str
    slack_log_webhook: str | None
    slack_alert_webhook: str | None
    rules: Rules

    @property
    def log_webhook(self) -> str | None:
        """Where news of success go."""
        return self.slack_log_webhook or self.slack_alert_webhook

    @property
    def alert_webhook(self) -> str | None:
        """Where news of failure go."""
        return self.slack_alert_webhook or self.slack_log_webhook


def read_config(path: str | os.PathLike[str], settle: int = SETTLE, strict: bool = True) -> Config:
    """Read and check a configuration.

    Args:
        path: JSON file; TOML if its name ends in `.toml`.
        settle: Seconds of settle time where the file gives none.
        strict: Whether unknown keys are errors.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is not JSON or TOML, or has problems, all of which are listed.
    """
    table = _load(Path(path))
    problems = _problems(table, strict)
    if problems:
        listed = "".join(f"\n\t{problem}" for problem in problems)
        raise UsageError(f"{len(problems)} errors found in config:{listed}", f"mend {path}")
    return _build(table, settle)


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    try:
        table = _parse_toml(text) if kind == "TOML" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not {kind}: {error}") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path}: has to be a table of keys and values")
    return table


def _parse_toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _build(table: Mapping[str, Any], settle: int) -> Config:
    markers = {name: tuple(needed) for name, needed in table.get("completion", {}).items()}
    return Config(
        entries=tuple(_entry(section) for section in table["monitor"]),
        max_cores=table.get("max_cores", os.cpu_count() or 1),
        max_threads=table.get("max_threads", 4),
        max_age=table.get("max_age", MAX_AGE),
        log_level=_level(table.get("log_level", "INFO")) or 0,
        log_dir=table.get("log_dir", LOG_DIR),
        slack_log_webhook=table.get("slack_log_webhook") or None,
        slack_alert_webhook=table.get("slack_alert_webhook") or None,
        rules=Rules(markers, table.get("settle_seconds", settle)),
    )


def _entry(section: Mapping[str, Any]) -> Entry:
    return Entry(
        directories=tuple(section["monitored_directories"]),
        bucket=section["bucket"],
        remote_path=section["remote_path"],
        sample_regex=section.get("sample_regex") or None,
        exclude_patterns=tuple(section.get("exclude_patterns") or ()),
    )


# ---- checks --------------------------------------------------------------------------------------


def _integer(name: str, least: int, below: str) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return below if name == "max_age" else f"{name} must be an integer"
        return below if value < least else None

    return check


def _text(name: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value is None or isinstance(value, str) else f"{name} must be a string"

    return check


def _directory(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "log_dir must be a path"


def _log_level(value: Any) -> str | None:
    return f"Given log level is not valid: {value}" if _level(value) is None else None


def _level(value: Any) -> int | None:
    """Return the level that a name in any case, or a number, stands for; None if there is none."""
    if isinstance(value, str):
        named = _LEVEL_NAMES.get(value.upper())
        return int(value) if named is None and value in map(str, LEVELS.values()) else named
    return value if type(value) is int and value in LEVELS.values() else None


def _completion(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "completion must be a table: platform = [marker files]"
    unknown = value.keys() - MARKERS.keys()
    if unknown:
        return f"completion: no such platform: {', '.join(sorted(unknown))}"
    wrong = [name for name, needed in value.items() if not _names(needed) or not needed]
    return f"completion: not a list of file names: {', '.join(wrong)}" if wrong else None


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


_CHECKS: dict[str, Check] = {
    "max_cores": _integer("max_cores", 1, "max_cores must be at least 1"),
    "max_threads": _integer("max_threads", 1, "max_threads must be at least 1"),
    "max_age": _integer("max_age", 1, "max_age must be a positive integer"),
    "log_level": _log_level,
    "log_dir": _directory,
    "slack_log_webhook": _text("slack_log_webhook"),
    "slack_alert_webhook": _text("slack_alert_webhook"),
    "settle_seconds": _integer("settle_seconds", 0, "settle_seconds must not be negative"),
    "completion": _completion,
}
_REQUIRED: dict[str, type] = {"monitored_directories": list, "bucket": str, "remote_path": str}
_OPTIONAL = ("sample_regex", "exclude_patterns")


def _problems(table: Mapping[str, Any], strict: bool) -> list[str]:
    found = [problem for key, check in _CHECKS.items() if key in table
             for problem in [check(table[key])] if problem]  # fmt: skip
    if strict:
        found += _unknown(table, [*_CHECKS, "monitor"], "")
    sections = table.get("monitor")
    if not sections:
        return [*found, "required parameter monitor not defined"]
    if not isinstance(sections, list):
        return [*found, "monitor must be a list of sections"]
    for index, section in enumerate(sections):
        where = f" from monitor section {index}"
        if not isinstance(section, dict):
            found.append(f"monitor section {index} is not a table")
            continue
        found += _section_problems(section, index)
        if strict:
            found += _unknown(section, [*_REQUIRED, *_OPTIONAL], where)
    return found


def _unknown(table: Mapping[str, Any], known: list[str], where: str) -> list[str]:
    problems = []
    for key in table.keys() - known:
        close = difflib.get_close_matches(key, known, 1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        problems.append(f"unknown parameter {key}{where}{meant}")
    return sorted(problems)


def _section_problems(section: Mapping[str, Any], index: int) -> list[str]:
    found = []
    for key, kind in _REQUIRED.items():
        value = section.get(key)
        if not value:
            found.append(f"required parameter {key} missing from monitor section {index}")
        elif not isinstance(value, kind):
            found.append(
                f"{key} not of expected type from monitor section {index}. "
                f"Expected: {kind} | Found {type(value)}"
            )
    directories = section.get("monitored_directories")
    if isinstance(directories, list):
        found += [
            f"monitored_directories must hold paths in monitor section {index}: {item!r}"
            for item in directories
            if not (isinstance(item, str) and item and "\0" not in item)
        ]
    return found + _pattern_problems(section, index)


def _pattern_problems(section: Mapping[str, Any], index: int) -> list[str]:
    regex, patterns = section.get("sample_regex"), section.get("exclude_patterns")
    invalid = f"Invalid regex pattern provided in monitor section {index}: "
    found = [f"{invalid}{regex}"] if regex and not _compiles(regex) else []
    if patterns and not isinstance(patterns, list):
        kinds = f"Expected: {list} | Found {type(patterns)}"
        wrong = f"exclude_patterns not of expected type from monitor section {index}. {kinds}"
        return [*found, wrong]
    return found + [f"{invalid}{item}" for item in patterns or () if not _compiles(item)]


def _compiles(pattern: Any) -> bool:
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return isinstance(pattern, str)
