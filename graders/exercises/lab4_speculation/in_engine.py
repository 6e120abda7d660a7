"""The last law of lab 4: the formulas beside passes that were counted: guess by guess, on the
engine's own tree, and in the engine while it serves.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graders.checking.check_context import CheckContext
from graders.checking.formulas import Formula, FormulaJudge
from graders.exercises.lab4_speculation import specification as spec
from graders.exercises.lab4_speculation.random_cases import judge_of
from graders.exercises.lab4_speculation.specification import Path
from graders.result import Figure
from graders.simulation.unjudged_run import part
from graders.workloads import workload
from reference_engine.medusa import HEADS
from reference_engine.medusa.tree_search import TreeChoice, read_tree
from reference_engine.slots import Tree

ROUNDS, PASSES = 4, 400
ANSWER, ROOM = 48, 256  # tokens, blocks
RANKS, DEEPEST = 4, 4


def as_the_engine_counts(context: CheckContext) -> None:
    """Random passes with what was right in each; then the tree and the chances that lie beside the
    trained heads; and, where torch may be loaded, the engine with those heads.
    """
    chance = random.Random(context.seed)
    for _ in range(ROUNDS):
        _judge_passes(context, [_right_path(chance) for _ in range(PASSES)], chance)
    stored = read_tree(HEADS)
    for nodes in (stored.nodes, chance.randint(2, stored.nodes)):
        _judge_stored(context, stored.pruned(nodes))
    if not context.laws_only:
        _judge_served(context, stored, chance)
    context.figures.append(
        Figure("tokens a pass of the stored tree", stored.expected, "tokens", 1.0, "plain decoding")
    )


def _right_path(chance: random.Random) -> Path:
    """The ranks of the true tokens among the guesses, up to the head that misses; the first head
    hits most often."""
    path: list[int] = []
    while len(path) < DEEPEST and chance.random() < 0.8 - 0.15 * len(path):
        path.append(min(RANKS - 1, int(chance.expovariate(1.2))))
    return tuple(path)


def _judge_passes(context: CheckContext, right: Sequence[Path], chance: random.Random) -> None:
    """Tokens are counted pass by pass; the shares are taken from the same passes, so both must
    agree exactly."""
    stood = Counter(path[:depth] for path in right for depth in range(1, len(path) + 1))
    share = {
        path: count / (stood[path[:-1]] if len(path) > 1 else len(right))
        for path, count in stood.items()
    }
    choices = chance.sample(sorted(share), min(len(share), chance.randint(1, 12)))
    inside = spec.nodes(choices)
    tokens = sum(1 + _accepted(path, inside) for path in right)
    context.cases += 1
    because = f"{len(right)} passes over this tree yielded {tokens} tokens; the shares were counted in the same passes."
    _counted(
        judge_of(context), "tokens_a_pass_tree", tokens / len(right), because, choices, share=share
    )


def _accepted(path: Path, inside: set[Path]) -> int:
    """How many of the right guesses are in the tree, up to the first that is not."""
    depth = 0
    while depth < len(path) and path[: depth + 1] in inside:
        depth += 1
    return depth


def _judge_stored(context: CheckContext, tree: TreeChoice) -> None:
    """The engine keeps whole chances; shares are their quotients."""
    chances = dict(zip(tree.choices, tree.chances, strict=True))
    share = {
        path: chances[path] / (chances[path[:-1]] if len(path) > 1 else 1.0)
        for path in tree.choices
    }
    because = f"That is what the engine expects of its tree of {tree.nodes} nodes."
    context.cases += 1
    _counted(
        judge_of(context),
        "tokens_a_pass_tree",
        tree.expected,
        because,
        list(tree.choices),
        share=share,
    )


# ---------------------------------------------------------------- the engine itself


@dataclass(frozen=True, slots=True)
class Served:
    """What an engine counted in the passes of one request. steps: runs of the model after its first
    token. tokens: said in them. passes: those over a tree; stood: of these, in how many each path
    was kept.
    """

    steps: int
    tokens: int
    passes: int
    stood: Mapping[Path, int]


def _judge_served(context: CheckContext, stored: TreeChoice, chance: random.Random) -> None:
    """One request answered by the engine: with one guess, with a tree, and with none. All is
    counted, nothing timed."""
    seed, nodes = chance.randrange(1 << 20), chance.randint(4, 16)
    plain, chain, tree = (
        served(each, seed) for each in (None, stored.pruned(2), stored.pruned(nodes))
    )
    judge, choices = judge_of(context), list(stored.pruned(nodes).choices)
    share = {path: tree.stood[path] / (tree.stood[path[:-1]] or 1) for path in choices}
    context.cases += 3
    because = f"The engine said {tree.tokens} tokens in {tree.passes} passes; the shares are those of the same passes."
    _counted(judge, "tokens_a_pass_tree", tree.tokens / tree.passes, because, choices, share=share)
    alpha, because = (
        chain.stood[0,] / chain.passes,
        f"{chain.tokens} tokens in {chain.passes} passes, counts the engine.",
    )
    _counted(judge, "tokens_a_pass_chain", chain.tokens / chain.passes, because, alpha, depth=1)
    because = f"The engine took {plain.steps} steps without guesses, and {tree.steps} with them."
    _counted(
        judge,
        "speed_up",
        plain.steps / tree.steps,
        because,
        tree.tokens / tree.passes,
        pass_cost=1.0,
    )


def served(tree: TreeChoice | None, seed: int) -> Served:
    """The waiter and its heads answer one request, guessing with this tree, or with none. Guesses
    that stand behind the last token wanted count in neither."""
    from reference_engine.engine import Engine
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.model_loader import load_model

    model, stood = load_model("waiter"), Counter[Path]()
    guessing = MedusaSpeculator(part("medusa"), load_heads(HEADS, model), tree) if tree else None
    engine = Engine(model, num_blocks=ROOM, block_size=16, max_seqs=1, speculator=guessing)
    engine.add(workload("predictable_talk_4", seed).requests[0].prompt, ANSWER)
    while not engine.metrics.emitted:
        engine.step()
    counted, read, said = engine.metrics, engine.metrics.steps, engine.metrics.emitted
    while not engine.idle:
        before = counted.accepted
        engine.step()
        for verified in guessing.passes if guessing else ():
            assert guessing
            stood.update(_walked(guessing.tree, verified.walk[: 1 + counted.accepted - before]))
    return Served(counted.steps - read, counted.emitted - said, stood[()], stood)


def _walked(tree: Tree, walk: Sequence[int]) -> list[Path]:
    """The paths of all nodes of a walk, that of node 0 is empty."""
    ranks = tuple(int(tree.rank[node]) for node in walk[1:])
    return [ranks[:depth] for depth in range(len(walk))]


def _counted(
    judge: FormulaJudge, name: str, due: float, because: str, *args: object, **keywords: object
) -> None:
    judge.judge(Formula(name, lambda *_, **__: due), *args, because=because, **keywords)
