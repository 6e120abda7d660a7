"""How much of a part's own code runs, counted in bytecode instructions: it may grow with what comes in and goes out.

`frontier` and `grow` read and write M candidates a row, `rerank` writes N * N cells of a mask. Whole tensors cost the
same at any size; a loop over rows and candidates costs as much as they are; a search through all candidates for each of
them costs their square. Loops in C are not seen.

The count is made in the part's process, which may write it: so right answers to ordinary calls with many times as many
candidates may not take the part's process far more CPU time than in proportion, read from outside of it.
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
FEW, MANY = 480, 3840  # candidates, where time is taken: a search for each of a few is quicker than the question
DEARER = 3.0  # times more than in proportion
TRIES = 3
LEAST = 3e-4  # seconds: no call is taken to cost less, with its question and its answer


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
        Work("grow", "candidates", (len(few), len(many)), lambda judge, at: _grow_call(judge, rows[at])),
        Work("frontier", "candidates", (len(few), len(many)), lambda judge, at: judge.frontier_call([rows[at]], 2, 6)),
        Work(
            "rerank", "candidates", (len(few), len(many)), lambda judge, at: judge.rerank_call([rows[at]], [7], NODES)
        ),
        Work(
            "rerank",
            "cells of the mask",
            (NODES**2, (NODES * TIMES) ** 2),
            lambda judge, at: judge.rerank_call([many], [7], (NODES, NODES * TIMES)[at]),
        ),
    )
    for work in works:
        context.cases += 1
        growth = Growth(work.method, _cost(context, work, 0), _cost(context, work, 1), linear=True)
        if growth.exceeds(ALLOWED):
            _too_much(context, work.what, growth)
    context.figures.append(Figure(f"rerank of {len(many)} candidates", growth.large.amount, "instructions"))
    _take_time(context, chance)


def _take_time(context: CheckContext, chance: random.Random) -> None:
    """Raise Broken for a wrong answer, or one that takes far too long each time."""
    few, many = (_row(chance, count) for count in (FEW, MANY))
    judge = DraftTreeJudge(context)
    calls: dict[str, Callable[[RowGrowth], object]] = {
        "grow": lambda row: judge.grow([row], [[0, 3]], [[[1, 2]] * 2], [[[-1.0, -2.0]] * 2]),
        "frontier": lambda row: judge.frontier([row], 2, 6),
        "rerank": lambda row: judge.rerank([row], [7], NODES),
    }
    for method, call in calls.items():
        context.cases += 1
        small, large = (Cost(len(row), _seconds(context, call, row) * 1e6, "µs") for row in (few, many))
        growth = Growth(method, small, large, linear=True)
        if growth.exceeds(DEARER):
            _too_much(context, "candidates", growth)


def _seconds(context: CheckContext, call: Callable[[RowGrowth], object], row: RowGrowth) -> float:
    """CPU time of the worker: the least of a few tries."""
    spent = []
    for _ in range(TRIES):
        before = context.worker.cpu_seconds()
        call(row)
        spent.append(context.worker.cpu_seconds() - before)
    return max(LEAST, min(spent))


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


def _too_much(context: CheckContext, what: str, growth: Growth) -> None:
    judge = DraftTreeJudge(context)
    told = f"{growth.what}: {growth.small} for {growth.small.size} {what}, {growth.large} for {growth.large.size}"
    unit = "instructions" if growth.small.unit == "instructions" else "CPU time"
    judge.scene.steps.clear()
    judge.scene.tell(told)
    message = (
        f"`{growth.what}` with {growth.larger} as many {what} takes {growth.dearer} as much ({unit}):"
        " something is searched anew for each of them."
    )
    judge.scene.broken(message, got=f"{growth.dearer} as much", expected=growth.due, method=growth.what)
