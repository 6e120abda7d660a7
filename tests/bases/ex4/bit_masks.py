"""Right: sets of nodes as Python integers, bit i for node i; the tree as a table of children."""

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    if not choices:
        raise ValueError("no choices")
    children = {(): {}}
    for choice in choices:
        if not choice:
            raise ValueError("empty choice")
        for depth, rank in enumerate(choice):
            if rank < 0 or type(rank) is not int:
                raise ValueError("no rank")
            children[choice[:depth]][rank] = True
            children.setdefault(choice[: depth + 1], {})
    level, order = [()], []
    while level:
        order += level
        level = [(*path, rank) for path in level for rank in sorted(children[path])]
    index = {path: node for node, path in enumerate(order)}
    bits = []
    for node, path in enumerate(order):
        bits.append((bits[index[path[:-1]]] if path else 0) | 1 << node)
    mask = torch.zeros(len(order), len(order), dtype=torch.bool)
    for node, seen in enumerate(bits):
        for other in range(node + 1):
            mask[node, other] = bool(seen >> other & 1)
    parent = torch.tensor([index[path[:-1]] if path else -1 for path in order])
    rank = torch.tensor([path[-1] if path else 0 for path in order])
    return Tree(parent=parent, depth=mask.sum(1) - 1, rank=rank, mask=mask)


def propose(tree, root, topk):
    _, heads, guesses = topk.shape
    if int(tree.depth.max()) > heads:
        raise ValueError("too deep")
    if int(tree.rank[1:].max() if len(tree.rank) > 1 else 0) >= guesses:
        raise ValueError("no such rank")
    flat = topk.flatten(1)
    tokens = flat[:, (tree.depth - 1).clamp(min=0) * guesses + tree.rank]
    tokens = tokens.clone()
    tokens[:, 0] = root
    return tokens


def _chain(tree, row_bits):
    """The accepted nodes of one row, from a bit set that is a path."""
    return [node for node in range(len(tree.parent)) if row_bits >> node & 1]


def _pack(tree, chains, following):
    deep = int(tree.depth.max())
    nodes = [chain + [-1] * (deep + 1 - len(chain)) for chain in chains]
    return Verdict(
        count=torch.tensor([len(chain) - 1 for chain in chains], dtype=torch.int64),
        nodes=torch.tensor(nodes, dtype=torch.int64).reshape(len(chains), deep + 1),
        next=torch.tensor(following, dtype=torch.int64),
    )


def verify_greedy(tree, tokens, argmax):
    parent = tree.parent.tolist()
    chains, following = [], []
    for said, wanted in zip(tokens.tolist(), argmax.tolist(), strict=True):
        path, taken = 1, {0: True}
        end = 0
        for node in range(1, len(parent)):
            up = parent[node]
            if path >> up & 1 and up not in taken.get("up", set()) and said[node] == wanted[up]:
                path |= 1 << node
                taken.setdefault("up", set()).add(up)
                end = node
        chains.append(_chain(tree, path))
        following.append(wanted[end])
    return _pack(tree, chains, following)


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    if not (temperature >= 0 <= epsilon and delta >= 0):
        raise ValueError("temperature, epsilon and delta")
    if temperature == 0:
        verdict = verify_greedy(tree, tokens, logits.argmax(dim=-1))
        if any(logits[row, max(nodes)].isnan().any() for row, nodes in enumerate(verdict.nodes.tolist())):
            raise ValueError("NaN")
        return verdict
    parent, depth = tree.parent.tolist(), tree.depth.tolist()
    p = torch.softmax(logits.double() / temperature, dim=-1)
    surprise = torch.where(p > 0, -p * p.clamp(min=1e-300).log(), torch.zeros_like(p)).sum(-1)
    surprise = torch.where(p.isnan().any(-1), torch.full_like(surprise, float("nan")), surprise)
    bar = torch.minimum(torch.full_like(surprise, epsilon), delta * torch.exp(-surprise))
    chains, ends = [], []
    for row, said in enumerate(tokens.tolist()):
        standing = {0: (1, 0.0)}
        for node in range(1, len(parent)):
            up = parent[node]
            chance = float(p[row, up, said[node]])
            if up in standing and chance > float(bar[row, up]):
                bits, score = standing[up]
                standing[node] = (bits | 1 << node, score + float(p[row, up, said[node]].log()))
        end = min(standing, key=lambda node: (-depth[node], -standing[node][1], node))
        chains.append(_chain(tree, standing[end][0]))
        ends.append(end)
    rows = torch.arange(len(ends))
    final = p[rows, torch.tensor(ends, dtype=torch.long)]
    if final.isnan().any():
        raise ValueError("NaN")
    if generator is None or not len(ends):
        drawn = final.argmax(-1)
    else:
        drawn = torch.multinomial(final, 1, generator=generator)[:, 0]
    return _pack(tree, chains, drawn.tolist())


def compact(verdict, slots):
    pairs = [
        (int(slots[row, node]), int(slots[row, place]))
        for row, path in enumerate(verdict.nodes.tolist())
        for place, node in enumerate(path)
        if node > 0
    ]
    pairs = [(src, dst) for src, dst in reversed(pairs) if src != dst]
    moves = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return moves[:, 0], moves[:, 1]
