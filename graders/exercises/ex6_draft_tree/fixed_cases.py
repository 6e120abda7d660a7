"""The cases of exercise 6 that are named rather than drawn: what is refused, just allowed, or
large."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.failure import Together
from graders.exercises.ex6_draft_tree.judge import GROWTH, TREE, DraftTreeJudge
from graders.exercises.ex6_draft_tree.random_cases import FAR, NEVER, Gardener, coarse, verified
from graders.exercises.ex6_draft_tree.specification import ROOT, Candidate, RowGrowth

LITTLE = 2.0**-40  # that float64 sees beside 1, and float32 does not
FINE = 2.0**-12  # that float32 sees beside 8, and half precision does not

SMALL: RowGrowth = [
    Candidate(11, -1, 1, -0.5),
    Candidate(12, -1, 1, -1.0),
    Candidate(21, 0, 2, -0.75),
    Candidate(22, 0, 2, -2.0),
]
OTHER: RowGrowth = [
    *SMALL[:2],
    Candidate(31, 1, 2, -1.5),
    Candidate(41, 2, 3, -1.75),
]  # one of depth 2, one of depth 3
GUESSES: tuple[list[list[int]], list[list[float]]] = ([[51, 52]], [[-0.5, -1.0]])
EASY: tuple[tuple[RowGrowth, int], ...] = (
    ([], ROOT),
    (SMALL, 1),
    (SMALL, 3),
)  # whose stories are easy to read
_TOKENS, _LOGS = GUESSES
_TWO = [[*_TOKENS[0]], [53, 54]]
REFUSED: tuple[tuple[str, Sequence[Any], str], ...] = (
    ("frontier", ([SMALL], 1, 3), "there are 2 candidates of depth 1, and 3 are asked for"),
    ("frontier", ([SMALL], 3, 1), "there is no candidate of depth 3"),
    ("frontier", ([SMALL], 2, 5), "there are 2 candidates of depth 2, and 5 are asked for"),
    (
        "frontier",
        ([SMALL, OTHER], 2, 2),
        "there is 1 candidate of depth 2 in row 1, and 2 are asked for",
    ),
    (
        "frontier",
        ([OTHER, SMALL], 2, 2),
        "there is 1 candidate of depth 2 in row 0, and 2 are asked for",
    ),
    (
        "frontier",
        ([[*SMALL, Candidate(23, 1, 2, -2.5)], [*OTHER, Candidate(42, 2, 3, -2.0)]], 2, 2),
        "there is 1 candidate of depth 2 in row 1, and 2 are asked for",
    ),
    ("frontier", ([[]], 1, 1), "there is no candidate at all"),
    (
        "grow",
        ([SMALL], [[4]], [_TOKENS], [_LOGS]),
        "candidate 4 is chosen, and there are 4, from 0 on",
    ),
    (
        "grow",
        ([SMALL], [[-2]], [_TOKENS], [_LOGS]),
        "candidate -2 is chosen; -1 is the root, below it is nothing",
    ),
    ("grow", ([[]], [[0]], [_TOKENS], [_LOGS]), "candidate 0 is chosen, and there is none yet"),
    (
        "grow",
        ([SMALL], [[1, 4]], [_TWO], [[*_LOGS, *_LOGS]]),
        "candidate 4 is chosen, and there are 4, from 0 on",
    ),
    (
        "grow",
        ([SMALL, SMALL], [[1], [9]], [_TOKENS] * 2, [_LOGS] * 2),
        "candidate 9 is chosen in row 1, and there are 4",
    ),
    (
        "grow",
        ([SMALL, SMALL], [[1], [-2]], [_TOKENS] * 2, [_LOGS] * 2),
        "candidate -2 is chosen in row 1; -1 is the root, below it is nothing",
    ),
    (
        "grow",
        ([SMALL], [[0]], [_TOKENS], [[[0.125, -1.0]]]),
        "topk_logprob[0][0] is 0.125: no probability is above 1",
    ),
    (
        "grow",
        ([SMALL], [[0]], [_TOKENS], [[[-0.5, 2.0]]]),
        "topk_logprob[0][1] is 2.0: no probability is above 1",
    ),
    (
        "grow",
        ([[]], [[ROOT]], [_TOKENS], [[[-0.5, 0.25]]]),
        "topk_logprob[0][1] is 0.25: no probability is above 1",
    ),
    (
        "grow",
        ([SMALL] * 2, [[0], [1]], [_TOKENS] * 2, [_LOGS, [[-1.0, 0.5]]]),
        "a topk_logprob of row 1 is 0.5",
    ),
    (
        "grow",
        ([SMALL], [[0]], [_TOKENS], [[[LITTLE, -1.0]]]),
        "topk_logprob[0][0] is a little above 0: no probability is above 1",
    ),
    (
        "rerank",
        ([SMALL], [5], 6),
        "there are 4 candidates, and 5 beside the root are asked for",
    ),
    (
        "rerank",
        ([SMALL, OTHER], [5, 6], 9),
        "there are 4 candidates, and 8 beside the root are asked for",
    ),
    ("rerank", ([[]], [5], 2), "there is no candidate, and 1 beside the root is asked for"),
)
"""Method, arguments and why they are refused."""


def refused(context: CheckContext) -> None:
    """Every error of the contract, in the first row and in a later one."""
    together = Together()
    for method, args, why in REFUSED:
        context.cases += 1
        with together.case():
            DraftTreeJudge(context).refused(method, args, why)
    together.tell()
    _just_allowed(context)


def _just_allowed(context: CheckContext) -> None:
    """As much as there is, and a guess that is certain."""
    tokens, _ = GUESSES
    context.cases += 4
    judge = DraftTreeJudge(context)
    judge.frontier([SMALL, SMALL], 2, 2)
    judge.rerank([SMALL], [5], 5, TREE[:3])
    judge.rerank([[]], [5], 1, TREE[:3])
    judge.grow([SMALL], [[3]], [tokens], [[[0.0, NEVER]]], GROWTH[:2])


def _easy(context: CheckContext, names: Sequence[str]) -> None:
    tokens, logs = GUESSES
    for growth, above in EASY:
        context.cases += 1
        DraftTreeJudge(context).grow([growth], [[above]], [tokens], [logs], names)


def large_growths(context: CheckContext) -> None:
    """After the root and after another; hundreds of candidates, large tokens, all of them chosen,
    in no order."""
    _easy(context, GROWTH[:2])
    plants = Gardener(random.Random(1), 6, coarse, FAR)
    row = plants.sown()
    for width in (6, 10, 16, 16):
        row = plants.grown(row, width)
    for chosen in (list(range(len(row) - 1, -1, -3)), [150], [len(row) - 1, 0]):
        context.cases += 1
        tokens, logs = plants.after(len(chosen))
        DraftTreeJudge(context).grow([row], [chosen], [tokens], [logs], GROWTH[:2])


def fine_values(context: CheckContext) -> None:
    """Sums that only their own precision holds, long paths, what is certain and what is impossible."""
    _easy(context, GROWTH[2:])
    for dtype, step in (("float32", FINE), ("float64", LITTLE)):
        row: RowGrowth = []
        chosen = [ROOT]
        for _ in range(30):
            context.cases += 1
            row = DraftTreeJudge(context, dtype).grow(
                [row], [chosen], [[[1, 2]]], [[[-0.25 - step, -step]]], GROWTH[2:]
            )[0]
            chosen = [len(row) - 1]
    context.cases += 2
    judge = DraftTreeJudge(context)
    judge.grow([SMALL], [[2, 1]], [[[1, 2], [3, 4]]], [[[0.0, NEVER], [NEVER, 0.0]]], GROWTH[2:])
    gone = [*SMALL, Candidate(9, 3, 3, NEVER)]
    judge.grow([gone], [[4]], [[[1, 2]]], [[[0.0, -1.0]]], GROWTH[2:])


def _flat(count: int, value: float, depth: int = 1) -> RowGrowth:
    return [Candidate(100 + index, -1, depth, value) for index in range(count)]


def _ladder(count: int, step: float, base: float) -> RowGrowth:
    """Values that differ by a little, in no order."""
    order = random.Random(count).sample(range(count), count)
    return [Candidate(100 + index, -1, 1, base - step * place) for index, place in enumerate(order)]


def _two_zeros() -> RowGrowth:
    """They are equal."""
    return [Candidate(10, -1, 1, -0.0), Candidate(11, -1, 1, 0.0), Candidate(12, -1, 1, -0.0)]


def _cousins(count: int) -> RowGrowth:
    """Depth 2 grows on, by hundreds, after depth 3 has: the last of them are worth most."""
    return [
        Candidate(10, -1, 1, -0.5),
        Candidate(11, -1, 1, -0.5),
        Candidate(12, 0, 2, -0.5),
        Candidate(13, 2, 3, -0.5),
        *(
            Candidate(100 + index, 1, 2, -0.75 if index > count - 4 else -2.0)
            for index in range(count)
        ),
    ]


def hard_frontiers(context: CheckContext) -> None:
    """Equal values by the hundred or all along a path, some that half precision or float32 take for
    equal, -inf."""
    mixed = [
        *_flat(3, -1.0),
        Candidate(200, 0, 2, NEVER),
        Candidate(201, 1, 2, -3.0),
        Candidate(202, 1, 2, NEVER),
    ]
    chain = [Candidate(100 + index, index - 1, index + 1, 0.0) for index in range(40)]
    cases: tuple[tuple[RowGrowth, int, int, str], ...] = (
        (_flat(300, -0.5), 1, 17, "float32"),
        (_flat(40, NEVER), 1, 5, "float32"),
        (_ladder(300, FINE, -8.0), 1, 300, "float32"),
        (_ladder(20, LITTLE, -1.0), 1, 20, "float64"),
        (_ladder(20, 1.0, -1000.0), 1, 4, "float32"),
        (mixed, 2, 3, "float32"),
        (mixed, 2, 2, "float32"),
        (chain, 30, 1, "float32"),
        *((_two_zeros(), 1, 2, dtype) for dtype in ("float32", "float64")),
        (
            [*_flat(200, -9.0), *(Candidate(900 + each, each, 2, -10.0) for each in range(3))],
            2,
            2,
            "float32",
        ),
    )
    for row, depth, width, dtype in cases:
        context.cases += 1
        DraftTreeJudge(context, dtype).frontier([row], depth, width)


def hard_trees(context: CheckContext) -> None:
    """The same for what is kept: certain guesses that equal their parents, deep paths, hundreds of
    candidates."""
    chain = [Candidate(100 + index, index - 1, index + 1, 0.0) for index in range(40)]
    later = [
        Candidate(10, -1, 1, -1.0),
        Candidate(11, -1, 1, 0.0),
        Candidate(12, 1, 2, -1.0),
        Candidate(13, 0, 2, -1.0),
    ]
    gone = [
        Candidate(10, -1, 1, NEVER),
        Candidate(11, -1, 1, -1.0),
        Candidate(12, 0, 2, NEVER),
        Candidate(13, 1, 2, NEVER),
    ]
    deep = [
        Candidate(10, -1, 1, -0.5),
        Candidate(11, -1, 1, -3.0),
        Candidate(12, 0, 2, -0.5),
        Candidate(13, 2, 3, -1.0),
    ]
    mixed = [
        Candidate(10, -1, 1, -1.0),
        Candidate(11, 0, 2, -1.5),
        Candidate(12, -1, 1, -1.25),
        Candidate(13, 2, 2, -1.5),
    ]
    aunt = [  # as sure as her niece, and created after her
        Candidate(10, -1, 1, -1.0),
        Candidate(11, 0, 2, -1.5),
        Candidate(12, -1, 1, -1.5),
    ]
    cases: tuple[tuple[RowGrowth, int, str], ...] = (
        *((chain, size, "float32") for size in (41, 17)),
        *((later, size, "float32") for size in (2, 3, 4)),
        *((gone, size, "float32") for size in (3, 4, 5)),
        *((deep, size, "float32") for size in (1, 3, 4)),
        *((mixed, size, "float32") for size in (4, 5)),
        *((aunt, size, "float32") for size in (3, 4)),
        *((_two_zeros(), 2, dtype) for dtype in ("float32", "float64")),
        (_cousins(520), 8, "float32"),
        (_flat(300, -0.5), 130, "float32"),
        ([*_flat(150, -0.5), Candidate(900, 140, 2, -0.75)], 152, "float32"),
        ([*_flat(300, -0.5), Candidate(900, 290, 2, -0.75)], 302, "float32"),
        (_ladder(260, FINE, -8.0), 140, "float32"),
        (_ladder(20, LITTLE, -1.0), 12, "float64"),
    )
    for row, size, dtype in cases:
        context.cases += 1
        DraftTreeJudge(context, dtype).rerank([row], [7], size, TREE[:3])


def hard_masks(context: CheckContext) -> None:
    """A long path, and a parent that was created after an aunt of its children."""
    chain = [Candidate(100 + index, index - 1, index + 1, 0.0) for index in range(40)]
    mixed = [
        Candidate(10, -1, 1, -1.0),
        Candidate(11, 0, 2, -1.5),
        Candidate(12, -1, 1, -1.25),
        Candidate(13, 2, 2, -1.5),
    ]
    for row, size in ((chain, 41), (mixed, 5), (mixed, 4), ([], 1)):
        context.cases += 1
        DraftTreeJudge(context).rerank([row], [7], size, ("mask",))


def large_batches(context: CheckContext) -> None:
    """As many rows as an engine decodes at once, each with another order of values; and nobody at
    all."""
    for count in (130, 0):
        context.cases += 1
        plants = Gardener(random.Random(count), 3, coarse)
        rows = [plants.grown(plants.sown(), 2) for _ in range(count)]
        judge = DraftTreeJudge(context)
        judge.frontier(rows, 1, 2)
        judge.rerank(rows, list(range(count)), 5)
        given = [plants.after(2) for _ in rows]
        chosen = [[row % 3, 3 + row % 2] for row in range(count)]
        judge.grow(rows, chosen, [tokens for tokens, _ in given], [logs for _, logs in given])


def large_trees(context: CheckContext) -> None:
    """More nodes than 64 or 256: words of bits and bytes end there."""
    plants = Gardener(random.Random(2), 8, coarse)
    row = plants.sown()
    for width in (8, 16, 16):
        row = plants.grown(row, width)
    for rows, size in (([row], 300), ([row, plants.grown(row[:-8], 1)], 70)):
        context.cases += 1
        verified(context, DraftTreeJudge(context), rows, size)
    context.cases += 1
    chain = [Candidate(100 + index, index - 1, index + 1, 0.0) for index in range(150)]
    verified(context, DraftTreeJudge(context), [chain], 151)
