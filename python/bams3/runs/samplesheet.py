"""Sample sheets of Illumina runs, versions 1 and 2: which files they are, which samples they name.

A sheet is a CSV file of sections, `[Data]` in version 1, `[BCLConvert_Data]`, `[Cloud_Data]` and
others in version 2, or a bare table. Samples are the column `Sample_ID` (older: `SampleID`) of
every table that has one, wherever it stands; a table ends at the next section or at the end of the
file, blank lines are passed over.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bams3.errors import InputError

NAME = re.compile(r".*sample[-_ ]?sheet.*.csv$", re.IGNORECASE)
_COLUMNS = ("Sample_ID", "SampleID")
_LARGEST = 64 << 20


def find_sheets(run: Path) -> list[Path]:
    """Return the files in the root of a run whose names are those of sample sheets, sorted."""
    return sorted(Path(e.path) for e in os.scandir(run) if NAME.match(e.name) and e.is_file())


def read_sheet(run: Path) -> list[str]:
    """Return the lines of the sample sheet of a run.

    Several sheets are one if they have the same lines. A byte order mark, the kind of line ends,
    and blank lines at the end do not count.

    Raises:
        InputError: There is no sheet, it is empty or cannot be read, or there are different ones.
    """
    sheets = find_sheets(run)
    if not sheets:
        raise InputError("no sample sheet", "a file such as SampleSheet.csv is needed")
    contents = [_lines(path) for path in sheets]
    for path, lines in zip(sheets, contents, strict=True):
        if lines != contents[0]:
            raise InputError(
                f"sample sheets differ: {sheets[0].name}, {path.name}",
                "leave one, or make them the same",
            )
    if not contents[0]:
        raise InputError(f"the sample sheet {sheets[0].name} is empty")
    return contents[0]


def sample_names(lines: list[str]) -> list[str]:
    """Return the samples that a sheet names, each once, in the order of the sheet.

    Raises:
        InputError: No table has a column of samples, or none of them names one, or a section has
            two headings.
    """
    names: dict[str, None] = {}
    column: int | None = None
    tables = 0
    for fields in _rows(lines):
        if fields[0].startswith("["):
            column = None
        elif (found := _column(fields)) is not None:
            if column is not None:
                raise InputError("the sample sheet has two lines of Sample_ID in one section")
            column, tables = found, tables + 1
        elif column is not None and column < len(fields) and fields[column]:
            names[fields[column]] = None
    if not names:
        what = "names no sample" if tables else "has no column Sample_ID"
        raise InputError(f"the sample sheet {what}")
    return list(names)


def _rows(lines: list[str]) -> Iterator[list[str]]:
    """Yield the rows that are not blank, their fields stripped."""
    for number, line in enumerate(lines, 1):
        try:
            # Line by line: a stray quotation mark must not swallow the rest of the file.
            rows = [[field.strip() for field in row] for row in csv.reader([line])]
        except csv.Error as error:
            raise InputError(f"the sample sheet, line {number}: {error}") from error
        yield from (row for row in rows if any(row))


def _column(fields: list[str]) -> int | None:
    return next((fields.index(name) for name in _COLUMNS if name in fields), None)


def _lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if len(data) > _LARGEST or b"\0" in data:
        raise InputError(f"{path}: is not a sample sheet")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # comments and operators' names, from Windows
    lines = [line.rstrip() for line in re.split(r"\r\n|\n|\r", text)]
    while lines and not lines[-1]:
        lines.pop()
    return lines
