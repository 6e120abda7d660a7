"""The symbolic engine: it passes what is right, names what is wrong, and runs thousands of
configurations."""

from __future__ import annotations

import random
from typing import Any

import pytest

from graders.checking.failure import Deviation
from graders.checking.random_cases import Case
from graders.simulation import (
    EngineScript,
    EngineSetting,
    InProcessBackend,
    RunCounters,
    SimulatedEngine,
    TextNumbers,
)
from graders.simulation.engine_laws import random_script
from graders.simulation.kv_provenance import Access, Memory
from solutions.ex1_paged_allocation import block_manager
from solutions.ex2_batching_scheduler import scheduler
from solutions.ex3_prefix_cache import prefix_cache

SOLUTIONS = {"block_manager": block_manager, "scheduler": scheduler, "prefix_cache": prefix_cache}


def run(script: EngineScript, parts: dict[str, Any] = SOLUTIONS) -> SimulatedEngine:
    engine = SimulatedEngine(InProcessBackend(parts), script)
    engine.judge()
    return engine


def configurations(count: int, seed: int) -> RunCounters:
    """So many random engines and requests, served by the solutions; the sum of the counters."""
    chance = random.Random(seed)
    total = RunCounters()
    for _ in range(count):
        case = Case.draw(chance, 24)
        counters = run(random_script(case)).counters
        for name in ("steps", "computed", "again", "cached", "preempted"):
            setattr(total, name, getattr(total, name) + getattr(counters, name))
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_solutions_are_right_in_random_configurations(seed: int) -> None:
    """500 in all. They preempt, and use the cache, so those paths are among what is tried."""
    total = configurations(100, seed)
    assert total.preempted > 10
    assert total.cached > 100


@pytest.mark.slow
def test_the_solutions_are_right_in_20_000_configurations() -> None:
    configurations(20_000, 99)


def test_tokens_are_computed_twice_only_after_a_preemption() -> None:
    chance = random.Random(7)
    for _ in range(60):
        case = Case.draw(chance, 14)
        counters = run(random_script(case)).counters
        assert counters.preempted or not counters.again


@pytest.mark.parametrize(
    "change",
    [
        {"num_blocks": 9},
        {"block_size": 1},
        {"token_budget": 3},
        {"chunk": 2},
        {"cache": True},
        {"cache": True, "offer": True},
        {"lookahead": 2},
        {"max_seqs": 1},
        {"policy": "priority"},
    ],
)
def test_the_tokens_do_not_depend_on_the_setting(change: dict[str, Any]) -> None:
    """What comes out is compared inside with what each request should get: here every setting is
    served to its end."""
    for guesses in ((0,), (2, 0, 1)):
        script = EngineScript(EngineSetting(**change), TextNumbers(5), guesses)
        for id in range(6):
            script.add(id, [1, 2, 3, 4, id % 5][: 2 + id], 5, priority=-id, eos=2)
        script.drain()
        assert run(script).spec.requests == {}


def test_a_shared_menu_is_computed_once() -> None:
    script = EngineScript(
        EngineSetting(num_blocks=200, cache=True, offer=True, max_seqs=20, token_budget=256)
    )
    menu = [position % 3 for position in range(40)]
    script.add(0, [*menu, 4], 1)
    script.step()
    for id in range(1, 20):
        script.add(id, [*menu, 4, id % 5], 1)
    script.drain()
    assert run(script).counters.computed == 41 + 19 * 2


# ---------------------------------------------------------------- what it finds


class Memories:
    """A memory of 8 blocks of 2 slots, and texts for it."""

    def __init__(self) -> None:
        self.toy = TextNumbers()
        self.memory = Memory(self.toy, 8, 2)
        self.steps = 0

    def step(self, *accesses: Access, copies: tuple[tuple[int, int], ...] = ()) -> None:
        self.memory.step(self.steps, copies, accesses)
        self.steps += 1

    def access(
        self, request: int, start: int, tokens: list[int], table: list[int], rejected: int = 0
    ) -> Access:
        return Access(request, start, self.toy.prefixes(tokens), table, rejected)


@pytest.fixture
def memories() -> Memories:
    return Memories()


