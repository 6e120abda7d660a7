"""What is wrong with an answer, in words for the person who wrote the part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graders.exercises.ex4_medusa import specification as spec
from graders.exercises.ex4_medusa.specification import PathTree, Rows, RowVerdict, TypicalRule

RowLogits = Sequence[Sequence[float]]  # [N, V]


def verdict_words(count: Any, nodes: Any, following: Any) -> str:
    return f"count {count}, nodes {nodes}, next {following}"


def verdict_fault(got: tuple[int, list[int], int], due: RowVerdict, tree: PathTree) -> str:
    """One sentence: in what the verdict is wrong."""
    count, nodes, following = got
    if nodes == due.padded(tree.height):
        if count != due.count:
            return f"count is {count}, but {due.count} guesses are on the path (node 0 is no guess)."
        return f"the path is right, but next is {following}; {due.next} comes after node {due.walk[-1]}, where it ends."
    walk = [node for node in nodes if node >= 0]
    begun = nodes[: due.count + 1] == list(due.walk)
    if walk == list(due.walk) or (begun and nodes[due.count + 1] not in tree.children(due.walk[-1])):
        guesses = f"the {due.count} accepted guesses" if due.count else "node 0"
        return f"nodes is {nodes}: the path ends with {due.walk[-1]}, and after {guesses} every place is -1."
    if len(walk) > len(due.walk) and walk[: len(due.walk)] == list(due.walk):
        return f"the walk goes on to node {walk[len(due.walk)]}, which does not stand."
    if walk == list(due.walk)[: len(walk)]:
        return f"the walk stops at node {walk[-1] if walk else '?'} although node {due.walk[len(walk)]} stands."
    return f"the walk is {walk}; it has to be {list(due.walk)}."


def why_greedy(tree: PathTree, due: RowVerdict, tokens: Sequence[int], argmax: Sequence[int]) -> str:
    steps = [f"after node {node} the model says {argmax[node]}" for node in due.walk]
    steps = [
        f"{step}, which node {child} proposes" if child is not None else f"{step}, which no child proposes"
        for step, child in zip(steps, [*due.walk[1:], None], strict=True)
    ]
    if not tree.children(due.walk[-1]):
        steps[-1] = f"node {due.walk[-1]} has no child, next is {argmax[due.walk[-1]]}"
    return f"({'; '.join(steps)}.)"


@dataclass(frozen=True, slots=True)
class Slip:
    """The typical rule with one thing wrong. words: what. own: p is read at the node, not at its parent.

    p: from a row of logits and the temperature. bar: from p, epsilon and delta.
    """

    words: str
    own: bool = False
    p: Callable[[Sequence[float], float], list[float]] = spec.softmax
    bar: Callable[[Sequence[float], float, float], float] = spec.bar

    def standing(self, tree: PathTree, tokens: Sequence[int], logits: RowLogits, rule: TypicalRule) -> dict[int, float]:
        """The nodes that stand, and the sum of ln p on the way to each."""
        stands = {0: 0.0}
        for node, (chance, needed, _) in self.numbers(tree, tokens, logits, rule).items():
            if tree.parent[node] in stands and chance > needed:
                stands[node] = stands[tree.parent[node]] + math.log(chance)
        return stands

    def numbers(
        self, tree: PathTree, tokens: Sequence[int], logits: RowLogits, rule: TypicalRule
    ) -> dict[int, tuple[float, float, float]]:
        """Of each node p of its token, the bar, and H."""
        found = {}
        for node in range(1, len(tree)):
            p = self.p(logits[node if self.own else tree.parent[node]], rule.temperature)
            found[node] = p[tokens[node]], self.bar(p, rule.epsilon, rule.delta), spec.entropy(p)
        return found


RIGHT = Slip("")
SLIPS = (
    Slip("p and H are read at the node itself, not at its parent", own=True),
    Slip("the temperature is left out", p=lambda logits, _: spec.softmax(logits, 1.0)),
    Slip("the logits are multiplied by the temperature", p=lambda logits, heat: spec.softmax(logits, 1 / heat)),
    Slip("H is in bits, not in nats", bar=lambda p, e, d: min(e, d * math.exp(-spec.entropy(p) / math.log(2)))),
    Slip("H has the wrong sign", bar=lambda p, e, d: min(e, d * math.exp(spec.entropy(p)))),
    Slip(
        "the bar is the larger of the two, not the smaller", bar=lambda p, e, d: max(e, d * math.exp(-spec.entropy(p)))
    ),
    Slip("epsilon alone is the bar", bar=lambda p, e, d: e),
    Slip("delta exp(-H) alone is the bar", bar=lambda p, e, d: d * math.exp(-spec.entropy(p))),
)


def why_typical(
    tree: PathTree, tokens: Sequence[int], logits: RowLogits, rule: TypicalRule, got: tuple[int, list[int], int]
) -> str:
    """The numbers that decide, node by node; and beside them those that lead to the answer that was given."""
    if rule.temperature == 0:
        return "(Temperature 0 is greedy.)"
    return f"({_numbers(RIGHT, tree, tokens, logits, rule)}.){_slipped(tree, tokens, logits, rule, got)}"


def _numbers(slip: Slip, tree: PathTree, tokens: Sequence[int], logits: RowLogits, rule: TypicalRule) -> str:
    lines = []
    for node, (chance, needed, entropy) in slip.numbers(tree, tokens, logits, rule).items():
        sign, where = ">" if chance > needed else "not >", "itself" if slip.own else f"its parent {tree.parent[node]}"
        lines.append(f"node {node}: p = {chance:.5g} {sign} {needed:.5g} at {where}, where H = {entropy:.4g}")
    return f"{'; '.join(lines[:6])}{'; …' if len(lines) > 6 else ''}"


def _slipped(
    tree: PathTree, tokens: Sequence[int], logits: RowLogits, rule: TypicalRule, got: tuple[int, list[int], int]
) -> str:
    """The slip that leads to the nodes of an answer, or the two that do, with their numbers; "" when others do."""
    walk = [node for node in got[1] if node >= 0]
    found = []
    for slip in SLIPS:
        end, _ = spec.winner(tree, tokens, slip.standing(tree, tokens, logits, rule))
        if list(tree.walk(end)) == walk:
            found.append(slip)
    if len(found) not in (1, 2):
        return ""
    yours = ". Or when ".join(f"{slip.words}: {_numbers(slip, tree, tokens, logits, rule)}" for slip in found)
    return f" Your answer is what comes out when {yours}."


def why_not(src: int, dst: int, verdicts: Sequence[RowVerdict], slots: Rows) -> str:
    """What is wrong with a move that is not due."""
    rows = {slot: (row, node) for row, line in enumerate(slots) for node, slot in enumerate(line)}
    if src not in rows or dst not in rows:
        return f"no node was written to slot {src if src not in rows else dst}"
    (row, node), (other, place) = rows[src], rows[dst]
    if row != other:
        return f"slot {src} belongs to row {row} and slot {dst} to row {other}"
    walk = verdicts[row].walk
    if node not in walk:
        return f"slot {src} holds node {node}, which was rejected"
    if place > len(walk) - 1:
        return f"only slots {list(slots[row][1 : len(walk)])} are filled, {len(walk) - 1} guesses were accepted"
    return f"node {node} is accepted guess {walk.index(node)} and belongs in slot {slots[row][walk.index(node)]}"


def moves(moves: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{src} to {dst}" for src, dst in moves) or "no move"


def mask_fault(tree: PathTree, node: int, other: int) -> str:
    path, other_path = tree.paths[node], tree.paths[other]
    if other == node:
        return f"Node {node} does not see itself: mask[{node}][{node}] is False."
    if path[: len(other_path)] == other_path:
        kin = "node 0" if not other else f"its ancestor {other} {other_path}"
        return f"Node {node} {path} does not see {kin}: mask[{node}][{other}] is False."
    if other_path[: len(path)] == path:
        where = f"mask[{node}][{other}] is True. Rows look, columns are seen."
        return f"Node {node} {path} sees its descendant {other} {other_path}: {where}"
    if path[:-1] == other_path[:-1]:
        where = f"mask[{node}][{other}] is True. They are two futures of one position."
        return f"Node {node} {path} sees its sibling {other} {other_path}: {where}"
    return (
        f"Node {node} {path} sees node {other} {other_path}, which is not on its path: mask[{node}][{other}] is True."
    )
