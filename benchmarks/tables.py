"""Tables of results: Markdown, verdicts, and the page that keeps the last ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Table:
    """A table with its heading, what was run, and remarks."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Append a row; numbers with thousands separated."""
        self.rows.append([_text(cell) for cell in cells])

    def markdown(self) -> str:
        """Return the table as Markdown, numbers to the right."""
        right = [
            all(_is_number(row[i]) for row in self.rows if row[i]) for i in range(len(self.columns))
        ]
        lines = [f"### {self.title}", "", _line(self.columns)]
        lines.append(_line(["---:" if column else "---" for column in right]))
        lines += [_line(row) for row in self.rows]
        if self.notes:
            lines += ["", *(f"* {note}" for note in self.notes)]
        if self.commands:
            lines += ["", "```", *self.commands, "```"]
        return "\n".join(lines) + "\n"


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _is_number(cell: str) -> bool:
    return bool(re.match(r"[-+]?[\d.,]+", cell))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def verdict(value: float, most: float) -> str:
    """Say whether a value is at most what it should be."""
    return "met" if value <= most else "**missed**"


def write_page(page: Path, section: str, text: str) -> None:
    """Put `text` between the markers of a section of a page."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    whole = page.read_text()
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(whole):
        raise SystemExit(f"error: {page}: no markers {begin}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", whole))
