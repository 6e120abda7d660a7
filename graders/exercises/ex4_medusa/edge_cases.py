"""The cases of exercise 4 that are named rather than drawn: what is refused, and the edges of the
typical rule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product, takewhile

from graders.checking.check_context import CheckContext
from graders.checking.failure import Together
from graders.checking.wire_tensors import sent
from graders.exercises.ex4_medusa.judge import MedusaJudge
from graders.exercises.ex4_medusa.specification import (
    Path,
    PathTree,
    RowVerdict,
    TypicalRule,
    entropy,
    softmax,
)
from graders.exercises.ex4_medusa.wire_tensors import sent_tree

NEVER = -math.inf
Cells = dict[int, tuple[float, float, float]]  # p at a node
NEVER_BY_CHANCE = 1e-12  # of fair draws that come out so
LEAST_ALIKE = 64  # rows in which somebody forgot to draw
SURE = 42.0  # chi-square with 3 degrees of freedom: above it once in 2e8 fair draws
DRAWS = 1500
ENDS = (
    [1.0, NEVER, 0.5, -0.5, 0.0],
    [0.0, 1.0, NEVER, 0.5, 0.0],
)  # logits where the path ends, by turns
BESIDE = 1e-4
FAR_TOKEN = 65_540  # more than 16 bits number

PATHS: tuple[Path, ...] = ((0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1))  # of the smallest trees
TREES: tuple[Sequence[Path], ...] = (
    *([path] for path in PATHS),
    *([first, second] for first, second in product(PATHS, repeat=2)),
    ((1,), (0, 0)),
    [(10,), (9,), (2,)],
    [(1, 11), (11, 1)],
    [(0, 11), (1, 0)],
    [(0, 11), (0, 2), (3,)],
    [(2, 0), (0, 0, 1), (1,)],
    [(0, 1, 0, 1, 0, 1, 0)],
)
DEEP: list[Path] = [(0,) * 12, (0, 0, 0, 0, 0, 1), (0,) * 8 + (2,)]
BUSHY: list[Path] = [
    *((rank,) for rank in range(120)),
    (119, 3),
    (119, 3, 0),
    *((100, rank) for rank in range(150)),
]

ALIKE: tuple[Sequence[Path], ...] = ([(0,), (1,)], [(0,), (0, 2)])  # of as many nodes
FORK = PathTree.of(ALIKE[0])

REFUSED_CHOICES: tuple[tuple[list[tuple[float, ...]], str], ...] = (
    ([], "there is no choice at all"),
    ([()], "a choice is empty"),
    ([(0,), ()], "the second choice is empty"),
    ([(-1,)], "a rank is negative"),
    ([(0,), (0, -1)], "a rank is negative"),
    ([(-1, 0)], "a rank is negative"),
    ([(0.5,)], "a rank is no integer"),
    ([(0,), (0, 1.5)], "a rank is no integer"),
)

REFUSED_GUESSES: tuple[tuple[list[Path], int, int, str], ...] = (
    ([(0, 0)], 1, 2, "the tree is 2 deep, but there is only 1 head"),
    ([(0,), (1, 0, 0)], 2, 3, "the tree is 3 deep, but there are only 2 heads"),
    ([(2,)], 1, 2, "rank 2 is the third guess, but each head gives only 2"),
    ([(1, 0), (0, 1, 0)], 3, 1, "rank 1 is the second guess, but each head gives only 1"),
    ([(3,), (0, 0)], 2, 3, "rank 3 is the fourth guess, but each head gives only 3"),
)


def refused_choices(context: CheckContext) -> None:
    together = Together()
    for choices, why in REFUSED_CHOICES:
        context.cases += 1
        with together.case():
            judge, written = MedusaJudge(context), f"build_tree({choices})"
            judge.scene.refused(
                "build_tree", [[list(choice) for choice in choices], "list"], written, why
            )
    together.tell()


def refused_guesses(context: CheckContext) -> None:
    together = Together()
    for choices, heads, guesses, why in REFUSED_GUESSES:
        for rows in (1, 2):
            context.cases += 1
            tree = PathTree.of(choices)
            topk = [
                [[10 * head + rank for rank in range(guesses)] for head in range(1, heads + 1)]
            ] * rows
            args = [sent_tree(tree), sent("int64", [5] * rows), sent("int64", topk)]
            with together.case():
                judge = MedusaJudge(context)
                judge.scene.tell(call := f"tree = medusa.build_tree({choices})", code=call)
                judge.scene.refused(
                    "propose", args, f"propose(tree, root={[5] * rows}, topk={topk})", why
                )
    together.tell()


def named_trees(context: CheckContext) -> None:
    """Small ones; and two of as many nodes by one caller, who keeps the first: so with each
    function below."""
    judge = MedusaJudge(context)
    for choices in ALIKE:
        judge.judge_tree(choices, judge.build_tree(choices, ("parent", "rank")), ("parent", "rank"))
    for choices in TREES:
        context.cases += 1
        judge = MedusaJudge(context)
        judge.judge_tree(choices, judge.build_tree(choices, ("parent", "rank")), ("parent", "rank"))


def long_sight(context: CheckContext) -> None:
    """Law 4.2: from the end of a long path every node above is seen, and none beside it."""
    for path in ((0,) * 4, (0,) * 7):
        choices = [path, (*path[:2], 1)]
        context.cases += 1
        judge = MedusaJudge(context)
        judge.judge_tree(choices, judge.build_tree(choices, ("depth", "mask")), ("depth", "mask"))


def large_trees(context: CheckContext) -> None:
    """Deeper than any heads are today, and more nodes than 8 bits count."""
    for choices in (DEEP, BUSHY):
        context.cases += 1
        judge = MedusaJudge(context)
        judge.judge_tree(
            choices, judge.build_tree(choices, ()), ("parent", "rank", "depth", "mask")
        )


def large_proposals(context: CheckContext) -> None:
    """The same trees: heads of a hundred guesses and more, each another token."""
    judge = MedusaJudge(context)
    for root, guesses in ((7, [1, 2]), (8, [3, 4])):
        judge.propose(FORK, [root], [[guesses]])
    for choices in (DEEP, BUSHY):
        context.cases += 1
        tree = PathTree.of(choices)
        width = max(tree.rank) + 1
        topk = [[(head + 1) * 1000 + rank for rank in range(width)] for head in range(tree.height)]
        MedusaJudge(context).propose(tree, [7], [topk])


def large_walks(context: CheckContext) -> None:
    """The same trees: down to the deepest, the last, and a node in between; tokens whose lower bits
    are alike."""
    judge = MedusaJudge(context)
    for argmax in ([5, 1, 1], [6, 1, 2]):
        judge.verify_greedy(FORK, [[0, 5, 6]], [argmax])
    for choices in (DEEP, BUSHY):
        tree = PathTree.of(choices)
        tokens = [node * 3 for node in range(len(tree))]
        ends = (len(tree) - 1, tree.depth.index(tree.height), len(tree) // 2)
        context.cases += 1
        MedusaJudge(context).verify_greedy(
            tree, [tokens] * len(ends), [_led(tree, tokens, end) for end in ends]
        )
    for token, other in ((1, 65_537), (2048, 2049), (16_777_216, 16_777_217), (128_255, 128_254)):
        context.cases += 1
        tree = PathTree.of([(0,), (1,)])
        MedusaJudge(context).verify_greedy(
            tree, [[0, token, other]] * 2, [[other, 5, 6], [token, 5, 6]]
        )


def _led(tree: PathTree, tokens: Sequence[int], end: int) -> list[int]:
    """What a model says that wants the path to a node, and nothing that is proposed elsewhere."""
    said = [1] * len(tree)
    for node in tree.walk(end)[1:]:
        said[tree.parent[node]] = tokens[node]
    return said


def large_verdicts(context: CheckContext) -> None:
    """The same trees by the typical rule: the path to the last node, or to the deepest, stands."""
    judge = MedusaJudge(context)
    for likely in ([0.0, 3.0, -3.0], [0.0, -3.0, 3.0]):
        judge.verify_typical(FORK, [[0, 1, 2]], [[likely] * len(FORK)], TypicalRule(1.0, 0.3, 1.0))
    for choices in (DEEP, BUSHY):
        tree = PathTree.of(choices)
        for end in (len(tree) - 1, tree.depth.index(tree.height)):
            context.cases += 1
            walk = tree.walk(end)
            tokens = [1 if node in walk else 2 for node in range(len(tree))]
            logits = [
                [0.0, 3.0, -3.0] if node in walk[:-1] else [3.0, 0.0, 0.0]
                for node in range(len(tree))
            ]
            MedusaJudge(context).verify_typical(
                tree, [tokens], [logits], TypicalRule(1.0, 0.3, 1.0)
            )
    context.cases += 1
    many = [
        3.0 if token == 7 else 0.0 for token in range(300)
    ]  # p(7) = 0.063, of the 50 likeliest alone 0.29
    MedusaJudge(context).verify_typical(
        PathTree.of([(0,)]), [[0, 7]], [[many, many]], TypicalRule(1.0, 0.1, 20.0)
    )
    context.cases += 1
    one = [0.0] * FAR_TOKEN + [14.0]  # p of the last is 0.95
    MedusaJudge(context).verify_typical(
        PathTree.of([(0,)]), [[0, FAR_TOKEN]], [[one, one]], TypicalRule(1.0, 0.3, 0.6)
    )


def large_moves(context: CheckContext) -> None:
    """The same trees: all of a long path moves, and nodes of three digits do; first of all a tree
    that is small."""
    small = PathTree.of([(0,), (1,), (0, 0), (1, 0)])
    for walk in ((0, 1), (0, 2), (0, 2, 4)):
        context.cases += 1
        MedusaJudge(context).compact(small, [RowVerdict(walk, 1)], [[10, 12, 15, 11, 14]])
    judge = MedusaJudge(context)
    for first in (10, 20):
        judge.compact(FORK, [RowVerdict((0, 2), 1)], [[first, first + 1, first + 2]])
    for choices in (DEEP, BUSHY):
        tree = PathTree.of(choices)
        slots = [70_000 - 3 * node for node in range(len(tree))]
        for end in (len(tree) - 1, tree.depth.index(tree.height)):
            context.cases += 1
            MedusaJudge(context).compact(tree, [RowVerdict(tuple(tree.walk(end)), 1)], [slots])


def large_batches(context: CheckContext) -> None:
    """As many rows as an engine decodes at once, each with a path of its own; and rows that are
    alike in part."""
    for views in (False, True):
        rows_alike(context, views)
    tree = PathTree.of([(0, 0), (1,), (0, 1)])
    paths = [tree.walk(node) for node in range(len(tree))]
    for rows in (33, 128):
        context.cases += 1
        judge = MedusaJudge(context)
        walks = [paths[row * 3 % len(paths)] for row in range(rows)]
        tokens = [[row + 10 * node for node in range(len(tree))] for row in range(rows)]
        judge.propose(
            tree,
            [row[0] for row in tokens],
            [[[row, row + 1], [row + 2, row + 3]] for row in range(rows)],
        )
        judge.verify_greedy(
            tree,
            tokens,
            [_led(tree, row, walk[-1]) for row, walk in zip(tokens, walks, strict=True)],
        )
        likely = [[0.0, 3.0], [3.0, 0.0]]
        said = [[int(node in walk) for node in range(len(tree))] for walk in walks]
        logits = [[likely[node not in walk[:-1]] for node in range(len(tree))] for walk in walks]
        judge.verify_typical(tree, said, logits, TypicalRule(1.0, 0.3, 1.0))
        slots = [[row * 8 + 5 - node for node in range(len(tree))] for row in range(rows)]
        judge.compact(tree, [RowVerdict(tuple(walk), 1) for walk in walks], slots)


def rows_alike(context: CheckContext, views: bool) -> None:
    """Rows that are given the same, but for one argument: what is known of one says nothing about
    the other."""
    tree, said = PathTree.of([(0, 0), (1,)]), [4, 5, 6, 7]
    ends = (3, 2, 0, 1, 3)
    walks = [tree.walk(end) for end in ends]
    judge = MedusaJudge(context, views=views)
    judge.propose(tree, [8, 9, 8], [[[1, 2], [3, 4]], [[1, 2], [3, 4]], [[1, 2], [3, 5]]])
    judge.verify_greedy(tree, [said] * len(ends), [_led(tree, said, end) for end in ends])
    judge.verify_greedy(tree, [said, [4, 6, 5, 7], said[::-1]], [_led(tree, said, 3)] * 3)
    likely, small = [[0.0, 3.0], [3.0, 0.0]], [int(node > 0) for node in range(len(tree))]
    logits = [[likely[node not in walk[:-1]] for node in range(len(tree))] for walk in walks]
    judge.verify_typical(tree, [small] * len(ends), logits, TypicalRule(1.0, 0.3, 1.0))
    lone = PathTree.of([(0,)])
    unsure, surer = (
        _logits(lone, {0: p}) for p in ((0.33, 0.33, 0.33), (0.7, 0.05, 0.25))
    )  # 0.33 stands, 0.25 not
    judge.verify_typical(lone, [[0, 2]] * 3, [unsure, surer, unsure], TypicalRule(1.0, 0.9, 0.6))
    slots = [[10 * row + 5 - node for node in range(len(tree))] for row in range(len(ends))]
    judge.compact(tree, [RowVerdict(tuple(tree.walk(3)), 1)] * len(ends), slots)
    context.cases += 1


def refused_rules(context: CheckContext) -> None:
    """Numbers of the rule that are none, and a model that says NaN where the path ends."""
    nan, fine = math.nan, [[0.0, 1.0], [1.0, 0.0]]
    wounds = [nan, nan], [nan, 1.0]
    cases: list[tuple[dict[str, float], list[list[float]], int | None, str]] = [
        ({name: wrong}, fine, None, f"{name} is {'NaN' if math.isnan(wrong) else 'negative'}")
        for name in ("temperature", "epsilon", "delta")
        for wrong in (-0.5, nan)
    ]
    for warmth in (1.0, 0.0):
        for seed in (None, 1):
            for wound in wounds:
                why = "logits are NaN where the path ends"
                cases.append(({"temperature": warmth}, [wound, fine[1]], seed, why))
                cases.append(({"temperature": warmth}, [fine[0], wound], seed, why))
    tree = PathTree.of([(0,)])
    for changed, logits, seed, why in cases:
        context.cases += 1
        numbers = {"temperature": 1.0, "epsilon": 0.3, "delta": 0.3} | changed
        rule = TypicalRule(numbers["temperature"], numbers["epsilon"], numbers["delta"], seed=seed)
        MedusaJudge(context).typical_refused(tree, [[0, 1]], [logits], rule, why)


def winners(context: CheckContext) -> None:
    """Long before likely; the sum of ln p at this temperature, not the last, not of p; the lower of
    equal ends."""
    cases: tuple[tuple[list[Path], list[int], Cells, float], ...] = (
        ([(0,), (1,)], [0, 1, 2], {0: (0.5, 0.2, 0.3)}, 1.0),
        ([(0,), (1, 0)], [0, 1, 2, 1], {0: (0.1, 0.8, 0.1), 2: (0.2, 0.4, 0.4)}, 1.0),
        (
            [(0, 0), (1, 0)],
            [0, 1, 2, 1, 2],
            {0: (0.1, 0.7, 0.2), 1: (0.3, 0.3, 0.4), 2: (0.1, 0.2, 0.7)},
            1.0,
        ),
        (
            [(0, 0), (1, 0)],
            [0, 1, 2, 1, 2],
            {0: (0.1, 0.3, 0.6), 1: (0.05, 0.9, 0.05), 2: (0.3, 0.2, 0.5)},
            1.0,
        ),
        (
            [(0, 0), (1, 0)],
            [0, 1, 2, 1, 2],
            {0: (0.06, 0.04, 0.9), 1: (0.02, 0.95, 0.03), 2: (0.5, 0.4, 0.1)},
            1.0,
        ),
        ([(0,), (1,)], [0, 1, 1], {0: (0.3, 0.5, 0.2)}, 1.0),
        ([(0,), (1,)], [1, 2, 0], {0: (0.4, 0.2, 0.4)}, 1.0),
        ([(0, 0), (1, 0)], [0, 1, 2, 2, 2], {0: (0.2, 0.4, 0.4)}, 1.0),
        (
            [(0, 0), (1, 0)],
            [0, 1, 2, 1, 1],
            {0: (0.2, 0.4, 0.4), 1: (0.01, 0.42, 0.57), 2: (0.31, 0.38, 0.31)},
            0.5,
        ),
    )
    for choices, tokens, cells, temperature in cases:
        context.cases += 1
        tree = PathTree.of(choices)
        MedusaJudge(context).verify_typical(
            tree, [tokens], [_logits(tree, cells)], TypicalRule(temperature, 0.02, 0.02)
        )


def unlikely_paths(context: CheckContext) -> None:
    """Law 4.8: of two long paths of unlikely tokens the likelier one, though the product of either
    is 0 in float32, or in float64."""
    for depth, steep in ((3, 40.0), (12, 80.0)):
        context.cases += 1
        tree = PathTree.of([(0,) * depth, (1,) + (0,) * (depth - 1)])
        tokens = [0, 1, 2, *[1] * (len(tree) - 3)]
        logits = [[steep, 0.0, 0.0] for _ in range(len(tree))]
        logits[2] = [steep - 1, 0.0, 0.0]
        MedusaJudge(context).verify_typical(tree, [tokens], [logits], TypicalRule(1.0, 0.0, 1.0))


def bars_apart(context: CheckContext) -> None:
    """Law 4.8: p between epsilon and delta * exp(-H), whichever is the lower; and below a node that
    is surer, or less sure, than node 0, p between the bars of both."""
    flat, likely, wide, sharp = (
        (0.33, 0.33, 0.33),
        (0.1, 0.8, 0.1),
        (0.4, 0.35, 0.25),
        (0.7, 0.05, 0.25),
    )
    cases: tuple[tuple[Path, Cells, float, float], ...] = (
        ((0,), {0: wide}, 0.4, 0.6),
        ((0,), {0: wide}, 0.2, 2.0),
        ((0, 0), {0: flat, 1: sharp}, 0.9, 0.6),
        ((0, 0), {0: likely, 1: wide}, 0.9, 0.6),
    )
    for path, cells, epsilon, delta in cases:
        context.cases += 1
        tree, tokens = PathTree.of([path]), [0, 1, 2][: len(path) + 1]
        MedusaJudge(context).verify_typical(
            tree, [tokens], [_logits(tree, cells)], TypicalRule(1.0, epsilon, delta)
        )


def bars(context: CheckContext) -> None:
    """A probability exactly at the bar does not stand; temperature 0 is greedy, a small one is not."""
    flat = [0.0, 0.0]
    cases: tuple[tuple[list[Path], list[int], list[list[float]], TypicalRule], ...] = (
        ([(0,)], [0, 1], [[NEVER, 0.0], flat], TypicalRule(1.0, 1.0, 1.0)),
        ([(0,)], [0, 1], [[0.0, NEVER], flat], TypicalRule(1.0, 0.0, 1.0)),
        ([(0,)], [0, 1], [[0.0, NEVER], flat], TypicalRule(1.0, 0.5, 0.0)),
        (
            [(0, 0), (1,)],
            [0, 1, 2, 0],
            [[0.0, 1.0, 2.0], *[[0.0, 1.0, 0.0]] * 3],
            TypicalRule(0.0, 0.1, 0.1),
        ),
        ([(0,)], [0, 0], [[0.0, 4.0], [1.0, 0.0]], TypicalRule(0.0, 0.0, 0.0, seed=1)),
        ([(0,)], [0, 0], [[1.0, 0.5], [1.0, 0.75]], TypicalRule(0.0, 1.0, 1.0, seed=2)),
        ([(0,)], [0, 1], [[0.0005, 0.0], [0.0, 1.0]], TypicalRule(0.001, 0.3, 0.3)),
        ([(0,)], [0, 1], [[0.002, 0.0], [0.0, 1.0]], TypicalRule(0.001, 0.3, 0.3)),  # p = 0.12
        ([(0,)], [0, 1], [flat, [0.0, 1.0]], TypicalRule(1e-6, 0.3, 0.3)),  # p = 0.5
        ([(0,)], [0, 1], [[50.0, 0.0], flat], TypicalRule(50.0, 0.3, 0.3)),  # p = 0.27
    )
    for choices, tokens, logits, rule in cases:
        context.cases += 1
        MedusaJudge(context).verify_typical(PathTree.of(choices), [tokens], [logits], rule)


def holes(context: CheckContext) -> None:
    """NaN and -inf where the winner does not pass."""
    tree, low = PathTree.of([(0,), (1,), (0, 0)]), TypicalRule(1.0, 0.1, 0.1)
    root, end = [0.0, 1.0, 2.0], [0.5, 0.0, 1.5]
    nan = [math.nan] * 3
    for logits in (
        [root, nan, end, nan],
        [[NEVER, 1.0, 2.0], nan, end, nan],
        [root, [5.0, math.nan, 0.0], end, nan],
        [root, [NEVER] * 2 + [0.0], end, end],
    ):
        context.cases += 1
        MedusaJudge(context).verify_typical(tree, [[0, 1, 2, 0]], [logits], low)
    for epsilon, delta in (
        (0.9, 0.3),
        (0.1, 1.0),
        (0.5, 1.0),
        (0.9, 0.6),
    ):  # p = 0.27: it stands, stands, and does not
        context.cases += 1
        rule = TypicalRule(1.0, epsilon, delta)
        MedusaJudge(context).verify_typical(
            PathTree.of([(0,)]), [[0, 1]], [[[NEVER, 1.0, 2.0], end]], rule
        )


def _logits(tree: PathTree, cells: Cells) -> list[list[float]]:
    """ln p at the nodes named, and a plain row elsewhere; rounded, so that stories stay short."""
    return [
        [round(math.log(x), 2) for x in cells.get(node, (0.2, 0.3, 0.5))]
        for node in range(len(tree))
    ]


def near(context: CheckContext) -> None:
    """p a ten thousandth beside the bar: float32 sees on which side, half precision does not."""
    tree, logits = PathTree.of([(0,)]), [1.3, 0.45, -0.7, 0.1]
    p = softmax(logits, 0.7)
    peak = math.exp(-entropy(p))
    for token in (0, 1):
        for aside in (-BESIDE, BESIDE):
            context.cases += 2
            needed = p[token] * (1 + aside)
            for rule in (TypicalRule(0.7, needed, 2.0), TypicalRule(0.7, 1.0, needed / peak)):
                MedusaJudge(context).verify_typical(tree, [[0, token]], [[logits] * 2], rule)


def draws(context: CheckContext) -> None:
    """With a generator, `next` is drawn from p where the path of the row ends, and from this
    generator alone."""
    judge, rule = MedusaJudge(context), TypicalRule(0.5, 0.3, 0.3, seed=context.seed % 1000)
    drawn = _drawn(judge, rule, 1)
    for row, end in enumerate(ENDS):
        _fair(
            judge,
            drawn[row :: len(ENDS)],
            softmax(end, rule.temperature),
            f"rows {row}, {row + len(ENDS)}, …",
        )
    _drawn_elsewhere(context, rule)
    context.cases += 3
    again = _drawn(judge, rule, 2)
    if again != drawn:
        message = "The same generator gave other draws: `next` is drawn with the generator given and no other."
        judge.scene.broken(message, got=f"next {again[:8]} …", expected=f"next {drawn[:8]} …")
    later = _drawn(judge, replace(rule, used=DRAWS), 1)
    if later == drawn:
        message = (
            "A generator that has given numbers before gave the same draws again: it goes on from where it is; it is"
            " not seeded anew, and its seed is no source of draws."
        )
        judge.scene.broken(message, got=f"next {later[:8]} …", expected="other draws")


def _drawn_elsewhere(context: CheckContext, rule: TypicalRule) -> None:
    """Rows that end at the root, and at a leaf, by turns: p is at the same temperature there."""
    judge, end, rows = MedusaJudge(context), ENDS[0], DRAWS // 2
    likely = [NEVER, 3.0, NEVER, 0.0, NEVER]
    logits = [[end, likely], [likely, end]] * (rows // 2)
    brief = f"tokens=[[0, 1]] * {rows}, logits={logits[:2]} * {rows // 2}"
    count, _, following = judge.typical_raw(
        PathTree.of([(0,)]), [[0, 1]] * rows, logits, rule, 3, brief
    )
    told = f"next {following.items[:8]} …, count {dict(sorted(Counter(count.items).items()))}"
    judge.scene.steps[-1].answer = told
    if count.items != [0, 1] * (rows // 2):
        message = "Node 1 stands in every second row; a generator decides on `next` alone."
        judge.scene.broken(message, got=told, expected=f"count {[0, 1]} by turns")
    for first, where in enumerate(("the root", "a leaf")):
        drawn = following.items[first::2]
        _fair(judge, drawn, softmax(end, rule.temperature), f"rows that end at {where}")
    context.cases += 1


def _drawn(judge: MedusaJudge, rule: TypicalRule, unrelated: int) -> list[int]:
    """`next` of many rows: node 1 is accepted, its child is not, and the rows end in ENDS by turns."""
    tree = PathTree.of([(0, 0)])
    tokens = [[0, 1, 4]] * DRAWS
    logits = [[[NEVER, 3.0, NEVER, 0.0, NEVER], end, [0.0, 0.0, 0.0, 0.0, 3.0]] for end in ENDS] * (
        DRAWS // len(ENDS)
    )
    brief = f"tokens=[[0, 1, 4]] * {DRAWS}, logits={logits[: len(ENDS)]} * {DRAWS // len(ENDS)}"
    count, _, following = judge.typical_raw(tree, tokens, logits, rule, unrelated, brief)
    drawn = following.items
    told = f"next {drawn[:8]} …, count {dict(sorted(Counter(count.items).items()))}"
    judge.scene.steps[-1].answer = told
    if set(count.items) != {1}:
        message = (
            "Node 1 stands in every row and node 2 in none; a generator decides on `next` alone."
        )
        judge.scene.broken(message, got=told, expected=f"count {{1: {DRAWS}}}")
    return drawn


def _fair(judge: MedusaJudge, drawn: Sequence[int], p: Sequence[float], rows: str) -> None:
    seen = Counter(drawn)
    strangers = [token for token in seen if not 0 <= token < len(p) or p[token] == 0]
    words = {token: round(len(drawn) * chance) for token, chance in enumerate(p) if chance}
    got, expected = f"{dict(sorted(seen.items()))} in {rows}", f"about {words}"
    last = drawn[-1]
    alike = len(list(takewhile(lambda token: token == last, reversed(drawn))))
    chance = p[last] if 0 <= last < len(p) else 0.0
    if alike < len(drawn) and chance**alike < NEVER_BY_CHANCE and alike > LEAST_ALIKE:
        message = (
            f"`next` is {last} for the last {alike} in {rows}: every row has a draw of its own."
        )
        judge.scene.broken(message, got=got, expected=expected)
    if strangers:
        message = f"`next` is {strangers[0]}, whose probability where the path ends is 0."
        judge.scene.broken(message, got=got, expected=expected)
    distance = sum(
        (seen[token] - len(drawn) * x) ** 2 / (len(drawn) * x) for token, x in enumerate(p) if x
    )
    if distance > SURE:
        message = "With a generator, `next` is a draw from softmax(logits / temperature) at the end of the path."
        judge.scene.broken(message, got=got, expected=expected)
