"""How random calls are drawn for each law of exercise 7: as small as they can be, for the
interpreter is slow."""

from __future__ import annotations

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex7_paged_attention.judge import KernelJudge
from graders.exercises.ex7_paged_attention.specification import Decode


def _seed(setup: Picks) -> int:
    return setup.number(0, 200)


def alone(context: CheckContext, case: Case) -> None:
    """One request whose context lies in one block."""
    setup = case.setup
    length = setup.number(1, 16)
    KernelJudge(context).decode(
        Decode(
            (length,),
            block_size=setup.pick((16, 32)),
            width=setup.pick((32, 64, 40)),
            seed=_seed(setup),
        )
    )


def paged(context: CheckContext, case: Case) -> None:
    """One request, its blocks in no order; one KV head or two."""
    setup = case.setup
    size = setup.pick((4, 1, 2, 16, 3))
    length = setup.number(1, 36)
    KernelJudge(context).decode(Decode((length,), size, setup.pick((1, 2)), seed=_seed(setup)))


def grouped(context: CheckContext, case: Case) -> None:
    """Groups of query heads, several KV heads."""
    setup = case.setup
    length, kv_heads = setup.number(1, 9), setup.pick((2, 1, 3))
    group = setup.pick((2, 4, 8, 3))
    KernelJudge(context).decode(Decode((length,), 4, kv_heads, group, seed=_seed(setup)))


def ragged(context: CheckContext, case: Case) -> None:
    """Several requests, some of them empty, entries beyond their lengths that are no blocks."""
    moves = list(case.moves)[:3]
    lengths = tuple(move.pick((1, 5, 0, 9, 20, 4)) for move in moves)
    setup = case.setup
    KernelJudge(context).decode(
        Decode(lengths, setup.pick((4, 8)), wild=setup.pick((False, True)), seed=_seed(setup))
    )


def own_blocks(context: CheckContext, case: Case) -> None:
    """Several requests, what lies beyond a length belongs to others."""
    moves = list(case.moves)[:2]
    lengths = tuple(move.pick((3, 1, 5, 8, 18)) for move in moves) or (2,)
    setup = case.setup
    KernelJudge(context).own_alone(
        Decode(
            lengths,
            setup.pick((4, 1, 2, 16)),
            setup.pick((1, 2)),
            split=setup.pick((1, 2, 3)),
            seed=_seed(setup),
        )
    )


def counted(context: CheckContext, case: Case) -> None:
    """Groups, blocks of all sizes, parts."""
    moves = list(case.moves)[:2]
    lengths = tuple(move.pick((3, 1, 6, 17, 34)) for move in moves) or (2,)
    setup = case.setup
    size, group = setup.pick((4, 1, 16, 5)), setup.pick((2, 1, 4))
    KernelJudge(context).once(
        Decode(lengths, size, 1, group, split=setup.pick((1, 1, 2, 3)), seed=_seed(setup))
    )


def parts(context: CheckContext, case: Case) -> None:
    """More parts than one; more than there are positions."""
    moves = list(case.moves)[:2]
    lengths = tuple(move.pick((4, 1, 2, 0, 9, 21)) for move in moves) or (3,)
    setup = case.setup
    split, group = setup.pick((2, 3, 5, 8)), setup.pick((1, 2))
    KernelJudge(context).decode(Decode(lengths, 4, 1, group, split=split, seed=_seed(setup)))


def steep(context: CheckContext, case: Case) -> None:
    """Scores of thousands, of either sign; two dtypes."""
    setup = case.setup
    dtype, magnitude = setup.pick(("float32", "bfloat16")), setup.pick((4.0, 1.0, 16.0))
    length, split = setup.number(1, 20), setup.pick((1, 2))
    KernelJudge(context).decode(
        Decode(
            (length,),
            4,
            dtype=dtype,
            split=split,
            scale=0.5,
            magnitude=magnitude,
            seed=_seed(setup),
        )
    )
