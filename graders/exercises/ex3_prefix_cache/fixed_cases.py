"""Short stories that a random trace seldom tells, the same in every run: laws of exercise 3 begin
with their own."""

from __future__ import annotations

from itertools import combinations, product

from graders.checking.check_context import CheckContext
from graders.exercises.ex3_prefix_cache.judge import PrefixCacheJudge
from graders.exercises.ex3_prefix_cache.operations import FORMS, PrefixCacheScript
from graders.exercises.ex3_prefix_cache.random_cases import NAMES, long_run
from graders.exercises.ex3_prefix_cache.specification import Namespace

EVERYTHING = 99
LENGTH = 5  # blocks of a long text
LONG, OFTEN = (
    300,
    300,
)  # blocks of a longer one; locks of one handle: more than 8 bits, and than Python keeps ints for
WIDE = 128_256  # tokens are below that in the vocabulary of Llama 3
SIZES = (16, 64, 256, 1024)  # tokens of larger blocks
SPACES: tuple[Namespace, ...] = (None, "", "a", "None")


def _text(count: int, size: int, start: int = 1) -> list[int]:
    """So many blocks, all different."""
    return [(start + number) * 10 + at for number in range(count) for at in range(size)]


def texts(context: CheckContext) -> None:
    """Law 3.1: all of the following."""
    splits(context)
    two_caches(context)
    forms(context)
    long_texts(context)


def two_caches(context: CheckContext) -> None:
    """Law 3.1: what another cache is made for and stores is none of this one's."""
    script = PrefixCacheScript(1)
    script.insert([1, 2])
    script.beside([1, 3, 4], [1, 2, 3])
    script.match([1, 2])
    script.match([1, 3])
    script.insert([1, 3])
    PrefixCacheJudge(context, script).judge()


def forms(context: CheckContext) -> None:
    """Law 3.1: what is stored in one form of sequence is found in every other, whatever objects its
    numbers are."""
    for form in FORMS:
        for first in (1, 300):
            script = PrefixCacheScript(2, form=form, first=first)
            for tokens in ([1, 2, 3, 4], [300, 400, 500, 600], [WIDE - 2, WIDE - 1, 0, 1]):
                script.insert(tokens)
                script.match([*tokens, 7])
                script.insert([*tokens[:2], 8, 9])
                script.match(tokens)
            PrefixCacheJudge(context, script).judge()


def long_texts(context: CheckContext) -> None:
    """Law 3.1: texts of hundreds of blocks that part beyond the two hundred and fifty-sixth."""
    script = PrefixCacheScript(1)
    long = list(range(LONG))
    script.insert(long)
    script.match(long)
    for kept in (255, 256, 257, LONG - 1):
        script.match([*long[:kept], 1])
        script.insert([*long[:kept], 2, kept])
    script.match(long)
    PrefixCacheJudge(context, script).judge()


