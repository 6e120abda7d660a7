"""The calls of exercise 7 that are named rather than drawn: the widest, the longest, the emptiest."""

from __future__ import annotations

from graders.checking.check_context import CheckContext
from graders.exercises.ex7_paged_attention.judge import KernelJudge
from graders.exercises.ex7_paged_attention.specification import Decode

DEEP = -(2.0**24)  # a scale: ten thousand million below 0 a score is then, and exact


def _decoded(context: CheckContext, *calls: Decode) -> None:
    for call in calls:
        context.cases += 1
        KernelJudge(context).decode(call)


def widths(context: CheckContext) -> None:
    """D of 128, and one that is no power of two; another scale."""
    _decoded(
        context,
        Decode((1,), 16),
        Decode((5,), 16, width=128, scale=0.0625),
        Decode((7,), 16, width=96, scale=1.0, seed=3),
        Decode((40,), 64, width=33, seed=4),
    )


def pages(context: CheckContext) -> None:
    """Blocks of one position, of 12 and of 64, a last block that is just full, and just begun; a
    long context; a long table; block 0, and blocks whose numbers need more than 16 bits, and offsets more
    than 32 in a larger pool."""
    _decoded(
        context,
        Decode((5,), 1, seed=1),
        Decode((70,), 64, seed=2),
        Decode((8,), 4, 2, seed=3, spare=0),
        Decode((9,), 4, 2, seed=4),
        Decode((33,), 12, seed=5),
        Decode((600,), 64, seed=6),
        Decode((300,), 1, seed=7),
    )
    context.cases += 1
    KernelJudge(context).far(Decode((9,), 1, seed=11, unowned=90_000))


def groups(context: CheckContext) -> None:
    """Eight query heads a KV head; three, which is no power of two; three KV heads of one, and six."""
    _decoded(
        context, Decode((3,), 4, 2, 8), Decode((5,), 4, 2, 3, seed=1), Decode((6,), 4, 3, 1, seed=2)
    )
    _decoded(context, Decode((4,), 4, 1, 2, width=48, seed=3), Decode((2,), 4, 6, 1, seed=4))


def emptiest(context: CheckContext) -> None:
    """Nobody; requests of length 0 among others; entries that are no blocks; as many as an engine
    decodes at once."""
    _decoded(
        context,
        Decode((), 4),
        Decode((0,), 4, wild=True),
        Decode((4, 0, 9), 4, 1, 2, wild=True, seed=1),
        Decode((16, 32), 16, wild=True, seed=2),
        Decode(tuple(1 + row % 3 for row in range(20)), 4, seed=3),
        Decode((1,) * 130, 1, seed=4),
    )


def neighbours(context: CheckContext) -> None:
    """What lies beyond a length is another's block, in every size; what lies beyond the last column
    of a block that is full, too."""
    for call in (
        Decode((5, 3), 4, seed=1),
        Decode((4, 17), 4, 2, 2, seed=2),
        Decode((1, 1), 1, seed=3),
        Decode((4, 2), 2, width=40, seed=4),
    ):
        context.cases += 1
        KernelJudge(context).own_alone(call)


def each_once(context: CheckContext) -> None:
    """Eight query heads; a context of several tiles; blocks of one; columns that are no power of two."""
    for call in (
        Decode((6,), 4, 1, 8),
        Decode((50,), 16, 1, 2, seed=1),
        Decode((5,), 1, 2, 2, split=2, seed=2),
        Decode((3,), 4, 2, width=33, seed=3),
    ):
        context.cases += 1
        KernelJudge(context).once(call)


def many_parts(context: CheckContext) -> None:
    """As many parts as positions, and many more; a long context is shared out."""
    _decoded(
        context,
        Decode((5,), 4, split=5),
        Decode((2, 0), 4, split=16, seed=1),
        Decode((40,), 16, split=3, seed=2),
        Decode((40,), 16, split=40, seed=4),
    )
    context.cases += 1
    KernelJudge(context).shared_out(Decode((256,), 16, split=4, seed=3))


def steepest(context: CheckContext) -> None:
    """Scores of ten thousand and beyond: the first position has them, the last has; all are far
    below 0."""
    _decoded(
        context,
        Decode(
            (20,), 4, seed=5
        ),  # of moderate scores: the tolerance is close, and sees sixteen bits
        Decode((20,), 4, scale=4.0, magnitude=8.0),
        Decode((20,), 4, scale=-64.0, magnitude=8.0, seed=1),
        Decode((9,), 4, 1, 2, dtype="bfloat16", seed=2),
        Decode((1,), 4, scale=-64.0, magnitude=8.0, split=2, seed=3),
        Decode((1,), 4, scale=DEEP, magnitude=8.0, seed=3),
        Decode((33,), 16, dtype="bfloat16", scale=2.0, magnitude=4.0, split=2, seed=4),
        Decode((5,), 4, scale=0.0, seed=4),  # all weigh the same
    )
