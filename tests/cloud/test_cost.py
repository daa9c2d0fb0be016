"""Costs: lines that sum, prices with their date, and the same figures wherever they are told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bams3.cloud.cost import Workload, calling, keeping, total
from bams3.cloud.deployment import Settings
from bams3.variants.cost import PRICES_OF, Budget

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(image="x")


def test_lines_sum_to_the_total() -> None:
    for load in (Workload(), Workload(7, 0.3, 12_345), Workload(1000, 120.0)):
        for lines in (calling(SETTINGS, load), keeping(load)):
            assert total(lines) == pytest.approx(sum(round(x.amount * x.price, 4) for x in lines))
            assert all(line.dollars >= 0 and line.unit for line in lines)


def test_a_genome_by_hand() -> None:
    """30 GiB at 0.75 s a MiB and 1769 MB; 480 shards, a second each; 4.7 million calls."""
    seconds = 30 * 1024 * 0.75 + 480
    expected = {
        "Lambda, compute": seconds * 1769 / 1024 * 1.66667e-5,
        "Lambda, invocations": 480 * 0.20e-6,
        "Lambda, scratch disk": seconds * 3.5 * 3.09e-8,
        "S3, reading": 480 * 52 * 0.0004e-3,
        "S3, writing and listing": 480 * 4 * 0.005e-3,
        "CloudWatch, logs": 480 * 600 / 1e9 * 0.50,
        "DynamoDB, loading calls": 4.7 * 0.625,
    }
    found = {line.what: line.dollars for line in calling(SETTINGS, Workload())}
    assert found == pytest.approx(expected, abs=5e-5)
    assert total(calling(SETTINGS, Workload())) == pytest.approx(sum(expected.values()), abs=5e-4)


def test_twice_as_much_costs_twice() -> None:
    one, two = (total(calling(SETTINGS, Workload(n))) for n in (1, 2))
    assert two == pytest.approx(2 * one, abs=1e-3)
    arm = total(calling(replace(SETTINGS, architecture="arm64"), Workload()))
    assert arm < one


def test_the_estimate_of_call_is_that_of_plan() -> None:
    lines = {line.what: line.dollars for line in calling(SETTINGS, Workload())}
    both = lines["Lambda, compute"] + lines["Lambda, invocations"]
    assert Budget(1769).begin(30 * 2**30, 480).dollars == pytest.approx(both, abs=1e-4)


def test_the_guide_shows_what_plan_says() -> None:
    """Each line of the guide's bill is one of the plan's, and the totals are sums of the lines."""
    text = (ROOT / "docs" / "guides" / "cloud.md").read_text()
    assert PRICES_OF in text
    bills = re.findall(r"((?:^  \S.*\$ *[\d.]+\n)+)^  total +\$ *([\d.]+)$", text, re.M)
    assert len(bills) == 2
    for (body, said), lines in zip(
        bills, (calling(SETTINGS, Workload()), keeping(Workload())), strict=True
    ):
        shown = [float(amount) for amount in re.findall(r"\$ *([\d.]+)$", body, re.M)]
        assert shown == [line.dollars for line in lines]
        assert float(said) == pytest.approx(sum(shown), abs=1e-9) == total(lines)
