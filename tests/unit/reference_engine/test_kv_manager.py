"""KVManager: the block manager and the prefix cache joined, without a scheduler or a model."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from reference_engine import kv_manager, naive
from reference_engine.kv_manager import KVManager
from reference_engine.parts import PartError
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache

TEXT = list(range(100, 140))


def joined(
    num_blocks: int = 9, *, watermark: int = 0, cache: Any = PrefixCache
) -> tuple[KVManager, Any, Any]:
    """A manager for blocks of 4 tokens, its block manager, its cache."""
    blocks = BlockManager(num_blocks, 4, watermark=watermark)
    pages = cache(4) if cache else None
    return (
        KVManager(blocks, pages, block_size=4, num_blocks=num_blocks, watermark=watermark),
        blocks,
        pages,
    )


def serve(kv: KVManager, id: int, tokens: list[int]) -> None:
    """Somebody comes, is computed and goes."""
    assert kv.admit(id, tokens, len(tokens)) is not None
    kv.drop(id, tokens)


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(kv_manager).failed == 0


def test_capacity_leaves_scratch_and_watermark_out() -> None:
    assert joined(9, watermark=2)[0].capacity == 24


def test_a_full_hit_still_computes_one_token() -> None:
    kv, _, _ = joined()
    serve(kv, 1, TEXT[:8])
    assert kv.lookup(TEXT[:8]) == 4
    assert kv.lookup(TEXT[:9]) == 8
    assert kv.lookup(TEXT[:1]) == 0


def test_only_whole_blocks_of_what_is_offered_are_kept() -> None:
    kv, blocks, cache = joined()
    kv.admit(1, TEXT[:10], 10)
    kv.drop(1, TEXT[:7])
    assert (cache.evictable, blocks.num_free) == (1, 7)


def test_an_admission_borrows_and_owns_the_rest() -> None:
    kv, blocks, cache = joined()
    serve(kv, 1, TEXT[:8])
    assert kv.admit(2, TEXT[:10], 12) == 8
    assert (cache.protected, len(kv.table(2)), blocks.num_free) == (2, 3, 5)
    assert [blocks.ref(block) for block in kv.table(2)] == [2, 2, 1]


def test_what_is_borrowed_is_locked_before_the_rest_is_made_room_for() -> None:
    """All blocks are cached; the two that match must not be evicted to make room for the third."""
    kv, _, cache = joined(5)
    serve(kv, 1, TEXT[:8])
    serve(kv, 2, TEXT[20:28])
    assert kv.admit(3, TEXT[:12], 12) == 8
    assert (cache.protected, cache.evictable) == (2, 1)
    assert kv.lookup(TEXT[20:29]) == 4


def test_none_means_that_nothing_has_changed() -> None:
    kv, blocks, cache = joined(5)
    serve(kv, 1, TEXT[:8])
    kv.admit(2, TEXT[20:24], 4)
    before = (blocks.num_free, cache.evictable, cache.protected)
    assert kv.admit(3, TEXT[:20], 20) is None
    assert kv.extend(2, 20) is None
    assert before == (blocks.num_free, cache.evictable, cache.protected)
    assert 3 not in kv
    assert kv.lookup(TEXT[:9]) == 8


def test_admission_evicts_down_to_the_watermark_and_extension_below_it() -> None:
    kv, blocks, cache = joined(5, watermark=1)
    serve(kv, 1, TEXT[:12])
    assert kv.admit(2, TEXT[20:32], 12) == 0
    assert (blocks.num_free, cache.evictable) == (1, 0)
    assert kv.extend(2, 16) == []
    assert blocks.num_free == 0


def test_extension_evicts_exactly_what_is_lacking() -> None:
    kv, _, cache = joined(6)
    serve(kv, 1, TEXT[:12])
    kv.admit(2, TEXT[20:28], 8)
    assert kv.extend(2, 9) == []
    assert cache.evictable == 2


def test_two_who_compute_the_same_prefix_leak_nothing() -> None:
    kv, blocks, cache = joined()
    kv.admit(1, TEXT[:9], 9)
    kv.admit(2, TEXT[:9], 9)
    kv.drop(1, TEXT[:9])
    kv.drop(2, TEXT[:9])
    assert (cache.evictable, cache.protected, blocks.num_free) == (2, 0, 6)


def test_the_longer_of_two_adds_its_rest() -> None:
    """The second holds its own copy of the first two blocks: they fall free, its third is stored
    behind the first's."""
    kv, blocks, cache = joined()
    kv.admit(1, TEXT[:8], 8)
    kv.admit(2, TEXT[:12], 12)
    kv.drop(1, TEXT[:8])
    kv.drop(2, TEXT[:12])
    assert (cache.evictable, blocks.num_free) == (3, 5)
    assert kv.lookup(TEXT[:13]) == 12


