"""What is wrong with an answer, in words for the person who wrote the part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graders.exercises.ex4_medusa import specification as spec
from graders.exercises.ex4_medusa.specification import PathTree, Rows, RowVerdict, TypicalRule


def verdict_words(count: Any, nodes: Any, following: Any) -> str:
    return f"count {count}, nodes {nodes}, next {following}"


def verdict_fault(got: tuple[int, list[int], int], due: RowVerdict, tree: PathTree) -> str:
    """One sentence: in what the verdict is wrong."""
    count, nodes, following = got
    if nodes == due.padded(tree.height):
        if count != due.count:
            are = "guess is" if due.count == 1 else "guesses are"
            return f"count is {count}, but {due.count} {are} on the path (node 0 is no guess)."
        return f"the path is right, but next is {following}; {due.next} comes after node {due.walk[-1]}, where it ends."
    walk = [node for node in nodes if node >= 0]
    begun = nodes[: due.count + 1] == list(due.walk)
    if walk == list(due.walk) or (
        begun and nodes[due.count + 1] not in tree.children(due.walk[-1])
    ):
        return f"nodes is {nodes}: the path ends with {due.walk[-1]}, and every place after that is -1."
    if len(walk) > len(due.walk) and walk[: len(due.walk)] == list(due.walk):
        return f"the walk goes on to node {walk[len(due.walk)]}, which does not stand."
    if walk == list(due.walk)[: len(walk)]:
        return f"the walk stops at node {walk[-1] if walk else '?'} although node {due.walk[len(walk)]} stands."
    return f"the walk is {walk}; it has to be {list(due.walk)}."


def nearest(verdicts: Sequence[RowVerdict], nodes: Sequence[int]) -> RowVerdict:
    """The one that agrees longest with the nodes that came back."""
    agreeing = [
        [node == other for node, other in zip(each.walk, nodes, strict=False)] for each in verdicts
    ]
    return max(
        zip(verdicts, agreeing, strict=True), key=lambda pair: [*pair[1], False].index(False)
    )[0]


def why_greedy(
    tree: PathTree, due: RowVerdict, tokens: Sequence[int], argmax: Sequence[int]
) -> str:
    steps = [f"after node {node} the model says {argmax[node]}" for node in due.walk]
    steps = [
        f"{step}, which node {child} proposes"
        if child is not None
        else f"{step}, which no child proposes"
        for step, child in zip(steps, [*due.walk[1:], None], strict=True)
    ]
    if not tree.children(due.walk[-1]):
        steps[-1] = f"node {due.walk[-1]} has no child, next is {argmax[due.walk[-1]]}"
    return f"({'; '.join(steps)}.)"


def why_typical(
    tree: PathTree,
    tokens: Sequence[int],
    logits: Sequence[Sequence[float]],
    rule: TypicalRule,
    due: Sequence[int] = (),
    told: Sequence[int] = (),
) -> str:
    """The numbers that decide, node by node: those first that are on the walk that is due or on the
    one that was told.

    Of two walks that stand and are equally long, their sums too.
    """
    if rule.temperature == 0:
        return "(Temperature 0 is greedy.)"
    lines, chances = dict[int, str](), [1.0]
    stands = {0}
    for node in range(1, len(tree)):
        p = spec.softmax(logits[tree.parent[node]], rule.temperature)
        chance, needed = p[tokens[node]], spec.bar(p, rule.epsilon, rule.delta)
        chances.append(chance)
        if chance > needed and tree.parent[node] in stands:
            stands.add(node)
        sign, where = ">" if chance > needed else "not >", f"its parent {tree.parent[node]}"
        lines[node] = (
            f"node {node}: p = {chance:.5g} {sign} {needed:.5g} at {where}, where H = {spec.entropy(p):.4g}"
        )
    ends = [node for node in told if node >= 0]
    first = [node for node in dict.fromkeys((*due, *ends)) if node in lines]
    shown = [*first, *(node for node in lines if node not in first)][: max(6, len(first))]
    more = "; …" if len(shown) < len(lines) else ""
    sums = ""
    if len(ends) == len(due) and ends != list(due) and stands.issuperset(ends):
        mine, right = (sum(math.log(chances[node]) for node in walk) for walk in (ends, due))
        sums = f" Both stand and are equally long: the sum of ln p is {mine:.5g} on {ends}, {right:.5g} on {list(due)}."
    return f"({'; '.join(lines[node] for node in sorted(shown))}{more}.){sums}"


def nan_elsewhere(logits: Sequence[Sequence[float]], walk: Sequence[int]) -> str:
    """A sentence about nodes whose logits are NaN and where the path does not pass; empty if there
    are none."""
    nodes = [
        node for node, row in enumerate(logits) if node not in walk and any(map(math.isnan, row))
    ]
    if not nodes:
        return ""
    who = f"node {nodes[0]}" if len(nodes) == 1 else f"nodes {', '.join(map(str, nodes))}"
    return (
        f"The logits of {who} are NaN, where the path {list(walk)} does not pass: they harm nobody."
    )


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
        filled = list(slots[row][1 : len(walk)])
        return f"only slots {filled} are filled, guesses accepted: {len(walk) - 1}"
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
        f"Node {node} {path} sees node {other} {other_path}, which is not on its path: "
        f"mask[{node}][{other}] is True."
    )
