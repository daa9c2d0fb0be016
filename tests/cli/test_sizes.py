"""Sizes: what S3AM took means the same, and what its manual recommended works too."""

from __future__ import annotations

import doctest

import pytest

from bams3.cli import sizes
from bams3.cli.sizes import parse_size, show_size

MIB = 1 << 20
ACCEPTED = {
    "5242880": 5 * MIB, "5M": 5 * MIB, "5 M": 5 * MIB, "5k": 5120, "0.5G": 512 * MIB,
    ".5G": 512 * MIB, "1 Ki": 1024, "5Mi": 5 * MIB, "5Gi": 5120 * MIB, "5mega": 5 * MIB,
    "5mebi": 5 * MIB, "5byte": 5, "5Bi": 5, "1 K": 1024, "0.5kilo": 512, "0.1  byte": 0,
    "2T": 2 << 40, "1P": 1 << 50, "1E": 1 << 60, "1Z": 1 << 70, "1Y": 1 << 80, "3 iotta": 3 << 80,
}  # fmt: skip
NEWLY = {
    "256MB": 256 * MIB,
    "50MiB": 50 * MIB,
    "5m": 5 * MIB,
    "5g": 5120 * MIB,
    "5B": 5,
    "5kb": 5120,
}


def test_scenario_18_the_doctests() -> None:
    assert doctest.testmod(sizes).failed == 0
    assert show_size(909.5 * (1 << 80)) == "909.5 YiB"
    with pytest.raises(ValueError):
        parse_size("12 foo")


@pytest.mark.parametrize(("text", "value"), [*ACCEPTED.items(), *NEWLY.items()])
def test_accepted(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", " ", "-5", "M", "5 5", "5MM", "5.M.", "1e3", "5xi", "0x5"])
def test_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)
