"""The quick reference: figures that were measured here, their sources, and which engine they speak
for."""

from __future__ import annotations

from dataclasses import replace

from made_up_labs import MACHINE, lab, lab1, race

from graders.experiments.quick_reference import ENGINES, PURPOSES, guide, rows
from graders.throughput.baselines import BaselineCard, Sample

FAST = {
    "reference": {0: 100.0, 1: 50.0, 16: 300.0, 64: 400.0},
    "llama.cpp": {0: 50.0, 1: 80.0, 16: 200.0, 64: 250.0},
}


def card(engine: str) -> BaselineCard:
    samples = (Sample(1, "t", 2.0, 1.0),)
    fields = (
        engine,
        "9.9",
        {},
        "",
        "waiter",
        "ragged",
        0.25,
        samples,
        MACHINE,
        "digest",
        True,
        "2026-11-23",
    )
    return BaselineCard(*fields)  # type: ignore[arg-type]


def test_without_measurements_every_figure_is_missing_and_no_engine_is_advised() -> None:
    table = rows({}, ())
    assert [row.engine.name for row in table] == [engine.name for engine in ENGINES]
    assert {cell.value for row in table for cell in row.cells.values()} == {None}
    assert {each.supported for each in guide(table)} == {""}


def test_every_figure_says_where_it_is_from() -> None:
    table = {row.engine.name: row for row in rows({1: lab1(race(FAST))}, [card("vllm")])}
    ours, llama, vllm = table["reference"], table["llama.cpp"], table["vllm"]
    assert (ours.cells["alone"].value, ours.cells["at 64"].value) == (50.0, 400.0)
    assert ours.cells["memory"].value == 256.0
    assert llama.cells["beside ours"].value == 0.5
    assert llama.cells["alone"].source == "lab 1, quick, 2026-11-29"
    assert (vllm.cells["beside ours"].value, vllm.cells["beside ours"].source) == (
        0.5,
        "card of 2026-11-23",
    )
    assert vllm.cells["alone"].value is None
    assert all(
        cell.source
        for row in table.values()
        for cell in row.cells.values()
        if cell.value is not None
    )


def test_the_guide_follows_the_figures_and_says_where_the_popular_answer_differs() -> None:
    advice = {each.purpose: each for each in guide(rows({1: lab1(race(FAST))}, ()))}
    assert list(advice) == [purpose for purpose, *_ in PURPOSES]
    assert advice["many users"].supported == "reference"
    assert not advice["many users"].differs  # nobody has measured vLLM, which is the popular answer
    assert advice["a CPU"].supported == "llama.cpp" and not advice["a CPU"].differs
    faster = FAST | {"llama.cpp": {0: 50.0, 1: 20.0}}
    advice = {each.purpose: each for each in guide(rows({1: lab1(race(faster))}, ()))}
    assert advice["a CPU"].supported == "reference" and advice["a CPU"].differs


def test_what_a_cache_gains_is_the_same_race_with_and_without() -> None:
    races = {
        "engines, cache on": race({"vllm": {0: 300.0}}),
        "engines, cache off": race({"vllm": {0: 100.0}}),
    }
    table = {row.engine.name: row for row in rows({2: lab(2, (), races)}, ())}
    assert table["vllm"].cells["shared"].value == 3.0


def test_figures_of_a_machine_that_was_too_busy_are_left_out() -> None:
    starved = race(FAST, cpu=0.2)
    table = rows({1: replace(lab1(starved))}, ())
    assert {row.cells["alone"].value for row in table} == {None}


def test_an_engine_that_failed_is_named_with_the_reason() -> None:
    table = {
        row.engine.name: row for row in rows({1: lab1(race(FAST, out={"vllm": "vllm died"}))}, ())
    }
    assert table["vllm"].why == "vllm died"
