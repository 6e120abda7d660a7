"""Right: a table of leaves as Medusa's own code has it, cumulative products along its rows; moves in random order."""

import itertools

import torch

from reference_engine.slots import Tree, Verdict


def build_tree(choices):
    if len(choices) < 1:
        raise ValueError("no choice")
    todo, seen = [tuple(c) for c in choices], set()
    if any(len(c) == 0 for c in todo):
        raise ValueError("empty choice")
    if any(r < 0 or r % 1 for c in todo for r in c):
        raise ValueError("negative rank, or none")
    while todo:
        c = todo.pop()
        if c in seen:
            continue
        seen.add(c)
        if c:
            todo.append(c[:-1])
    order = sorted(sorted(seen), key=len)
    where = {c: i for i, c in enumerate(order)}
    A = torch.eye(len(order), dtype=torch.bool)
    parent = torch.full((len(order),), -1, dtype=torch.int64)
    for c, i in where.items():
        if c:
            parent[i] = where[c[:-1]]
            A[i] = A[i] | A[parent[i]]
    return Tree(
        parent=parent,
        depth=torch.tensor([len(c) for c in order]),
        rank=torch.tensor([c[-1] if c else 0 for c in order]),
        mask=A,
    )


def propose(tree, root, topk):
    B, H, K = topk.shape
    if int(tree.depth.max()) > H:
        raise ValueError("more levels than heads")
    if int(tree.rank.max()) >= K:
        raise ValueError("more ranks than guesses")
    whole = torch.cat([root.view(B, 1), topk.flatten(1)], 1)
    index = torch.where(tree.depth > 0, 1 + (tree.depth - 1) * K + tree.rank, 0)
    return whole[:, index]


def _retrieve(tree):
    D = int(tree.depth.max())
    leaves = [i for i in range(len(tree.parent)) if not (tree.parent == i).any()]
    table = torch.full((len(leaves), D + 1), -1, dtype=torch.int64)
    for row, leaf in enumerate(leaves):
        i = leaf
        while i >= 0:
            table[row, int(tree.depth[i])] = i
            i = int(tree.parent[i])
    return table


def verify_greedy(tree, tokens, argmax):
    table = _retrieve(tree)  # [L, D + 1]
    _B, W = len(tokens), table.shape[1]
    real = table >= 0
    safe = table.clamp(min=0)
    said, want = tokens[:, safe], argmax[:, safe]  # [B, L, W]
    eq = (said[:, :, 1:] == want[:, :, :-1]) & real[None, :, 1:]
    n = eq.int().cumprod(-1).sum(-1)  # [B, L]
    # walk: at every level keep only the leaves that go through the lowest matching node
    alive = torch.ones_like(n, dtype=torch.bool)
    for d in range(1, W):
        through = alive & (n >= d)
        node = torch.where(through, table[None, :, d], 1 << 40).amin(1, keepdim=True)
        stay = through & (table[None, :, d] == node)
        alive = torch.where(through.any(1, keepdim=True), stay, alive)
    length = torch.where(alive, n, -1)
    pick = length.argmax(1)
    count = length.amax(1)
    path = table[pick]
    nodes = torch.where(torch.arange(W)[None] <= count[:, None], path, -1)
    end = path.gather(1, count[:, None])
    return Verdict(count=count, nodes=nodes, next=argmax.gather(1, end)[:, 0])


def verify_typical(tree, tokens, logits, *, temperature, epsilon, delta, generator=None):
    if not (temperature >= 0 and epsilon >= 0 and delta >= 0):
        raise ValueError("bad numbers")
    B, _N, _V = logits.shape
    if temperature == 0:
        v = verify_greedy(tree, tokens, logits.argmax(-1))
        end = v.nodes.gather(1, v.count[:, None])[:, 0]
        if logits[torch.arange(B), end].isnan().any():
            raise ValueError("NaN at the end")
        return v
    table = _retrieve(tree)
    W = table.shape[1]
    out = torch.full((B, W + 2), -1, dtype=torch.int64)
    for b in range(B):
        p = torch.softmax(logits[b].double() / temperature, -1)
        plogp = torch.xlogy(p, p)
        bar = torch.clamp(delta * plogp.sum(-1).exp(), max=epsilon)
        top = (-1, -1.0, 0, None)
        for path in table.tolist():
            path = [n for n in path if n >= 0]
            n, s, good = 0, 0.0, [0]
            for a, c in itertools.pairwise(path):
                q = p[a, tokens[b, c]]
                if not bool(q > bar[a]):
                    break
                n, s = n + 1, s + float(q.log())
                good.append(c)
            rival = (n, s, -good[-1], good)
            if top[3] is None or rival[:3] > top[:3]:
                top = rival
        end = top[3][-1]
        q = p[end]
        if q.isnan().any():
            raise ValueError("NaN at the end")
        out[b, 1] = logits[b, end].argmax() if generator is None else torch.multinomial(q, 1, generator=generator)[0]
        out[b, 0] = top[0]
        out[b, 2 : 3 + top[0]] = torch.tensor(top[3])
    return Verdict(out[:, 0], out[:, 2:], out[:, 1])


def compact(verdict, slots):
    W = verdict.nodes.shape[1]
    dst = slots[:, :W]
    src = torch.gather(slots, 1, torch.where(verdict.nodes >= 0, verdict.nodes, torch.arange(W)))
    keep = src.ne(dst)
    pairs = torch.stack([src[keep], dst[keep]])[:, torch.randperm(int(keep.sum()))]
    return pairs[0], pairs[1]
