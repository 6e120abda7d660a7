"""Right: laid out as EAGLE's verification in SGLang: each node knows its first child and its next sibling.

The walk tries the children of a node one after the other, the later of twins first.
"""

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    paths = [()]
    if len(choices) == 0:
        raise ValueError("an empty tree")
    for choice in choices:
        if len(choice) == 0 or any(type(rank) is not int or rank < 0 for rank in choice):
            raise ValueError("topk indices")
        paths += [choice[:end] for end in range(1, len(choice) + 1)]
    paths = sorted(set(paths), key=lambda path: (len(path), path))
    parent_of = {path: number for number, path in enumerate(paths)}
    parent = [parent_of[path[:-1]] if path else -1 for path in paths]
    mask = torch.zeros(len(paths), len(paths), dtype=torch.bool)
    for node in range(len(paths)):
        step = node
        while step >= 0:
            mask[node, step] = True
            step = parent[step]
    position = mask.sum(-1) - 1
    return Tree(torch.tensor(parent), position, torch.tensor([0, *(path[-1] for path in paths[1:])]), mask)


def propose(tree, root, topk):
    batch, depth, width = topk.shape
    if bool((tree.depth > depth).any() | (tree.rank >= width).any()):
        raise ValueError("the draft is smaller than the tree")
    draft_tokens = torch.empty(batch, len(tree.parent), dtype=torch.int64)
    draft_tokens[:, 0] = root
    for node, (level, rank) in enumerate(zip(tree.depth.tolist(), tree.rank.tolist(), strict=True)):
        if level:
            draft_tokens[:, node] = topk[:, level - 1, rank]
    return draft_tokens


def _links(tree):
    """(first child, next sibling) of each node, -1 for none; the last child comes first."""
    next_token, next_sibling = [-1] * len(tree.parent), [-1] * len(tree.parent)
    for node, parent in enumerate(tree.parent.tolist()):
        if parent >= 0:
            next_sibling[node], next_token[parent] = next_token[parent], node
    return next_token, next_sibling


def verify_greedy(tree, tokens, argmax):
    next_token, next_sibling = _links(tree)
    spec_steps = int(tree.depth.max())
    batch = len(tokens)
    accept_index = torch.full((batch, spec_steps + 1), -1, dtype=torch.int64)
    accept_length, predicts = torch.zeros(batch, dtype=torch.int64), torch.zeros(batch, dtype=torch.int64)
    for b, (candidates, target_predict) in enumerate(zip(tokens.tolist(), argmax.tolist(), strict=True)):
        last, accepted = 0, 0
        accept_index[b, 0] = 0
        while True:
            child = next_token[last]
            while child >= 0 and candidates[child] != target_predict[last]:
                child = next_sibling[child]
            if child < 0:
                break
            accepted, last = accepted + 1, child
            accept_index[b, accepted] = child
        accept_length[b], predicts[b] = accepted, target_predict[last]
    return Verdict(accept_length, accept_index, predicts)


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    if not (temperature >= 0 and epsilon >= 0 and delta >= 0):
        raise ValueError("sampling parameters")
    if temperature == 0:
        verdict = verify_greedy(tree, tokens, logits.argmax(-1))
        if logits[torch.arange(len(tokens)), verdict.nodes.amax(1)].isnan().any():
            raise ValueError("NaN logits")
        return verdict
    batch, width = len(tokens), int(tree.depth.max()) + 1
    accept_index = torch.full((batch, width), -1, dtype=torch.int64)
    accept_length, predicts = torch.zeros(batch, dtype=torch.int64), torch.zeros(batch, dtype=torch.int64)
    parent, depth = tree.parent.tolist(), tree.depth.tolist()
    for b in range(batch):
        probs = (logits[b].double() / temperature).softmax(-1)
        bar = (delta * torch.xlogy(probs, probs).sum(-1).exp()).clamp(max=epsilon)
        reach = {0: 0.0}
        for node in range(1, len(parent)):
            up = parent[node]
            p = probs[up, tokens[b, node]]
            if up in reach and p > bar[up]:
                reach[node] = reach[up] + float(p.log())
        last = max(reach, key=lambda node: (depth[node], reach[node], -node))
        if probs[last].isnan().any():
            raise ValueError("NaN logits")
        accept_length[b] = depth[last]
        predicts[b] = probs[last].argmax() if generator is None else probs[last].multinomial(1, generator=generator)
        while last >= 0:
            accept_index[b, depth[last]] = last
            last = parent[last]
    return Verdict(accept_length, accept_index, predicts)


def compact(verdict, slots):
    src_cache_loc, tgt_cache_loc = [], []
    for row, (accepted, out_cache_loc) in enumerate(zip(verdict.nodes.tolist(), slots.tolist(), strict=True)):
        for place in range(1, int(verdict.count[row]) + 1):
            pair = out_cache_loc[accepted[place]], out_cache_loc[place]
            if pair[0] != pair[1]:
                src_cache_loc.append(pair[0])
                tgt_cache_loc.append(pair[1])
    return torch.tensor(src_cache_loc, dtype=torch.int64), torch.tensor(tgt_cache_loc, dtype=torch.int64)
