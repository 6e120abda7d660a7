"""Films: drawings and stories as records, so that the window plays them like an engine's steps."""

from __future__ import annotations

from typing import Any

import pytest

from course.drawings import block_table, radix_tree, timeline
from course.playground import part_mix
from course.window.page import EngineRun, watch
from course.window.story_film import PoolInStory, film
from graders.result import LawResult, Outcome, Story
from reference_engine.engine import Engine
from reference_engine.model_loader import load_model
from reference_engine.slots import Copy, Request

STORY = (
    "bm = BlockManager(6, 4)",
    "bm.admit(seq=1, num_tokens=6) -> [1, 2]",
    "bm.fork(parent=1, child=2)",
    "bm.extend(seq=2, num_tokens=7) -> ([3], [Copy(src=2, dst=3)])",
    "bm.retain(iter([1]))",
    "bm.truncate(seq=1, num_tokens=4) -> []",
    "bm.free(seq=2) -> [3]",
    "bm.admit(seq=7, num_tokens=9) -> raised OutOfBlocks",
)


def solution(number: int) -> Any:
    return part_mix.choose(number, "solutions", None).load()


def broken(steps: tuple[str, ...]) -> LawResult:
    story = Story(steps, "[3]", "[]")
    return LawResult(
        "1.6", "sharing", "…", Outcome.FAIL, 0, 1, "`free` returned a block that is read.", story
    )


def test_a_story_is_drawn_as_far_as_its_calls_and_answers_tell() -> None:
    pool = PoolInStory()
    records = [pool.told(number, *step.partition(" -> ")[::2]) for number, step in enumerate(STORY)]
    tables = [{seat.id: list(seat.table) for seat in record.seats} for record in records]
    assert tables == [
        {},
        {1: [1, 2]},
        {1: [1, 2], 2: [1, 2]},
        {1: [1, 2], 2: [1, 3]},
        {1: [1, 2], 2: [1, 3]},
        {1: [1], 2: [1, 3]},
        {1: [1]},
        {1: [1]},
    ]
    assert [record.free_blocks for record in records] == [5, 3, 3, 2, 2, 3, 4, 4]
    assert records[3].copies == (Copy(2, 3),)
    assert records[6].aborted == (2,)


def test_the_film_of_a_law_ends_with_what_was_expected() -> None:
    shown = film(broken(STORY))
    assert shown is not None
    steps = shown.runs[0].told()["steps"]
    assert [step["l"][0] for step in steps[:2]] == [
        "bm = BlockManager(6, 4)",
        "bm.admit(seq=1, num_tokens=6)",
    ]
    assert steps[-2]["l"] == ["bm.admit(seq=7, num_tokens=9)", "raised OutOfBlocks", "bad"]
    assert steps[-1]["l"][0].endswith("Expected: []")


@pytest.mark.parametrize(
    "steps", [("a request arrives",), ("bm.admit(1, 2) -> [",), ("bm.free(9) -> []", "x = 1")]
)
def test_what_cannot_be_drawn_is_told(steps: tuple[str, ...]) -> None:
    shown = film(broken(steps))
    assert shown is not None and len(shown.runs[0].told()["steps"]) == len(steps) + 1


def test_an_engine_that_kept_its_trace_is_shown_in_a_cell() -> None:
    model = load_model("random:tiny")
    engine = Engine(model, num_blocks=20, block_size=4, keep_trace=True)
    with pytest.raises(ValueError, match="keep_trace=True"):
        watch(engine)
    engine.generate([Request(0, [1, 2, 3], 3)])
    shown = watch(engine, "mine")
    assert len(shown.runs[0].told()["steps"]) == len(engine.trace)
    assert shown._repr_html_().startswith("<iframe")


def test_a_law_without_a_story_has_no_film() -> None:
    assert film(LawResult("1.1", "sizes", "…", Outcome.FAIL, 0, 1)) is None


def run_of(drawing: Any, number: int) -> EngineRun:
    run: EngineRun = drawing.window(solution(number), "a film").runs[0]
    return run


def test_the_film_of_block_tables_has_the_copy_and_who_left() -> None:
    steps = run_of(block_table, 1).told()["steps"]
    assert len(steps) == len(block_table.CALLS)
    assert sum("k" in step for step in steps) == 1
    assert steps[-1]["a"] == [1]


def test_the_film_of_a_scheduler_has_every_step_of_the_timeline() -> None:
    run = run_of(timeline, 2)
    line = timeline.play(timeline.scheduler(solution(2), solution(1)))
    assert [sum(chunk.length for chunk in record.plan.chunks) for record in run.trace] == list(
        line.tokens
    )
    assert sum(len(record.preempted) for record in run.trace) == sum(
        row.count("x") for row in line.rows
    )
    assert run.trace[-1].running == run.trace[-1].waiting == 0
    assert run.trace[-1].free_blocks == timeline.POOL - 1


def test_the_film_of_a_cache_holds_what_the_cache_holds() -> None:
    run = run_of(radix_tree, 3)
    held = set[int]()
    for change in (change for record in run.trace for change in record.changes):
        held = held - set(change.blocks) if change.id is None else held | set(change.blocks)
    assert len(held) == radix_tree.POOL - 1 - run.trace[-1].free_blocks
    assert any("h" in step and "t" in step for step in run.told()["steps"])
