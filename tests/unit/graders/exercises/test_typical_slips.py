"""A wrong verdict of the typical rule is told with the learner's own numbers, where one slip explains it."""

from __future__ import annotations

import random

from graders.exercises.ex4_medusa import diagnostics
from graders.exercises.ex4_medusa import specification as spec
from graders.exercises.ex4_medusa.specification import PathTree, TypicalRule

TREE = PathTree.of([(0, 0), (1,), (1, 0)])
RULE = TypicalRule(temperature=0.7, epsilon=0.3, delta=0.6)


def rows(seed: int) -> tuple[list[int], list[list[float]]]:
    chance = random.Random(seed)
    tokens = [chance.randrange(5) for _ in range(len(TREE))]
    return tokens, [[chance.uniform(-2, 2) for _ in range(5)] for _ in range(len(TREE))]


def answer(slip: diagnostics.Slip, seed: int) -> tuple[int, list[int], int]:
    tokens, logits = rows(seed)
    end, _ = spec.winner(TREE, tokens, slip.standing(TREE, tokens, logits, RULE))
    walk = list(TREE.walk(end))
    return len(walk) - 1, walk + [-1] * (TREE.height + 1 - len(walk)), 0


def test_a_slip_is_told_where_it_or_one_other_explains_the_answer() -> None:
    named = set()
    for seed in range(30):
        tokens, logits = rows(seed)
        answers = {slip.words: answer(slip, seed) for slip in diagnostics.SLIPS}
        for words, got in answers.items():
            if got[1] == answer(diagnostics.RIGHT, seed)[1]:
                continue
            told = diagnostics.why_typical(TREE, tokens, logits, RULE, got)
            assert "p = " in told and "H = " in told
            assert (words in told) == (list(answers.values()).count(got) <= 2)
            named |= {words} if words in told else set()
    assert len(named) >= 3, named


def test_the_right_numbers_are_those_of_the_specification() -> None:
    for seed in range(20):
        tokens, logits = rows(seed)
        due = spec.typical(TREE, tokens, logits, RULE.temperature, RULE.epsilon, RULE.delta).verdict
        assert answer(diagnostics.RIGHT, seed)[1] == due.padded(TREE.height)
