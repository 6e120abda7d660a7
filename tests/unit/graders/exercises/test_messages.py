"""What a learner reads when a law of exercise 1 or 2 breaks: each test guards a message that once
misled somebody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from local_worker import LocalWorker
from wrong_parts import wrong_part

import graders.checking.random_cases
import graders.checking.workers
from graders import grade
from graders.checking.failure import Deviation
from graders.exercises.ex1_paged_allocation import constant_time
from graders.exercises.ex2_batching_scheduler.random_cases import text
from graders.registry.catalogue import catalogue
from graders.result import LawResult, Outcome
from graders.simulation import InProcessBackend, SimulatedEngine
from graders.simulation.scheduler_rules import (
    ADMIT,
    EngineSetting,
    KVCall,
    Planned,
    PlannedChunk,
    SchedulerSpec,
)
from graders.simulation.script import EngineScript
from solutions.ex2_batching_scheduler import scheduler

SEEDS = range(4)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)


def solution(exercise: int) -> str:
    entry = catalogue(exercise)
    return Path("solutions", entry.slug, entry.file_name).read_text(encoding="utf-8")


def broken(source: str, law: str, folder: Path, seed: int = 0) -> LawResult:
    """What becomes of one law with a part that breaks it."""
    path = folder / "part.py"
    path.write_text(source, encoding="utf-8")
    (found,) = grade(int(law[0]), path, seed=seed, only=[law]).laws
    assert found.outcome is Outcome.FAIL
    return found


def changed(source: str, old: str, new: str) -> str:
    assert source.count(old) == 1
    return source.replace(old, new)


ABORT = (
    "        entry = self._entries[id]\n        if entry.running:\n            self._leave(entry)\n"
)
ABORTS = {
    "is a stub": (
        "        raise NotImplementedError\n" + ABORT,
        "    def abort(",
        "`abort` is not written yet.",
    ),
    "is misspelt": (ABORT, "    def abrot(", "There is no `abort`"),
    "does nothing": ("        return\n" + ABORT, "    def abort(", "abort"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("how", ABORTS)
def test_an_abort_that_is_not_there_is_what_the_law_about_it_tells(
    how: str, seed: int, quick: None, tmp_path: Path
) -> None:
    """It told of blocks that were not given back, "of -1 blocks", in a pool that its shortest story
    had none of."""
    body, name, said = ABORTS[how]
    found = broken(
        changed(changed(solution(2), ABORT, body), "    def abort(", name), "2.8", tmp_path, seed
    )
    assert said in found.message
    assert found.story is not None
    assert "-1" not in found.story.got
    assert found.story.location.function in ("abort", "abrot", "")


def test_a_shorter_story_has_a_pool_that_holds_somebody() -> None:
    script = EngineScript(EngineSetting(num_blocks=3, watermark=1))
    script.abort(0)
    script.rest()
    assert {each.setting.num_blocks for each in script.shorter(2)} == {3}


def test_no_shorter_story_accuses_a_right_part() -> None:
    """Where somebody else holds blocks, a smaller pool has none for anybody: the plan is empty, and
    rightly so."""
    script = EngineScript(
        EngineSetting(num_blocks=10, block_size=2, chunk=2, token_budget=5, max_seqs=3)
    )
    for id, (length, answer) in enumerate(((7, 1), (1, 3), (1, 3))):
        script.add(id, text(length, id), answer)
    for _ in range(3):
        script.step()
    script.fork(0)
    script.step()
    script.join()
    script.drain()
    for each in script.shorter(len(script.moves)):
        SimulatedEngine(InProcessBackend({"scheduler": scheduler}), each).judge()


def test_a_fork_that_keeps_its_parents_list_is_told_as_that(quick: None, tmp_path: Path) -> None:
    """It was blamed on `truncate`, which shortened both tables."""
    source = changed(
        solution(1), "self._tables[child] = list(table)", "self._tables[child] = table"
    )
    for seed in SEEDS:
        found = broken(source, "1.4", tmp_path, seed)
        assert "share one list since `fork`" in found.message
        assert found.story is not None
        assert found.story.location.function == "fork"


def test_a_ceiling_that_is_rounded_is_told_by_the_law_of_arithmetic(
    quick: None, tmp_path: Path
) -> None:
    """Law 1.10 told of lists "that these calls do not return": no block before it was larger than
    16 tokens."""
    for seed in SEEDS:
        part = wrong_part(1, "ceil_by_float").write(tmp_path)
        (found,) = grade(1, part, seed=seed, only=["1.1"]).laws
        assert found.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("blocks", "told"),
    [(range(1, 615), "rounded up"), ([*range(1, 400), *range(1, 217)], "16 bits")],
)
def test_a_count_of_blocks_that_is_wrong_is_not_told_as_numbers_that_are_cut(
    blocks: Sequence[int], told: str
) -> None:
    """Law 1.10 alone asked for 16 bits where a float had rounded the quotient down."""
    recorder = MagicMock()
    recorder.broken.side_effect = RuntimeError
    pool = object.__new__(constant_time.Pool)
    pool.num_blocks, pool._long, pool._plan = 637, 614 * 606 + 1, SimpleNamespace(block=606)
    pool._recorder = recorder
    with pytest.raises(RuntimeError):
        pool._each_its_own(list(blocks))
    assert told in recorder.broken.call_args.args[0]


def test_a_queue_in_the_wrong_order_of_priority_is_not_told_as_a_preemption(
    quick: None, tmp_path: Path
) -> None:
    """It spoke of arrivals and preemptions under the policy "priority", where nobody had been
    preempted."""
    source = changed(
        solution(2), 'self._by_priority = policy == "priority"', "self._by_priority = False"
    )
    for seed in SEEDS:
        found = broken(source, "2.7", tmp_path, seed)
        preempted = found.story is not None and any(
            "preempted" in step for step in found.story.steps
        )
        assert preempted or "preemption" not in found.message
        assert "of the arrival" not in found.message


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        (
            "        return step.plan()\n",
            "        return []\n",
            "a Plan(chunks, preempted, copies)",
        ),
        ("        return step.plan()\n", "        return\n", "a Plan(chunks, preempted, copies)"),
        (
            "tuple(self._chunks.values()), tuple(self",
            "list(self._chunks.values()), tuple(self",
            "a Plan(chunks, ",
        ),
        ("        return finished\n", "        return 1 / 0\n", "a list of the ids that finished"),
    ],
)
def test_what_is_due_is_named_where_something_else_was_returned(
    old: str, new: str, due: str, quick: None, tmp_path: Path
) -> None:
    """It said "expected no exception"."""
    found = broken(changed(solution(2), old, new), "2.1", tmp_path)
    assert found.story is not None
    assert found.story.expected.startswith(due)


def test_prints_are_those_of_the_story_that_is_told(tmp_path: Path) -> None:
    """They were those of all stories that were tried on the way to the shortest."""
    source = changed(
        solution(1),
        "        table = self._tables.pop(seq)\n",
        '        print(f"free {seq}")\n        table = self._tables.pop(seq)[1:]\n',
    )
    found = broken(source, "1.2", tmp_path)
    assert found.story is not None
    frees = [step for step in found.story.steps if ".free(" in step]
    assert found.output.count("free ") == len(frees)


def test_one_token_is_no_tokens(quick: None, tmp_path: Path) -> None:
    source = changed(
        solution(2),
        "kept = list(tokens[: request.max_new - len(request.output)])",
        "kept = list(tokens[:1]) * 2",
    )
    for seed in SEEDS:
        found = broken(source, "2.1", tmp_path, seed)
        assert "1 tokens" not in " ".join(
            [found.message, *(found.story.steps if found.story else ())]
        )


@pytest.mark.parametrize(
    ("exercise", "name", "law", "engine"),
    [
        (1, "partly_filled_share_refused", "1.4", "vLLM and nano-vllm"),
        (1, "fork_copies_the_tail", "1.4", "TensorRT-LLM"),
        (2, "prefill_first_like_nano_vllm", "2.3", "nano-vllm and SGLang"),
        (2, "victim_said_least", "2.6", "SGLang"),
        (2, "longest_prefix_first", "2.10", "SGLang"),
        (2, "prefills_reserve_guesses", "2.9", "vLLM"),
    ],
)
def test_what_another_engine_does_by_rule_is_told_as_its_way(
    exercise: int, name: str, law: str, engine: str, quick: None, tmp_path: Path
) -> None:
    (found,) = grade(exercise, wrong_part(exercise, name).write(tmp_path), seed=1, only=[law]).laws
    assert f"This is how {engine}" in found.message
    assert "here the contract asks" in found.message


def planned(*chunks: PlannedChunk, available: int = 99) -> Planned:
    asked = tuple(KVCall(ADMIT, work.id, work.end, 0, (7,) * work.end) for work in chunks)
    return Planned(chunks, (), (), asked, {work.id: work.end + 2 for work in chunks}, {}, available)


@pytest.mark.parametrize(
    ("budget", "piece", "habit"),
    [
        (16, PlannedChunk(1, 0, 6, True), "whole prompts only"),
        (10, PlannedChunk(1, 0, 1, False), ""),
    ],
)
def test_who_computes_a_piece_of_a_prompt_does_not_wait_for_whole_ones(
    budget: int, piece: PlannedChunk, habit: str
) -> None:
    """The head waits: it looked like vLLM's way, although somebody else had got a token just
    before."""
    spec = SchedulerSpec(EngineSetting(token_budget=budget, lookahead=2))
    for id, size in enumerate((1, 6, 20)):
        spec.added(id, [7] * size, 3, 0, None)
    with pytest.raises(Deviation) as told:
        spec.planned(planned(PlannedChunk(0, 0, 1, True), piece))
    assert told.value.habit == habit


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("guesses_of_empty_seats_are_charged", "2.9"),
        ("truncated_to_the_size", "2.9"),
        ("small_ones_overtake", "2.5"),
        ("oldest_is_the_victim", "2.6"),
    ],
)
def test_a_habit_that_does_not_explain_what_was_seen_is_not_named(
    name: str, law: str, quick: None, tmp_path: Path
) -> None:
    path = wrong_part(2, name).write(tmp_path)
    for seed in SEEDS:
        (found,) = grade(2, path, seed=seed, only=[law]).laws
        assert "This is how" not in found.message


@pytest.mark.parametrize(
    ("exercise", "name", "law"),
    [
        (1, "released_off_the_callers_list", "1.8"),
        (2, "max_new_counted_down", "2.1"),
        (2, "priority_wiped_out", "2.7"),
        (2, "told_tokens_cut_where_they_lie", "2.9"),
        (3, "match_cuts_the_callers_text", "3.1"),
        (3, "insert_cuts_the_callers_blocks", "3.2"),
    ],
)
def test_what_is_the_callers_may_not_be_changed(
    exercise: int, name: str, law: str, quick: None, tmp_path: Path
) -> None:
    """Such a part kept every law."""
    (found,) = grade(exercise, wrong_part(exercise, name).write(tmp_path), seed=1, only=[law]).laws
    assert " changed " in found.message


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_not_told_is_said_of_the_shortest_story_too(
    seed: int, quick: None, tmp_path: Path
) -> None:
    path = wrong_part(2, "priorities_unless_told").write(tmp_path)
    (found,) = grade(2, path, seed=seed, only=["2.7"]).laws
    assert "told no `policy`" in found.message


def test_who_lost_its_blocks_unnamed_is_not_told_that_nobody_made_room(
    quick: None, tmp_path: Path
) -> None:
    path = wrong_part(2, "victim_not_reported").write(tmp_path)
    (found,) = grade(2, path, seed=0, only=["2.6"]).laws
    assert "Plan.preempted does not name it" in found.message


def test_a_full_cache_tells_which_block_went_too_early(quick: None, tmp_path: Path) -> None:
    path = wrong_part(3, "clock_in_a_byte").write(tmp_path)
    (found,) = grade(3, path, seed=0, only=["3.9"]).laws
    assert "which was touched longer ago" in found.message
