"""Law 1.9: calls that the contract forbids, in every state that the other laws reach."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken, Together
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex1_paged_allocation.judge import BlockManagerJudge, refuse_constructor
from graders.exercises.ex1_paged_allocation.operations import BlockManagerScript
from graders.exercises.ex1_paged_allocation.random_cases import (
    IDS,
    LISTS,
    SIZES,
    STRANGER,
    BlockManagerCases,
    Move,
)

LARGE = 300  # equal ints above 256 are not the same object
IMPOSSIBLE = ((1, 4), (0, 4), (-3, 4), (8, 0), (8, -1))
# Sequence 1 has blocks 1, 2, 3 (nine tokens), sequence 2 has block 4 (three); blocks 1 and 4 are
# retained once, 5 to 7 are free. Lists open with what is lawful: a call done by halves shows.
Calls = Callable[[BlockManagerScript], None]


def _then(*calls: Calls) -> Calls:
    """One after the other."""

    def both(script: BlockManagerScript) -> None:
        for call in calls:
            call(script)

    return both


SETTING: tuple[Calls, ...] = (
    lambda script: script.admit(1, 9),
    lambda script: script.admit(2, 3),
    lambda script: script.retain([1]),
    lambda script: script.retain([4]),
)
ALL_OF_THEM: tuple[Calls, ...] = (
    lambda script: script.retain([1, 5]),
    lambda script: script.retain([5, 1], "iterator"),
    lambda script: script.retain([0]),
    lambda script: script.retain([1, 0], "array"),
    lambda script: script.release([0]),
    lambda script: script.release([1, 2]),
    lambda script: script.release([1, 1]),
    lambda script: script.release([4, 5], "iterator"),
    lambda script: script.release([1, 4, 4]),
    lambda script: script.admit(4, 12, [1, 5]),
    lambda script: script.admit(4, 12, [1, 1]),
    lambda script: script.admit(4, 12, [1, 2, 1], "array"),
    lambda script: script.admit(4, 4, [0]),
    lambda script: script.admit(4, 9, [1, 0]),
    lambda script: script.admit(4, 4, [1, 2]),
    lambda script: script.admit(4, 5, [1, 2, 4], "list"),
    lambda script: script.admit(1, 1),
    lambda script: script.admit(2, 8, [1]),
    lambda script: script.admit(4, 0),
    lambda script: script.admit(4, -1),
    lambda script: script.admit(4, 0, [1]),
    lambda script: script.fork(1, 2),
    lambda script: script.fork(1, 1),
    lambda script: script.fork(STRANGER, 4),
    lambda script: script.extend(1, 8),
    lambda script: script.extend(1, 0),
    lambda script: script.extend(2, 1),
    lambda script: script.truncate(1, 10),
    lambda script: script.truncate(1, 13),
    lambda script: script.truncate(1, -1),
    lambda script: script.free(STRANGER),
    lambda script: script.extend(STRANGER, 1),
    lambda script: script.truncate(STRANGER, 0),
    lambda script: script.length(STRANGER),
    lambda script: script.table(STRANGER),
    lambda script: script.blocks_needed(STRANGER, 1),
    lambda script: script.can_admit(0),
    lambda script: script.can_admit(8, [1, 1]),
    lambda script: script.can_admit(8, [1, 5]),
    lambda script: script.can_admit(8, [0]),
    lambda script: script.admit(0, 0),
    lambda script: script.fork(0, 4),
    lambda script: script.free(-1),
    lambda script: script.can_admit(4, [1, 2], "list"),
    _then(lambda script: script.release([1]), lambda script: script.release([1])),
    _then(
        lambda script: script.release([1, 4]),
        lambda script: script.release([4]),
        lambda script: script.release([1]),
    ),
    _then(lambda script: script.free(2), lambda script: script.length(2)),
    _then(lambda script: script.free(2), lambda script: script.table(2)),
    _then(lambda script: script.free(2), lambda script: script.blocks_needed(2, 5)),
    _then(lambda script: script.free(2), lambda script: script.extend(2, 5)),
    _then(lambda script: script.free(2), lambda script: script.truncate(2, 0)),
    _then(lambda script: script.free(2), lambda script: script.fork(2, 4)),
    _then(lambda script: script.admit(4, 100), lambda script: script.length(4)),
    _then(lambda script: script.admit(4, 8, [1, 1]), lambda script: script.table(4)),
    _then(lambda script: script.truncate(2, 0), lambda script: script.admit(2, 1)),
    _then(lambda script: script.truncate(2, 0), lambda script: script.fork(1, 2)),
)


def refusals(context: CheckContext, case: Case) -> None:
    """Build a state, then forbidden calls, each followed by a look at everything."""
    setup = case.setup
    writer = BlockManagerCases(
        BlockManagerScript(setup.pick((8, 4, 12)), setup.pick(SIZES)), setup.pick(IDS)
    )
    forbidden = Forbidden(writer)
    lawful: tuple[Move, ...] = (writer.admit, writer.fork, writer.free, writer.retain)

    def call(move: Picks) -> None:
        move.pick(lawful if move.number(0, 2) else forbidden.calls)(move)

    writer.play(context, case, (call,))


def each_forbidden_call(context: CheckContext) -> None:
    """Impossible pools, and every kind of forbidden call once, whatever the seed; all that get
    through are told.

    The first call that does is told in its smallest state.
    """
    together, smallest = Together(), None
    for num_blocks, block_size in IMPOSSIBLE:
        with together.case():
            refuse_constructor(context, num_blocks, block_size)
    for forbidden in ALL_OF_THEM:
        before = len(together.found)
        with together.case():
            _after(context, SETTING, forbidden)
        if not before and together.found:
            smallest = _in_smallest_state(context, forbidden)
    with together.case():
        _repeated_in_a_large_pool(context)
    together.tell(smallest)
    context.cases += len(ALL_OF_THEM)


def _in_smallest_state(
    context: CheckContext, forbidden: Callable[[BlockManagerScript], None]
) -> Broken | None:
    """What the call breaks where as little as possible went before; None where it breaks nothing
    then."""
    for kept in range(len(SETTING)):
        for setting in itertools.combinations(SETTING, kept):
            try:
                _after(context, setting, forbidden)
            except Broken as broken:
                return broken
    return None


def _after(
    context: CheckContext,
    setting: Iterable[Calls],
    forbidden: Calls,
) -> None:
    script = BlockManagerScript(8, 4)
    for call in (*setting, forbidden):
        call(script)
    BlockManagerJudge(context, script).judge()


def _repeated_in_a_large_pool(context: CheckContext) -> None:
    """Block numbers above 256: equal ones are not the same object."""
    script = BlockManagerScript(2 * LARGE, 1, refs=False)
    script.admit(1, 2 * LARGE - 2)
    for block in range(1, 2 * LARGE - 2, 97):
        script.can_admit(2, [block, block], "array")
    script.admit(2, 3, [LARGE, 1, LARGE], "array")
    script.admit(2, 3, [LARGE + 1, 1, LARGE + 1], "array")
    BlockManagerJudge(context, script).judge()
    context.cases += 1


class Forbidden:
    """Calls that must raise, chosen to fit the state; where a state offers none, an unknown
    sequence is asked for."""

    def __init__(self, writer: BlockManagerCases) -> None:
        self.writer = writer
        self.script = writer.script
        self.spec = writer.spec
        self.calls: tuple[Callable[[Picks], None], ...] = (
            self.stranger,
            self.known_id,
            self.no_tokens,
            self.wrong_way,
            self.free_shared,
            self.repeated_shared,
            self.too_many_shared,
            self.retain_free,
            self.release_too_much,
            self.ask_forbidden,
            self.stranger,
            self.below_zero,
        )

    def stranger(self, move: Picks) -> None:
        """A sequence that nobody admitted, or that is gone: KeyError from every method that is
        given one."""
        script = self.script
        seq = next(iter(self.writer.absent), STRANGER) if move.number(0, 1) else STRANGER
        calls: tuple[Callable[[], None], ...] = (
            lambda: script.free(seq),
            lambda: script.extend(seq, 1),
            lambda: script.truncate(seq, 0),
            lambda: script.fork(seq, self.writer.newcomer()),
            lambda: script.length(seq),
            lambda: script.table(seq),
            lambda: script.blocks_needed(seq, 1),
        )
        move.pick(calls)()

    def known_id(self, move: Picks) -> None:
        """Admit or fork onto an id that exists."""
        if not self.writer.living:
            return self.stranger(move)
        seq = move.pick(self.writer.living)
        if move.number(0, 1):
            return self.script.fork(move.pick(self.writer.living), seq)
        return self.script.admit(seq, 1)

    def no_tokens(self, move: Picks) -> None:
        self.script.admit(self.writer.newcomer(), -move.number(0, 1))

    def wrong_way(self, move: Picks) -> None:
        """Extend below, truncate above the length."""
        if not self.writer.living:
            return self.stranger(move)
        seq = move.pick(self.writer.living)
        length, size = self.spec.lengths[seq], self.spec.block_size
        by = move.pick((1, size, size + 1))
        if move.number(0, 1) and length:
            return self.script.extend(seq, max(0, length - by))
        return self.script.truncate(seq, length + by)

    def below_zero(self, move: Picks) -> None:
        if not self.writer.living:
            return self.stranger(move)
        return self.script.truncate(move.pick(self.writer.living), -1)

    def free_shared(self, move: Picks) -> None:
        """Share a free block, alone or behind one that can be shared."""
        if not self.spec.free_blocks:
            return self.stranger(move)
        held = self.spec.referenced[: move.number(0, 1)]
        shared = [*held, move.pick(self.spec.free_blocks)]
        return self.script.admit(self.writer.newcomer(), len(shared) * self.spec.block_size, shared)

    def repeated_shared(self, move: Picks) -> None:
        if not self.spec.referenced:
            return self.free_shared(move)
        shared = [move.pick(self.spec.referenced)] * 2
        return self.script.admit(
            self.writer.newcomer(), 2 * self.spec.block_size + move.number(0, 1), shared
        )

    def too_many_shared(self, move: Picks) -> None:
        held = self.spec.referenced
        if len(held) < 2:
            return self.repeated_shared(move)
        shared = held[: move.number(2, len(held))]
        return self.script.admit(
            self.writer.newcomer(), (len(shared) - 1) * self.spec.block_size, shared, "list"
        )

    def retain_free(self, move: Picks) -> None:
        """Retain a free block, alone or behind one that may be retained."""
        if not self.spec.free_blocks:
            return self.stranger(move)
        held = self.spec.referenced[: move.number(0, 1)]
        return self.script.retain([*held, move.pick(self.spec.free_blocks)], move.pick(LISTS))

    def release_too_much(self, move: Picks) -> None:
        """Release what nobody retained, or more often than it was, alone or behind a lawful one."""
        kept = sorted(block for block, count in self.spec.retained.items() if count > 0)
        if kept and move.number(0, 1):
            block = move.pick(kept)
            return self.script.release([block] * (self.spec.retained[block] + 1))
        others = [
            block for block in self.spec.referenced if block not in kept
        ] or self.spec.free_blocks
        return (
            self.script.release([*kept[: move.number(0, 1)], move.pick(others)])
            if others
            else self.stranger(move)
        )

    def ask_forbidden(self, move: Picks) -> None:
        """can_admit of something that admit refuses."""
        size = self.spec.block_size
        if self.spec.referenced and move.number(0, 1):
            return self.script.can_admit(2 * size, [move.pick(self.spec.referenced)] * 2)
        if self.spec.free_blocks and move.number(0, 1):
            return self.script.can_admit(2 * size, [move.pick(self.spec.free_blocks)])
        return self.script.can_admit(0)
