"""The decision rule: its bracket, its calls, and how often it errs under the noise of a machine
that is in use."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from graders.throughput.decision import (
    EARLY,
    HOPELESS,
    LAST,
    LOOKS,
    MARGIN,
    RANKS,
    Call,
    Decision,
    Interval,
    decide,
    next_look,
    own_noise,
    score,
    submission_first,
)

ROUNDS = 1500


def steady(ratio: float, pairs: int = 5) -> Interval:
    return Interval.of([ratio] * pairs)


@pytest.mark.parametrize("pairs", LOOKS)
def test_either_end_of_a_bracket_is_wrong_once_in_twenty_at_most(pairs: int) -> None:
    tail = sum(math.comb(pairs, below) for below in range(RANKS[pairs])) / 2**pairs
    assert tail <= 0.05
    closer = tail + math.comb(pairs, RANKS[pairs]) / 2**pairs
    assert closer > 0.05, "a narrower bracket would do"


def test_a_bracket_is_made_of_the_ratios_of_that_rank() -> None:
    bracket = Interval.of([1.4, 1.0, 1.3, 1.1, 1.2, 0.9, 1.5, 1.6])
    assert (bracket.pairs, bracket.median, bracket.lower, bracket.upper) == (
        8,
        pytest.approx(1.25),
        1.0,
        1.5,
    )


@pytest.mark.parametrize(
    "ratios", [[1.0] * 4, [1.0] * 6, [1.0] * 4 + [0.0], [1.0] * 4 + [math.nan]]
)
def test_a_bracket_wants_a_look_and_ratios_above_zero(ratios: list[float]) -> None:
    with pytest.raises(ValueError):
        Interval.of(ratios)


def test_clear_cases_are_decided_after_five_pairs() -> None:
    assert decide(steady(1.0), 0.8).met
    missed = decide(steady(0.5), 0.8)
    assert missed.call is Call.MISSED and missed.final and not missed.marginal


def test_a_hopeless_case_is_sent_home_after_three_pairs_and_nobody_is_let_through_so_early() -> (
    None
):
    assert decide(steady(0.8 * HOPELESS - 0.01, EARLY), 0.8).call is Call.MISSED
    assert decide(Interval(EARLY, 0.2, 0.1, 0.8 * HOPELESS), 0.8).call is Call.MORE
    assert decide(steady(2.0, EARLY), 0.8).call is Call.MORE


def test_a_ratio_on_the_bound_meets_it() -> None:
    assert decide(steady(0.8), 0.8).met


def test_a_bracket_around_the_bound_asks_for_more_pairs_until_the_last() -> None:
    for pairs in LOOKS:
        decision = decide(Interval(pairs, 0.8, 0.75, 0.85), 0.8)
        assert decision.final == (pairs == LAST)
    assert [next_look(pairs) for pairs in (0, EARLY, 5, 8, 11, 17)] == [EARLY, *LOOKS]
    with pytest.raises(ValueError):
        next_look(LAST)


def test_after_the_last_pair_the_median_decides_within_the_margin() -> None:
    just = decide(Interval(LAST, 0.8 * (1 - MARGIN), 0.75, 0.85), 0.8)
    assert just.met and just.marginal
    below = decide(Interval(LAST, 0.8 * (1 - MARGIN) - 0.001, 0.75, 0.85), 0.8)
    assert below.call is Call.MISSED and below.marginal


def test_a_machine_too_noisy_to_decide_blames_nobody() -> None:
    decision = decide(Interval(LAST, 0.8, 0.6, 1.1), 0.8)
    assert decision.call is Call.UNDECIDED and decision.final and not decision.met


def test_more_than_the_device_can_do_is_held_for_review() -> None:
    decision = decide(steady(9.0), 0.8, ceiling=3.0)
    assert decision.review and not decision.met
    assert not decide(steady(2.9), 0.8, ceiling=3.0).review


def test_points_follow_a_straight_line_between_floor_and_bound() -> None:
    assert [score(ratio, 0.4, 0.8) for ratio in (0.1, 0.4, 0.6, 0.8, 2.0)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
    assert all(
        score(low, 0.4, 0.8) <= score(high, 0.4, 0.8)
        for low, high in pairwise((0.3, 0.5, 0.7, 0.9))
    )
    with pytest.raises(ValueError):
        score(1.0, 0.8, 0.8)


def test_turns_are_ab_ba_so_that_a_drift_of_the_machine_favours_nobody() -> None:
    assert [submission_first(pair) for pair in range(4)] == [True, False, True, False]


# ---------------------------------------------------------------- error rates


def judged(dice: random.Random, truth: float, noise: float, drift: float = 0.0) -> Decision:
    """A whole contest with a true ratio: log-normal noise on each run, now and then a run that
    takes a half longer, and a machine that gets slower by the share `drift` from run to run."""
    ratios, clock = list[float](), 0
    for pairs in (EARLY, *LOOKS):
        while len(ratios) < pairs:
            times = []
            for _ in "AB":
                hiccup = 1.5 if dice.random() < 0.05 else 1.0
                times.append(math.exp(dice.gauss(0, noise)) * hiccup * (1 + drift) ** clock)
                clock += 1
            mine, theirs = times if submission_first(len(ratios)) else reversed(times)
            ratios.append(theirs / (mine / truth))
        decision = decide(Interval.of(ratios), 0.8)
        if decision.final:
            break
    return decision


def shares(truth: float, noise: float, drift: float = 0.0) -> dict[Call, float]:
    dice = random.Random(f"{truth}/{noise}/{drift}")
    calls = [judged(dice, truth, noise, drift).call for _ in range(ROUNDS)]
    return {call: calls.count(call) / ROUNDS for call in Call}


@pytest.mark.parametrize("noise", [0.03, 0.06, 0.1])
def test_a_solution_is_never_failed_and_a_naive_part_never_passed(noise: float) -> None:
    assert shares(1.0, noise)[Call.MISSED] <= 0.005
    assert shares(0.5, noise)[Call.MET] == 0


@pytest.mark.parametrize("noise", [0.03, 0.06])
def test_five_per_cent_off_the_bound_the_wrong_call_is_rare(noise: float) -> None:
    assert shares(0.8 * 0.95, noise)[Call.MET] <= 0.1
    assert shares(0.8 * 1.05, noise)[Call.MISSED] <= 0.1


def test_the_margin_is_in_favour_of_the_submission_at_the_bound() -> None:
    at = shares(0.8, 0.03)
    assert at[Call.MET] > at[Call.MISSED]


def test_a_machine_that_slows_down_steadily_changes_nothing() -> None:
    assert shares(1.0, 0.03, drift=0.01)[Call.MET] > 0.99
    assert shares(0.72, 0.03, drift=0.01)[Call.MISSED] > 0.97


def test_wild_noise_ends_undecided_rather_than_wrong() -> None:
    found = shares(0.8, 0.5)
    assert found[Call.UNDECIDED] > 0.5


def test_equals_measured_against_each_other_come_out_within_one_and_a_half_per_cent() -> None:
    dice, medians = random.Random(1), []
    for _ in range(300):
        runs = [(math.exp(dice.gauss(0, 0.02)), math.exp(dice.gauss(0, 0.02))) for _ in range(LAST)]
        medians.append(Interval.of([theirs / mine for mine, theirs in runs]).median)
    within = sum(abs(median - 1) <= 0.015 for median in medians) / len(medians)
    assert within >= 0.94


def test_whoever_makes_the_noise_himself_is_judged_by_the_median() -> None:
    even, noisy = [1.0, 1.01] * 11 + [1.0], [0.5, 2.0] * 11 + [2.0]
    undecided = decide(
        Interval.of([mine / theirs for mine, theirs in zip(even, noisy, strict=True)]), 0.9
    )
    assert undecided.call is Call.UNDECIDED
    assert own_noise(undecided, noisy, even).call is Call.MISSED
    assert own_noise(undecided, noisy, noisy) == undecided
    assert own_noise(undecided, even, even) == undecided
    assert own_noise(decide(Interval.of(even), 0.9), noisy, even).call is Call.MET
