"""How random traces are drawn for each law of exercise 1: each play stays close to the law it is
for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex1_paged_allocation.judge import BlockManagerJudge
from graders.exercises.ex1_paged_allocation.operations import BlockManagerScript, Form

Move = Callable[[Picks], None]
SIZES = (4, 2, 1, 3, 16, 300, 1024)  # tokens of a block
STRANGER = 99  # a sequence that no trace admits
IDS = (  # what the sequences of a case are called, in the order in which they come
    tuple(range(1, STRANGER)),
    (0, 300, -1, 1 << 40, *range(301, 390)),
)
SOME = (1, 2, 3, 0)  # blocks of a list that is retained or released
LISTS: tuple[Form, ...] = ("list", "iterator", "tuple", "array")
SEQUENCES: tuple[Form, ...] = ("tuple", "list", "array")


class BlockManagerCases:
    """Writes a script: the moves that plays are made of, each at most two calls, chosen to make
    sense as things are.

    ids: what sequences are called. gone: those that were there and are not. full: blocks that were
    written to their end, whoever holds them.
    """

    def __init__(self, script: BlockManagerScript, ids: Sequence[int] = IDS[0]) -> None:
        self.script = script
        self.spec = script.spec
        self.ids = ids
        self.gone: dict[int, None] = {}
        self.full: set[int] = set()

    def play(self, context: CheckContext, case: Case, moves: Sequence[Move]) -> None:
        """Moves of the case, judged."""
        for move in case.moves:
            before = set(self.spec.tables)
            move.pick(moves)(move)
            self.gone |= dict.fromkeys(before - set(self.spec.tables))
            self.full = {block for block in self.full | self._written() if self.spec.ref(block)}
        BlockManagerJudge(context, self.script).judge()

    def _written(self) -> set[int]:
        return {block for seq in self.spec.tables for block in self.spec.full_blocks(seq)}

    @property
    def living(self) -> list[int]:
        return sorted(self.spec.tables)

    @property
    def absent(self) -> list[int]:
        """Sequences that are gone, the latest first."""
        return [seq for seq in reversed(self.gone) if seq not in self.spec.tables]

    def newcomer(self) -> int:
        """The first id not in use: one that was refused or freed before comes back."""
        return next(seq for seq in self.ids if seq not in self.spec.tables)

    def tokens(self, move: Picks, blocks: int) -> int:
        """A number of tokens for 1 to `blocks` blocks, mostly at the edges of a block."""
        size = self.spec.block_size
        full = move.number(1, max(1, blocks)) * size
        return max(1, full - move.pick((0, size - 1, 0, 1, size // 2)))

    def admit(self, move: Picks, *, beyond: int = 0, ask: bool = False) -> None:
        """A newcomer that fits; with `beyond` it may want so many blocks more than are free."""
        room = self.spec.num_free - self.spec.watermark + beyond
        if room > 0:
            self._admit(self.tokens(move, min(room, 6 + beyond)), ask=ask)

    def admit_sharing(self, move: Picks, *, beyond: int = 0, ask: bool = False) -> None:
        """A newcomer that borrows the first full blocks of somebody, and may take none of its own."""
        owners = [seq for seq in self.living if self.spec.full_blocks(seq)]
        if not owners:
            return self.admit(move, beyond=beyond, ask=ask)
        blocks = self.spec.full_blocks(move.pick(owners))
        return self._share(move, blocks[: move.number(1, len(blocks))], beyond=beyond, ask=ask)

    def admit_cached(self, move: Picks, *, beyond: int = 0, ask: bool = False) -> None:
        """A newcomer that borrows full blocks of anybody, of the cache alone too."""
        blocks = sorted(self.full & set(self.spec.referenced))
        if not blocks:
            return self.admit(move, beyond=beyond, ask=ask)
        first = move.number(0, len(blocks) - 1)
        return self._share(move, blocks[first : first + move.number(1, 3)], beyond=beyond, ask=ask)

    def _share(self, move: Picks, shared: Sequence[int], *, beyond: int, ask: bool) -> None:
        """With blocks of its own, with none, or with the last of those that it borrows not full."""
        room = self.spec.num_free - self.spec.watermark + beyond
        own = self.tokens(move, min(room, 3 + beyond)) if room > 0 else 0
        size = self.spec.block_size
        tokens = len(shared) * size + move.pick((own, own, 0, -min(1, size - 1)))
        self._admit(tokens, shared, move.pick(SEQUENCES), ask=ask)

    def _admit(
        self, tokens: int, shared: Sequence[int] = (), form: Form = "tuple", *, ask: bool
    ) -> None:
        if ask:
            self.script.can_admit(tokens, shared, form)
        self.script.admit(self.newcomer(), tokens, shared, form)

    def extend(self, move: Picks, *, beyond: int = 0, copies: bool = True) -> None:
        """Somebody grows: within the block, to its edge, over it, by several blocks, or not at all.

        beyond: blocks that may be lacking. copies: whether the one who grows may have to copy.
        """
        target = self._target(move, beyond)
        if target is None:
            return self.admit(move)
        if copies or not self.spec.copies(*target):
            self.script.extend(*target)
        return None

    def _target(self, move: Picks, beyond: int) -> tuple[int, int] | None:
        if not self.living:
            return None
        seq = move.pick(self.living)
        size, length = self.spec.block_size, self.spec.lengths[seq]
        edge = -length % size
        steps = (1, edge, edge + 1, edge + size, edge + size + 1, 0, size * (3 + beyond))
        target = length + move.pick(steps)
        if self.spec.needed(seq, target) > self.spec.num_free + beyond:
            target = length + edge
        return (
            (seq, target)
            if self.spec.needed(seq, target) <= self.spec.num_free + beyond
            else (seq, length)
        )

    def needed(self, move: Picks) -> None:
        """Ask what somebody's growth would take."""
        target = self._target(move, 2)
        if target is None:
            return self.admit(move)
        return self.script.blocks_needed(*target)

    def overgrow(self, move: Picks) -> None:
        """Somebody wants one or two blocks more than are free, or exactly what is."""
        if not self.living:
            return self.admit(move)
        seq = move.pick(self.living)
        size, table = self.spec.block_size, self.spec.tables[seq]
        full = (len(table) + self.spec.num_free + move.pick((1, 2, 0))) * size
        return self.script.extend(seq, max(self.spec.lengths[seq], full - move.pick((0, size - 1))))

    def overadmit(self, move: Picks) -> None:
        """A newcomer wants one or two blocks more than are free, or exactly what is."""
        size = self.spec.block_size
        full = (self.spec.num_free + move.pick((1, 2, 0))) * size
        self.script.admit(self.newcomer(), max(1, full - move.pick((0, size - 1))))

    def truncate(self, move: Picks) -> None:
        if not self.living:
            return self.admit(move)
        seq = move.pick(self.living)
        size, length = self.spec.block_size, self.spec.lengths[seq]
        down = move.pick(
            (1, length % size or size, size, length, 0, size + 1, length % size + 1, 2 * size)
        )
        return self.script.truncate(seq, max(0, length - down))

    def fork(self, move: Picks) -> None:
        if not self.living:
            return self.admit(move)
        return self.script.fork(move.pick(self.living), self.newcomer())

    def free(self, move: Picks) -> None:
        if not self.living:
            return self.admit(move)
        return self.script.free(move.pick(self.living))

    def retain(self, move: Picks) -> None:
        blocks = self.spec.referenced
        if not blocks:
            return self.admit(move)
        first = move.number(0, len(blocks) - 1)
        return self.script.retain(blocks[first : first + move.pick(SOME)], move.pick(LISTS))

    def release(self, move: Picks) -> None:
        blocks = sorted(block for block, count in self.spec.retained.items() if count > 0)
        if not blocks:
            return self.retain(move)
        first = move.number(0, len(blocks) - 1)
        return self.script.release(blocks[first : first + move.pick(SOME)], move.pick(LISTS))

    def ask_of_the_gone(self, move: Picks) -> None:
        """A sequence that was there is asked for: unknown again."""
        if not self.absent:
            return self.admit(move)
        seq, script = self.absent[0], self.script
        asks = (script.length, script.table, script.free)
        return move.pick(asks)(seq)

    def grow_apart(self, move: Picks) -> None:
        """Somebody whose last block is full grows into a new one: nothing to copy, whoever shares
        the others."""
        full = [seq for seq in self.living if not self.spec.lengths[seq] % self.spec.block_size]
        if not full or not self.spec.num_free:
            return self.admit(move)
        seq = move.pick(full)
        return self.script.extend(
            seq, self.spec.lengths[seq] + move.number(1, self.spec.block_size)
        )