def block_sizes(context: CheckContext) -> None:
    """Law 3.2: large blocks that differ in one token, wherever it is; tails of all but one token;
    the same tokens in another order, and what follows on one of the two alone."""
    script = PrefixCacheScript(2)
    script.insert([1, 2, 5, 6])
    script.insert([2, 1])
    script.match([2, 1, 5, 6])
    script.insert([2, 1, 5, 6])
    PrefixCacheJudge(context, script).judge()
    for size in SIZES:
        script = PrefixCacheScript(size)
        block = list(range(WIDE - size, WIDE))
        script.insert([*block, *block[:-1]], [1, 2])
        for at in (size - 1, size // 2, 0):
            other = [*block[:at], 1, *block[at + 1 :]]
            script.match(other)
            script.insert([*block, *other], [1, 10 + at])
        script.match([*block, *block[:-1]])
        script.match([*block, *block])
        PrefixCacheJudge(context, script).judge()


def splits(context: CheckContext) -> None:
    """Law 3.1: a long text, and others that leave it after any of its blocks, two of them at the
    same place."""
    for size, first, second in product((1, 2), range(LENGTH), range(LENGTH)):
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
    """Law 3.3: one of the new blocks, wherever it is among them, is stored already. Nothing is
    evicted before 3.4."""
    for bad in range(3):
        PrefixCacheJudge(context, _elsewhere(bad)).judge()
    for first, second in combinations(range(3), 2):
        PrefixCacheJudge(context, _twice(first, second)).judge()
    for extra in (1, 2):
        PrefixCacheJudge(context, _beyond(extra)).judge()


def _twice(first: int, second: int) -> PrefixCacheScript:
    """One block in two places of a new text, or of the new end of one."""
    script = PrefixCacheScript(1)
    blocks = [11, 12, 13]
    blocks[second] = blocks[first]
    script.insert([1, 2, 3], blocks)
    script.match([1, 2, 3])
    script.insert([4, 5], [1, 2])
    script.insert([4, 5, 1, 2, 3], [1, 2, *blocks])
    script.match([4, 5, 1, 2, 3])
    script.insert([4, 5, 1, 2, 3], [1, 2, 11, 12, 13])
    return script


def _beyond(extra: int) -> PrefixCacheScript:
    """Blocks beyond the whole ones are not looked at: they may be stored, or be one that comes
    before."""
    script = PrefixCacheScript(2)
    script.insert([1, 2], [1])
    script.insert([3, 4, 5], [2, 1])
    script.insert([6, 7, 8], [3, 3, 2][: 1 + extra])
    script.match([6, 7, 8])
    return script


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
    """Law 3.3: the caller empties the lists it has handed over; each of the calls that follow would
    read them."""
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
    """Law 3.4: blocks that were evicted are stored elsewhere; what goes is known after the caller's
    lists are empty."""
    for bad in range(3):
        script = _elsewhere(bad)
        script.evict(EVERYTHING)
        script.insert(_text(3, 2, 30), [2, 12, 1])
        script.match(_text(3, 2, 30))
        script.match(
            _text(2, 2)
        )  # whose blocks hold another text now (GeeeekExplorer/nano-vllm#163)
        PrefixCacheJudge(context, script).judge()
    for after in range(4):
        script = _copied(after)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def emptying(context: CheckContext) -> None:
    """Law 3.4: a tree of three levels goes one by one, by two, and all at once; what went is not
    found again."""
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
    """Law 3.5: who was touched, and who was not: below the end of a match, beside it, and by an
    insert that fails."""
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
    refused_inserts(context)
    turns(context)
    short_texts(context)


def short_texts(context: CheckContext) -> None:
    """Law 3.5: a text that fills no block touches none, and is stored with none
    (sgl-project/sglang#10637)."""
    for short in ([], [1], [3]):
        for method in ("match", "insert"):
            script = PrefixCacheScript(2)
            for tokens in ([1, 2], [3, 4], [5, 6]):
                script.insert(tokens)
            getattr(script, method)(short)
            script.evict(1)
            script.evict(EVERYTHING)
            PrefixCacheJudge(context, script).judge()


def turns(context: CheckContext) -> None:
    """Law 3.5: every match has a tick of its own: of two texts goes the one that was matched before
    the other."""
    for matched in ("a", "b", "ab", "ba", "aba", "bab"):
        script = PrefixCacheScript(1)
        texts = {"a": [1], "b": [2]}
        for tokens in texts.values():
            script.insert(tokens)
        for name in matched:
            script.match(texts[name])
        script.evict(1)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def refused_inserts(context: CheckContext) -> None:
    """Law 3.5: an insert that is refused touches nothing, whatever it holds, and wherever it would
    have split."""
    for held, blocks in product(range(LENGTH + 1), ([4, 41], [40], [40, 40])):
        script = PrefixCacheScript(1)
        script.insert([1, 2, 3, 4, 5], [11, 12, 13, 14, 15])
        script.insert([9], [4])
        script.insert(
            [*range(1, held + 1), 8, 7], [*range(11, 11 + held), *blocks]
        )  # stored, too few, twice: refused
        script.evict(1)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def locking(context: CheckContext) -> None:
    """Law 3.6: all of the following."""
    two_handles(context)
    locked_after_a_loss(context)
    touched_while_pinned(context)
    locked_splits(context)
    ages_under_locks(context)
    unlocked_above(context)
    locked_often(context)


def locked_after_a_loss(context: CheckContext) -> None:
    """Law 3.6: a text whose end was evicted is locked: what is pinned is what is left of it (after
    sgl-project/sglang#10637, which counted keys where values count)."""
    for lost in (1, 2):
        script = PrefixCacheScript(2)
        text = _text(3, 2)
        script.insert(text)
        script.evict(lost)
        handle = script.match(text)
        script.lock(handle)
        script.evict(EVERYTHING)
        script.unlock(handle)
        script.insert(text)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def touched_while_pinned(context: CheckContext) -> None:
    """Law 3.6: a match, or an insert, of what is pinned makes it young, and counts when it is
    pinned no more."""
    for again in ("match", "insert"):
        script = PrefixCacheScript(1)
        old = script.insert([1, 3])
        script.lock(old)
        script.insert([2])
        script.match([1, 3]) if again == "match" else script.insert([1, 3])
        script.unlock(old)
        script.evict(1)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def unlocked_above(context: CheckContext) -> None:
    """Law 3.6: a handle that ends where a locked text is left by another one is not locked itself."""
    for kept in (1, 2):
        script = PrefixCacheScript(1)
        whole = script.insert(_text(3, 1))
        script.lock(whole)
        script.insert([*_text(kept, 1), 9])
        script.unlock(script.match(_text(kept, 1)))
        script.evict(EVERYTHING)
        script.unlock(whole)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def locked_often(context: CheckContext) -> None:
    """Law 3.6: one handle is locked hundreds of times, as by as many requests that run the same
    text; another text leaves it meanwhile, after its first block."""
    _often_and_split(context)
    script = PrefixCacheScript(1)
    handles = [script.insert([1, 2]), script.insert([1, 3])]
    for number in range(OFTEN):
        script.lock(handles[number % 7 == 0])
    script.insert([1, 4])
    for number in range(OFTEN):
        script.unlock(handles[number % 7 == 0])
        if number > OFTEN - 9:
            script.evict(1)
    script.unlock(handles[0]) if script.spec.handles.get(handles[0]) else None
    script.evict(EVERYTHING)
    PrefixCacheJudge(context, script).judge()


def _often_and_split(context: CheckContext) -> None:
    for often in (3, OFTEN):  # what breaks with a few is told with a few
        script = PrefixCacheScript(1)
        long = script.insert([1, 2, 3])
        for _ in range(often):
            script.lock(long)
        script.insert([1, 9])
        for left in reversed(range(often)):
            script.unlock(long)
            if left < 2:
                script.evict(1)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


def ages_under_locks(context: CheckContext) -> None:
    """Law 3.6: a parent is as young as the last match that passed through it.

    Usually the child that was matched outlives it; here that child is evicted first, because older
    leaves are pinned at the time.
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
    script = PrefixCacheScript(1)
    nine = script.insert([9])
    script.lock(nine)
    script.insert([1, 2])
    script.insert([1, 8], [11, 1])  # stored elsewhere: refused, and [1] is as old as before
    script.evict(1)
    script.unlock(nine)
    script.evict(EVERYTHING)
    PrefixCacheJudge(context, script).judge()


def locked_splits(context: CheckContext) -> None:
    """Law 3.6: a locked text is left by others after each of its blocks; handles are long, short,
    locked twice."""
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
        handles = [
            script.insert([*_text(2, 2), *_text(2, 2, 20 + 3 * number)]) for number in range(2)
        ]
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
    """Law 3.7: one text under names of every kind; a block that another name holds. Nothing is
    locked before 3.6."""
    for owner in range(len(SPACES)):
        PrefixCacheJudge(context, _named(owner, locked=False)).judge()
    script = PrefixCacheScript(1)
    for name in NAMES:
        script.insert([7, 8], namespace=name)
    for name in NAMES:
        script.insert([7, 9], namespace=name)
        script.match([7, 8], name)
    script.evict(len(NAMES))
    for name in NAMES:
        script.match([7, 9], name)
    PrefixCacheJudge(context, script).judge()
    beginnings(context)


def beginnings(context: CheckContext) -> None:
    """Law 3.7: a namespace is no token, and none of its text."""
    for name, tokens in ((7, [8]), ((7, 8), [9]), ((7,), [8, 9]), ("7", [8]), (0, [0])):
        script = PrefixCacheScript(1)
        script.insert(tokens, namespace=name)
        script.insert([7, 8, 9])
        script.match([7, 8, 9])
        script.match([0])
        script.match(tokens, name)
        PrefixCacheJudge(context, script).judge()


def everything(context: CheckContext) -> None:
    """Law 3.10: all of the following."""
    names_and_locks(context)
    named_splits(context)
    long_run(context)


def named_splits(context: CheckContext) -> None:
    """Law 3.10: a locked text of a namespace is left by another after each of its blocks."""
    for name, kept in product((None, "a", 0, ("a", "bc")), range(3)):
        script = PrefixCacheScript(1)
        long = _text(3, 1)
        script.insert(long, namespace="b")
        handle = script.insert(long, namespace=name)
        script.lock(handle)
        script.insert([*long[:kept], 9], namespace=name)
        script.match(long[: kept + 1], name)
        script.evict(EVERYTHING)
        script.unlock(handle)
        script.match(long, name)
        script.evict(EVERYTHING)
        PrefixCacheJudge(context, script).judge()


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
