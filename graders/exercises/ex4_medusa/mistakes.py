"""Which mistake explains a verdict by the typical rule: what would have been accepted, had it been
made.

A part returns nodes and no probabilities, so its own p can only be told where a known mistake leads
to the very verdict that it gave, and to those that it gives to other questions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graders.exercises.ex4_medusa.specification import (
    NOWHERE,
    Logits,
    PathTree,
    Rows,
    TypicalRule,
    bar,
    entropy,
    softmax,
    winners,
)

Cells = Sequence[Sequence[float]]  # [N, V]
TOLD = 6  # nodes


def _softmaxes(cells: Cells, temperature: float) -> Cells:
    return [softmax(line, temperature) for line in cells]


def _over_vocabulary(logits: Logits, row: int, rule: TypicalRule) -> Cells:
    return _softmaxes(logits[row], rule.temperature)


def _over_nodes(logits: Logits, row: int, rule: TypicalRule) -> Cells:
    return _turned(_softmaxes(_turned(logits[row]), rule.temperature))


def _over_rows(logits: Logits, row: int, rule: TypicalRule) -> Cells:
    nodes = [
        _turned([cells[node] for cells in logits]) for node in range(len(logits[row]))
    ]  # [N, V, B]
    return [[softmax(line, rule.temperature)[row] for line in node] for node in nodes]


def _turned(cells: Cells) -> Cells:
    return [list(column) for column in zip(*cells, strict=True)]


def _usual_bar(p: Sequence[float], rule: TypicalRule) -> float:
    return bar(p, rule.epsilon, rule.delta)


@dataclass(frozen=True, slots=True)
class Question:
    """What a call of verify_typical is given."""

    tree: PathTree
    tokens: Rows
    logits: Logits
    rule: TypicalRule


@dataclass(frozen=True, slots=True)
class Mistake:
    """what: in words. p, bar: how they are computed. at_node: both are read at the node, not at its
    parent."""

    what: str
    p: Callable[[Logits, int, TypicalRule], Cells] = _over_vocabulary
    bar: Callable[[Sequence[float], TypicalRule], float] = _usual_bar
    at_node: bool = False

    def chances(self, question: Question, row: int) -> tuple[list[float], list[float]]:
        """For each node p of its token, and what it has to exceed."""
        p = self.p(question.logits, row, question.rule)
        bars = [self.bar(cells, question.rule) for cells in p]
        tree = question.tree
        at = list(range(len(tree))) if self.at_node else [0, *tree.parent[1:]]
        tokens = question.tokens[row]
        return [p[place][token] for place, token in zip(at, tokens, strict=True)], [
            bars[place] for place in at
        ]

    def explains(self, question: Question, row: int, nodes: Sequence[int]) -> bool:
        """Whether it gives just these nodes, -1 after the path."""
        tree = question.tree
        ends, _ = winners(tree, question.tokens[row], *self.chances(question, row))
        walk = tree.walk(ends[0])
        return [*walk, *[NOWHERE] * (tree.height + 1 - len(walk))] == list(nodes)

    def told(self, question: Question, row: int) -> str:
        """What it is, and the p that comes of it."""
        chance, _ = self.chances(question, row)
        each = ", ".join(
            f"p = {chance[node]:.5g} at node {node}" for node in range(1, len(chance))[:TOLD]
        )
        return f"of {self.what} ({each})"


MISTAKES = (
    Mistake("a softmax over the nodes, where it is due over the vocabulary", _over_nodes),
    Mistake(
        "a softmax over the rows of the batch, where it is due over the vocabulary", _over_rows
    ),
    Mistake("p read at the node, where its parent's is due", at_node=True),
    Mistake(
        "logits that were not divided by the temperature",
        lambda logits, row, _: _softmaxes(logits[row], 1.0),
    ),
    Mistake(
        "logits that were multiplied by the temperature",
        lambda logits, row, rule: _softmaxes(logits[row], 1 / rule.temperature),
    ),
    Mistake("the larger of epsilon and delta * exp(-H)", bar=lambda p, rule: _bar(p, rule, max)),
    Mistake("epsilon alone", bar=lambda p, rule: rule.epsilon),
    Mistake("delta * exp(-H) alone", bar=lambda p, rule: _bar(p, rule, lambda _, other: other)),
    Mistake("an entropy in bits", bar=lambda p, rule: _bar(p, rule, min, 1 / math.log(2))),
    Mistake("exp(H), where exp(-H) is due", bar=lambda p, rule: _bar(p, rule, min, -1.0)),
)


def _bar(
    p: Sequence[float],
    rule: TypicalRule,
    chosen: Callable[[float, float], float],
    times: float = 1.0,
) -> float:
    return chosen(rule.epsilon, rule.delta * math.exp(-times * entropy(p)))


def others(count: int) -> list[Question]:
    """Questions whose answers tell the mistakes apart."""
    chance, tree = random.Random(count), PathTree.of([(0, 0), (1,), (0, 1)])
    questions = []
    for _ in range(count):
        logits = [
            [[chance.randint(-6, 6) / 2 for _ in range(4)] for _ in tree.paths] for _ in range(2)
        ]
        tokens = [
            chance.sample(range(4), 4) + [chance.randrange(4)] * (len(tree) - 4) for _ in range(2)
        ]
        rule = TypicalRule(
            chance.choice((0.5, 2.0)),
            chance.choice((0.05, 0.1, 0.9)),
            chance.choice((0.02, 0.3, 3.0)),
        )
        questions.append(Question(tree, tokens, logits, rule))
    return questions
