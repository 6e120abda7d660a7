"""Right: after SGLang's build_tree: a list of parents that were expanded, bit masks, a walk up for each node."""

import torch

from reference_engine.slots import DraftTree, Growth


def grow(growth, chosen, topk_token, topk_logprob):
    rows, topk = topk_token.shape[0], topk_token.shape[2]
    count = growth.token.shape[1]
    expanded = chosen.tolist()
    for line in expanded:
        for index in line:
            if not -1 <= index < count:
                raise ValueError(index)
    if topk_logprob.numel() and topk_logprob.max() > 0:
        raise ValueError("score_list grows")
    score_list = []
    for row in range(rows):
        scores = [growth.value[row, index] if index >= 0 else growth.value.new_zeros(()) for index in expanded[row]]
        score_list.append(torch.stack(scores)[:, None] + topk_logprob[row])
    levels = [
        [growth.depth[row, index].item() + 1 if index >= 0 else 1 for index in expanded[row] for _ in range(topk)]
        for row in range(rows)
    ]
    wide = (rows, topk_token.shape[1] * topk)
    scores = torch.stack(score_list).view(wide) if rows else growth.value.new_empty(wide)
    return Growth(
        torch.cat([growth.token, topk_token.view(wide)], 1),
        torch.cat([growth.parent, chosen.unsqueeze(-1).repeat(1, 1, topk).view(wide)], 1),
        torch.cat([growth.depth, torch.tensor(levels, dtype=torch.int64).view(wide)], 1),
        torch.cat([growth.value, scores], 1),
    )


def frontier(growth, depth, width):
    own = growth.depth == depth
    for row in own:
        if row.sum() < width:
            raise ValueError(f"{int(row.sum())} of depth {depth}")
    # two keys: by value, then by depth; numpy's lexsort would do
    place = torch.arange(own.shape[1]).expand(own.shape)
    order = torch.argsort(growth.value, dim=1, stable=True, descending=True)
    rank = torch.empty_like(place).scatter(1, order, place.contiguous())
    rank = torch.where(own, rank, rank + own.shape[1])
    return rank.argsort(dim=1)[:, :width].contiguous()


def rerank(growth, root, size):
    rows, count = growth.value.shape
    if size - 1 > count:
        raise ValueError(f"{size} of {count}")
    out = []
    for row in range(rows):
        values, depths = growth.value[row].tolist(), growth.depth[row].tolist()
        selected = sorted(range(count), key=values.__getitem__, reverse=True)[: size - 1]
        selected = sorted(sorted(selected), key=depths.__getitem__)
        node_of = dict(zip(selected, range(1, size), strict=True))
        above = [node_of.get(index, 0) for index in growth.parent[row][selected].tolist()]
        bits = [1]
        for node, parent in enumerate(above, 1):
            bits.append(bits[parent] | 1 << node)
        out.append((selected, above, bits))
    selected = torch.tensor([each[0] for each in out], dtype=torch.int64).view(rows, size - 1)
    above = torch.tensor([each[1] for each in out], dtype=torch.int64).view(rows, size - 1)
    mask = torch.zeros(rows, size, size, dtype=torch.bool)
    for row, (_, _, bits) in enumerate(out):
        for node, seen in enumerate(bits):
            for other in range(node + 1):
                mask[row, node, other] = seen >> other & 1 == 1
    first = torch.zeros(rows, 1, dtype=torch.int64)
    return DraftTree(
        torch.cat([root.view(rows, 1), growth.token.gather(1, selected)], 1),
        torch.cat([first - 1, above], 1),
        torch.cat([first, growth.depth.gather(1, selected)], 1),
        mask,
    )
