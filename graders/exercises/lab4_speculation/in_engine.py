"""The last law of lab 4: the formulas beside passes that were counted: guess by guess, and on the engine's own tree."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from graders.checking.check_context import CheckContext
from graders.checking.formulas import Formula, FormulaJudge
from graders.exercises.lab4_speculation import specification as spec
from graders.exercises.lab4_speculation.random_cases import judge_of
from graders.exercises.lab4_speculation.specification import Path
from graders.result import Figure
from reference_engine.medusa import HEADS
from reference_engine.medusa.tree_search import TreeChoice, read_tree

ROUNDS, PASSES = 4, 400
RANKS, DEEPEST = 4, 4


def as_the_engine_counts(context: CheckContext) -> None:
    """Random passes with what was right in each; then the tree and the chances that lie beside the trained heads."""
    chance = random.Random(context.seed)
    for _ in range(ROUNDS):
        _judge_passes(context, [_right_path(chance) for _ in range(PASSES)], chance)
    stored = read_tree(HEADS)
    for nodes in (stored.nodes, chance.randint(2, stored.nodes)):
        _judge_stored(context, stored.pruned(nodes))
    context.figures.append(Figure("tokens a pass of the stored tree", stored.expected, "tokens", 1.0, "plain decoding"))


def _right_path(chance: random.Random) -> Path:
    """The ranks of the true tokens among the guesses, up to the head that misses; the first head hits most often."""
    path: list[int] = []
    while len(path) < DEEPEST and chance.random() < 0.8 - 0.15 * len(path):
        path.append(min(RANKS - 1, int(chance.expovariate(1.2))))
    return tuple(path)


def _judge_passes(context: CheckContext, right: Sequence[Path], chance: random.Random) -> None:
    """Tokens are counted pass by pass; the shares are taken from the same passes, so both must agree exactly."""
    stood = Counter(path[:depth] for path in right for depth in range(1, len(path) + 1))
    share = {path: count / (stood[path[:-1]] if len(path) > 1 else len(right)) for path, count in stood.items()}
    choices = chance.sample(sorted(share), min(len(share), chance.randint(1, 12)))
    inside = spec.nodes(choices)
    tokens = sum(1 + _accepted(path, inside) for path in right)
    context.cases += 1
    because = f"{len(right)} passes over this tree yielded {tokens} tokens; the shares were counted in the same passes."
    _counted(judge_of(context), "tokens_a_pass_tree", tokens / len(right), because, choices, share=share)


def _accepted(path: Path, inside: set[Path]) -> int:
    """How many of the right guesses are in the tree, up to the first that is not."""
    depth = 0
    while depth < len(path) and path[: depth + 1] in inside:
        depth += 1
    return depth


def _judge_stored(context: CheckContext, tree: TreeChoice) -> None:
    """The engine keeps whole chances; shares are their quotients."""
    chances = dict(zip(tree.choices, tree.chances, strict=True))
    share = {path: chances[path] / (chances[path[:-1]] if len(path) > 1 else 1.0) for path in tree.choices}
    because = f"That is what the engine expects of its tree of {tree.nodes} nodes."
    context.cases += 1
    _counted(judge_of(context), "tokens_a_pass_tree", tree.expected, because, list(tree.choices), share=share)


def _counted(judge: FormulaJudge, name: str, due: float, because: str, *args: object, **keywords: object) -> None:
    judge.judge(Formula(name, lambda *_, **__: due), *args, because=because, **keywords)
