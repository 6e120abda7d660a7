"""Short stories that a random trace seldom tells, the same in every run: laws of exercise 3 begin with their own."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

from graders.checking.check_context import CheckContext
from graders.exercises.ex3_prefix_cache.judge import PrefixCacheJudge
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheScript
from graders.exercises.ex3_prefix_cache.specification import Namespace

EVERYTHING = 99
LENGTH = 5  # blocks of a long text
SPACES: tuple[Namespace, ...] = (None, "", "a", "None")


def _text(count: int, size: int, start: int = 1) -> list[int]:
    """So many blocks, all different."""
    return [(start + number) * 10 + at for number in range(count) for at in range(size)]


def splits(context: CheckContext) -> None:
    """Law 3.1: a long text, and others that leave it after any of its blocks, two of them at the same place."""
    for size, (first, second) in product((1, 2), combinations_with_replacement(range(LENGTH), 2)):
        long = _text(LENGTH, size)
        script = PrefixCacheScript(size)
        script.insert(long)
        script.match([*long[: first * size], *_text(1, size, 50)])
        for number, kept in enumerate((first, second)):
            script.insert([*long[: kept * size], *_text(2, size, 20 + 3 * number)])
        for kept in range(LENGTH + 1):
            script.match([*long[: kept * size], *_text(2, size, 20)])
            script.match([*long[: kept * size], *_text(2, size, 23)])
        script.match([*long, 1])
        PrefixCacheJudge(context, script).judge()


def elsewhere(context: CheckContext) -> None:
    """Law 3.3: one of the new blocks, wherever it is among them, is stored already. Nothing is evicted before 3.4."""
    for bad in range(3):
        PrefixCacheJudge(context, _elsewhere(bad)).judge()


def _elsewhere(bad: int) -> PrefixCacheScript:
    script = PrefixCacheScript(2)
    script.insert(_text(2, 2))
    blocks = [11, 12, 13]
    blocks[bad] = 2
    script.insert(_text(3, 2, 30), blocks)
    script.match(_text(3, 2, 30))
    script.insert(_text(3, 2, 30), [11, 12, 13])
    return script


def copied(context: CheckContext) -> None:
    """Law 3.3: the caller empties the lists it has handed over; each of the calls that follow would read them."""
    for after in range(3):
        PrefixCacheJudge(context, _copied(after)).judge()


def _copied(after: int) -> PrefixCacheScript:
    script = PrefixCacheScript(1, clears=True)
    script.insert([1, 2, 3])
    if after == 0:
        script.match([1, 2, 3])
    elif after == 1:
        script.insert([1, 2, 4])
        script.match([1, 2, 3])
    elif after == 2:
        script.insert([1, 2, 3, 4])
    return script


def evicting(context: CheckContext) -> None:
    """Law 3.4: all of the following."""
    emptying(context)
    coming_back(context)


def coming_back(context: CheckContext) -> None:
    """Law 3.4: blocks that were evicted are stored elsewhere; what goes is known after the caller's lists are empty."""
    for bad in range(3):
        script = _elsewhere(bad)
        script.evict(EVERYTHING)
        script.insert(_text(3, 2, 30), [2, 12, 1])
        script.match(_text(3, 2, 30))
        PrefixCacheJudge(context, script).judge()
    for after in range(4):
        script = _copied(after)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def emptying(context: CheckContext) -> None:
    """Law 3.4: a tree of three levels goes one by one, by two, and all at once; what went is not found again."""
    for size, step in product((1, 2), (1, 2, 3, EVERYTHING)):
        script = PrefixCacheScript(size)
        root = _text(2, size)
        for number in range(3):
            script.insert([*root[: (2 - number % 2) * size], *_text(2, size, 20 + 3 * number)])
        for _ in range(3):
            script.evict(step)
            script.match([*root, *_text(2, size, 20)])
        script.insert([*root, *_text(1, size, 20)])
        script.evict(0)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def exact_ages(context: CheckContext) -> None:
    """Law 3.5: who was touched, and who was not: below the end of a match, beside it, and by an insert that fails."""
    for kept in range(1, LENGTH):
        for again in (False, True):
            script = PrefixCacheScript(1)
            long = _text(LENGTH, 1)
            script.insert(long)
            script.insert(_text(1, 1, 40))
            script.match(long[:kept])
            script.insert(_text(1, 1, 41))
            if again:
                script.insert(long[:kept])
            script.insert([*long[:kept], *_text(1, 1, 42)])
            script.insert(long)
            for _ in range(4):
                script.evict(2)
            PrefixCacheJudge(context, script).judge()
    script = PrefixCacheScript(1)
    script.insert([1, 2])
    script.insert([3])
    script.insert([1, 2, 4], [11, 12, 3])  # block 3 is stored: refused
    script.insert([1, 2, 4], [11, 12])  # too few: refused
    script.evict(1)
    script.evict(EVERYTHING)
    PrefixCacheJudge(context, script).judge()


