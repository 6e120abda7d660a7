"""How random traces are drawn for each law of exercise 3: each play stays close to the law it is
for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import CODE, Case, Picks
from graders.exercises.ex3_prefix_cache.judge import PrefixCacheJudge
from graders.exercises.ex3_prefix_cache.operations import FORMS, PrefixCacheScript
from graders.exercises.ex3_prefix_cache.specification import Namespace, Tenant

Move = Callable[[Picks], None]
LONG = 2_600  # calls
ALIKE = (1 << 61) - 1  # x and x + ALIKE have the same hash in Python
APART = (
    1,
    1,
    1,
    65_539,
)  # what tokens are multiples of: more than 16 bits, as in vocabularies of 128,256
FIRST = (
    1,
    1,
    300,
    70_000,
)  # blocks: 300 is equal to another 300 and not the same, 70,000 has more than 16 bits
NAMES: tuple[Namespace, ...] = (  # hashable things of every kind that any two of which differ
    *(
        None,
        "",
        "a",
        "None",
        0,
        1,
        "1",
        -1,
        -2,
        ALIKE,
        1_000,
        (),
        ("a",),
        ("a", "bc"),
        ("ab", "c"),
        ("abc",),
        (None,),
    ),
    *((1,), (0, ("a",)), Tenant("a", 1), Tenant("a", 2), Tenant("", 0)),
)


class PrefixCacheCases:
    """A script and the moves that plays are made of.

    setup: draws what does not matter to a right part: how large tokens and blocks are, and whether
    texts come in lists. clears: the caller empties each list that it hands over, as soon as the
    call is over. whole: texts are made of blocks that differ in every token, and end with a block;
    otherwise of two tokens, of any length, so that blocks often differ in one token only. names:
    the namespaces that are there.
    """

    def __init__(
        self,
        setup: Picks,
        block_size: int,
        *,
        whole: bool = False,
        clears: bool = False,
        names: Sequence[Namespace] = (None,),
    ) -> None:
        self.apart, first = setup.pick(APART), setup.pick(FIRST)
        form = "list" if clears else setup.pick((*FORMS[:1] * 5, *FORMS[1:]))
        self.script = PrefixCacheScript(block_size, clears=clears, form=form, first=first)
        self.spec = self.script.spec
        self.whole = whole
        self.names = names
        self._texts: list[list[int]] = [[]]

    def name(self, move: Picks) -> Namespace:
        return move.pick(self.names) if len(self.names) > 1 else self.names[0]

    def text(self, move: Picks) -> list[int]:
        """A text, often one that begins like an earlier one."""
        size = self.spec.block_size
        known = self._texts[-1 - move.number(0, min(3, len(self._texts) - 1))]
        kept = known[: move.number(0, 4) * size]
        if self.whole:
            own = [name * 10 + at for name in self._numbers(move) for at in range(size)]
        else:
            bits, length = move.number(0, 255), move.number(0, 2 * size + 1)
            own = [bits >> at % 8 & 1 for at in range(length)]
        self._texts.append(kept + [self.apart * token for token in own])
        return self._texts[-1]

    def _numbers(self, move: Picks) -> list[int]:
        return [move.number(1, 3) for _ in range(move.number(0, 2))]

    def insert(self, move: Picks) -> None:
        self.script.insert(self.text(move), namespace=self.name(move))

    def match(self, move: Picks) -> None:
        self.script.match(self.text(move), self.name(move))

    def insert_refused(self, move: Picks) -> None:
        """Too few blocks, or one that is stored elsewhere, or the same one twice, in any place
        among the new ones.

        In the place of a duplicate a block may do no harm, so there it is left out.
        """
        text, name, why = self.text(move), self.name(move), move.number(0, 2)
        blocks = self.script.fresh(len(text) // self.spec.block_size)
        stored = sorted(stored.block for stored in self.spec.stored.values())
        held = len(self.spec.path(text, name).tokens) // self.spec.block_size
        new = len(blocks) - held
        if why == 0 and stored and new:
            blocks[held + move.number(0, new - 1)] = move.pick(stored[:60])
        elif why == 1 and new > 1:
            at = move.number(held + 1, len(blocks) - 1)
            blocks[at] = blocks[move.number(held, at - 1)]
        else:
            blocks = blocks[:-1]
        self.script.insert(text, blocks, name)

    def evict(self, move: Picks) -> None:
        self.script.evict(move.pick((1, 2, 3, 99, 0)))

    def lock(self, move: Picks) -> None:
        """Match, or insert, and lock what was found."""
        text, name = self.text(move), self.name(move)
        handle = (
            self.script.match(text, name)
            if move.pick((True, False))
            else self.script.insert(text, None, name)
        )
        if self.spec.handles[handle].tokens:
            self.script.lock(handle)

    def lock_again(self, move: Picks) -> None:
        """Lock a handle that is still good, one more time or for the first."""
        good = [handle for handle, path in self.spec.handles.items() if path.tokens]
        if good:
            self.script.lock(move.pick(good[:60]))
        else:
            self.lock(move)

    def unlock(self, move: Picks) -> None:
        locked = [handle for handle, times in self.spec.locks.items() if times]
        if locked:
            self.script.unlock(move.pick(locked[:60]))
        else:
            self.lock(move)

    def unlock_unlocked(self, move: Picks) -> None:
        """A handle that is good and not locked, while no other handle of the same path is."""
        locked = [self.spec.handles[handle] for handle, times in self.spec.locks.items() if times]
        open_ = [
            handle
            for handle, path in self.spec.handles.items()
            if path.tokens and path not in locked
        ]
        if open_:
            self.script.unlock(move.pick(open_[:60]))
        else:
            self.insert(move)

    def play(
        self, context: CheckContext, case: Case, moves: Sequence[Move], *, emptied: bool = True
    ) -> None:
        """The moves of the case, then if `emptied` everything that may go goes; judged."""
        for move in case.moves:
            move.pick(moves)(move)
        if emptied:
            self.script.evict(99)
        PrefixCacheJudge(context, self.script).judge()


def longest_prefix(context: CheckContext, case: Case) -> None:
    """Law 3.1: texts made of whole blocks; nothing is locked, nothing evicted."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((2, 1, 3)), whole=True)
    shelf.play(context, case, (shelf.insert, shelf.match), emptied=False)


