"""How random cases are drawn for each law of lab 2: few tokens, short prompts, each the beginning
of another one."""

from __future__ import annotations

from collections.abc import Iterable

from graders.checking.check_context import CheckContext
from graders.checking.formulas import FormulaJudge
from graders.checking.random_cases import Case, Picks
from graders.exercises.lab2_shared_prompts import specification as spec

FAR = 1 << 40  # times which tokens are taken where their size must not matter
SIZES = (2, 1, 3, 4)
FEW = 5  # prompts that come again
Prompt = list[int]


def prompts_of(moves: Iterable[Picks], *, apart: bool = False) -> list[Prompt]:
    """For each move a piece of an earlier prompt and something of its own. apart: with an end
    nobody else has."""
    prompts: list[Prompt] = []
    for number, move in enumerate(moves):
        before = move.pick(prompts) if prompts else []
        kept = before[: move.pick((0, 2, 4, 3, 9, 9))]
        own = [move.number(1, 2) for _ in range(move.pick((1, 0, 2, 4, 3)))]
        prompts.append([*kept, *own, *([100 + number] if apart else [])] or [1])
    return prompts


def whole_blocks(context: CheckContext, case: Case) -> None:
    """No prompt ends where another does, so that the last token is never cached anyway."""
    prompts, size = prompts_of(case.moves, apart=True), case.setup.pick(SIZES)
    FormulaJudge(context).judge(spec.COMPUTED, prompts, block_size=size)


def last_token(context: CheckContext, case: Case) -> None:
    prompts, size = prompts_of(case.moves), case.setup.pick(SIZES)
    FormulaJudge(context).judge(spec.COMPUTED, prompts, block_size=size)


def room(context: CheckContext, case: Case) -> None:
    """Few prompts, which come again and again: what was touched since matters."""
    setup, moves = case.setup, list(case.moves)
    size, capacity = setup.pick(SIZES), setup.pick((3, 2, 4, 3, 1, 5, 4, 0))
    few = [_of_blocks(move, size) for move in moves[:FEW]]
    prompts = few + [move.pick(few) for move in moves[FEW:]]
    FormulaJudge(context).judge(spec.COMPUTED, prompts, block_size=size, capacity=capacity)


def _of_blocks(move: Picks, size: int) -> Prompt:
    """A few blocks, of which there are three kinds, and perhaps a tail."""
    kinds = [move.number(1, 3) for _ in range(move.pick((1, 1, 2, 3)))]
    return [
        *(kind for kind in kinds for _ in range(size)),
        *([9] if move.pick((True, True, False)) else []),
    ]


def hit_rate(context: CheckContext, case: Case) -> None:
    setup = case.setup
    size, capacity = setup.pick(SIZES), setup.pick((None, 0, None, 1))
    prompts = prompts_of(case.moves) if setup.pick((True, True, True, False)) else []
    FormulaJudge(context).judge(spec.HIT_RATE, prompts, block_size=size, capacity=capacity)


def unbounded_hit_rate(context: CheckContext) -> None:
    """Whoever tells no capacity has room for everything."""
    context.cases += 1
    FormulaJudge(context).judge(spec.HIT_RATE, [[1, 2, 3], [1, 2, 4]], block_size=2, capacity=None)
    FormulaJudge(context).judge(spec.HIT_RATE, [[1, 2, 3], [1, 2, 4]], block_size=2)


def pages(context: CheckContext, case: Case) -> None:
    setup = case.setup
    shared, own, contracts = setup.number(0, 50), setup.number(0, 9), setup.number(1, 60)
    FormulaJudge(context).judge(
        spec.PAGES, shared, own, contracts, cached=setup.pick((True, False))
    )


def forms(context: CheckContext, case: Case) -> None:
    """Tuples beside lists, ranges, tokens of any size; what is given stays as it is."""
    setup = case.setup
    size, capacity, outer = setup.pick(SIZES), setup.pick((None, 3)), setup.pick((list, tuple))
    formula, times = setup.pick((spec.COMPUTED, spec.HIT_RATE)), setup.pick((1, FAR, FAR))
    made: list[object] = []
    for move, prompt in zip(case.moves, prompts_of(case.moves), strict=True):
        start, length = move.pick((1, 1, 4)), move.pick((1, 4, 8))
        far = [times * each for each in prompt]
        made.append(move.pick((prompt, tuple(prompt), range(start, start + length), far, far)))
    FormulaJudge(context).judge(formula, outer(made), block_size=size, capacity=capacity)
