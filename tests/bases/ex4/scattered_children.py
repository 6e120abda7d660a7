"""Right: the greedy walk as one gather a depth, in a table of children filled by one scatter; rows all at once."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from reference_engine.slots import Tree, Verdict


def build_tree(choices: Sequence[tuple[int, ...]]) -> Tree:
    choices = [_path(choice) for choice in choices]
    if not choices:
        raise ValueError("a tree needs at least one choice")
    prefixes = {choice[:depth] for choice in choices for depth in range(len(choice) + 1)}
    paths = sorted(prefixes, key=lambda path: (len(path), path))
    node = {path: index for index, path in enumerate(paths)}
    parent = [-1] + [node[path[:-1]] for path in paths[1:]]
    mask = torch.eye(len(paths), dtype=torch.bool)
    for index, above in enumerate(parent[1:], start=1):
        mask[index] |= mask[above]
    depth = torch.tensor([len(path) for path in paths])
    rank = torch.tensor([0] + [path[-1] for path in paths[1:]])
    return Tree(parent=torch.tensor(parent), depth=depth, rank=rank, mask=mask)


def propose(tree: Tree, root: Tensor, topk: Tensor) -> Tensor:
    _, heads, guesses = topk.shape
    depth, rank = tree.depth[1:], tree.rank[1:]
    if (depth > heads).any():
        raise ValueError(f"the tree is {int(depth.max())} deep, but there are only {heads} heads")
    if (rank >= guesses).any():
        raise ValueError(f"the tree uses rank {int(rank.max())}, but each head gives only {guesses} guesses")
    return torch.cat([root[:, None], topk[:, depth - 1, rank]], dim=1)


def verify_greedy(tree: Tree, tokens: Tensor, argmax: Tensor) -> Verdict:
    stop = len(tree.parent)  # child[b, i] is where the walk goes from node i; the column `stop` leads to itself
    node = torch.arange(stop, device=tokens.device)
    agreeing = torch.where(tokens == argmax[:, tree.parent], node, stop)[:, 1:]
    child = torch.full((len(tokens), stop + 1), stop, device=tokens.device)
    child.scatter_reduce_(1, tree.parent[1:].expand_as(agreeing), agreeing, "amin")
    path = [torch.zeros_like(child[:, :1])]
    for _ in range(_depth(tree)):
        path.append(child.gather(1, path[-1]))
    nodes = torch.cat(path, dim=1)
    nodes.masked_fill_(nodes == stop, -1)
    end = nodes.amax(1, keepdim=True)
    return Verdict(count=(nodes > 0).sum(1), nodes=nodes, next=argmax.gather(1, end).squeeze(1))


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
    if not (temperature >= 0 and epsilon >= 0 and delta >= 0):
        raise ValueError(f"temperature {temperature}, epsilon {epsilon} and delta {delta} must not be negative")
    if temperature == 0:
        verdict = verify_greedy(tree, tokens, logits.argmax(-1))
        _at_end(verdict, logits)
        return verdict
    log_p = (logits.float() / temperature).log_softmax(-1)
    bar = (torch.special.entr(log_p.exp()).sum(-1).neg().exp() * delta).clamp(max=epsilon)
    rows = torch.arange(len(tokens), device=tokens.device)[:, None]
    parent = tree.parent.clamp(min=0)
    guess = log_p[rows, parent, tokens].masked_fill(tree.depth == 0, 0.0)
    stands = (guess.exp() > bar[:, parent]) | (tree.depth == 0)
    verdict = _longest(tree, stands, guess)
    final = _at_end(verdict, log_p)
    drawn = final.argmax(-1) if generator is None else _draw(final.exp(), generator)
    return Verdict(count=verdict.count, nodes=verdict.nodes, next=drawn)


def compact(verdict: Verdict, slots: Tensor) -> tuple[Tensor, Tensor]:
    accepted = verdict.nodes[:, 1:]
    src = slots.gather(1, accepted.clamp(min=0))
    dst = slots[:, 1 : 1 + accepted.shape[1]]
    moves = (accepted > 0) & (src != dst)
    return src[moves], dst[moves]


def _path(choice: Sequence[int]) -> tuple[int, ...]:
    try:
        path = tuple(operator.index(rank) for rank in choice)
    except TypeError:
        raise ValueError(f"a choice is a tuple of ranks, not {type(choice).__name__} of something else") from None
    if not path or min(path) < 0:
        raise ValueError(f"choice {path} is empty or has a negative rank")
    return path


def _depth(tree: Tree) -> int:
    return int(tree.depth[-1])


def _longest(tree: Tree, stands: Tensor, guess: Tensor) -> Verdict:
    reached = (stands[:, None, :] | ~tree.mask).all(-1)
    score = torch.where(tree.mask, guess.double()[:, None, :], 0.0).sum(-1)
    length = torch.where(reached, tree.depth, -1)
    longest = length == length.amax(1, keepdim=True)
    end = torch.where(longest, score, -torch.inf).argmax(1)
    node = torch.arange(len(tree.parent), device=end.device)
    on_path = torch.where(tree.mask[end], node, -1)
    nodes = torch.full((len(end), _depth(tree) + 1), -1, device=end.device)
    nodes = nodes.scatter_reduce(1, tree.depth.expand_as(on_path), on_path, "amax")
    return Verdict(count=tree.depth[end], nodes=nodes, next=torch.full_like(end, -1))


def _at_end(verdict: Verdict, logits: Tensor) -> Tensor:
    end = verdict.nodes.gather(1, verdict.count[:, None])
    final = logits[torch.arange(len(end), device=end.device), end.squeeze(1)]
    if final.isnan().any():
        raise ValueError("the logits at the end of the accepted path are NaN: the model is broken, not the guess")
    return final


def _draw(p: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(p, 1, generator=generator).squeeze(1) if len(p) else p.new_zeros(0, dtype=torch.long)
