"""How much of a part's own code runs, counted in bytecode instructions: it may grow with what comes
in and goes out.

`frontier` and `grow` read and write M candidates a row, `rerank` writes N * N cells of a mask.
Whole tensors cost the same at any size; a loop over rows and candidates costs as much as they are;
a search through all candidates for each of them costs their square. Loops in C are not seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.complexity import Cost, Growth
from graders.exercises.ex6_draft_tree.judge import DraftTreeJudge
from graders.exercises.ex6_draft_tree.random_cases import Gardener, coarse
from graders.exercises.ex6_draft_tree.specification import RowGrowth
from graders.result import Figure

SMALL, TIMES = 60, 4  # candidates, and how many times as many
NODES = 12
ALLOWED = 2.0
MOST = 20_000_000


@dataclass(frozen=True, slots=True)
class Work:
    """Calls of one method at two sizes. sizes: what is read and written at each."""

    method: str
    what: str
    sizes: tuple[int, int]
    call: Callable[[DraftTreeJudge, int], tuple[list[Any], str]]


def in_proportion(context: CheckContext) -> None:
    """Raise Broken where four times as much to do takes far more than four times the work."""
    chance = random.Random(context.seed)
    few, many = (_row(chance, count) for count in (SMALL, SMALL * TIMES))
    rows = [few, many]
    works = (
        Work(
            "grow",
            "candidates",
            (len(few), len(many)),
            lambda judge, at: _grow_call(judge, rows[at]),
        ),
        Work(
            "frontier",
            "candidates",
            (len(few), len(many)),
            lambda judge, at: judge.frontier_call([rows[at]], 2, 6),
        ),
        Work(
            "rerank",
            "candidates",
            (len(few), len(many)),
            lambda judge, at: judge.rerank_call([rows[at]], [7], NODES),
        ),
        Work(
            "rerank",
            "cells of the mask",
            (NODES**2, (NODES * TIMES) ** 2),
            lambda judge, at: judge.rerank_call([many], [7], (NODES, NODES * TIMES)[at]),
        ),
    )
    found = []
    for work in works:
        context.cases += 1
        growth = Growth(work.method, _cost(context, work, 0), _cost(context, work, 1), linear=True)
        if growth.exceeds(ALLOWED):
            _too_much(context, work, growth)
        found.append((growth, work))
    context.figures.append(_figure(*max(found, key=lambda each: each[0].times)))


def _figure(growth: Growth, work: Work) -> Figure:
    """Of the work that grew most."""
    name = f"{work.method}, {growth.larger} the {work.what}"
    own = f"bytecode instructions of your own code, {growth.small.amount:,.0f} and {growth.large.amount:,.0f}"
    return Figure(name, round(growth.times, 2), "x", ALLOWED * growth.sizes, "bound", own)


def _row(chance: random.Random, count: int) -> RowGrowth:
    plants = Gardener(chance, 6, coarse)
    row = plants.sown()
    while len(row) < count:
        row = plants.grown(row, 3)
    return row


def _grow_call(judge: DraftTreeJudge, row: RowGrowth) -> tuple[list[Any], str]:
    return judge.grow_call([row], [[0, 3]], [[[1, 2]] * 2], [[[-1.0, -2.0]] * 2])


def _cost(context: CheckContext, work: Work, at: int) -> Cost:
    judge = DraftTreeJudge(context)
    args, _ = work.call(judge, at)
    (amount,) = judge.scene.tally([(work.method, args)], MOST)
    return Cost(work.sizes[at], amount)


def _too_much(context: CheckContext, work: Work, growth: Growth) -> None:
    judge = DraftTreeJudge(context)
    told = f"{work.method}: {growth.small} for {growth.small.size} {work.what}, {growth.large} for {growth.large.size}"
    judge.scene.steps.clear()
    judge.scene.tell(told)
    message = (
        f"`{work.method}` with {growth.larger} as many {work.what} takes {growth.dearer} as many instructions:"
        " something is searched anew for each of them."
    )
    judge.scene.broken(
        message, got=f"{growth.dearer} as much", expected=growth.due, method=work.method
    )
