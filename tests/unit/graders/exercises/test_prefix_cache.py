"""The solution of exercise 3 against its specification, call by call, and what the grader does not
look at."""

from __future__ import annotations

import doctest
import random
from collections.abc import Sequence

import pytest

from graders.exercises.ex3_prefix_cache.specification import PrefixCacheSpec
from reference_engine.slots import PrefixCache as Contract
from solutions.ex3_prefix_cache import prefix_cache
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache


class Pair:
    """The part and the specification side by side."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.size = chance.randint(1, 3)
        self.part = PrefixCache(self.size)
        self.spec = PrefixCacheSpec(self.size)
        self.nodes: dict[int, object] = {}
        self._texts: list[list[int]] = [[]]
        self._handle = self._block = 0

    def call(self) -> None:
        method = self.chance.choice(("match", "insert", "insert", "lock", "unlock", "evict", "bad"))
        getattr(self, method)(self.text(), self.chance.choice((None, None, None, "")))
        assert (self.part.evictable, self.part.protected) == (
            self.spec.evictable,
            self.spec.protected,
        )

    def text(self) -> list[int]:
        known = self.chance.choice(self._texts)
        own = [self.chance.randint(0, 1) for _ in range(self.chance.randint(0, 4 * self.size))]
        self._texts.append(known[: self.chance.randint(0, len(known))] + own)
        return self._texts[-1][: 8 * self.size]

    def match(self, tokens: list[int], name: str | None) -> int:
        self._handle += 1
        match = self.part.match(tokens, name)
        path = self.spec.match(tokens, name, self._handle)
        assert (match.length, match.blocks) == (len(path.tokens), tuple(self.spec.blocks(path)))
        self.nodes[self._handle] = match.node
        return self._handle

    def insert(self, tokens: list[int], name: str | None) -> int:
        self._handle += 1
        blocks = self.fresh(len(tokens) // self.size + self.chance.randint(0, 1))
        given_tokens, given_blocks = list(tokens), list(blocks)
        inserted = self.part.insert(given_tokens, given_blocks, name)
        given_tokens.clear()
        given_blocks.clear()
        assert inserted.reused == self.spec.insert(tokens, blocks, name, self._handle)
        self.nodes[self._handle] = inserted.node
        return self._handle

    def bad(self, tokens: list[int], name: str | None) -> None:
        blocks: Sequence[int] = self.fresh(len(tokens) // self.size)
        stored = [stored.block for stored in self.spec.stored.values()]
        if blocks and stored:
            blocks = [*blocks[:-1], self.chance.choice(stored)]
        elif blocks:
            blocks = blocks[:-1]
        if self.spec.refuse_insert(tokens, blocks, name):
            with pytest.raises(ValueError, match=r"stored|fill"):
                self.part.insert(tokens, blocks, name)

    def lock(self, tokens: list[int], name: str | None) -> None:
        handle = (
            self.match(tokens, name) if self.chance.random() < 0.3 else self.insert(tokens, name)
        )
        self.part.lock(self.nodes[handle])
        self.spec.lock(handle)

    def unlock(self, tokens: list[int], name: str | None) -> None:
        locked = [handle for handle, times in self.spec.locks.items() if times]
        if locked:
            handle = self.chance.choice(locked)
            self.part.unlock(self.nodes[handle])
            self.spec.unlock(handle)
        else:
            handle = self.match(tokens, name)
            with pytest.raises(ValueError, match="not locked"):
                self.part.unlock(self.nodes[handle])

    def evict(self, tokens: list[int], name: str | None) -> None:
        count = self.chance.choice((0, 1, 1, 2, 3, 99))
        assert self.part.evict(count) == self.spec.evict(count)

    def fresh(self, count: int) -> list[int]:
        self._block += count
        return list(range(self._block - count + 1, self._block + 1))

    def close(self) -> None:
        """Unlock everything: everything can go."""
        for handle, times in self.spec.locks.items():
            for _ in range(times):
                self.part.unlock(self.nodes[handle])
                self.spec.unlock(handle)
        assert self.part.evict(999) == self.spec.evict(999)
        assert (self.part.evictable, self.part.protected) == (0, 0)


@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_the_specification_in_random_calls(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        pair = Pair(chance)
        for _ in range(40):
            pair.call()
        pair.close()


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(prefix_cache).failed == 0


def test_keeps_the_contract_in_form() -> None:
    assert isinstance(PrefixCache(4), Contract)


def test_takes_any_sequence_of_tokens() -> None:
    cache = PrefixCache(2)
    cache.insert((1, 2, 3, 4), (7, 8))
    assert cache.match(range(1, 5)).blocks == (7, 8)


def test_garbage_is_no_handle() -> None:
    cache = PrefixCache(2)
    for call in (cache.lock, cache.unlock):
        with pytest.raises(ValueError, match="handle"):
            call(None)


def test_candidates_for_eviction_do_not_pile_up() -> None:
    """Matches of the same texts over and over leave no more behind than there are leaves."""
    cache = PrefixCache(1)
    for text in range(10):
        cache.insert([text, 1], [2 * text + 1, 2 * text + 2])
    for _ in range(100):
        for text in range(10):
            node = cache.match([text, 1]).node
            cache.lock(node)
            cache.unlock(node)
    assert len(cache._candidates) == 10


def test_an_evicted_text_can_be_stored_again_in_the_same_blocks() -> None:
    cache = PrefixCache(2)
    cache.insert([1, 2, 3, 4], [5, 6])
    assert cache.evict(1) == [6]
    assert cache.insert([1, 2, 3, 4], [9, 6]).reused == 2
    assert cache.match([1, 2, 3, 4]).blocks == (5, 6)
