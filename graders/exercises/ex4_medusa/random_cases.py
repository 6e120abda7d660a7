"""How random cases are drawn for each law of exercise 4: small trees, few tokens, so that accidents
are frequent."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex4_medusa import specification as spec
from graders.exercises.ex4_medusa.judge import MedusaJudge
from graders.exercises.ex4_medusa.specification import Path, PathTree, TypicalRule
from graders.exercises.ex4_medusa.toy_model import ToyHeads, ToyModel, alone, one_pass
from graders.exercises.ex4_medusa.toy_serving import ToyServing
from graders.exercises.ex4_medusa.wire_tensors import sent_tree

NEAR = 2e-3  # decisions nearer than this are left to rounding
LEVELS, RANKS = (
    (8, 8, 6, 3),
    10,
)  # of a tree whose calls are timed: nodes of each depth, guesses of each head
FAR = 65_537  # a token or block whose number needs more than 16 bits
DEEPEST, WIDEST = (4, 4, 9), (3, 3, 10)  # of a tree: ranks are below the second


def choices(case: Case, *, widest: int = 3, deepest: int = 4) -> list[Path]:
    """One choice for each move, at least one; ranks below `widest`."""
    found = [_choice(move, widest, deepest) for move in case.moves]
    return found or [(0,)]


def _choice(move: Picks, widest: int, deepest: int) -> Path:
    length = move.pick((1, 2, 3, 2, deepest))
    return tuple(move.number(0, widest - 1) for _ in range(length))


def tokens_for(tree: PathTree, vocab: int, chance: random.Random) -> list[int]:
    return [chance.randrange(vocab) for _ in range(len(tree))]


def argmax_for(
    tree: PathTree, tokens: Sequence[int], vocab: int, chance: random.Random
) -> list[int]:
    """What the model says after each node: mostly what one of its children proposes."""
    said = []
    for node in range(len(tree)):
        children = tree.children(node)
        follow = children and chance.random() < 0.75
        said.append(tokens[chance.choice(children)] if follow else chance.randrange(vocab))
    return said


def distinct_slots(rows: int, nodes: int, chance: random.Random) -> list[list[int]]:
    """Slots as block tables give them: runs of 1, 2 or 4, in no order, none twice; never in block
    0."""
    size, first = chance.choice((1, 2, 4)), chance.choice((1, 1, 1, FAR))
    blocks = list(range(first, first + rows * (nodes // size + 2) + 2))
    chance.shuffle(blocks)
    slots = []
    for _ in range(rows):
        start = chance.randrange(size)
        own = [blocks.pop() for _ in range((start + nodes - 1) // size + 1)]
        slots.append([own[(start + i) // size] * size + (start + i) % size for i in range(nodes)])
    return slots


def tree_of_calls(seed: int) -> list[Any]:
    """A tree of the size that Medusa uses at small batches, as the wire carries it; for calls that
    are timed."""
    chance, level, paths = random.Random(seed), list[Path]([()]), list[Path]()
    for count in LEVELS:
        level = chance.sample([(*path, rank) for path in level for rank in range(RANKS)], count)
        paths += level
    return sent_tree(PathTree.of(paths))


def structure(context: CheckContext, case: Case) -> None:
    """Parents, order, prefixes, duplicates, ranks."""
    setup = case.setup
    given = choices(case, widest=setup.pick((2, 3, 12)), deepest=setup.pick(DEEPEST))
    _judge_tree(context, given, ("parent", "rank"))


def sight(context: CheckContext, case: Case) -> None:
    """Mask and depth."""
    _judge_tree(context, choices(case, deepest=case.setup.pick(DEEPEST)), ("depth", "mask"))


def _judge_tree(context: CheckContext, given: list[Path], names: Sequence[str]) -> None:
    judge = MedusaJudge(context)
    judge.judge_tree(given, judge.build_tree(given, names), names)


def candidates(context: CheckContext, case: Case) -> None:
    """One row; every guess is another number, so that a token betrays where it was taken from."""
    setup = case.setup
    tree = PathTree.of(choices(case, widest=setup.pick(WIDEST), deepest=setup.pick((3, 3, 7))))
    heads, guesses = tree.height + setup.pick((0, 1, 2)), max(tree.rank) + setup.pick((1, 2, 3))
    chance = random.Random(setup.number(0, 200))
    numbers = iter(chance.sample(range(setup.pick((500, 2 * FAR))), heads * guesses + 1))
    topk = [[next(numbers) for _ in range(guesses)] for _ in range(heads)]
    MedusaJudge(context).propose(tree, [next(numbers)], [topk])


def walk(context: CheckContext, case: Case) -> None:
    """One row, few tokens, some with large ids: equal siblings and the token 0 are everywhere."""
    setup = case.setup
    tree, vocab = PathTree.of(choices(case, deepest=setup.pick(DEEPEST))), setup.pick((2, 3, 5))
    chance, apart = random.Random(setup.number(0, 200)), setup.pick((1, 1, FAR))
    tokens = tokens_for(tree, vocab, chance)
    argmax = argmax_for(tree, tokens, vocab, chance)
    MedusaJudge(context).verify_greedy(
        tree, [[apart * token for token in tokens]], [[apart * token for token in argmax]]
    )


def plausible(context: CheckContext, case: Case) -> None:
    """The typical rule on one row; cases in which rounding could decide are drawn anew."""
    setup = case.setup
    tree, vocab = (
        PathTree.of(choices(case, deepest=setup.pick((3, 3, 3, 7)))),
        setup.pick((4, 3, 8)),
    )
    chance = random.Random(setup.number(0, 200))
    rule = TypicalRule(
        chance.choice((1.0, 0.5, 2.0)),
        chance.choice((0.3, 0.1, 0.6, 0.9)),
        chance.choice((0.3, 0.6, 0.1, 1.0)),
    )
    for _ in range(20):
        tokens = tokens_for(tree, vocab, chance)
        logits = [[chance.randint(-6, 6) / 2 for _ in range(vocab)] for _ in range(len(tree))]
        if (
            spec.typical(tree, tokens, logits, rule.temperature, rule.epsilon, rule.delta).closeness
            > NEAR
        ):
            return MedusaJudge(context).verify_typical(tree, [tokens], [logits], rule)
    return None


def wounded(context: CheckContext, case: Case) -> None:
    """The typical rule with -inf among the logits, large ones, NaN off the path, and temperature 0."""
    setup = case.setup
    tree, vocab = PathTree.of(choices(case, deepest=3)), setup.pick((2, 3, 5))
    temperature = setup.pick((1.0, 0.0, 0.5))
    chance = random.Random(setup.number(0, 200))
    rule = TypicalRule(temperature, chance.choice((0.2, 0.5)), chance.choice((0.2, 0.5)))
    base = setup.pick((0.0, 0.0, 1000.0, -1000.0))
    for _ in range(20):
        tokens = tokens_for(tree, vocab, chance)
        logits = [_holed(chance, vocab, base) for _ in range(len(tree))]
        for node in range(1, len(tree)):
            if chance.random() < 0.25:
                logits[node] = [math.nan] * vocab
        judged = spec.typical(tree, tokens, logits, rule.temperature, rule.epsilon, rule.delta)
        if judged.closeness > NEAR:
            return MedusaJudge(context).verify_typical(tree, [tokens], [logits], rule)
    return None


def _holed(chance: random.Random, vocab: int, base: float) -> list[float]:
    row = [
        base + chance.randint(-6, 6) / 2 if chance.random() < 0.7 else -math.inf
        for _ in range(vocab)
    ]
    row[chance.randrange(vocab)] = base + 1.5
    return row


def moves(context: CheckContext, case: Case) -> None:
    """One row, any path of the tree accepted, slots in no order."""
    setup = case.setup
    tree = PathTree.of(choices(case, widest=setup.pick(WIDEST), deepest=setup.pick(DEEPEST)))
    chance = random.Random(setup.number(0, 200))
    end = chance.randrange(len(tree))
    verdict = spec.RowVerdict(tuple(tree.walk(end)), chance.randrange(9))
    MedusaJudge(context).compact(tree, [verdict], distinct_slots(1, len(tree), chance))


def batch(context: CheckContext, case: Case) -> None:
    """Several rows, or none, through all four functions."""
    setup = case.setup
    tree, rows = PathTree.of(choices(case, deepest=3)), setup.pick((2, 3, 0, 5))
    chance, judge = random.Random(setup.number(0, 200)), MedusaJudge(context)
    heads, guesses, vocab = tree.height, max(tree.rank) + 1, 3
    topk = [
        [[chance.randrange(90) for _ in range(guesses)] for _ in range(heads)] for _ in range(rows)
    ]
    judge.propose(tree, [chance.randrange(90) for _ in range(rows)], topk)
    tokens = [tokens_for(tree, vocab, chance) for _ in range(rows)]
    judge.verify_greedy(tree, tokens, [argmax_for(tree, row, vocab, chance) for row in tokens])
    ends = [chance.randrange(len(tree)) for _ in range(rows)]
    verdicts = [spec.RowVerdict(tuple(tree.walk(end)), 1) for end in ends]
    judge.compact(tree, verdicts, distinct_slots(rows, len(tree), chance))
    _typical_batch(judge, tree, rows, chance)


def _typical_batch(judge: MedusaJudge, tree: PathTree, rows: int, chance: random.Random) -> None:
    rule = TypicalRule(chance.choice((1.0, 1.0, 0.0)), 0.3, 0.6)
    tokens: list[list[int]] = []
    logits: list[list[list[float]]] = []
    for _ in range(20 * rows):
        row = tokens_for(tree, 4, chance)
        cells = [[chance.randint(-6, 6) / 2 for _ in range(4)] for _ in range(len(tree))]
        if (
            len(tokens) < rows
            and spec.typical(tree, row, cells, rule.temperature, 0.3, 0.6).closeness > NEAR
        ):
            tokens.append(row)
            logits.append(cells)
    judge.verify_typical(tree, tokens, logits, rule)


def large(context: CheckContext, case: Case) -> None:
    """One pass over a tree of up to a hundred nodes, against every path alone, by what the toy
    model answers."""
    setup = case.setup
    chance = random.Random(setup.number(0, 200))
    given = choices(case, widest=12, deepest=6)
    for _ in range(setup.pick((0, 25, 50))):
        given.append(tuple(chance.randrange(11) for _ in range(chance.randint(1, 4))))
    model, tree, judge = ToyModel(50, context.run_seed), PathTree.of(given), MedusaJudge(context)
    arrays = [array.nested for array in judge.build_tree(given)]
    tokens = tokens_for(tree, 50, chance)
    past = model.text([chance.randrange(50) for _ in range(3)])
    entries = one_pass(model, tokens, arrays[1], arrays[3], past)
    for node in range(len(tree)):
        if entries[node] != alone(model, tree, tokens, node, past):
            judge.judge_tree(given, judge.build_tree(given), ("parent", "rank", "depth", "mask"))
            judge.scene.broken(
                f"What the model says after node {node} {tree.paths[node]} differs from that path run alone.",
                got=f"mask[{node}] sees {[j for j in range(len(tree)) if arrays[3][node][j]]}, depth {arrays[1][node]}",
                expected=f"sees {tree.walk(node)}, depth {len(tree.paths[node])}",
                method="build_tree",
            )


def text(context: CheckContext, case: Case) -> None:
    """Requests served to the end by the toy engine: any heads, any batch, preemptions in between."""
    setup = case.setup
    kind = setup.pick(("perfect", "useless", "perfect", "mixed", "late", "all-alike"))
    chance = random.Random(setup.number(0, 200))
    given, count = choices(case, deepest=3), setup.pick((4, 2, 9, 16))
    if kind == "perfect":
        given.append((0,) * PathTree.of(given).height)
    tree = PathTree.of(given)
    model = ToyModel(chance.choice((2, 3, 7)), chance.randrange(1000))
    serving = ToyServing(
        MedusaJudge(context), given, ToyHeads(model, kind, tree.height, max(tree.rank) + 1), chance
    )
    prompts = [
        [chance.randrange(model.vocab) for _ in range(chance.randint(1, 3))]
        for _ in range(setup.number(1, 3))
    ]
    _serve(serving, prompts, count, chance, often=0.2)


def served_together(context: CheckContext) -> None:
    """Law 4.12: two requests for a while, by heads that are always right, in a language of two
    tokens: the model's own tokens come again and again after other texts."""
    chance, model = random.Random(1), ToyModel(2, 1)
    heads = ToyHeads(model, "perfect", 3, 1)
    context.cases += 1
    _serve(
        ToyServing(MedusaJudge(context), [(0, 0, 0)], heads, chance),
        [[0], [1, 0]],
        24,
        chance,
        often=0.0,
    )


def _serve(
    serving: ToyServing,
    prompts: Sequence[list[int]],
    count: int,
    chance: random.Random,
    *,
    often: float,
) -> None:
    """`count` tokens more for each prompt than the prefill gives; after a step in `often` somebody
    is preempted."""
    requests = [serving.join(number, prompt, count + 1) for number, prompt in enumerate(prompts)]
    while waiting := [request for request in requests if not request.served]:
        serving.step(waiting)
        if chance.random() < often:
            serving.seat(chance.choice(waiting))
    kind, height = serving.heads.kind, serving.tree.height
    for request in requests:
        if kind in ("perfect", "useless"):
            serving.check_passes(request, -(-count // (height + 1)) if kind == "perfect" else count)