def arithmetic(context: CheckContext, case: Case) -> None:
    """Law 1.1: admit, extend and blocks_needed while there is room."""
    setup = case.setup
    script = BlockManagerScript(setup.pick((8, 16, 2, 32)), setup.pick(SIZES), refs=False)
    writer = BlockManagerCases(script, setup.pick(IDS))
    writer.play(context, case, (writer.admit, writer.extend, writer.needed))


def giving_back(context: CheckContext, case: Case) -> None:
    """Law 1.2: a small pool, used up and given back over and over; freeing twice."""
    setup = case.setup
    script = BlockManagerScript(setup.pick((4, 3, 2, 6, 9)), setup.pick(SIZES), refs=False)
    writer = BlockManagerCases(script, setup.pick(IDS))
    moves = (
        writer.admit,
        writer.free,
        writer.admit,
        writer.free,
        writer.extend,
        writer.ask_of_the_gone,
    )
    writer.play(context, case, moves)


def all_or_nothing(context: CheckContext, case: Case) -> None:
    """Law 1.3: more is asked for than there is."""
    setup = case.setup
    script = BlockManagerScript(setup.pick((4, 3, 2, 6)), setup.pick(SIZES), refs=False)
    writer = BlockManagerCases(script, setup.pick(IDS))
    writer.play(
        context, case, (writer.overadmit, writer.admit, writer.overgrow, writer.extend, writer.free)
    )


