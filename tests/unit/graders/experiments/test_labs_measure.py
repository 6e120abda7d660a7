"""The experiments themselves, as small as they can be: what they count is what was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_labs import race, setup

from graders.engines.results import RaceResults
from graders.experiments import engine_races, lab1, lab2, lab3, lab4
from graders.experiments.drafters import DRAFTERS
from graders.experiments.drawn_requests import BLOCK_SIZE, MIXES, POOL, lengths, menu_prompts
from graders.experiments.engine_races import peak_memory
from graders.experiments.readings import floor
from graders.experiments.results import LabResults, Measurement
from graders.experiments.session import begin, go_on
from graders.experiments.workbench import LabPlan, Stopwatch, decode_work, solved
from reference_engine.model_loader import load_model
from reference_engine.roofline import weights_read

TINY = "random:tiny"
PLAN = LabPlan(1, quick=True, models=(TINY,))


def test_lab_1_measures_what_lies_above_its_floor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lab1, "LENGTHS", (16, 64))
    monkeypatch.setattr(lab1, "BATCHES", (1, 4))
    asked = lab1.tasks(PLAN)[:2]  # without the race, which starts processes
    results = go_on(
        begin(setup(1), asked, None), asked, keep=lambda results: None, say=lambda line: None
    )
    assert not results.failures
    assert [point.x for point in results.of("prefill")] == [16, 64]
    assert [point.x for point in results.of("decode")] == [1, 4]
    for point in (*results.of("prefill"), *results.of("decode")):
        assert 0 < floor(results, point) <= min(point.samples)


def test_one_pause_of_the_machine_is_not_what_a_stopwatch_usually_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, wall, cpu = (
        Stopwatch(),
        iter((0.0, 1.0, 1.0, 2.0, 2.0, 12.0)),
        iter((0.0, 2.0, 2.0, 4.0, 4.0, 6.0)),
    )
    monkeypatch.setattr(time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(time, "process_time", lambda: next(cpu))
    for _ in range(3):
        with watch:
            pass
    assert (watch.usual, watch.cores, watch.wall) == (2.0, 0.5, 12.0)


def test_a_request_alone_is_timed_between_the_rounds_of_all_other_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = list[int]()

    class Noting(lab4.Contest):
        def __init__(self, model: object, parts: object, asked: list[tuple[int, ...]]) -> None:
            self.asked = asked

        def round(self) -> None:
            seen.append(len(self.asked))

        def points(self, model: str) -> list[Measurement]:
            return []

    monkeypatch.setattr(lab4, "Contest", Noting)
    lab4.speed(LabPlan(4, quick=True, models=("waiter",)), "waiter")
    first, rest = seen[:6], seen[6:]
    assert first == [1] * 6  # the first warms up
    assert rest == [batch for other in (4, 16, 64) for batch in (other, 1) * 6]


def test_a_model_that_does_not_fit_is_left_out_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lab1, "LENGTHS", (16,))
    monkeypatch.setattr("reference_engine.memory.available", lambda device: 1 << 24)
    asked = lab1.tasks(LabPlan(1, quick=True, models=("random:llama-8b", TINY)))[0:3:2]
    results: LabResults = go_on(
        begin(setup(1), asked, None), asked, keep=lambda results: None, say=lambda line: None
    )
    assert "memory are left" in results.failures["prefill:random:llama-8b"]
    assert results.series("prefill") == (TINY,)


def test_a_photocopier_prints_150_pages_in_place_of_5100() -> None:
    points = {
        point.series: point.facts["computed"] for point in lab2.contracts(PLAN, TINY).measurements
    }
    assert points == {"cache on": 150, "cache off": 5100}


def test_a_larger_cache_hits_no_less_and_an_endless_one_misses_each_menu_once() -> None:
    asked, parts = menu_prompts(0)[:20], solved(cache=True)
    found = [lab2.cached_tokens(asked, parts, capacity) for capacity in (0, 12, 24, 1000)]
    menus = len({tuple(prompt[:BLOCK_SIZE]) for prompt in asked})
    assert found[0] == 0 and found == sorted(found)
    assert found[-1] == (20 - menus) * 12 * BLOCK_SIZE


@pytest.mark.parametrize("block_size", [1, 16, 64])
def test_pages_hold_as_many_as_their_blocks_say(block_size: int) -> None:
    model, wanted = load_model(TINY), lengths("512 to 1024 tokens", 0)
    left, expected = POOL // block_size, 0
    for length in wanted:
        left -= -(-length // block_size)
        expected += left >= 0
    facts = lab3.held(model, solved(cache=False), wanted, block_size)
    assert facts["held"] == expected
    kept = wanted[:expected]
    reserved = sum(-(-length // block_size) * block_size for length in kept)
    assert facts["wasted"] == pytest.approx(1 - sum(kept) / reserved)


def test_every_mix_fills_the_pool() -> None:
    assert all(sum(lengths(mix, 3)) > POOL for mix in MIXES)


def test_a_decode_step_reads_the_weights_once_and_every_requests_keys() -> None:
    config = load_model(TINY).config
    one, four = (decode_work(config, batch, 100) for batch in (1, 4))
    assert four.operations == 4 * one.operations
    assert four.moved - one.moved == pytest.approx(3 * (one.moved - 4 * weights_read(config)))


def test_all_four_ways_are_there() -> None:
    assert list(DRAFTERS) == ["plain", "draft", "medusa", "eagle"]


def test_a_long_race_tells_how_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines take minutes to start: whoever waits sees which one is at it. What failed is told in
    the same place."""
    heard: list[str] = []

    def pretended(course: object, *, say: Callable[[str], None], **_: object) -> RaceResults:
        say("starting vllm")
        return race({"reference": {0: 1.0}})

    monkeypatch.setattr(engine_races, "race", pretended)
    engine_races.task(replace(PLAN, engines=("vllm",), say=heard.append), "engines").run()
    assert heard == ["  starting vllm"]


def test_memory_of_no_group_is_none() -> None:
    assert peak_memory(-5) == 0
