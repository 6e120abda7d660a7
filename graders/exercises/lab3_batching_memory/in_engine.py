"""The last law of lab 3: the formulas beside what the course's own parts hold at once, and the
steps they take."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.formulas import FormulaJudge
from graders.result import Figure
from graders.simulation.unjudged_run import UnjudgedEngine, part
from reference_engine.naive import parts as naive_parts

ROUNDS = 6
PROMPT = 5  # tokens


def as_the_engine_counts(context: CheckContext) -> None:
    """Guests of many lengths, with pages and notebooks, at the belt and at the table."""
    chance = random.Random(context.seed)
    for number in range(ROUNDS):
        _judge_held(context, chance, many=not number)
        answers, seats = (
            [chance.randint(2, 40) for _ in range(chance.randint(1, 14))],
            chance.randint(1, 5),
        )
        answers += [40] if not number else []
        static, continuous = steps(answers, seats, static=True), steps(answers, seats, static=False)
        judge, context.cases = FormulaJudge(context), context.cases + 2
        because = "So many steps the naive scheduler took."
        judge.counted("steps_static", "steps", static, because, answers, seats=seats)
        because = "So many steps the engine's scheduler took."
        judge.counted("steps_continuous", "steps", continuous, because, answers, seats=seats)
    context.figures.append(
        Figure("steps of the last guests", continuous, "steps", static, "static batches")
    )


def steps(answers: Sequence[int], seats: int, *, static: bool) -> int:
    """Until all have their answer, with memory and budget for all of them."""
    needed = sum(PROMPT + answer for answer in answers) + 1
    parts = {"block_manager": part("block_manager")}
    parts["scheduler"] = naive_parts().scheduler if static else part("scheduler")
    engine = UnjudgedEngine(
        parts, num_blocks=needed + 1, block_size=1, seats=seats, budget=PROMPT * seats + seats
    )
    engine.serve([(range(PROMPT), answer) for answer in answers])
    return engine.steps


def held(blocks: Any, lengths: Sequence[int]) -> int:
    """How many a block manager admits, in order, until one does not fit."""
    for number, length in enumerate(lengths):
        if not blocks.can_admit(length):
            return number
        blocks.admit(number, length)
    return len(lengths)


def _judge_held(context: CheckContext, chance: random.Random, *, many: bool) -> None:
    """many: thirty conversations, and pages for all of them."""
    size, pool = chance.choice((1, 4, 16)), 160 if many else chance.randint(20, 80)
    lengths = [chance.randint(1, 5 * size) for _ in range(30 if many else chance.randint(5, 30))]
    reserve = size * chance.randint(5, 9)  # whole blocks: notebooks are bound of the same sheets
    judge, context.cases = FormulaJudge(context), context.cases + 2
    paged = held(part("block_manager")(pool, size), lengths)
    because = "So many the engine's block manager admits."
    judge.counted(
        "held_paged", "conversations", paged, because, lengths, block_size=size, num_blocks=pool
    )
    bound: Any = naive_parts().block_manager
    contiguous = held(bound(pool, size, max_tokens=reserve), lengths)
    because = "So many the naive block manager admits."
    slots = (pool - 1) * size
    judge.counted(
        "held_contiguous",
        "conversations",
        contiguous,
        because,
        lengths,
        reserve=reserve,
        num_slots=slots,
    )
