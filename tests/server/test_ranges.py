"""The table of right answers, row by row, and what must hold for every Range header."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bams3.server.ranges import (
    MOST_RANGES,
    Conditions,
    Plan,
    Version,
    body_length,
    http_date,
    multipart,
    plan,
)

MODIFIED = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
FILE = Version(1000, '"v1"', MODIFIED)
EMPTY = Version(0, '"v0"', MODIFIED)
WHOLE = Plan(200, ((0, 1000),))
DATE = http_date(MODIFIED)
LATER, EARLIER = "Mon, 02 Mar 2026 00:00:00 GMT", "Sat, 28 Feb 2026 00:00:00 GMT"

EVEN = "".join(f"{n}-{n}," for n in range(0, 62, 2))

RANGES = [
    ("bytes=0-0", [(0, 1)]),
    ("bytes=10-19", [(10, 20)]),
    ("bytes=990-5000", [(990, 1000)]),
    ("bytes=0-999", [(0, 1000)]),
    ("bytes=990-", [(990, 1000)]),
    ("bytes=0-", [(0, 1000)]),
    ("bytes=-10", [(990, 1000)]),
    ("bytes=-5000", [(0, 1000)]),
    ("bytes=-0", None),
    ("bytes=1000-", None),
    ("bytes=1000-1001", None),
    ("bytes=5000-6000", None),
    ("bytes=10-5", None),
    ("abc", None),
    ("bytes", None),
    ("bytes=", None),
    ("bytes=-", None),
    ("bytes=,", None),
    ("bytes=abc", None),
    ("bytes=1-2-3", None),
    ("bytes=0x0-0x9", None),
    ("bytes=+1-2", None),
    ("bytes=1_0-20", None),
    ("bytes=\u0661-\u0662", None),
    ("=0-9", None),
    ("bytes = 0-9", None),
    ("bytes =0-9", None),
    ("bytes=0 - 9", None),
    ("bytes= 0-9", [(0, 10)]),
    ("BYTES=0-9", [(0, 10)]),
    ("bytes=0-9, 20-29", [(0, 10), (20, 30)]),
    ("bytes=0-9 ,\t20-29", [(0, 10), (20, 30)]),
    ("bytes=0-9,,20-29", [(0, 10), (20, 30)]),
    ("bytes=20-29,0-9", [(0, 10), (20, 30)]),
    ("bytes=0-9,5-19,20-29", [(0, 30)]),
    ("bytes=0-9,2000-", [(0, 10)]),
    ("bytes=2000-,3000-", None),
    ("bytes=0-9,abc", None),
    ("bytes=0-9,10-5", None),
    ("bytes=-10,0-9", [(0, 10), (990, 1000)]),
    ("bytes=0-18446744073709551615", [(0, 1000)]),
    ("bytes=0-99999999999999999999999", [(0, 1000)]),
    ("bytes=18446744073709551616-", None),
    ("bytes=99999999999999999999999-99999999999999999999998", None),
    ("bytes=-99999999999999999999999", [(0, 1000)]),
    ("bytes=" + "9" * 5000 + "-", None),
    ("bytes=0000000000000000000000000000007-8", [(7, 9)]),
    (f"bytes={EVEN}62-62", [(n, n + 1) for n in range(0, 64, 2)]),
    (f"bytes={EVEN}62-62,64-64", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "spans"), RANGES)
def test_range(text: str, spans: list[tuple[int, int]] | None) -> None:
    expected = Plan(416) if spans is None else Plan(206, tuple(spans))
    assert plan(Conditions(range=text), FILE) == expected


def test_other_units_are_ignored() -> None:
    assert plan(Conditions(range="items=0-9"), FILE) == WHOLE


def test_without_a_range_all_is_sent() -> None:
    assert plan(Conditions(), FILE) == WHOLE
    assert plan(Conditions(if_range='"v1"'), FILE) == WHOLE


@pytest.mark.parametrize("text", [text for text, _ in RANGES])
def test_head_knows_no_ranges(text: str) -> None:
    assert plan(Conditions(range=text), FILE, head=True) == WHOLE


@pytest.mark.parametrize("text", [None, *(text for text, _ in RANGES)])
def test_an_empty_file_is_always_whole(text: str | None) -> None:
    assert plan(Conditions(range=text), EMPTY) == Plan(200, ((0, 0),))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ('"v1"', False), (' "v1" ', False), ('W/"v1"', True), ('"v2"', True), ("v1", True),
        (DATE, False), (LATER, True), (EARLIER, True), ("yesterday", True), ("", True),
    ],
)  # fmt: skip
def test_if_range(text: str, whole: bool) -> None:
    part = Plan(206, ((0, 10),))
    assert plan(Conditions(range="bytes=0-9", if_range=text), FILE) == (WHOLE if whole else part)


@pytest.mark.parametrize(
    ("given_", "status"),
    [
        ({"if_match": '"v1"'}, 0), ({"if_match": '"v0", "v1"'}, 0), ({"if_match": "*"}, 0),
        ({"if_match": '"v2"'}, 412), ({"if_match": 'W/"v1"'}, 412), ({"if_match": "v1"}, 412),
        ({"if_none_match": '"v1"'}, 304), ({"if_none_match": 'W/"v1"'}, 304),
        ({"if_none_match": '"x", W/"v1"'}, 304), ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"v2"'}, 0), ({"if_none_match": "v1"}, 0),
        ({"if_modified_since": DATE}, 304), ({"if_modified_since": LATER}, 304),
        ({"if_modified_since": EARLIER}, 0), ({"if_modified_since": "soon"}, 0),
        ({"if_modified_since": LATER, "if_none_match": '"v2"'}, 0),
        ({"if_unmodified_since": DATE}, 0), ({"if_unmodified_since": LATER}, 0),
        ({"if_unmodified_since": EARLIER}, 412), ({"if_unmodified_since": "soon"}, 0),
        ({"if_unmodified_since": EARLIER, "if_match": '"v1"'}, 0),
        ({"if_match": '"v2"', "if_none_match": '"v1"'}, 412),
        ({"if_match": '"v1"', "if_none_match": '"v1"'}, 304),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", [None, "bytes=0-9", "bytes=5000-", "abc"])
def test_preconditions_come_before_ranges(
    given_: dict[str, str], status: int, text: str | None
) -> None:
    found = plan(Conditions(range=text, **given_), FILE)
    assert found == (Plan(status) if status else plan(Conditions(range=text), FILE))


def test_the_first_block_is_a_correct_range() -> None:
    assert plan(Conditions(), FILE, first_block=64) == Plan(206, ((0, 64),))
    assert plan(Conditions(), FILE, first_block=65536) == Plan(206, ((0, 1000),))
    assert plan(Conditions(range="bytes=5-"), FILE, first_block=64) == Plan(206, ((5, 1000),))
    assert plan(Conditions(), FILE, head=True, first_block=64) == WHOLE
    assert plan(Conditions(), EMPTY, first_block=64) == Plan(200, ((0, 0),))


def test_a_multipart_body_has_its_length() -> None:
    found = plan(Conditions(range="bytes=0-1,5-6"), FILE)
    body = multipart(found, 1000, "application/octet-stream", "b")
    text = b"".join(part if isinstance(part, bytes) else b"xx" for part in body)
    assert len(text) == body_length(body)
    kind = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes"
    first, second = kind + b" 0-1/1000\r\n\r\nxx\r\n", kind + b" 5-6/1000\r\n\r\nxx\r\n"
    assert text == first + second + b"--b--\r\n"


# ---- for every header ----------------------------------------------------------------------------
NUMBER = st.one_of(st.integers(0, 1100), st.integers(0, 1 << 70)).map(str)
SPEC = st.one_of(
    st.tuples(NUMBER, NUMBER).map("-".join), NUMBER.map(lambda n: f"{n}-"), NUMBER.map("-{}".format)
)
SPECS = st.lists(SPEC, min_size=1, max_size=MOST_RANGES + 3)
NOISE = st.text("bytesBYTES=-,0123456789 \t\x00\u0661W/\"'", max_size=40)


def naive(specs: list[str], size: int) -> set[int] | None:
    """Return the bytes that are wanted, by going through them; None where a range is malformed."""
    wanted: set[int] = set()
    for spec in specs:
        first, last = re.fullmatch(r"(\d*)-(\d*)", spec).groups()  # type: ignore[union-attr]
        if first and last and int(first) > int(last):
            return None
        if first:
            wanted |= set(range(int(first), min(size, int(last) + 1 if last else size)))
        else:
            wanted |= set(range(max(0, size - int(last)), size))
    return wanted


@settings(max_examples=200)
@given(SPECS, st.integers(1, 1050))
def test_the_spans_are_the_bytes_asked_for(specs: list[str], size: int) -> None:
    found = plan(Conditions(range="bytes=" + ",".join(specs)), Version(size, '"v"', MODIFIED))
    wanted = naive(specs, size)
    if len(specs) > MOST_RANGES or not wanted:
        assert found == Plan(416)
        return
    covered = [n for start, end in found.spans for n in range(start, end)]
    assert found.status == 206 and covered == sorted(wanted)
    assert all(a[1] < b[0] for a, b in zip(found.spans, found.spans[1:], strict=False))


@settings(max_examples=500)
@given(st.one_of(NOISE, st.text(max_size=60)), st.integers(0, 1 << 62))
def test_no_header_is_answered_with_anything_else(text: str, size: int) -> None:
    found = plan(Conditions(range=text, if_range=None), Version(size, '"v"', MODIFIED))
    assert found.status in (200, 206, 416)
    assert all(0 <= start < end <= size for start, end in found.spans) or not size
    unit = text.partition("=")[0]
    if found.status == 200 and size:
        assert "=" in text and unit.lower() != "bytes"


@given(NOISE, NOISE, NOISE, NOISE)
def test_no_condition_raises(one: str, two: str, three: str, four: str) -> None:
    asked = Conditions("bytes=0-9", one, two, three, four, four)
    assert plan(asked, FILE).status in (200, 206, 304, 412)