def locking(context: CheckContext) -> None:
    """Law 3.6: all of the following."""
    two_handles(context)
    locked_splits(context)
    ages_under_locks(context)


def ages_under_locks(context: CheckContext) -> None:
    """Law 3.6: a parent is as young as the last match that passed through it.

    Usually the child that was matched outlives it; here that child is evicted first, because older leaves are pinned at
    the time.
    """
    for gone in range(1, LENGTH):
        script = PrefixCacheScript(1)
        script.insert(_text(LENGTH, 1))
        other = script.insert(_text(1, 1, 40))
        script.match(_text(LENGTH, 1))
        script.lock(other)
        script.evict(gone)
        script.unlock(other)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()
    script = PrefixCacheScript(1)
    two = script.insert([1, 2])
    script.insert([1, 3])
    nine = script.insert([9])
    script.match([1, 3])
    script.lock(two)
    script.lock(nine)
    script.evict(1)
    script.unlock(two)
    script.unlock(nine)
    script.evict(EVERYTHING)
    PrefixCacheJudge(context, script).judge()


def locked_splits(context: CheckContext) -> None:
    """Law 3.6: a locked text is left by others after each of its blocks; handles are long, short, locked twice."""
    for kept, held, times in product(range(LENGTH), (LENGTH, 2), (1, 2)):
        script = PrefixCacheScript(1)
        long = _text(LENGTH, 1)
        whole = script.insert(long)
        handle = whole if held == LENGTH else script.match(long[:held])
        for _ in range(times):
            script.lock(handle)
        script.insert([*long[:kept], *_text(2, 1, 20)])
        script.match([*long[: max(1, kept - 1)], 9])
        script.evict(EVERYTHING)
        longer = script.insert([*long, *_text(1, 1, 30)])
        for _ in range(times):
            script.lock(longer)
        script.evict(1)
        for _ in range(times):
            script.unlock(handle)
        script.unlock(handle)  # once too often, while a longer one is locked
        for _ in range(times):
            script.evict(EVERYTHING)
            script.unlock(longer)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def two_handles(context: CheckContext) -> None:
    """Law 3.6: two requests on branches of one text; one leaves, then the other, in either order."""
    for first, gone in product((0, 1), (False, True)):
        script = PrefixCacheScript(2)
        handles = [script.insert([*_text(2, 2), *_text(2, 2, 20 + 3 * number)]) for number in range(2)]
        for handle in handles:
            script.lock(handle)
        script.insert(_text(1, 2, 40))
        if gone:
            script.evict(EVERYTHING)
        script.unlock(handles[first])
        script.evict(2)
        script.evict(EVERYTHING)
        script.unlock(handles[1 - first])
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def names(context: CheckContext) -> None:
    """Law 3.7: the same text under several names; a block that another name holds. Nothing is locked before 3.6."""
    for owner in range(len(SPACES)):
        PrefixCacheJudge(context, _named(owner, locked=False)).judge()


def names_and_locks(context: CheckContext) -> None:
    """Law 3.10: the same text under several names, one of them locked."""
    for owner in range(len(SPACES)):
        PrefixCacheJudge(context, _named(owner, locked=True)).judge()


def _named(owner: int, *, locked: bool) -> PrefixCacheScript:
    script = PrefixCacheScript(2)
    handles = [script.insert(_text(2, 2), namespace=name) for name in SPACES]
    if locked:
        script.lock(handles[owner])
    script.insert(_text(1, 2, 30), [1 + 2 * owner], namespace=SPACES[owner - 1])
    script.evict(3)
    script.evict(EVERYTHING)
    for name in SPACES:
        script.match(_text(2, 2), namespace=name)
    return script