def test_a_read_of_the_own_text_is_right(memories: Memories) -> None:
    memories.step(memories.access(1, 0, [5, 6, 7], [3, 1]))
    memories.step(memories.access(1, 3, [5, 6, 7, 8], [3, 1]))


def test_a_foreign_read_names_request_position_block_and_step(memories: Memories) -> None:
    memories.step(memories.access(1, 0, [5, 6, 7], [3, 1]))
    memories.step()
    expected = (
        "Request 2 reads position 2 in block 1, slot 2, which holds position 2 of another text, written by request 1 in"
        " step 0."
    )
    with pytest.raises(Deviation) as found:
        memories.step(memories.access(2, 3, [5, 6, 8, 8], [3, 1]))
    assert found.value.message == expected


def test_the_same_text_by_somebody_else_is_as_good(memories: Memories) -> None:
    memories.step(memories.access(1, 0, [5, 6], [3]))
    memories.step(memories.access(2, 2, [5, 6, 9], [3, 4]))


def test_the_same_token_after_another_text_is_not(memories: Memories) -> None:
    """KV depends on all tokens before: this is what a comparison of tokens alone would miss."""
    memories.step(memories.access(1, 0, [5, 6, 7, 8], [3, 4]))
    memories.step(memories.access(2, 0, [6, 6], [5]))
    with pytest.raises(
        Deviation, match="position 2 in block 4, slot 8, which holds position 2 of another text"
    ):
        memories.step(memories.access(2, 4, [6, 6, 7, 8, 9], [5, 4, 6]))


def test_a_stale_read_is_told_from_a_foreign_one(memories: Memories) -> None:
    memories.step(memories.access(1, 0, [5, 6], [3]))
    with pytest.raises(Deviation, match="of an earlier text, written by request 1 in step 0"):
        memories.step(memories.access(1, 2, [6, 6, 7], [3, 4]))


def test_a_rejected_guess_is_found_when_it_is_read(memories: Memories) -> None:
    memories.step(memories.access(1, 0, [5], [3, 4], rejected=2))
    with pytest.raises(
        Deviation, match="a guess that was rejected, written by request 1 in step 0"
    ):
        memories.step(memories.access(1, 2, [5, 6, 7], [3, 4]))


def test_what_was_never_written_holds_nothing(memories: Memories) -> None:
    with pytest.raises(Deviation, match="position 0 in block 3, slot 6, which holds nothing"):
        memories.step(memories.access(1, 1, [5, 6], [3]))


def test_a_copied_block_holds_what_was_copied(memories: Memories) -> None:
    memories.step(memories.access(1, 0, [5, 6, 7], [3, 1]))
    memories.step(memories.access(2, 3, [5, 6, 7, 8], [3, 2]), copies=((1, 2),))
    memories.step(memories.access(1, 3, [5, 6, 7, 9], [3, 1]))


@pytest.mark.parametrize(
    ("table", "fault"),
    [([3], "has 1 blocks of 2"), ([3, 3], "twice"), ([3, 0], "Block 0"), ([3, 8], "Block 8")],
)
def test_a_bad_table_is_named(memories: Memories, table: list[int], fault: str) -> None:
    with pytest.raises(Deviation, match=fault):
        memories.step(memories.access(1, 0, [5, 6, 7], table))


def test_two_who_write_one_slot_are_named(memories: Memories) -> None:
    with pytest.raises(Deviation, match="Requests 1 and 2 both write slot 6, block 3, in step 0"):
        memories.step(memories.access(1, 0, [5], [3]), memories.access(2, 0, [5], [3]))


def test_equal_numbers_mean_equal_texts() -> None:
    toy = TextNumbers()
    assert toy.prefixes([1, 2, 3])[:2] == toy.prefixes([1, 2])
    assert toy.prefixes([1, 2])[-1] != toy.prefixes([2, 1])[-1]
    assert toy.say([1, 2], 5, None)[:3] == toy.say([1, 2], 3, None)
    assert toy.say([1, 2], 9, toy.say([1, 2], 9, None)[4])[-1] == toy.say([1, 2], 9, None)[4]
