"""How random traces are drawn for each law of exercise 3: each play stays close to the law it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex3_prefix_cache.judge import PrefixCacheJudge
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheScript
from graders.exercises.ex3_prefix_cache.specification import Namespace

Move = Callable[[Picks], None]
ALIKE = (1 << 61) - 1  # x and x + ALIKE have the same hash in Python


class PrefixCacheCases:
    """A script and the moves that plays are made of.

    clears: the caller empties each list that it hands over, as soon as the call is over.
    whole: texts are made of blocks that differ in every token, and end with a block; otherwise of two tokens, of any
    length, so that blocks often differ in one token only.
    """

    def __init__(self, block_size: int, *, whole: bool = False, clears: bool = False) -> None:
        self.script = PrefixCacheScript(block_size, clears=clears)
        self.spec = self.script.spec
        self.whole = whole
        self._texts: list[list[int]] = [[]]

    def text(self, move: Picks) -> list[int]:
        """A text, often one that begins like an earlier one."""
        size = self.spec.block_size
        known = self._texts[-1 - move.number(0, min(3, len(self._texts) - 1))]
        kept = known[: move.number(0, 4) * size]
        if self.whole:
            own = [name * 10 + at for name in self._names(move) for at in range(size)]
        else:
            bits, length = move.number(0, 255), move.number(0, 2 * size + 1)
            own = [bits >> at % 8 & 1 for at in range(length)]
        self._texts.append(kept + own)
        return self._texts[-1]

    def _names(self, move: Picks) -> list[int]:
        return [move.number(1, 3) for _ in range(move.number(0, 2))]

    def insert(self, move: Picks) -> None:
        self.script.insert(self.text(move))

    def match(self, move: Picks) -> None:
        self.script.match(self.text(move))

    def evict(self, move: Picks) -> None:
        self.script.evict(move.pick((1, 2, 3, 99, 0)))

    def lock(self, move: Picks) -> None:
        """Match, or insert, and lock what was found."""
        text = self.text(move)
        handle = self.script.match(text) if move.pick((True, False)) else self.script.insert(text)
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
        open_ = [handle for handle, path in self.spec.handles.items() if path.tokens and path not in locked]
        if open_:
            self.script.unlock(move.pick(open_[:60]))
        else:
            self.insert(move)

    def play(self, context: CheckContext, case: Case, moves: Sequence[Move], *, emptied: bool = True) -> None:
        """The moves of the case, then if `emptied` everything that may go goes; judged."""
        for move in case.moves:
            move.pick(moves)(move)
        if emptied:
            self.script.evict(99)
        PrefixCacheJudge(context, self.script).judge()


def longest_prefix(context: CheckContext, case: Case) -> None:
    """Law 3.1: texts made of whole blocks; nothing is locked, nothing evicted."""
    shelf = PrefixCacheCases(case.setup.pick((2, 1, 3)), whole=True)
    shelf.play(context, case, (shelf.insert, shelf.match), emptied=False)


def whole_blocks(context: CheckContext, case: Case) -> None:
    """Law 3.2: texts that differ within a block, and end within one."""
    shelf = PrefixCacheCases(case.setup.pick((2, 3, 4)))

    def insert_with_tail(move: Picks) -> None:
        text = shelf.text(move)
        shelf.script.insert(text, extra=bool(len(text) % shelf.spec.block_size))

    shelf.play(context, case, (insert_with_tail, shelf.match), emptied=False)


def duplicates(context: CheckContext, case: Case) -> None:
    """Law 3.3: texts inserted again, longer, shorter, with other blocks; blocks stored elsewhere, or too few."""
    shelf = PrefixCacheCases(case.setup.pick((2, 1)), whole=True)

    def wrong_blocks(move: Picks) -> None:
        text = shelf.text(move)
        blocks = shelf.script.fresh(len(text) // shelf.spec.block_size)
        stored = sorted(stored.block for stored in shelf.spec.stored.values())
        held = len(shelf.spec.path(text, None).tokens) // shelf.spec.block_size
        if stored and held < len(blocks) and move.number(0, 1) == 0:  # in the place of a duplicate it may do no harm
            blocks[-1] = move.pick(stored[:60])
        else:
            blocks = blocks[:-1]
        shelf.script.insert(text, blocks)
        shelf.script.match(text)  # a refused insert may have touched what it held, or not: now it is touched

    shelf.play(context, case, (shelf.insert, shelf.match, shelf.insert, wrong_blocks), emptied=False)


def copied(context: CheckContext, case: Case) -> None:
    """Law 3.3: the caller empties its lists when a call is over."""
    shelf = PrefixCacheCases(case.setup.pick((1, 2)), whole=True, clears=True)
    shelf.play(context, case, (shelf.insert, shelf.match), emptied=False)


def evicting(context: CheckContext, case: Case) -> None:
    """Law 3.4: least recently touched first, children before parents; texts are inserted once, then matched whole."""
    shelf = PrefixCacheCases(case.setup.pick((1, 2)), whole=True)
    inserted: list[list[int]] = []

    def insert(move: Picks) -> None:
        inserted.append(shelf.text(move))
        shelf.script.insert(inserted[-1])

    def visit(move: Picks) -> None:
        shelf.script.match(move.pick(inserted[:60] or [[0]]))

    shelf.play(context, case, (insert, shelf.evict, visit))


def recency(context: CheckContext, case: Case) -> None:
    """Law 3.5: matches and inserts that touch a part of what is stored."""
    shelf = PrefixCacheCases(case.setup.pick((1, 2)), whole=True)

    def long(move: Picks) -> None:
        size = shelf.spec.block_size
        shelf.script.insert([(number + 1) * 10 + at for number in range(move.number(2, 6)) for at in range(size)])

    def part(move: Picks) -> None:
        size = shelf.spec.block_size
        shelf.script.match([(number + 1) * 10 + at for number in range(move.number(1, 5)) for at in range(size)])

    shelf.play(context, case, (long, part, shelf.insert, shelf.evict))


def locks(context: CheckContext, case: Case) -> None:
    """Law 3.6: what is locked stays, whatever others insert, match and evict meanwhile."""
    shelf = PrefixCacheCases(case.setup.pick((1, 2)), whole=True)
    moves = (shelf.lock, shelf.insert, shelf.unlock, shelf.evict, shelf.lock_again, shelf.unlock_unlocked, shelf.match)
    shelf.play(context, case, moves)


def namespaces(context: CheckContext, case: Case) -> None:
    """Law 3.7: the same texts in several namespaces."""
    shelf = PrefixCacheCases(case.setup.pick((1, 2)), whole=True)
    names: tuple[Namespace, ...] = (None, "", "a")

    def insert(move: Picks) -> None:
        shelf.script.insert(shelf.text(move), namespace=move.pick(names))

    def match(move: Picks) -> None:
        shelf.script.match(shelf.text(move), namespace=move.pick(names))

    shelf.play(context, case, (insert, match, shelf.evict))


def same_hash(context: CheckContext, case: Case) -> None:
    """Law 3.8: texts that are different and have the same sum, or the same hash."""
    shelf = PrefixCacheCases(case.setup.pick((2, 1, 3)))
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
    setup = case.setup
    shelf = PrefixCacheCases(setup.pick((2, 1, 3)), whole=setup.pick((False, True)))
    names: tuple[Namespace, ...] = (None, None, "")

    def insert(move: Picks) -> None:
        shelf.script.insert(shelf.text(move), namespace=move.pick(names))

    def match(move: Picks) -> None:
        shelf.script.match(shelf.text(move), namespace=move.pick(names))

    shelf.play(context, case, (insert, match, shelf.lock, shelf.evict, shelf.unlock, insert))
