"""The naive parts: wasteful, and right."""

from __future__ import annotations

import random

import pytest

from graders.checking.random_cases import Case
from graders.simulation import InProcessBackend, SimulatedEngine
from graders.simulation.engine_laws import random_script
from reference_engine import naive
from reference_engine.kv_manager import KVManager
from reference_engine.slots import BlockManager, OutOfBlocks, PrefixCache, Scheduler


def test_they_keep_the_contract_in_form() -> None:
    parts = naive.parts()
    assert parts.medusa is None
    assert isinstance(parts.block_manager(9, 4), BlockManager)
    kv = KVManager(parts.block_manager(9, 4), None, block_size=4, num_blocks=9)
    assert isinstance(parts.scheduler(kv, max_seqs=1, token_budget=1), Scheduler)
    assert parts.prefix_cache is not None
    assert isinstance(parts.prefix_cache(4), PrefixCache)


@pytest.mark.parametrize("slots", [("block_manager",), ("scheduler",), ("prefix_cache",), ()])
def test_they_serve_the_right_tokens(slots: tuple[str, ...]) -> None:
    """Each alone among plain parts, and all of them together, in engines of every kind."""
    parts = dict.fromkeys(slots or ("block_manager", "scheduler", "prefix_cache"), naive)
    chance = random.Random(f"{slots}")
    for _ in range(60):
        SimulatedEngine(
            InProcessBackend(parts), random_script(Case.draw(chance, 18)), conserving=False
        ).judge()


def test_a_sequence_reserves_a_run_for_the_longest() -> None:
    manager = naive.BlockManager(33, 4, max_tokens=40)
    assert manager.admit(1, 3) == [1]
    assert (manager.num_free, len(manager.table(1))) == (22, 1)
    assert manager.extend(1, 9) == ([2, 3], [])
    manager.admit(2, 3)
    manager.admit(3, 3)
    assert not manager.can_admit(1)
    with pytest.raises(OutOfBlocks):
        manager.admit(4, 1)


def test_a_gap_in_the_pool_that_is_too_short_is_lost() -> None:
    """External fragmentation: six blocks are free and no run of four."""
    manager = naive.BlockManager(10, 1, max_tokens=3)
    for seq in (1, 2, 3):
        manager.admit(seq, 1)
    manager.free(1)
    manager.free(3)
    assert (manager.num_free, manager.can_admit(4)) == (6, False)


def test_whoever_outgrows_the_run_takes_loose_blocks() -> None:
    manager = naive.BlockManager(10, 1, max_tokens=3)
    manager.admit(1, 3)
    assert manager.blocks_needed(1, 5) == 2
    new, _ = manager.extend(1, 5)
    assert len(new) == 2
    assert len(manager.free(1)) == 5
    assert manager.num_free == 9


def test_static_batching_admits_nobody_until_the_batch_has_finished() -> None:
    from graders.simulation import EngineScript, EngineSetting

    script = EngineScript(EngineSetting(max_seqs=2))
    for id, answer in enumerate((2, 6, 1, 1)):
        script.add(id, [id, 1, 2], answer)
    script.drain()
    engine = SimulatedEngine(InProcessBackend({"scheduler": naive}), script, conserving=False)
    engine.judge()
    assert engine.counters.longest == 7
    assert [[work.id for work in moment.chunks] for moment in engine.moments][:3] == [
        [0, 1],
        [0, 1],
        [1],
    ]
