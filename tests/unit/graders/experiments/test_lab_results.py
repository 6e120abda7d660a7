"""What a lab keeps: read back as it was, gone on with where it stopped, refused where it is of
something else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up_labs import MACHINE, lab1, race, setup

from graders.experiments.results import Finished, LabResults, Measurement, NoResults, bracket, read
from graders.experiments.session import Task, begin, go_on
from reference_engine.model import ModelError


def tasks(log: list[str], **ills: BaseException) -> list[Task]:
    def run(key: str) -> Finished:
        log.append(key)
        if key in ills:
            raise ills[key]
        return Finished((Measurement("e", key, 1.0, (1.0,)),))

    return [Task(key, key, lambda key=key: run(key)) for key in ("first", "second", "third")]  # type: ignore[misc]


def started(asked: list[Task], earlier: LabResults | None = None) -> LabResults:
    return begin(setup(1), asked, earlier)


def test_results_come_back_as_they_were_written() -> None:
    results = lab1(race({"reference": {0: 100.0, 1: 10.0}}, out={"vllm": "it died"}))
    assert read(results.as_json()) == results


@pytest.mark.parametrize("text", ["", "nope", "[]", "{}", '{"setup": 1}', lab1().as_json()[:300]])
def test_a_file_that_holds_no_results_is_told_in_a_clause(text: str) -> None:
    with pytest.raises(NoResults, match="holds no results of a lab"):
        read(text)


def test_results_of_a_later_format_are_refused() -> None:
    with pytest.raises(NoResults, match="format 99"):
        read(replace(lab1(), format=99).as_json())


def test_what_was_interrupted_goes_on_where_it_stopped() -> None:
    log, kept = list[str](), list[LabResults]()
    broken = tasks(log, second=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        go_on(started(broken), broken, keep=kept.append, say=lambda line: None)
    assert not kept[-1].complete
    again = tasks(log)
    results = go_on(
        started(again, read(kept[-1].as_json())), again, keep=kept.append, say=lambda line: None
    )
    assert log == ["first", "second", "second", "third"]
    assert results.complete and kept[-1] == results


def test_what_cannot_be_measured_is_named_and_the_rest_goes_on() -> None:
    asked = tasks([], first=ModelError("too large for this machine"), second=MemoryError())
    told = list[str]()
    results = go_on(started(asked), asked, keep=lambda results: None, say=told.append)
    assert results.complete
    assert results.failures == {
        "first": "too large for this machine",
        "second": "there is too little memory for it",
    }
    assert [point.series for point in results.of("e")] == ["third"]
    assert any("too large for this machine" in line for line in told)


def test_a_finished_lab_is_measured_anew() -> None:
    asked = tasks([])
    done = go_on(started(asked), asked, keep=lambda results: None, say=lambda line: None)
    assert not started(asked, done).finished


@pytest.mark.parametrize(
    "other",
    [
        {"hardware": replace(MACHINE, cores=64)},
        {"engines": ("vllm",)},
        {"threads": 1},
        {"seed": 4},
        {"versions": {"torch": "3"}},
        {"models": {}},
    ],
)
def test_what_was_begun_otherwise_is_not_gone_on_with(other: dict[str, object]) -> None:
    asked = tasks([])
    half = LabResults(setup(1, **other), tuple(task.key for task in asked), {"first": Finished()})
    assert setup(1).difference(half.setup)
    assert not started(asked, half).finished


def test_an_engine_that_died_in_a_race_is_a_failure_of_the_lab() -> None:
    assert lab1(race({"reference": {0: 1.0}}, out={"vllm": "it died"})).failures == {
        "vllm": "it died"
    }


def test_a_point_that_had_less_than_a_processor_is_starved() -> None:
    assert Measurement("e", "s", 1.0, cores=0.5).starved
    assert not Measurement("e", "s", 1.0, cores=1.0).starved
    assert not Measurement("e", "s", 1.0).starved  # counted, not timed


def test_a_bracket_leaves_the_extremes_out_where_there_are_many() -> None:
    assert bracket([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert bracket([9.0, 3.0, 1.0, 2.0, 4.0]) == (2.0, 4.0)
    assert bracket([*map(float, range(11))]) == (3.0, 7.0)
