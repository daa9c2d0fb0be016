"""The part plan, for every size up to the largest."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bams3.errors import InputError, PartSizeError, UsageError
from bams3.storage.objects import Part
from bams3.transfer.plan import (
    LARGEST,
    LEAST,
    MIB,
    MOST,
    PARTS,
    USUAL,
    Plan,
    adopt,
    check_part_size,
    plan,
    stream_base,
    stream_factor,
)

SIZES = st.one_of(st.integers(0, 200 * MIB), st.integers(0, LARGEST))


@given(SIZES)
def test_any_object_fits(size: int) -> None:
    made = plan(size)
    assert USUAL <= made.part_size <= MOST and made.part_size % MIB == 0
    assert 1 <= made.count <= PARTS
    assert made.span(1)[0] == 0 and made.span(made.count)[1] == size
    for number in {1, made.count // 2 + 1, made.count - 1} - {0, made.count}:
        start, end = made.span(number)
        assert end - start == made.part_size and made.span(number + 1)[0] == end
    assert size == 0 or made.span(made.count)[0] < size


def test_five_tebibytes_and_the_largest() -> None:
    assert plan(5 << 40) == Plan(5 << 40, 525 * MIB) and plan(5 << 40).count == 9987
    assert plan(LARGEST).count == PARTS and plan(LARGEST).part_size == MOST
    with pytest.raises(InputError):
        plan(LARGEST + 1)


@pytest.mark.parametrize("parts", [0, 1, 2, 2.5])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_edges(parts: float, more: int) -> None:
    size = max(0, int(parts * LEAST) + more)
    spans = [*plan(size, LEAST).spans()]
    assert [number for number, _, _ in spans] == [*range(1, len(spans) + 1)]
    assert len(spans) == max(1, -(-size // LEAST))
    assert b"".join(bytes(size)[start:end] for _, start, end in spans) == bytes(size)


@pytest.mark.parametrize("part_size", [LEAST - 1, MOST + 1, 0, -1])
def test_part_sizes_that_s3_does_not_take(part_size: int) -> None:
    with pytest.raises(UsageError, match="not from"):
        check_part_size(part_size)


def test_too_many_parts_are_refused_with_what_would_do() -> None:
    assert plan(PARTS * LEAST, LEAST).count == PARTS
    with pytest.raises(UsageError, match="10000 parts") as caught:
        plan(PARTS * LEAST + 1, LEAST)
    assert caught.value.hint == "use at least 6M, or leave it away"


@given(st.integers(1, 400 * MIB), st.integers(LEAST, 32 * MIB), st.data())
def test_any_parts_give_their_plan_away(size: int, part_size: int, data: st.DataObject) -> None:
    made = plan(size, part_size)
    numbers = data.draw(st.sets(st.integers(1, made.count), min_size=1))
    parts = [Part(n, made.span(n)[1] - made.span(n)[0], "") for n in sorted(numbers)]
    assert adopt(size, parts, part_size) == made
    found = adopt(size, parts)
    assert found.count <= PARTS
    # Without part 1 two part sizes may explain the others; checksums then tell the wrong one.
    for part in parts if {1} < numbers else ():
        assert found.span(part.number) == made.span(part.number)
    assert found == made or not {1} < numbers


def test_a_lone_short_tail() -> None:
    size = 2 * LEAST + 3
    assert adopt(size, [Part(3, 3, "")]) == Plan(size, LEAST)
    assert adopt(3, [Part(1, 3, "")]).count == 1


@given(st.integers(LEAST, 100 * MIB), st.integers(1, 50 * MIB))
def test_parts_of_another_size_of_source_are_refused(size: int, more: int) -> None:
    made = plan(size + more, LEAST)
    parts = [Part(n, made.span(n)[1] - made.span(n)[0], "") for n in range(1, made.count + 1)]
    assume(more >= LEAST or parts[-1].size != LEAST)
    with pytest.raises(InputError, match="source changed"):
        adopt(size, parts)


def test_parts_smaller_than_s3_takes_give_no_plan_away() -> None:
    """S3 would refuse to complete it, after all the rest had been sent."""
    with pytest.raises(InputError, match="do not fit"):
        adopt(3 * MIB, [Part(1, MIB, "")])


def test_another_part_size_than_that_of_the_parts() -> None:
    parts = [Part(1, LEAST, ""), Part(2, LEAST, "")]
    with pytest.raises(PartSizeError) as caught:
        adopt(10 * LEAST, parts, 2 * LEAST)
    assert caught.value.exit_code == 8 and str(LEAST) in str(caught.value)
    assert adopt(10 * LEAST, [], 2 * LEAST).part_size == 2 * LEAST
    assert adopt(10 * LEAST, parts, LEAST).part_size == LEAST


@given(st.integers(1, 1 << 40))
def test_parts_of_a_stream(memory: int) -> None:
    sizes = [stream_base(memory) * stream_factor(n) for n in (1, 5000, 5001, 8000, 8001, PARTS)]
    assert sizes == sorted(sizes) and sizes[0] >= LEAST and stream_base(memory) <= MOST
    assert stream_base(memory) * 4 <= max(memory, 4 * LEAST)


def test_the_default_budget_goes_a_long_way() -> None:
    base = stream_base(64 * MIB)
    assert sum(base * stream_factor(n) for n in range(1, PARTS + 1)) > 280 << 30