def whole_blocks(context: CheckContext, case: Case) -> None:
    """Law 3.2: texts that differ within a block, and end within one."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((2, 3, 4, 2, 3, 16)))

    def insert_with_tail(move: Picks) -> None:
        text = shelf.text(move)
        shelf.script.insert(text, extra=bool(len(text) % shelf.spec.block_size))

    shelf.play(context, case, (insert_with_tail, shelf.match), emptied=False)


def duplicates(context: CheckContext, case: Case) -> None:
    """Law 3.3: texts inserted again, longer, shorter, with other blocks; blocks stored elsewhere,
    twice, or too few."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((2, 1)), whole=True)

    def refused(move: Picks) -> None:
        shelf.insert_refused(move)
        shelf.script.match(
            shelf.script.moves[-1].tokens
        )  # what was held may have been touched, or not: now it is

    shelf.play(context, case, (shelf.insert, shelf.match, shelf.insert, refused), emptied=False)


def copied(context: CheckContext, case: Case) -> None:
    """Law 3.3: the caller empties its lists when a call is over."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((1, 2)), whole=True, clears=True)
    shelf.play(context, case, (shelf.insert, shelf.match), emptied=False)


def evicting(context: CheckContext, case: Case) -> None:
    """Law 3.4: least recently touched first, children before parents; texts are inserted once, then
    matched whole."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((1, 2)), whole=True)
    inserted: list[list[int]] = []

    def insert(move: Picks) -> None:
        inserted.append(shelf.text(move))
        shelf.script.insert(inserted[-1])

    def visit(move: Picks) -> None:
        shelf.script.match(move.pick(inserted[:60] or [[0]]))

    shelf.play(context, case, (insert, shelf.evict, visit))


