"""Right: after the way of EAGLE's own topK_genrate: searchsorted for parents, mask rows added to the parent's row.

Its top-k gives no order to equals; here indices break ties, as the contract wants.
"""

import torch

from reference_engine.slots import DraftTree, Growth


def grow(growth, chosen, topk_token, topk_logprob):
    rows, width, guesses = topk_token.shape
    count = growth.value.size(1)
    if rows and width and not (int(chosen.min()) >= -1 and int(chosen.max()) < count):
        raise ValueError("no such candidate")
    if bool(torch.any(topk_logprob > 0)):
        raise ValueError("more than certain")
    at_root = chosen < 0
    if count:
        safe = chosen.masked_fill(at_root, 0)
        scores = torch.gather(growth.value, 1, safe).masked_fill(at_root, 0)
        depth = torch.gather(growth.depth, 1, safe).masked_fill(at_root, 0)
    else:
        scores, depth = topk_logprob.new_zeros(rows, width), torch.zeros_like(chosen)
    cumulated = topk_logprob + scores[..., None]
    return Growth(
        token=torch.cat((growth.token, topk_token.reshape(rows, width * guesses)), dim=-1),
        parent=torch.cat((growth.parent, chosen.repeat_interleave(guesses, dim=1)), dim=-1),
        depth=torch.cat((growth.depth, (depth + 1).repeat_interleave(guesses, dim=1)), dim=-1),
        value=torch.cat((growth.value, cumulated.reshape(rows, width * guesses)), dim=-1),
    )


def _top(scores, count):
    """Indices of the highest of a row, the lower index first among equals."""
    return torch.argsort(scores, descending=True, stable=True)[:count]


def frontier(growth, depth, width):
    found = torch.empty(growth.value.size(0), width, dtype=torch.long)
    for row in range(len(found)):
        own = torch.nonzero(growth.depth[row] == depth).flatten()
        if len(own) < width:
            raise ValueError("not so many of this depth")
        found[row] = own[_top(growth.value[row][own], width)]
    return found


def rerank(growth, root, size):
    rows, count = growth.value.shape
    total_tokens = size - 1
    if total_tokens > count:
        raise ValueError("not so many candidates")
    token = torch.empty(rows, size, dtype=torch.long)
    parent, depth = torch.full_like(token, -1), torch.zeros_like(token)
    mask = torch.zeros(rows, size, size, dtype=torch.bool)
    for row in range(rows):
        top_scores_index = torch.sort(_top(growth.value[row], total_tokens)).values
        by_depth = torch.argsort(growth.depth[row][top_scores_index], stable=True)
        order = top_scores_index[by_depth]
        token[row] = torch.cat((root[row : row + 1], growth.token[row][order]))
        depth[row, 1:] = growth.depth[row][order]
        draft_parents = growth.parent[row][order]
        # by creation, the place of a parent is found by bisection; then its place by depth
        place = torch.searchsorted(top_scores_index, draft_parents.clamp(min=0))
        node_of_place = torch.empty(total_tokens + 1, dtype=torch.long)
        node_of_place[by_depth] = torch.arange(1, size)
        mask_index = node_of_place[place].masked_fill(draft_parents < 0, 0)
        parent[row, 1:] = mask_index
        tree_mask = torch.eye(size).bool()
        tree_mask[:, 0] = True
        for i in range(total_tokens):
            tree_mask[i + 1].add_(tree_mask[int(mask_index[i])])
        mask[row] = tree_mask
    return DraftTree(token, parent, depth, mask)
