"""The verdicts: for, against, or none, with the reason beside it; never from half a measurement."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up_labs import lab, lab1, lab3, lab4, race

from graders.engines.results import RaceResults
from graders.experiments.claims import CLAIMS, Judgement, Verdict, judged, verdicts
from graders.experiments.results import Finished, LabResults, Measurement

HELD, FAILED, UNKNOWN = Verdict


def of(number: int, results: LabResults | None) -> Judgement:
    return judged(CLAIMS[number - 1], results)


def menu(sglang: float) -> LabResults:
    return lab(
        2,
        (),
        {
            "engines, cache on": race(
                {"reference": {0: 90.0}, "vllm": {0: 100.0}, "sglang": {0: sglang}}
            )
        },
    )


def decoding(llama: float, vllm: float) -> RaceResults:
    return race(
        {"vllm": {0: 1.0, 1: vllm}, "llama.cpp": {0: 1.0, 1: llama}, "naive": {0: 1.0, 1: 9e9}}
    )


CASES = [
    (1, lab4(), FAILED),
    (2, lab4(), FAILED),
    (3, lab4(), FAILED),
    (3, lab4([(1, 3.0), (64, 3.0)]), HELD),
    (3, lab4([(1, 3.0), (64, 2.6)]), UNKNOWN),
    (4, menu(135.0), HELD),
    (4, menu(101.0), FAILED),
    (4, menu(300.0), FAILED),
    (5, lab1(decoding(llama=50.0, vllm=100.0)), FAILED),
    (5, lab1(decoding(llama=100.0, vllm=50.0)), UNKNOWN),
    (6, lab3(), FAILED),
    (6, lab3((8.0, 7.8, 2.1, 2.0)), HELD),
    (6, lab3((8.0, 5.0, 2.2, 2.0)), UNKNOWN),
    (7, lab1(), HELD),
    (8, lab4(), HELD),
    (8, lab4([(1, 1.2)]), FAILED),
    (8, lab4([(1, 2.0)], spread=0.3), UNKNOWN),
    (9, lab3(), FAILED),
    (9, lab3(wasted=0.02), HELD),
    (9, lab3(wasted=0.045), UNKNOWN),
]


@pytest.mark.parametrize(("number", "results", "verdict"), CASES)
def test_a_claim_is_held_against_what_was_measured(
    number: int, results: LabResults, verdict: Verdict
) -> None:
    judgement = of(number, results)
    assert judgement.verdict is verdict, judgement
    assert judgement.measured
    assert bool(judgement.because) == (verdict is UNKNOWN)


def test_every_claim_has_a_number_a_lab_and_a_source() -> None:
    assert [claim.number for claim in CLAIMS] == list(range(1, 10))
    assert {claim.lab for claim in CLAIMS} == {1, 2, 3, 4}
    assert all(claim.source and claim.instead for claim in CLAIMS)


def test_without_labs_no_claim_has_a_verdict_and_each_says_which_lab_it_wants() -> None:
    found = verdicts({}, {2: "its file is of another machine"})
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert "course lab 1" in found[5].because
    assert found[4].because == "its file is of another machine"


@pytest.mark.parametrize("number", range(1, 10))
def test_half_a_lab_gives_no_verdict(number: int) -> None:
    whole = {1: lab1(decoding(50.0, 100.0)), 2: menu(135.0), 3: lab3(), 4: lab4()}[
        CLAIMS[number - 1].lab
    ]
    half = replace(whole, tasks=(*whole.tasks, "what was interrupted"))
    judgement = of(number, half)
    assert judgement.verdict is UNKNOWN
    assert "goes on" in judgement.because and not judgement.measured


@pytest.mark.parametrize("number", range(1, 10))
def test_a_lab_of_which_nothing_could_be_measured_says_why(number: int) -> None:
    claim = CLAIMS[number - 1]
    empty = LabResults(
        lab4().setup, ("a",), {"a": Finished(failures={"a": "it does not fit in memory"})}
    )
    judgement = judged(claim, empty)
    assert judgement.verdict is UNKNOWN
    assert "it does not fit in memory" in judgement.because or "engines" in judgement.because


@pytest.mark.parametrize("number", [3, 6, 7, 8])
def test_times_of_a_machine_that_was_too_busy_give_no_verdict(number: int) -> None:
    whole = {3: lab4(), 6: lab3(), 7: lab1(), 8: lab4()}[number]
    points = tuple(replace(point, cores=0.3) for point in whole.finished["all"].measurements)
    judgement = of(number, whole.but("all", Finished(points)))
    assert judgement.verdict is UNKNOWN
    assert "too busy" in judgement.because


def test_a_pause_of_the_machine_in_one_point_leaves_the_others_their_verdict() -> None:
    whole = lab1()
    shortest = min(point.x for point in whole.of("prefill"))
    points = tuple(
        replace(point, cores=0.3) if (point.experiment, point.x) == ("prefill", shortest) else point
        for point in whole.finished["all"].measurements
    )
    assert of(7, whole.but("all", Finished(points))).verdict is HELD


def test_a_race_on_a_machine_that_was_too_busy_gives_no_verdict() -> None:
    starved = race({"vllm": {0: 1.0}, "sglang": {0: 1.35}}, cpu=0.2)
    judgement = of(4, lab(2, (), {"engines, cache on": starved}))
    assert judgement.verdict is UNKNOWN
    assert "too busy" in judgement.because


def test_an_engine_that_died_is_named_in_place_of_a_verdict() -> None:
    died = race(
        {"reference": {0: 1.0}, "vllm": {0: 1.0}}, out={"sglang": "sglang died: it was killed"}
    )
    judgement = of(4, lab(2, (), {"engines, cache on": died}))
    assert judgement.verdict is UNKNOWN
    assert "sglang died: it was killed" in judgement.because


def test_noise_within_the_margins_changes_no_verdict() -> None:
    """Three runs that differ by a tenth come to one verdict."""
    for gain in (1.9, 2.2, 2.5):
        assert of(8, lab4([(1, gain)])).verdict is HELD
    for scheduling in (2.8, 3.0, 3.2):
        assert of(6, lab3((8.0, 4.0, scheduling, 2.0))).verdict is FAILED


def test_gain_of_all_three_ideas_that_is_hardly_any_is_not_shared_out() -> None:
    assert "too little" in of(6, lab3((2.0, 2.0, 1.9, 1.9))).because


@pytest.mark.parametrize("edit", [{"samples": ()}, {"samples": (0.0,)}, {"facts": {}}])
@pytest.mark.parametrize("number", range(1, 10))
def test_results_that_somebody_edited_end_in_no_traceback(
    number: int, edit: dict[str, object]
) -> None:
    whole = {1: lab1(), 2: menu(135.0), 3: lab3(), 4: lab4()}[CLAIMS[number - 1].lab]
    points = [
        replace(point, **edit) for each in whole.finished.values() for point in each.measurements
    ]  # type: ignore[arg-type]
    judgement = of(number, whole.but("all", Finished(tuple(points))))
    assert judgement.verdict in Verdict and (judgement.measured or judgement.because)


def test_one_head_cannot_be_compared_with_others() -> None:
    points = [Measurement("heads", "t+1+k", 1.0, (0.8,)), Measurement("heads", "t+1", 1.0, (0.0,))]
    assert of(2, lab(4, points)).verdict is UNKNOWN
