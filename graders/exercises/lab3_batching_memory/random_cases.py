"""How random cases are drawn for each law of lab 3: a guest for each move, some of lengths that
fill their blocks."""

from __future__ import annotations

from graders.checking.check_context import CheckContext
from graders.checking.formulas import FormulaJudge
from graders.checking.random_cases import Case
from graders.exercises.lab3_batching_memory import specification as spec

SIZES = (4, 1, 2, 3, 16)


def lengths_of(case: Case, size: int) -> list[int]:
    """Multiples of the block size, one more, one less, and what comes."""
    found = []
    for move in case.moves:
        whole = size * move.pick((1, 2, 3, 5))
        found.append(max(1, whole + move.pick((0, 1, -1, 1 - size, 2))))
    return found


def held_paged(context: CheckContext, case: Case) -> None:
    setup = case.setup
    size, form = setup.pick(SIZES), setup.pick((list, tuple))
    blocks, lengths = setup.number(2, 20), form(lengths_of(case, size))
    FormulaJudge(context).judge(spec.PAGED, lengths, block_size=size, num_blocks=blocks)


def held_contiguous(context: CheckContext, case: Case) -> None:
    setup = case.setup
    lengths = lengths_of(case, setup.pick(SIZES))
    reserve = max([1, *lengths]) + setup.pick((0, 1, 9))
    slots, form = (
        reserve * setup.number(0, 7) + setup.pick((0, 1, reserve - 1)),
        setup.pick((list, tuple)),
    )
    FormulaJudge(context).judge(spec.CONTIGUOUS, form(lengths), reserve=reserve, num_slots=slots)


def wasted(context: CheckContext, case: Case) -> None:
    setup = case.setup
    size, form = setup.pick(SIZES), setup.pick((list, tuple))
    lengths = lengths_of(case, size) if setup.pick((True, True, True, False)) else []
    FormulaJudge(context).judge(spec.WASTED, form(lengths), block_size=size)


def answers_of(case: Case) -> tuple[object, int]:
    """Answers, and how many seats there are for them."""
    setup = case.setup
    seats, form = setup.pick((2, 1, 3, 5)), setup.pick((list, tuple))
    return form(move.pick((1, 2, 3, 5, 8, 13)) for move in case.moves), seats


def static(context: CheckContext, case: Case) -> None:
    answers, seats = answers_of(case)
    FormulaJudge(context).judge(spec.STATIC, answers, seats=seats)


def continuous(context: CheckContext, case: Case) -> None:
    answers, seats = answers_of(case)
    FormulaJudge(context).judge(spec.CONTINUOUS, answers, seats=seats)


def little(context: CheckContext, case: Case) -> None:
    setup = case.setup
    rate, seconds = (
        setup.number(1, 60) / setup.pick((1, 3, 7)),
        setup.number(1, 60) / setup.pick((1, 4, 9)),
    )
    FormulaJudge(context).judge(spec.LITTLE, rate, seconds)
