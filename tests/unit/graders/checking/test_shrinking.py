"""The story of a broken law is the shortest: without any one of its calls the law holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import wrong_part

import graders.checking.random_cases
import graders.checking.workers
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken, Replayable
from graders.checking.shrinking import shorten, size
from graders.checking.workers import Source, Workers
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheScript as CacheScript
from graders.registry.catalogue import catalogue
from graders.result import Outcome, Story
from graders.sandbox.isolation import MachineFault
from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.script import EngineScript as ServingScript
from graders.submissions.source import read

NEEDED = {2, 5}


class Numbers:
    """Breaks the law as long as 2 and 5 are among the numbers; `tried` counts how often it was
    played."""

    tried = 0

    def __init__(self, numbers: tuple[int, ...], outcome: Outcome = Outcome.FAIL) -> None:
        self.numbers = numbers
        self.outcome = outcome

    def judge(self) -> None:
        Numbers.tried += 1
        if set(self.numbers) >= NEEDED:
            broken = Broken(
                "wrong",
                story=Story(tuple(map(str, self.numbers)), "got", "due"),
                outcome=self.outcome,
            )
            broken.trace = self
            raise broken

    def shorter(self) -> Iterator[Replayable]:
        return (
            Numbers(self.numbers[:at] + self.numbers[at + 1 :]) for at in range(len(self.numbers))
        )


def broken_by(trace: Replayable) -> Broken | None:
    try:
        trace.judge()
    except Broken as broken:
        return broken
    return None


def test_everything_that_is_not_needed_is_left_out() -> None:
    broken = broken_by(Numbers(tuple(range(8))))
    assert broken is not None
    found = shorten(broken, seconds=5.0)
    assert found.story is not None
    assert found.story.steps == ("2", "5")


def test_a_part_that_hangs_or_dies_is_not_asked_again() -> None:
    broken = broken_by(Numbers((1, 2, 5), Outcome.TIMEOUT))
    before = Numbers.tried
    assert broken is not None
    assert shorten(broken, seconds=5.0) is broken
    assert Numbers.tried == before


def test_signs_of_tampering_on_the_way_are_told() -> None:
    class Tampers(Numbers):
        def shorter(self) -> Iterator[Replayable]:
            yield Numbers((2, 5), Outcome.INVALID)

    broken = broken_by(Tampers((1, 2, 5)))
    assert broken is not None
    assert shorten(broken, seconds=5.0).outcome is Outcome.INVALID


def test_trouble_of_the_machine_costs_no_verdict() -> None:
    class Troubled(Numbers):
        def judge(self) -> None:
            raise MachineFault("no process could be started")

    class Falls(Numbers):
        def shorter(self) -> Iterator[Replayable]:
            yield Troubled((2, 5))

    broken = broken_by(Falls((1, 2, 5)))
    assert broken is not None
    assert shorten(broken, seconds=5.0) is broken


def test_of_stories_with_as_many_calls_the_one_with_smaller_numbers_is_simpler() -> None:
    large, small = (Broken("wrong", story=Story((f"admit({count})",), "", "")) for count in (7, 3))
    assert size(small) < size(large)


def test_without_time_the_story_stays_as_it_is() -> None:
    broken = broken_by(Numbers(tuple(range(8))))
    assert broken is not None
    assert shorten(broken, seconds=-1.0) is broken


def story_of(path: Path, exercise: int, law: str, seed: int) -> Broken:
    """What breaks in the check of one law."""
    entry = catalogue(exercise)
    submission = read(path, entry.class_name)
    workers = Workers([Source(entry.slot, submission.name, submission.source)])
    chosen = next(each for each in entry.laws if each.name == law)
    with pytest.raises(Broken) as caught:
        chosen.check(CheckContext(entry, chosen.number, submission, workers, seed))
    return caught.value


@pytest.mark.parametrize(
    ("exercise", "name", "law"),
    [
        (1, "release_keeps_the_block", "retain and release"),
        (1, "copy_keeps_the_old_ref", "copy-on-write"),
        (2, "abort_leaks", "abort"),
        (2, "victim_goes_to_the_tail", "preemption"),
        (2, "priority_ignored", "priorities"),
        (2, "chunk_ignored", "chunked prefill"),
        (3, "first_token_siblings", "whole blocks"),
        (3, "children_lost_in_a_split", "longest prefix"),
        (3, "newest_evicted", "eviction"),
        (3, "lock_pins_the_node_only", "locks"),
        (3, "empty_name_is_none", "namespaces"),
        (3, "match_touches_below", "recency"),
    ],
)
def test_no_call_of_a_story_can_be_left_out(
    exercise: int, name: str, law: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    # the worker's share is in it here
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 4.0)
    broken = story_of(wrong_part(exercise, name).write(tmp_path), exercise, law, seed=1)
    assert broken.trace is not None
    for trace in broken.trace.shorter():
        other = broken_by(trace)
        assert other is None or size(other)[0] >= size(broken)[0]


def test_no_shorter_story_asks_for_a_plan_before_the_last_one_was_committed() -> None:
    script = ServingScript(EngineSetting())
    script.add(0, [1, 2, 3], 2)
    script.step()
    script.plan()
    script.abort(0)
    script.commit()
    script.step()
    script.drain()
    found = list(script.shorter(len(script.moves)))
    found += [again for each in found for again in each.shorter(len(each.moves))]
    assert len(found) > 20
    for each in found:
        planned = False
        for method in [move.method for move in each.moves]:
            assert not (planned and method in ("plan", "drain"))
            planned = (planned or method == "plan") and method != "commit"
    methods = [[move.method for move in each.moves] for each in found]
    assert ["add", "plan", "abort", "commit", "plan", "commit", "drain"] in methods, (
        "a whole step may go"
    )


def test_no_shorter_story_locks_what_is_of_no_length() -> None:
    script = CacheScript(1)
    script.insert([1, 2])
    node = script.match([1])
    script.unlock(node)
    script.lock(node)
    script.unlock(node)
    script.evict(9)
    found = list(script.shorter(len(script.moves)))
    found += [again for each in found for again in each.shorter(len(each.moves))]
    assert any(move.tokens == () for each in found for move in each.moves if move.method == "match")
    for each in found:
        for move in each.moves:
            if move.method in ("lock", "unlock"):
                assert each.moves[move.handle].tokens, (
                    "the engine locks handles of a length above 0 only"
                )
