"""The solution of exercise 1 against its specification, call by call, and what the grader does not
look at."""

from __future__ import annotations

import copy
import doctest
import random
from typing import Any

import pytest

from graders.exercises.ex1_paged_allocation.specification import BlockManagerSpec
from reference_engine.slots import BlockManager as Contract
from reference_engine.slots import Copy, OutOfBlocks
from solutions.ex1_paged_allocation import block_manager
from solutions.ex1_paged_allocation.block_manager import BlockManager

CALLS = ("admit", "extend", "extend", "truncate", "fork", "free", "retain", "release")


class Pair:
    """The part and the specification side by side; every call goes to both."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.num_blocks, self.size, self.mark = (
            chance.randint(2, 14),
            chance.randint(1, 5),
            chance.choice((0, 0, 1, 2)),
        )
        self.part = BlockManager(self.num_blocks, self.size, watermark=self.mark)
        self.spec = BlockManagerSpec(self.num_blocks, self.size, self.mark)

    def call(self) -> None:
        before = copy.deepcopy(self.part.__dict__)
        seq, method = self.chance.randint(0, 5), self.chance.choice(CALLS)
        refusals: dict[str, str] = {}
        try:
            getattr(self, method)(seq, refusals)
            assert not refusals, (method, refusals)
        except (KeyError, ValueError, OutOfBlocks) as error:
            assert type(error).__name__ in refusals, (method, error)
            assert self.part.__dict__ == before
        self.look()

    def tokens(self) -> int:
        return self.chance.randint(-1, 4 * self.size)

    def admit(self, seq: int, refusals: dict[str, str]) -> None:
        known = (
            self.spec.referenced if self.chance.random() < 0.8 else list(range(self.num_blocks + 1))
        )
        shared = (
            [self.chance.choice(known) for _ in range(self.chance.choice((0, 0, 1, 2)))]
            if known
            else []
        )
        tokens = self.tokens()
        assert self.part.can_admit(tokens, shared) == (
            not self.spec.refuse_admit(99, tokens, shared)
        )
        refusals |= self.spec.refuse_admit(seq, tokens, shared)
        new = self.part.admit(seq, tokens, shared)
        self.spec.admitted(seq, tokens, shared, new, list(self.part.table(seq)))

    def extend(self, seq: int, refusals: dict[str, str]) -> None:
        tokens = self.tokens()
        refusals |= self.spec.refuse_extend(seq, tokens)
        if seq in self.spec.tables and tokens >= self.spec.lengths[seq]:
            assert self.part.blocks_needed(seq, tokens) == self.spec.needed(seq, tokens)
        new, copies = self.part.extend(seq, tokens)
        pairs = [(copy.src, copy.dst) for copy in copies]
        self.spec.extended(seq, tokens, new, pairs, list(self.part.table(seq)))

    def truncate(self, seq: int, refusals: dict[str, str]) -> None:
        tokens = self.tokens()
        refusals |= self.spec.refuse_truncate(seq, tokens)
        self.spec.dropped("truncate", seq, tokens, self.part.truncate(seq, tokens))

    def fork(self, seq: int, refusals: dict[str, str]) -> None:
        child = self.chance.randint(0, 5)
        refusals |= self.spec.refuse_fork(seq, child)
        self.part.fork(seq, child)
        self.spec.forked(seq, child)

    def free(self, seq: int, refusals: dict[str, str]) -> None:
        refusals |= self.spec.refuse_unknown(seq)
        self.spec.dropped("free", seq, None, self.part.free(seq))

    def retain(self, seq: int, refusals: dict[str, str]) -> None:
        blocks = [self.chance.randint(0, self.num_blocks) for _ in range(self.chance.randint(0, 3))]
        refusals |= self.spec.refuse_retain(blocks)
        self.part.retain(iter(blocks))
        self.spec.retain(blocks)

    def release(self, seq: int, refusals: dict[str, str]) -> None:
        blocks = [self.chance.randint(0, self.num_blocks) for _ in range(self.chance.randint(0, 2))]
        refusals |= self.spec.refuse_release(blocks)
        self.spec.released(blocks, self.part.release(iter(blocks)))

    def look(self) -> None:
        assert self.part.num_free == self.spec.num_free
        refs = [self.part.ref(block) for block in range(self.num_blocks)]
        assert refs == [self.spec.ref(block) for block in range(self.num_blocks)]
        for seq, table in self.spec.tables.items():
            assert (list(self.part.table(seq)), self.part.length(seq)) == (
                table,
                self.spec.lengths[seq],
            )


@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_the_specification_in_random_calls(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        pair = Pair(chance)
        for _ in range(50):
            pair.call()


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(block_manager).failed == 0


def test_keeps_the_contract_in_form() -> None:
    assert isinstance(BlockManager(4, 1), Contract)


def test_a_truncated_fork_is_copied_when_it_grows_again() -> None:
    """Truncation into a shared full block makes it a shared tail."""
    manager = BlockManager(9, 4)
    manager.admit(1, 8)
    manager.fork(1, 2)
    manager.truncate(2, 5)
    shared = manager.table(1)[1]
    new, copies = manager.extend(2, 6)
    assert copies == [Copy(shared, new[0])]
    assert (manager.ref(shared), manager.ref(new[0])) == (1, 1)


def test_a_retained_tail_is_copied_even_by_its_only_sequence() -> None:
    manager = BlockManager(9, 4)
    (block,) = manager.admit(1, 3)
    manager.retain([block])
    new, copies = manager.extend(1, 4)
    assert copies == [Copy(block, new[0])]
    assert manager.release([block]) == [block]


def test_needing_the_copy_and_a_block_takes_two() -> None:
    manager = BlockManager(4, 2)
    manager.admit(1, 1)
    manager.fork(1, 2)
    assert manager.blocks_needed(2, 3) == 2
    new, copies = manager.extend(2, 3)
    assert (len(new), copies[0].dst, list(manager.table(2))) == (2, new[0], new)


def test_release_counts_repeated_blocks_of_one_call() -> None:
    manager = BlockManager(4, 1)
    (block,) = manager.admit(1, 1)
    manager.retain([block])
    with pytest.raises(ValueError, match="more often"):
        manager.release(block for _ in range(2))
    assert manager.ref(block) == 2


def test_what_running_sequences_hold_does_not_slow_a_call_down() -> None:
    """Counted in lines executed: an extend costs the same in a pool of ten and of ten thousand
    blocks."""
    assert _lines(10) == _lines(10_000)


def _lines(num_blocks: int) -> int:
    import sys

    manager = BlockManager(num_blocks, 4)
    manager.admit(1, 5)
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        manager.extend(1, 6)
        manager.extend(1, 9)
        manager.truncate(1, 3)
    finally:
        sys.settrace(before)
    return count
