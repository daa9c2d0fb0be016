"""The table of exit codes and the classes say the same."""

from __future__ import annotations

import re

from bams3 import errors


def test_the_table_is_true() -> None:
    rows = re.findall(r"(\w+) +kind \"([\w-]+)\" +exit (\d+)", errors.__doc__ or "")
    table = {name: (kind, int(code)) for name, kind, code in rows}
    classes = {
        name: (value.kind, value.exit_code)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.Bams3Error)
    }
    assert table == classes


def test_kinds_are_unlike_and_the_codes_of_s3am_all_there() -> None:
    classes = [v for v in vars(errors).values() if isinstance(v, type)]
    mine = [c for c in classes if issubclass(c, errors.Bams3Error)]
    assert len({c.kind for c in mine}) == len(mine)
    assert {c.exit_code for c in mine} == set(range(1, 15))