def test_an_offer_shares_while_its_request_goes_on() -> None:
    kv, blocks, cache = joined()
    kv.admit(1, TEXT[:9], 9)
    kv.offer(1, TEXT[:9])
    assert (cache.protected, blocks.num_free) == (2, 5)
    assert kv.admit(2, TEXT[:10], 10) == 8
    kv.drop(1, TEXT[:9])
    kv.drop(2, TEXT[:9])
    assert (cache.protected, cache.evictable, blocks.num_free) == (0, 2, 6)


def test_an_offer_does_not_pin_the_blocks_of_others() -> None:
    """Else a request alone in the pool might lack the blocks that it pins without using them."""
    kv, _, cache = joined()
    kv.admit(1, TEXT[:12], 12)
    kv.admit(2, TEXT[:12], 12)
    kv.offer(1, TEXT[:8])
    kv.offer(2, TEXT[:12])
    kv.drop(1, [])
    assert (cache.protected, cache.evictable) == (0, 2)


def test_an_offer_of_somebody_who_is_gone_is_ignored() -> None:
    kv, _, cache = joined()
    kv.offer(1, TEXT[:8])
    assert cache.evictable == 0


@pytest.mark.parametrize("cache", [None, naive.PrefixCache], ids=["no cache", "the naive cache"])
def test_works_without_a_cache(cache: Any) -> None:
    kv, blocks, _ = joined(cache=cache)
    for id in range(3):
        serve(kv, id, TEXT[:12])
    assert (kv.lookup(TEXT[:12]), blocks.num_free) == (0, 8)
    kv.admit(1, TEXT[:12], 12)
    kv.offer(1, TEXT[:12])
    kv.drop(1, TEXT[:12])
    assert blocks.num_free == 8


def test_the_naive_pool_makes_room_by_emptying_the_cache() -> None:
    """Its reservation is longer than the tokens, so counting blocks does not tell how many have to
    go."""
    blocks = naive.BlockManager(9, 4, max_tokens=32)
    kv = KVManager(blocks, PrefixCache(4), block_size=4, num_blocks=9)
    serve(kv, 1, TEXT[:8])
    assert kv.admit(2, TEXT[20:24], 4) == 0


def test_truncate_gives_blocks_back() -> None:
    kv, blocks, _ = joined()
    kv.admit(1, TEXT[:9], 13)
    kv.truncate(1, 9)
    assert blocks.num_free == 5
    assert kv.extend(1, 10) == []


@pytest.mark.parametrize(
    ("call", "args", "error"),
    [
        ("extend", (9, 4), KeyError),
        ("truncate", (9, 1), KeyError),
        ("drop", (9, []), KeyError),
        ("table", (9,), KeyError),
        ("extend", (1, 3), ValueError),
        ("truncate", (1, 9), ValueError),
        ("truncate", (1, -1), ValueError),
        ("admit", (1, TEXT[:4], 4), ValueError),
        ("admit", (2, TEXT[:4], 0), ValueError),
        ("drop", (1, TEXT[:9]), ValueError),
        ("offer", (1, TEXT[:9]), ValueError),
    ],
)
def test_a_mistake_of_the_caller_is_the_callers(
    call: str, args: tuple[Any, ...], error: type[Exception]
) -> None:
    kv, blocks, _ = joined()
    kv.admit(1, TEXT[:8], 8)
    with pytest.raises(error):
        getattr(kv, call)(*args)
    assert (blocks.num_free, len(kv.table(1))) == (6, 2)


class Broken:
    """A part of which one method fails."""

    def __init__(self, part: Any, method: str, answer: Any) -> None:
        self._part, self._method, self._answer = part, method, answer

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._part, name)

        def failing(*_: Any) -> Any:
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

        return failing


@pytest.mark.parametrize(
    "answer", [ZeroDivisionError("oh"), None, 7], ids=["raises", "returns None", "returns 7"]
)
@pytest.mark.parametrize(
    ("slot", "method"),
    [
        ("block_manager", "extend"),
        ("block_manager", "can_admit"),
        ("prefix_cache", "match"),
        ("prefix_cache", "insert"),
        ("prefix_cache", "evict"),
    ],
)
def test_a_part_that_fails_is_named(slot: str, method: str, answer: Any) -> None:
    """Whatever it raises or returns, the error says whose it is, with what was raised as its cause."""
    blocks: Any = BlockManager(5, 4)
    pages: Any = PrefixCache(4)
    if slot == "block_manager":
        blocks = Broken(blocks, method, answer)
    else:
        pages = Broken(pages, method, answer)
    kv = KVManager(blocks, pages, block_size=4, num_blocks=5)
    if method == "can_admit" and not isinstance(answer, Exception):
        answer = blocks._answer = ZeroDivisionError("any answer is as good as True or False")
    with pytest.raises(PartError) as raised:
        serve(kv, 1, TEXT[:8])
        kv.admit(2, TEXT[20:30], 10)
        kv.extend(2, 13)
    assert raised.value.slot == slot
    if isinstance(answer, Exception):
        assert raised.value.__cause__ is answer
