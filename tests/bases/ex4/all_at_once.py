"""Right: no loop over rows, nodes or depths in any verification; paths as rows of the mask."""

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    if len(choices) == 0 or any(len(choice) == 0 or min(choice) < 0 for choice in choices):
        raise ValueError("choices are paths of ranks")
    if any(not isinstance(rank, int) for choice in choices for rank in choice):
        raise ValueError("ranks are integers")
    paths = sorted({choice[:end] for choice in choices for end in range(len(choice) + 1)}, key=lambda p: (len(p), p))
    depth = torch.tensor([len(path) for path in paths])
    deep = int(depth.max())
    padded = torch.full((len(paths), deep), -1)
    for node, path in enumerate(paths):
        padded[node, : len(path)] = torch.tensor(path, dtype=torch.long)
    same = padded[:, None, :] == padded[None, :, :]
    beyond = torch.arange(deep)[None, None, :] >= depth[None, :, None]
    mask = (same | beyond).all(-1)
    above = mask & (depth[None, :] == depth[:, None] - 1)
    parent = torch.where(above.any(1), above.int().argmax(1), -1)
    rank = padded.gather(1, (depth - 1).clamp(min=0)[:, None])[:, 0].clamp(min=0)
    rank[0] = 0
    return Tree(parent=parent, depth=depth, rank=rank, mask=mask)


def propose(tree, root, topk):
    if tree.depth.max() > topk.shape[1] or tree.rank.max() >= topk.shape[2]:
        raise ValueError("the heads do not guess that much")
    tokens = topk[:, tree.depth - 1, tree.rank]
    return torch.where(tree.depth == 0, root[:, None], tokens)


def _verdict(tree, on_path, following):
    """on_path bool [B, N]: the accepted path of each row."""
    nodes = torch.where(on_path, torch.arange(len(tree.parent)), -1)
    deep = int(tree.depth.max())
    by_depth = torch.where(tree.depth[None, None, :] == torch.arange(deep + 1)[None, :, None], nodes[:, None, :], -1)
    return Verdict(count=on_path.sum(1) - 1, nodes=by_depth.amax(-1), next=following)


def verify_greedy(tree, tokens, argmax):
    stands = tokens == argmax[:, tree.parent.clamp(min=0)]
    twins = (tree.parent[:, None] == tree.parent[None, :]).tril(-1)
    shadowed = ((tokens[:, :, None] == tokens[:, None, :]) & twins).any(-1)
    stands = (stands & ~shadowed) | (tree.depth == 0)
    on_path = (stands[:, None, :] | ~tree.mask).all(-1)
    end = torch.where(on_path, torch.arange(len(tree.parent)), -1).amax(1, keepdim=True)
    return _verdict(tree, on_path, argmax.gather(1, end)[:, 0])


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    if min(temperature, epsilon, delta) < 0 or temperature + epsilon + delta != temperature + epsilon + delta:
        raise ValueError("numbers of the rule")
    if temperature == 0:
        verdict = verify_greedy(tree, tokens, logits.argmax(-1))
        _known(logits[torch.arange(len(logits)), verdict.nodes.amax(1)])
        return verdict
    p = (logits / temperature).softmax(-1)
    entropy = -torch.xlogy(p, p).sum(-1)
    bar = torch.minimum(torch.tensor(epsilon), delta * torch.exp(-entropy))
    up = tree.parent.clamp(min=0)
    chance = p[torch.arange(len(p))[:, None], up[None, :], tokens]
    stands = (chance > bar[:, up]) | (tree.depth == 0)
    whole = (stands[:, None, :] | ~tree.mask).all(-1)
    term = torch.where(tree.depth == 0, 1.0, chance).double().log()
    score = torch.where(tree.mask, term[:, None, :], 0.0).sum(-1)
    longest = torch.where(whole, tree.depth, -1)
    best = torch.where(longest == longest.amax(1, keepdim=True), score, float("-inf"))
    end = best.argmax(1)
    final = _known(p[torch.arange(len(p)), end])
    if generator is not None and len(p):
        following = torch.multinomial(final, 1, generator=generator)[:, 0]
    else:
        following = final.argmax(-1)
    return _verdict(tree, tree.mask[end], following)


def _known(final):
    if final.isnan().any():
        raise ValueError("NaN where a path ends")
    return final


def compact(verdict, slots):
    guesses = verdict.nodes[:, 1:]
    accepted = torch.arange(guesses.shape[1]) < verdict.count[:, None]
    src = torch.where(accepted, slots.gather(1, guesses.clamp(min=0)), 0)
    dst = slots[:, 1 : guesses.shape[1] + 1]
    keep = accepted & (src != dst)
    return src[keep], dst[keep]