def recency(context: CheckContext, case: Case) -> None:
    """Law 3.5: matches and inserts that touch a part of what is stored, and inserts that are
    refused."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((1, 2)), whole=True)

    def long(move: Picks) -> None:
        shelf.script.insert(_counted(shelf, move.number(2, 6)))

    def part(move: Picks) -> None:
        shelf.script.match(_counted(shelf, move.number(1, 5)))

    shelf.play(context, case, (long, part, shelf.insert, shelf.evict, shelf.insert_refused))


def _counted(shelf: PrefixCacheCases, blocks: int) -> list[int]:
    return [
        (number + 1) * 10 + at for number in range(blocks) for at in range(shelf.spec.block_size)
    ]


def locks(context: CheckContext, case: Case) -> None:
    """Law 3.6: what is locked stays, whatever others insert, match and evict meanwhile."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((1, 2)), whole=True)
    moves = (
        shelf.lock,
        shelf.insert,
        shelf.unlock,
        shelf.evict,
        shelf.lock_again,
        shelf.unlock_unlocked,
        shelf.match,
    )
    shelf.play(context, case, moves)


def namespaces(context: CheckContext, case: Case) -> None:
    """Law 3.7: the same texts in several namespaces, whatever can be hashed."""
    setup = case.setup
    size, first = setup.pick((1, 2)), setup.number(0, len(NAMES) - 1)
    shelf = PrefixCacheCases(setup, size, whole=True, names=(*NAMES[first:], *NAMES[:first])[:4])
    shelf.play(context, case, (shelf.insert, shelf.match, shelf.evict))


def same_hash(context: CheckContext, case: Case) -> None:
    """Law 3.8: texts that are different and have the same sum, or the same hash."""
    setup = case.setup
    shelf = PrefixCacheCases(setup, setup.pick((2, 1, 3)))
    size = shelf.spec.block_size

    def text(move: Picks) -> list[int]:
        tokens = []
        for _ in range(move.number(1, 2) * size):
            tokens.append(move.pick((0, 1)) + ALIKE * move.pick((0, 1)))
        return tokens

    def insert(move: Picks) -> None:
        shelf.script.insert(text(move))

    def match(move: Picks) -> None:
        shelf.script.match(text(move))

    shelf.play(context, case, (insert, match), emptied=False)


def everything(context: CheckContext, case: Case) -> None:
    """Law 3.10: all of it together, texts of any kind."""
    shelf, moves = _everything(case.setup)
    shelf.play(context, case, moves)


def _everything(setup: Picks) -> tuple[PrefixCacheCases, tuple[Move, ...]]:
    size, whole, first = (
        setup.pick((2, 1, 3)),
        setup.pick((False, True)),
        setup.number(0, len(NAMES) - 1),
    )
    shelf = PrefixCacheCases(
        setup, size, whole=whole, names=(None, None, NAMES[first], NAMES[first - 1])
    )
    shelf.script.recycles = setup.pick((False, True))
    calls = (
        shelf.insert,
        shelf.match,
        shelf.lock,
        shelf.evict,
        shelf.unlock,
        shelf.insert,
        shelf.lock_again,
    )
    return shelf, (*calls, shelf.unlock, shelf.insert_refused, shelf.unlock_unlocked)


def long_run(context: CheckContext) -> None:
    """Law 3.10: one cache for hundreds of calls: what goes wrong once in so many is lost for good."""
    chance = random.Random(context.seed)
    shelf, moves = _everything(Picks(chance.randrange(CODE)))
    shelf.play(context, Case((0, *(chance.randrange(CODE) for _ in range(LONG)))), moves)
    context.cases += 1
