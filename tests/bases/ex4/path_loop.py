"""Right: one path at a time, in plain Python loops over lists."""

import math

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    paths = {()}
    for choice in choices:
        if any(rank != int(rank) for rank in choice):
            raise ValueError(f"half a rank in {choice}")
        if len(choice) == 0 or any(rank < 0 for rank in choice):
            raise ValueError(f"bad choice {choice}")
        for length in range(1, len(choice) + 1):
            paths.add(tuple(choice[:length]))
    if len(paths) == 1:
        raise ValueError("no choices")
    order = sorted(paths, key=lambda path: (len(path), path))
    mask = [[path[: len(other)] == other for other in order] for path in order]
    return Tree(
        parent=torch.tensor([-1] + [order.index(path[:-1]) for path in order[1:]]),
        depth=torch.tensor([len(path) for path in order]),
        rank=torch.tensor([0] + [path[-1] for path in order[1:]]),
        mask=torch.tensor(mask),
    )


def propose(tree, root, topk):
    heads, guesses = topk.shape[1], topk.shape[2]
    tokens = torch.empty(len(root), len(tree.parent), dtype=torch.long)
    for node in range(len(tree.parent)):
        depth, rank = int(tree.depth[node]), int(tree.rank[node])
        if depth > heads or (depth and rank >= guesses):
            raise ValueError(f"node {node} needs guess {rank} of head {depth}")
        tokens[:, node] = topk[:, depth - 1, rank] if depth else root
    return tokens


def _verdict(tree, walks, following):
    size = max(tree.depth.tolist()) + 1
    nodes = torch.full((len(walks), size), -1, dtype=torch.long)
    for row, walk in enumerate(walks):
        nodes[row, : len(walk)] = torch.tensor(walk)
    count = torch.tensor([len(walk) - 1 for walk in walks], dtype=torch.long)
    return Verdict(count=count, nodes=nodes, next=torch.tensor(following, dtype=torch.long))


def verify_greedy(tree, tokens, argmax):
    parent = tree.parent.tolist()
    walks, following = [], []
    for said, wanted in zip(tokens.tolist(), argmax.tolist(), strict=True):
        walk = [0]
        while True:
            steps = [node for node, up in enumerate(parent) if up == walk[-1] and said[node] == wanted[walk[-1]]]
            if not steps:
                break
            walk.append(steps[0])
        walks.append(walk)
        following.append(wanted[walk[-1]])
    return _verdict(tree, walks, following)


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    if not all(number >= 0 for number in (temperature, epsilon, delta)):
        raise ValueError("a rule of negative numbers")
    verdict = _typical(tree, tokens, logits, temperature, epsilon, delta, generator)
    for row, walk in enumerate(verdict.nodes.tolist()):
        _sure(logits[row, max(walk)])
    return verdict


def _sure(logits):
    if logits.isnan().any():
        raise ValueError("the model says NaN")


def _typical(tree, tokens, logits, temperature, epsilon, delta, generator):
    if temperature == 0:
        return verify_greedy(tree, tokens, logits.argmax(-1))
    walks, following = [], []
    for row, said in enumerate(tokens.tolist()):
        p = (logits[row].double() / temperature).softmax(-1)
        walk = _best(tree, said, p, epsilon, delta)
        walks.append(walk)
        end = walk[-1]
        _sure(logits[row, end])
        if generator is None:
            following.append(int(logits[row, end].argmax()))
        else:
            following.append(int(torch.multinomial(p[end], 1, generator=generator)))
    return _verdict(tree, walks, following)


def _best(tree, said, p, epsilon, delta):
    parent = tree.parent.tolist()
    best, best_key = [0], (0, 0.0)
    for node in range(1, len(said)):
        walk = [node]
        while walk[0]:
            walk.insert(0, parent[walk[0]])
        score, stands = 0.0, True
        for step in walk[1:]:
            above = p[parent[step]].tolist()
            entropy = -sum(x * math.log(x) for x in above if x > 0)
            if not above[said[step]] > min(epsilon, delta * math.exp(-entropy)):
                stands = False
                break
            score += math.log(above[said[step]])
        if stands and (len(walk) - 1 > best_key[0] or (len(walk) - 1 == best_key[0] and score > best_key[1])):
            best, best_key = walk, (len(walk) - 1, score)
    return best


def compact(verdict, slots):
    src, dst = [], []
    for row in range(len(slots)):
        for place in range(1, int(verdict.count[row]) + 1):
            old, new = int(slots[row, verdict.nodes[row, place]]), int(slots[row, place])
            if old != new:
                src.append(old)
                dst.append(new)
    return torch.tensor(src, dtype=torch.long), torch.tensor(dst, dtype=torch.long)
