"""Right: in the manner of a tree kernel: a node stands when nothing that it sees has fallen, asked of the mask in one
product; the end of the path is the highest key, and the path is read off the mask's row.
"""

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    paths = {()}
    for choice in choices:
        ranks = tuple(choice)
        if not ranks or not all(isinstance(rank, int) and rank >= 0 for rank in ranks):
            raise ValueError("choices are paths of ranks")
        paths.update(ranks[:end] for end in range(1, len(ranks) + 1))
    if len(paths) == 1:
        raise ValueError("no choice")
    nodes = sorted(paths, key=lambda path: (len(path), path))
    number = {path: node for node, path in enumerate(nodes)}
    seen = [[number[path[:end]] for end in range(len(path) + 1)] for path in nodes]
    mask = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
    for node, ancestors in enumerate(seen):
        mask[node, ancestors] = True
    return Tree(
        parent=torch.tensor([-1, *(number[path[:-1]] for path in nodes[1:])]),
        depth=torch.tensor([len(path) for path in nodes]),
        rank=torch.tensor([0, *(path[-1] for path in nodes[1:])]),
        mask=mask,
    )


def propose(tree, root, topk):
    if int(tree.depth.max()) > topk.shape[1] or int(tree.rank.max()) >= topk.shape[2]:
        raise ValueError("more heads or guesses than there are")
    guesses = topk[:, tree.depth[1:] - 1, tree.rank[1:]]
    return torch.cat([root[:, None], guesses], 1)


def _standing(tree, holds):
    """[B, N]: every node but the root that it sees holds."""
    fallen = ~holds
    fallen[:, 0] = False
    return (fallen.double() @ tree.mask.double().T) == 0


def _verdict(tree, ends, following):
    """The path that ends at node ends[b], and the token after it."""
    width = int(tree.depth.max()) + 1
    count = tree.depth[ends]
    rows = tree.mask[ends]  # [B, N]: the nodes of the path, in order of depth
    place = torch.where(rows, tree.depth, width)
    nodes = torch.full((len(ends), width + 1), -1).scatter(1, place, torch.arange(rows.shape[1]).expand(rows.shape))
    return Verdict(count=count, nodes=nodes[:, :width].contiguous(), next=following)


def verify_greedy(tree, tokens, argmax):
    above = tree.parent.clamp(min=0)
    standing = _standing(tree, tokens == argmax[:, above])
    ends = torch.where(standing, tree.depth, -1).argmax(1)
    return _verdict(tree, ends, argmax[torch.arange(len(ends)), ends])


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    if not (temperature >= 0 and epsilon >= 0 and delta >= 0):
        raise ValueError("temperature, epsilon and delta are not negative")
    if temperature == 0:
        verdict = verify_greedy(tree, tokens, logits.argmax(-1))
        ends = verdict.nodes.amax(1)
        if logits[torch.arange(len(ends)), ends].isnan().any():
            raise ValueError("NaN at the end")
        return verdict
    above = tree.parent.clamp(min=0)
    log_p = (logits.double() / temperature).log_softmax(-1)
    p = log_p.exp()
    entropy = torch.special.entr(p).sum(-1)
    bar = (-entropy).exp().mul(delta).clamp(max=epsilon)  # [B, N]
    own = p[:, above].gather(2, tokens[..., None])[..., 0]
    standing = _standing(tree, own > bar[:, above])
    worth = torch.where(own > 0, own.log(), -1e30).nan_to_num(nan=-1e30)
    worth[:, 0] = 0
    score = worth @ tree.mask.double().T  # [B, N]: ln p summed along the path
    deepest = torch.where(standing, tree.depth, -1).amax(1, keepdim=True)
    ends = torch.where(standing & (tree.depth == deepest), score, -torch.inf).argmax(1)
    last = p[torch.arange(len(ends)), ends]
    if last.isnan().any():
        raise ValueError("NaN at the end")
    drawn = generator is not None and len(ends) > 0
    following = torch.multinomial(last, 1, generator=generator)[:, 0] if drawn else last.argmax(-1)
    return _verdict(tree, ends, following)


def compact(verdict, slots):
    width = verdict.nodes.shape[1]
    there = verdict.nodes.clamp(min=0)
    source = slots.gather(1, there)
    moves = (verdict.nodes > 0) & (there != torch.arange(width)) & (source != slots[:, :width])
    return source[moves], slots[:, :width][moves]
