"""Imports run one way, and the documents name only commands and options that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from bams3.cli import cli

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "bams3"
# What each part may import of the others; `_core` is for those that compute.
MAY = {
    "errors": set(),
    "regions": {"errors"},
    "config": {"errors"},
    "storage": {"_core", "config", "errors", "regions"},
    "reads": {"_core", "config", "errors", "regions", "storage"},
    "transfer": {"_core", "config", "errors", "storage"},
    "runs": {"config", "errors", "storage", "transfer"},
    "server": {"_core", "config", "errors", "reads", "regions", "storage"},
    "variants": {"_core", "config", "errors", "reads", "regions", "storage"},
    "cloud": {"errors", "variants"},
    "cli": {
        *("_core", "cloud", "config", "errors", "reads", "regions", "runs", "server", "storage"),
        *("transfer", "variants"),
    },
}
# Run as processes of their own, which report on standard error.
PROGRAMS = {"cram_reader.py", "stage.py"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "bams3":
            yield from (f"bams3.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_run_one_way() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        part = part_of(path)
        used = {name.split(".")[1] for name in imported(path) if name.startswith("bams3.")}
        allowed = MAY.get(part)
        if allowed is not None:
            wrong += [f"{path.name} imports {name}" for name in used - allowed - {part}]
    assert not wrong


def test_only_storage_reaches_object_stores_and_only_the_command_line_prints() -> None:
    for path in PACKAGE.rglob("*.py"):
        names = {name.split(".")[0] for name in imported(path)}
        assert "obstore" not in names or part_of(path) == "storage", path
        assert "click" not in names or part_of(path) == "cli", path
        calls = (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        )
        prints = any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
        assert not prints or part_of(path) == "cli" or path.name in PROGRAMS, path


def documented() -> Iterator[tuple[str, str]]:
    """Yield the lines of the documents that call a command."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for line in page.read_text().splitlines():
            for call in re.findall(r"bams3 ([a-z][a-z-]*[^|`#]*)", line):
                yield page.name, call


def test_the_documents_name_what_exists() -> None:
    for page, call in documented():
        options = options_of(call.split())
        named = set(re.findall(r"(?<![\w-])(--[a-zA-Z][\w-]*)", call))
        assert options is None or named <= options | {"--help"}, f"{page}: {call}"


def options_of(words: list[str]) -> set[str] | None:
    """Return the options of the command that a line begins with; None where it is none."""
    command: click.Command | None = cli
    context = click.Context(cli)
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(context, word)
    if command is None or isinstance(command, click.Group):
        return None
    return {text for param in command.params for text in (*param.opts, *param.secondary_opts)}
