"""Exercise 4 from the contract: lists, recursion and doubles; torch only at the door."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reference_engine.slots import Tree, Verdict


def build_tree(choices: Sequence[tuple[int, ...]]) -> Tree:
    trunk: dict = {}
    for choice in choices:
        here = trunk
        choice = [*choice] if hasattr(choice, "__iter__") else [None]
        if not choice:
            raise ValueError("an empty choice")
        for rank in choice:
            if not hasattr(rank, "__index__") or rank.__index__() < 0:
                raise ValueError(f"{rank!r} is no rank")
            here = here.setdefault(rank.__index__(), {})
    if not trunk:
        raise ValueError("no choice")
    rows, level = [(-1, 0, 0)], [(0, trunk)]
    seen = [{0}]
    while level:
        below = []
        for node, children in level:
            for rank in sorted(children):
                seen.append(seen[node] | {len(rows)})
                below.append((len(rows), children[rank]))
                rows.append((node, rows[node][1] + 1, rank))
        level = below
    parent, depth, rank = (torch.tensor(column) for column in zip(*rows, strict=True))
    mask = torch.tensor([[j in row for j in range(len(rows))] for row in seen])
    return Tree(parent, depth, rank, mask)


def propose(tree: Tree, root: Tensor, topk: Tensor) -> Tensor:
    heads, guesses = topk.shape[1:]
    if max(tree.depth.tolist()) > heads or max(tree.rank.tolist()) >= guesses:
        raise ValueError("the heads do not guess so far")
    out = root.new_empty(len(root), len(tree.parent))
    for node, (depth, rank) in enumerate(zip(tree.depth.tolist(), tree.rank.tolist(), strict=True)):
        out[:, node] = topk[:, depth - 1, rank] if depth else root
    return out


def verify_greedy(tree: Tree, tokens: Tensor, argmax: Tensor) -> Verdict:
    children = _children(tree)

    def furthest(node: int, said: list[int], wanted: list[int]) -> list[int]:
        paths = [furthest(child, said, wanted) for child in children[node] if said[child] == wanted[node]]
        return [node, *max(paths, key=len, default=[])]

    paths = [furthest(0, *row) for row in zip(tokens.tolist(), argmax.tolist(), strict=True)]
    return _verdict(
        tree, paths, [row[path[-1]] for path, row in zip(paths, argmax.tolist(), strict=True)], tokens.device
    )


def verify_typical(
    tree: Tree,
    tokens: Tensor,
    logits: Tensor,
    *,
    temperature: float,
    epsilon: float,
    delta: float,
    generator: torch.Generator | None = None,
) -> Verdict:
    for number in (temperature, epsilon, delta):
        if not number >= 0:
            raise ValueError(f"{number} is not a number of 0 or more")
    children = _children(tree)
    paths, said = [], []
    for words, rows in zip(tokens.tolist(), logits.tolist(), strict=True):
        path = _best(0, words, rows, children, (temperature, epsilon, delta))[2]
        last = rows[path[-1]]
        if any(map(math.isnan, last)):
            raise ValueError("the model says NaN")
        paths.append(path)
        if generator is None or not temperature:
            said.append(last.index(max(last)))
        else:
            said.append(_drawn(_softmax(last, temperature), generator))
    return _verdict(tree, paths, said, tokens.device)


def _best(
    node: int, words: list[int], rows: list[list[float]], children: list[list[int]], rule: tuple[float, float, float]
) -> tuple[int, float, list[int]]:
    """How long the best path below a node is, its sum of logs, and the path."""
    longest = (0, 0.0, [node])
    temperature, epsilon, delta = rule
    if any(map(math.isnan, rows[node])):
        return longest
    if temperature:
        p = _softmax(rows[node], temperature)
        bar = min(epsilon, delta * math.exp(sum(x * math.log(x) for x in p if x > 0)))
    else:
        top = rows[node].index(max(rows[node]))
        p, bar = [float(token == top) for token in range(len(rows[node]))], 0.5
    for child in children[node]:
        if p[words[child]] > bar:
            length, score, path = _best(child, words, rows, children, rule)
            new = (length + 1, score + math.log(p[words[child]]), [node, *path])
            if _tied(new, longest):
                longest = min(new, longest, key=lambda it: it[2][-1])
            elif new[:2] > longest[:2]:
                longest = new
    return longest


def compact(verdict: Verdict, slots: Tensor) -> tuple[Tensor, Tensor]:
    moves: dict[int, int] = {}
    for count, nodes, row in zip(verdict.count.tolist(), verdict.nodes.tolist(), slots.tolist(), strict=True):
        for place in range(count, 0, -1):
            moves[row[place]] = row[nodes[place]]
    moves = {dst: src for dst, src in moves.items() if src != dst}
    return (
        torch.tensor(list(moves.values()), dtype=torch.int64, device=slots.device),
        torch.tensor(list(moves), dtype=torch.int64, device=slots.device),
    )


def _tied(one, other) -> bool:
    return one[0] == other[0] and math.isclose(one[1], other[1], rel_tol=1e-12, abs_tol=1e-12)


def _children(tree: Tree) -> list[list[int]]:
    parents = tree.parent.tolist()
    return [[node for node, parent in enumerate(parents) if parent == above] for above in range(len(parents))]


def _softmax(row: list[float], temperature: float) -> list[float]:
    top = max(row)
    weights = [math.exp((x - top) / temperature) for x in row]
    whole = math.fsum(weights)
    return [weight / whole for weight in weights]


def _drawn(p: list[float], generator: torch.Generator) -> int:
    aim = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device).item()
    token = 0
    for token, weight in enumerate(p):
        aim -= weight
        if aim < 0:
            return token
    return max(i for i, weight in enumerate(p) if weight > 0)


def _verdict(tree: Tree, paths: list[list[int]], said: list[int], device: torch.device) -> Verdict:
    width = max(tree.depth.tolist()) + 1
    nodes = torch.full((len(paths), width), -1, dtype=torch.int64)
    for row, path in enumerate(paths):
        nodes[row, : len(path)] = torch.tensor(path)
    count = torch.tensor([len(path) - 1 for path in paths], dtype=torch.int64)
    return Verdict(count.to(device), nodes.to(device), torch.tensor(said, dtype=torch.int64, device=device))
