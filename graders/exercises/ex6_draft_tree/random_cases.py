"""How random cases are drawn for each law of exercise 6: few candidates, coarse values, so that
equals are frequent.

Values are sums of eighths: exact in every dtype, whatever the order of summation.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex4_medusa.toy_model import ToyModel, one_pass
from graders.exercises.ex6_draft_tree import specification as spec
from graders.exercises.ex6_draft_tree.judge import DraftTreeJudge, candidates
from graders.exercises.ex6_draft_tree.specification import ROOT, RowGrowth

FAR = 65_537  # a token whose number needs more than 16 bits
NEVER = -math.inf
DTYPES = ("float32", "float32", "float64")
Logs = Callable[[random.Random], float]


def coarse(chance: random.Random) -> float:
    return -chance.randrange(17) / 8


def even(chance: random.Random) -> float:
    """Certain, likely or not: half of all values are equal."""
    return -float(chance.choice((0, 0, 1, 2)))


def holed(chance: random.Random) -> float:
    return NEVER if chance.random() < 0.4 else coarse(chance)


LOGS: tuple[Logs, ...] = (coarse, coarse, even, holed)


@dataclass
class Gardener:
    """Grows rows at random, all alike in shape. guesses: K. logs: draws a logprob."""

    chance: random.Random
    guesses: int
    logs: Logs
    farthest: int = 1

    def __post_init__(self) -> None:
        self._tokens: Iterator[int] = iter(self.chance.sample(range(4000), 4000))

    def after(self, width: int) -> tuple[list[list[int]], list[list[float]]]:
        """Guesses [W][K], every token another one, and their logprobs."""
        tokens = [
            [self.farthest * next(self._tokens) for _ in range(self.guesses)] for _ in range(width)
        ]
        return tokens, [[self.logs(self.chance) for _ in range(self.guesses)] for _ in range(width)]

    def sown(self) -> RowGrowth:
        """The guesses after the root."""
        return spec.grown([], [ROOT], *self.after(1))

    def chosen(self, row: RowGrowth, width: int, *, anywhere: bool = False) -> list[int]:
        """So many candidates that may grow: the best of the deepest, or some of any depth."""
        if anywhere:
            return self.chance.sample(range(len(row)), min(width, len(row)))
        return spec.frontier(row, row[-1].depth, width)

    def grown(self, row: RowGrowth, width: int, *, anywhere: bool = False) -> RowGrowth:
        chosen = self.chosen(row, width, anywhere=anywhere)
        return spec.grown(row, chosen, *self.after(len(chosen)))


def gardener(setup: Picks) -> Gardener:
    guesses, logs = setup.pick((2, 1, 3)), setup.pick(LOGS)
    return Gardener(random.Random(setup.number(0, 200)), guesses, logs, setup.pick((1, 1, FAR)))


def grove(case: Case, plants: Gardener, rows: int = 1) -> list[RowGrowth]:
    """Rows of the same shape; each move is a round of growth."""
    widths = [(move.pick((1, 2, 3)), move.pick((False, False, True))) for move in case.moves]
    found = []
    for _ in range(rows):
        row = plants.sown()
        for width, anywhere in widths:
            row = plants.grown(row, min(width, plants.guesses), anywhere=anywhere)
        found.append(row)
    return found


def appended(context: CheckContext, case: Case) -> None:
    """Tokens and parents of what is appended; what was there."""
    _grow(context, case, ("token", "parent"))


def values(context: CheckContext, case: Case) -> None:
    """Depths and values."""
    _grow(context, case, ("depth", "value"))


def _grow(context: CheckContext, case: Case, names: Sequence[str]) -> None:
    setup = case.setup
    plants, dtype = gardener(setup), Picks(case.codes[0] + 1).pick(DTYPES)
    judge = DraftTreeJudge(context, dtype)
    if not list(case.moves):
        tokens, logs = plants.after(1)
        judge.grow([[]], [[ROOT]], [tokens], [logs], names)
        return
    (row,) = grove(case, plants)
    chosen = plants.chosen(row, 1 + case.codes[-1] % 3, anywhere=case.codes[-1] % 2 == 1)
    plants.chance.shuffle(chosen)
    tokens, logs = plants.after(len(chosen))
    judge.grow([row], [chosen], [tokens], [logs], names)


def surest(context: CheckContext, case: Case) -> None:
    """The frontier of one row: any depth, any width that there is."""
    plants, dtype = gardener(case.setup), Picks(case.codes[0] + 1).pick(DTYPES)
    (row,) = grove(case, plants)
    depth = plants.chance.randint(1, row[-1].depth)
    there = sum(each.depth == depth for each in row)
    DraftTreeJudge(context, dtype).frontier([row], depth, plants.chance.randint(1, there))


def kept(context: CheckContext, case: Case) -> None:
    """What is kept of one row, its order, its parents."""
    _rerank(context, case, ("token", "parent", "depth"))


def sight(context: CheckContext, case: Case) -> None:
    """The mask of one row."""
    _rerank(context, case, ("mask",))


def _rerank(context: CheckContext, case: Case, names: Sequence[str]) -> None:
    plants, dtype = gardener(case.setup), Picks(case.codes[0] + 1).pick(DTYPES)
    (row,) = grove(case, plants)
    size = plants.chance.randint(1, len(row) + 1)
    DraftTreeJudge(context, dtype).rerank([row], [plants.chance.randrange(4000, 5000)], size, names)


def batch(context: CheckContext, case: Case) -> None:
    """Several rows, or none, through all three functions: each has values and a tree of its own."""
    plants, count = gardener(case.setup), Picks(case.codes[0] + 1).pick((2, 3, 0, 5))
    rows = grove(case, plants, count)
    judge, chance = DraftTreeJudge(context), plants.chance
    size = chance.randint(2, len(rows[0]) + 1) if rows else 4
    judge.rerank(rows, [chance.randrange(4000, 5000) for _ in rows], size)
    judge.frontier(rows, 1, min(2, plants.guesses))
    chosen = [chance.sample(range(len(row)), min(2, len(row))) for row in rows]
    given = [plants.after(len(each)) for each in chosen]
    judge.grow(rows, chosen, [tokens for tokens, _ in given], [logs for _, logs in given])


def best(context: CheckContext, case: Case) -> None:
    """The part's own answers, one after the other: what it keeps in the end is the best tree of
    that size."""
    setup = case.setup
    plants, size = (
        Gardener(random.Random(setup.number(0, 200)), setup.pick((2, 3)), setup.pick(LOGS)),
        setup.pick((3, 2, 4, 5)),
    )
    judge, rows = DraftTreeJudge(context), 1 + setup.pick((0, 0, 1))
    grown: list[RowGrowth] = [[] for _ in range(rows)]
    chosen = [[ROOT]] * rows
    for level in range(1, 2 + min(3, len(case.codes) - 1)):
        given = [plants.after(len(each)) for each in chosen]
        grown = candidates(
            judge.grow_raw(
                grown, chosen, [tokens for tokens, _ in given], [logs for _, logs in given]
            )
        )
        chosen = judge.frontier_raw(grown, level, min(2, plants.guesses))
        if any(
            not 0 <= index < len(row)
            for row, line in zip(grown, chosen, strict=True)
            for index in line
        ):
            judge.frontier(grown, level, min(2, plants.guesses))
    size = min(size, len(grown[0]) + 1)
    tokens = judge.rerank_raw(grown, [5000] * rows, size)[0].nested
    for row, line in zip(grown, tokens, strict=True):
        _judge_best(judge, row, line, size)


def _judge_best(judge: DraftTreeJudge, row: RowGrowth, tokens: Sequence[int], size: int) -> None:
    held = [index for index, each in enumerate(row) if each.token in tokens[1:]]
    most = max(spec.expected(row, chosen) for chosen in spec.trees(row, size - 1))
    mine = spec.expected(row, held)
    alone = next((index for index in held if row[index].parent not in (ROOT, *held)), None)
    if alone is not None:
        message = f"Candidate {alone} is kept and its parent, candidate {row[alone].parent}, is not: that is no tree."
        judge.scene.broken(
            message, got=f"candidates {held}", expected=f"candidates {sorted(spec.kept(row, size))}"
        )
    if len(held) != size - 1 or mine < most - 1e-9:
        kept = f"Of the {size - 1} guesses kept {mine:.4f} are expected to stand"
        message = f"{kept}; the best tree of {size} nodes has {most:.4f}."
        judge.scene.broken(
            message, got=f"candidates {held}", expected=f"candidates {sorted(spec.kept(row, size))}"
        )


def large(context: CheckContext, case: Case) -> None:
    """One pass over a tree of many nodes, against every path alone, by what the toy model answers."""
    setup = case.setup
    plants = Gardener(
        random.Random(setup.number(0, 200)), setup.pick((4, 8)), setup.pick((coarse, even))
    )
    row = plants.sown()
    for move in case.moves:
        row = plants.grown(row, move.pick((2, 4)), anywhere=move.pick((False, True)))
    judge = DraftTreeJudge(context)
    verified(context, judge, [row], min(len(row) + 1, setup.pick((20, 60, 120))))


def verified(
    context: CheckContext, judge: DraftTreeJudge, rows: Sequence[RowGrowth], size: int
) -> None:
    """Each row's tree as the part returned it, in one pass of the toy model: every node says what
    its path says."""
    model = ToyModel(50, context.run_seed)
    past = model.text([3, 1, 4])
    token, _, depth, mask = (
        array.nested for array in judge.rerank_raw(rows, [7] * len(rows), size)
    )
    for row, growth in enumerate(rows):
        nodes = spec.tree(growth, 7, size)
        entries = one_pass(model, token[row], depth[row], mask[row], past)
        for node, each in enumerate(nodes):
            alone = list(past)
            for step in sorted(each.sees):
                alone.append(model.read(len(alone), nodes[step].token, alone))
            if entries[node] != alone[-1] or not mask[row][node][node]:
                judge.rerank(rows, [7] * len(rows), size)
                judge.scene.broken(
                    f"Node {node} hears something else in one pass over the tree than when its path is run alone.",
                    got=f"node {node}: {entries[node]}",
                    expected=str(alone[-1]),
                )
