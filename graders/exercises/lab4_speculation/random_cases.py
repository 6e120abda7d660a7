"""How random cases are drawn for each law of lab 4. Shares are eighths, so that floats hold every
product exactly."""

from __future__ import annotations

import types
from collections.abc import Iterable

from graders.checking.check_context import CheckContext
from graders.checking.formulas import FormulaJudge
from graders.checking.random_cases import Case, Picks
from graders.exercises.lab4_speculation import specification as spec
from graders.exercises.lab4_speculation.specification import Path

IMPORTS = "from types import MappingProxyType\n"
WIDEST, DEEPEST = 3, 4


def paths_of(moves: Iterable[Picks]) -> list[Path]:
    """One for each move; some are beginnings of others, some come twice."""
    return [
        tuple(move.number(0, WIDEST - 1) for _ in range(move.pick((1, 2, 3, DEEPEST))))
        for move in moves
    ]


def share_of(paths: Iterable[Path], setup: Picks) -> dict[Path, float]:
    """For every path and beginning: side by side they are right in 8 of 8 cases at most. In no
    order of their own."""
    share: dict[Path, float] = {}
    for path in sorted(spec.nodes(list(paths)), key=lambda path: (setup.number(0, 3), path)):
        beside = [other for other in share if other[:-1] == path[:-1]]
        left = 8 - round(8 * sum(share[other] for other in beside))
        share[path] = min(left, setup.pick((2, 4, 1, 8, 0, 3))) / 8
    return share


def judge_of(context: CheckContext) -> FormulaJudge:
    return FormulaJudge(context, IMPORTS)


def chain(context: CheckContext, case: Case) -> None:
    setup = case.setup
    alpha, depth = setup.pick((0.5, 1.0, 0.0, 0.25, 0.8, 0.999)), setup.pick((1, 0, 2, 3, 5, 16))
    judge_of(context).judge(spec.CHAIN, alpha, depth=depth)


def tree(context: CheckContext, case: Case) -> None:
    """The mapping knows more paths than the tree has; it may be read and not written."""
    setup = case.setup
    form, read_only = setup.pick((list, tuple)), setup.pick((False, False, True))
    paths = paths_of(case.moves)
    share = share_of([*paths, (0, 1), (2, 2)], setup)
    given = types.MappingProxyType(share) if read_only else share
    judge_of(context).judge(spec.TREE, form(paths), share=given)


def best(context: CheckContext, case: Case) -> None:
    setup = case.setup
    size, read_only = setup.pick((1, 2, 3, 5, 0, 9)), setup.pick((False, False, True))
    share = share_of([*paths_of(case.moves), (0,)], setup)
    given = types.MappingProxyType(share) if read_only else share
    judge_of(context).judge(spec.BEST, given, size=size)


def speed_up(context: CheckContext, case: Case) -> None:
    setup = case.setup
    tokens, cost = (
        1 + setup.number(0, 60) / setup.pick((8, 16)),
        1 + setup.number(0, 60) / setup.pick((4, 9)),
    )
    judge_of(context).judge(spec.SPEED_UP, tokens, pass_cost=cost)
