"""Right: laid out as Medusa's utils: buffers of the tree, candidates from root to leaf, the longest of them all.

Of siblings that say the same any path may be taken: here the longest candidate wins, the first of equals.
"""

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    """The mask is filled from the positions of all prefixes, as generate_medusa_buffers does."""
    given = [tuple(choice) for choice in choices]
    if not given or () in given:
        raise ValueError("medusa_choices")
    if any(not isinstance(rank, int) or rank < 0 for choice in given for rank in choice):
        raise ValueError("ranks of the top k are 0, 1, 2, …")
    prefixes = {choice[: i + 1] for choice in given for i in range(len(choice))}
    sorted_choices = sorted(prefixes, key=lambda x: (len(x), x))
    length = len(sorted_choices) + 1
    attn_mask = torch.eye(length, dtype=torch.bool)
    attn_mask[:, 0] = True
    parent = torch.zeros(length, dtype=torch.long)
    parent[0] = -1
    for i, choice in enumerate(sorted_choices, 1):
        for c in range(1, len(choice)):
            ancestor = sorted_choices.index(choice[:c]) + 1
            attn_mask[i, ancestor] = True
            parent[i] = ancestor
    position_ids = torch.tensor([0, *map(len, sorted_choices)])
    rank = torch.tensor([0, *(choice[-1] for choice in sorted_choices)])
    return Tree(parent=parent, depth=position_ids, rank=rank, mask=attn_mask)


def _retrieve_indices(tree):
    """[L, D + 1], -1 where a candidate has ended."""
    parent, inner = tree.parent.tolist(), set(tree.parent.tolist())
    width = int(tree.depth.max()) + 1
    rows = []
    for leaf in range(len(parent)):
        if leaf not in inner:
            path = [leaf]
            while path[-1]:
                path.append(parent[path[-1]])
            rows.append(path[::-1] + [-1] * (width - len(path)))
    return torch.tensor(rows)


def propose(tree, root, topk):
    heads, guesses = topk.shape[1:]
    if tree.depth.amax() > heads or tree.rank.amax() >= guesses:
        raise ValueError("medusa_num_heads, TOPK")
    candidates = torch.cat([root.unsqueeze(-1), topk.reshape(len(topk), heads * guesses)], dim=-1)
    tree_indices = torch.where(tree.depth > 0, tree.rank + guesses * (tree.depth - 1) + 1, 0)
    return candidates[:, tree_indices]


def _best(indices, accept_length, likelihood):
    """Of each row the candidate that is accepted longest, then the likeliest, then the first: nodes, count, end."""
    longest = accept_length.amax(1, keepdim=True)
    chosen = torch.where(accept_length == longest, likelihood, -torch.inf).argmax(1)
    count = longest[:, 0]
    path = indices[chosen]
    nodes = torch.where(torch.arange(indices.shape[1]) <= count[:, None], path, -1)
    return nodes, count, path.gather(1, longest)[:, 0]


def verify_greedy(tree, tokens, argmax):
    indices = _retrieve_indices(tree)
    there = indices >= 0
    at = indices.clamp(min=0)
    mask = (tokens[:, at[:, 1:]] == argmax[:, at[:, :-1]]) & there[:, 1:]
    accept_length = mask.long().cumprod(-1).sum(-1)
    nodes, count, end = _best(indices, accept_length, torch.zeros(accept_length.shape))
    return Verdict(count=count, nodes=nodes, next=argmax.gather(1, end[:, None])[:, 0])


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    for number in (temperature, epsilon, delta):
        if not number >= 0:
            raise ValueError("posterior_threshold, posterior_alpha, temperature")
    if temperature == 0:
        verdict = verify_greedy(tree, tokens, logits.argmax(-1))
        _model_speaks(logits, verdict.nodes.amax(1))
        return verdict
    indices = _retrieve_indices(tree)
    at = indices.clamp(min=0)
    posterior_prob = torch.softmax(logits.double() / temperature, dim=-1)  # [B, N, V]
    posterior_entropy = torch.special.entr(posterior_prob).sum(-1)
    threshold = torch.minimum(torch.tensor(epsilon), torch.exp(-posterior_entropy) * delta)
    rows = torch.arange(len(tokens))[:, None, None]
    candidates_prob = posterior_prob[rows, at[:, :-1], tokens[:, at[:, 1:]]]  # [B, L, D]
    mask = (candidates_prob > threshold[:, at[:, :-1]]) & (indices[:, 1:] >= 0)
    accepted = mask.long().cumprod(-1)
    likelihood = torch.where(accepted > 0, candidates_prob.log(), 0.0).sum(-1)
    nodes, count, end = _best(indices, accepted.sum(-1), likelihood)
    _model_speaks(logits, end)
    final = posterior_prob[torch.arange(len(end)), end]
    if generator is None or not len(end):
        following = final.argmax(-1)
    else:
        following = torch.multinomial(final, 1, generator=generator)[:, 0]
    return Verdict(count=count, nodes=nodes, next=following)


def _model_speaks(logits, end):
    if logits[torch.arange(len(end)), end].isnan().any():
        raise ValueError("NaN at the end of the best candidate")


def compact(verdict, slots):
    """Copied as one block of accepted indices, those in place left out."""
    width = verdict.nodes.shape[1]
    select_indices = slots.gather(1, verdict.nodes.clamp(min=0))
    target = slots[:, :width]
    moved = (verdict.nodes > 0) & (select_indices != target)
    return select_indices[moved], target[moved]
