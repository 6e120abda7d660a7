"""A wrong verdict of the typical rule is told with the p that came of it, where one mistake
explains all answers."""

from __future__ import annotations

import math
import random

from graders.exercises.ex4_medusa import diagnostics
from graders.exercises.ex4_medusa import specification as spec
from graders.exercises.ex4_medusa.judge import PROBES
from graders.exercises.ex4_medusa.mistakes import MISTAKES, Mistake, Question, others
from graders.exercises.ex4_medusa.specification import PathTree, TypicalRule

RIGHT = Mistake("nothing wrong")


def question(seed: int) -> Question:
    chance, tree = random.Random(seed), PathTree.of([(0, 0), (1,), (1, 0)])
    tokens = [[chance.randrange(5) for _ in tree.paths] for _ in range(2)]
    logits = [[[chance.uniform(-2, 2) for _ in range(5)] for _ in tree.paths] for _ in range(2)]
    return Question(tree, tokens, logits, TypicalRule(temperature=0.7, epsilon=0.3, delta=0.6))


def answer(mistake: Mistake, asked: Question, row: int) -> list[int]:
    ends, _ = spec.winners(asked.tree, asked.tokens[row], *mistake.chances(asked, row))
    walk = asked.tree.walk(ends[0])
    return [*walk, *[spec.NOWHERE] * (asked.tree.height + 1 - len(walk))]


def test_the_questions_asked_besides_tell_every_mistake_from_every_other() -> None:
    for mistake in [RIGHT, *MISTAKES]:
        answers = [
            (asked, row, answer(mistake, asked, row))
            for asked in others(PROBES)
            for row in range(2)
        ]
        explaining = [each.what for each in MISTAKES if all(each.explains(*one) for one in answers)]
        assert explaining == ([] if mistake is RIGHT else [mistake.what])


def test_two_walks_that_are_equally_long_are_told_with_their_sums_and_every_node_of_both() -> None:
    """The list ended before the node in question, and what ranks two walks that stand was not said."""
    tree = PathTree.of([(rank,) for rank in range(9)])
    tokens, logits = list(range(10)), [[math.log((token + 1) / 55) for token in range(10)]] * 10
    told = diagnostics.why_typical(
        tree, tokens, logits, TypicalRule(1.0, 0.01, 0.01), [0, 9], [0, 7, -1]
    )
    assert "node 7: p = 0.14545" in told and "node 9: p = 0.18182" in told
    assert told.endswith(
        "Both stand and are equally long: the sum of ln p is -1.9279 on [0, 7], -1.7047 on [0, 9]."
    )


def test_nothing_wrong_is_what_the_specification_says() -> None:
    for seed in range(20):
        asked, rule = question(seed), question(seed).rule
        for row in range(2):
            given = asked.tree, asked.tokens[row], asked.logits[row]
            due = spec.typical(*given, rule.temperature, rule.epsilon, rule.delta).verdicts[0]
            assert answer(RIGHT, asked, row) == due.padded(asked.tree.height)
            assert "p = " in (told := diagnostics.why_typical(*given, rule)) and "H = " in told
