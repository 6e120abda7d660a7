"""The arithmetic that decides whether a cost grows too fast: made-up costs, no clock."""

from __future__ import annotations

import re
import statistics

import pytest
from error_rates import LAWS, rates

from graders.checking.complexity import FLOOR, Cost, Growth, cheapest, medians


def timed(size: int, amount: float) -> Cost:
    return Cost(size, amount, "µs")


def test_constant_work_may_be_a_few_times_dearer_and_no_more() -> None:
    assert not Growth("ref", timed(500, 10.0), timed(4000, 49.0)).exceeds(5.0)
    assert Growth("ref", timed(500, 10.0), timed(4000, 51.0)).exceeds(5.0)


def test_work_in_proportion_is_right_only_where_it_is_due() -> None:
    small, large = timed(100, 10.0), timed(1600, 160.0)
    assert not Growth("step", small, large, linear=True).exceeds(2.0)
    assert Growth("step", small, large).exceeds(2.0)


@pytest.mark.parametrize("unit", ["µs", "instructions"])
def test_a_square_is_convicted_where_proportion_is_due(unit: str) -> None:
    few, many = Cost(50, 50 * 50.0, unit), Cost(400, 400 * 400.0, unit)
    assert Growth("step", few, many, linear=True).exceeds(4.0)


def test_n_log_n_is_not() -> None:
    few, many = timed(100, 100 * 6.6), timed(6000, 6000 * 12.6)
    assert not Growth("step", few, many, linear=True).exceeds(4.0)


def test_a_branch_more_is_no_growth_where_instructions_are_counted() -> None:
    assert not Growth("ref", Cost(500, 1), Cost(4000, FLOOR)).exceeds(3.0)
    assert Growth("ref", Cost(500, 1), Cost(4000, FLOOR + 4)).exceeds(3.0)
    assert Growth("ref", timed(500, 1), timed(4000, FLOOR)).exceeds(3.0)


def test_one_disturbed_sample_does_not_convict() -> None:
    """The cheapest of several counts: a neighbour makes work dearer, never cheaper."""
    small = cheapest([timed(500, 10.0), timed(500, 90.0)])
    large = cheapest([timed(4000, 700.0), timed(4000, 12.0)])
    assert (small.amount, large.amount) == (10.0, 12.0)
    assert not Growth("ref", small, large).exceeds(5.0)


def test_samples_that_are_all_dear_convict() -> None:
    large = cheapest(timed(4000, amount) for amount in (90.0, 80.0, 700.0))
    assert Growth("ref", timed(500, 10.0), large).exceeds(5.0)


def test_a_rare_rebuild_does_not_show_in_the_median_of_a_call() -> None:
    """Rounds of two calls: the first rebuilds once, the second looks through everything each time."""
    assert medians([5, 900, 4000, 900, 5, 900], 2) == [5, 900]


def test_medians_keep_the_order_of_the_calls() -> None:
    counts = [1, 20, 300, 3, 22, 302]
    assert medians(counts, 3) == [int(statistics.median(counts[at::3])) for at in range(3)]


def test_what_is_told_has_the_figures() -> None:
    growth = Growth("ref", timed(500, 10.04), timed(4000, 370.0))
    assert (growth.dearer, growth.larger, growth.due) == (
        "37 times",
        "8 times",
        "about the same on both",
    )
    assert (str(growth.small), str(growth.large)) == ("10.0 µs", "370 µs")
    assert re.fullmatch(
        "about 8 times as much at most", Growth("", timed(1, 1), timed(8, 1), linear=True).due
    )


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_no_verdict_about_cost_is_wrong(law: str) -> None:
    """Right parts of every make pass, slow ones of every kind are caught."""
    judged = list(rates(law, rounds=2, seed=11))
    assert {rate.right for rate in judged} == {True, False}
    assert [str(rate) for rate in judged if rate.wrong] == []
