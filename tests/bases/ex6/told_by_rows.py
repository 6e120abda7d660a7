"""Exercise 6 from the contract: each row apart, in lists, with numpy's argsort where something is ranked."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reference_engine.slots import DraftTree, Growth


def grow(growth: Growth, chosen: Tensor, topk_token: Tensor, topk_logprob: Tensor) -> Growth:
    batch, before = growth.token.shape
    width, guesses = topk_token.shape[1:]
    if bool((topk_logprob > 0).any()):
        raise ValueError("more than certain")
    if bool(((chosen < -1) | (chosen >= before)).any()):
        raise ValueError("no candidate")
    after = before + width * guesses
    new = Growth(*(old.new_empty(batch, after) for old in (growth.token, growth.parent, growth.depth, growth.value)))
    for field in ("token", "parent", "depth", "value"):
        getattr(new, field)[:, :before] = getattr(growth, field)
    for row in range(batch):
        for w, above in enumerate(chosen[row].tolist()):
            for k in range(guesses):
                at = before + w * guesses + k
                new.token[row, at] = topk_token[row, w, k]
                new.parent[row, at] = above
                new.depth[row, at] = 1 + (new.depth[row, above] if above >= 0 else 0)
                new.value[row, at] = topk_logprob[row, w, k] + (new.value[row, above] if above >= 0 else 0)
    return new


def frontier(growth: Growth, depth: int, width: int) -> Tensor:
    rows = []
    for depths, values in zip(growth.depth.tolist(), growth.value.double().cpu().numpy(), strict=True):
        there = np.flatnonzero(np.array(depths) == depth)
        if len(there) < width:
            raise ValueError(f"{len(there)} of {width}")
        rows.append(there[np.argsort(-values[there], kind="stable")][:width].tolist())
    return torch.tensor(rows, dtype=torch.int64, device=growth.token.device).reshape(len(rows), width)


def rerank(growth: Growth, root: Tensor, size: int) -> DraftTree:
    batch, count = growth.token.shape
    if size - 1 > count or size < 1:
        raise ValueError(f"{size} of {count}")
    token = root[:, None].repeat(1, size)
    parent = torch.full_like(token, -1)
    depth = torch.zeros_like(token)
    mask = torch.zeros(batch, size, size, dtype=torch.bool, device=root.device)
    for row in range(batch):
        values = growth.value[row].tolist()
        best = sorted(range(count), key=lambda i: (-values[i], i))[: size - 1]
        depths, parents, words = (x[row].tolist() for x in (growth.depth, growth.parent, growth.token))
        node = {-1: 0} | {c: n for n, c in enumerate(sorted(best, key=lambda i: (depths[i], i)), 1)}
        for candidate, at in node.items():
            if candidate >= 0:
                token[row, at], depth[row, at] = words[candidate], depths[candidate]
                parent[row, at] = node[parents[candidate]]
            here = candidate
            while here >= 0:
                mask[row, at, node[here]] = True
                here = parents[here]
            mask[row, at, 0] = True
    return DraftTree(token, parent, depth, mask)