def sharing(context: CheckContext, case: Case) -> None:
    """Law 1.4: forks and admissions that borrow, and the owners leaving in any order."""
    setup = case.setup
    writer = BlockManagerCases(
        BlockManagerScript(setup.pick((8, 4, 12)), setup.pick(SIZES)), setup.pick(IDS)
    )
    writer.play(
        context,
        case,
        (writer.admit, writer.fork, writer.free, writer.admit_sharing, writer.grow_apart),
    )


def copy_on_write(context: CheckContext, case: Case) -> None:
    """Law 1.5: forks that grow apart, with and without room for the copy."""
    setup = case.setup
    writer = BlockManagerCases(
        BlockManagerScript(setup.pick((8, 3, 4, 12)), setup.pick(SIZES)), setup.pick(IDS)
    )

    def extend(move: Picks) -> None:
        writer.extend(move, beyond=1)

    moves = (
        extend,
        writer.fork,
        writer.admit,
        extend,
        writer.needed,
        writer.free,
        writer.admit_sharing,
        writer.overgrow,
    )
    writer.play(context, case, moves)


def truncate(context: CheckContext, case: Case) -> None:
    """Law 1.6: shrink to any length, shared or not, and grow again."""
    setup = case.setup
    writer = BlockManagerCases(
        BlockManagerScript(setup.pick((8, 4, 12)), setup.pick(SIZES)), setup.pick(IDS)
    )

    def extend(move: Picks) -> None:
        writer.extend(move, copies=False)

    writer.play(
        context,
        case,
        (writer.truncate, writer.admit, extend, writer.truncate, writer.fork, writer.free),
    )


def watermark(context: CheckContext, case: Case) -> None:
    """Law 1.7: ask, then admit, at the edge of the watermark; extend may use what it keeps free."""
    setup = case.setup
    num_blocks = setup.pick((4, 3, 6, 8, 12))
    kept = setup.pick((1, 0, 2, 3))
    script = BlockManagerScript(num_blocks, setup.pick(SIZES), watermark=min(kept, num_blocks - 2))
    writer = BlockManagerCases(script, setup.pick(IDS))

    def admit(move: Picks) -> None:
        writer.admit(move, beyond=move.pick((0, 1, 2)), ask=True)

    def admit_sharing(move: Picks) -> None:
        writer.admit_sharing(move, beyond=move.pick((0, 1)), ask=True)

    def extend(move: Picks) -> None:
        writer.extend(move, beyond=1)

    writer.play(
        context, case, (admit, extend, writer.free, admit_sharing, writer.fork, writer.needed)
    )


def references(context: CheckContext, case: Case) -> None:
    """Law 1.8: retain and release among everything else."""
    setup = case.setup
    writer = BlockManagerCases(
        BlockManagerScript(setup.pick((8, 4, 12)), setup.pick(SIZES)), setup.pick(IDS)
    )

    def extend(move: Picks) -> None:
        writer.extend(move, beyond=1)

    def admit_cached(move: Picks) -> None:
        writer.admit_cached(move, beyond=move.pick((0, 1)), ask=True)

    calls = (
        writer.retain,
        writer.admit,
        writer.free,
        writer.release,
        admit_cached,
        writer.truncate,
        writer.fork,
    )
    writer.play(context, case, (*calls, extend, writer.release, writer.retain))
