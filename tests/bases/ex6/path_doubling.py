"""Right: whole tensors and no loop over depths: pointers double, nodes are ranked by one key of float64."""

import torch

from reference_engine.slots import DraftTree, Growth


def grow(growth, chosen, topk_token, topk_logprob):
    rows, width, guesses = topk_token.shape
    count = growth.token.shape[1]
    if (chosen >= count).any() or (chosen < -1).any() or not (topk_logprob <= 0).all():
        raise ValueError("candidates that are none, or guesses that are too sure")
    last = torch.zeros(rows, 1)  # the root is read as the last column
    depth = torch.cat([growth.depth, last.long()], 1).gather(1, chosen % (count + 1)) + 1
    value = torch.cat([growth.value, last.to(growth.value.dtype)], 1).gather(1, chosen % (count + 1))
    spread = torch.arange(width).repeat_interleave(guesses)
    return Growth(
        token=torch.cat([growth.token, topk_token.reshape(rows, spread.numel())], 1),
        parent=torch.cat([growth.parent, chosen[:, spread]], 1),
        depth=torch.cat([growth.depth, depth[:, spread]], 1),
        value=torch.cat([growth.value, (value.unsqueeze(2) + topk_logprob).reshape(rows, spread.numel())], 1),
    )


def _place(value):
    """The place of each candidate by value, equals by index: how many come before it."""
    index = torch.arange(value.shape[1])
    before = (value[:, None, :] > value[:, :, None]) | (
        (value[:, None, :] == value[:, :, None]) & (index[None, :] < index[:, None])
    )
    return before.sum(2)


def frontier(growth, depth, width):
    own = growth.depth == depth
    if (own.sum(1) < width).any():
        raise ValueError("not so many")
    key = _place(growth.value) + growth.value.shape[1] * (~own)
    return key.argsort(1)[:, :width]


def rerank(growth, root, size):
    rows, count = growth.value.shape
    if count < size - 1:
        raise ValueError("not so many")
    chosen = _place(growth.value) < size - 1
    key = growth.depth * (count + 1) + torch.arange(count)
    key = torch.where(chosen, key, (count + 2) ** 2)
    order = key.argsort(1)[:, : size - 1]
    node = torch.cat([root.new_zeros(rows, 1), order.argsort(1) + 1], 1) if size - 1 == count else None
    if node is None:
        node = root.new_zeros(rows, count + 1)
        for number in range(size - 1):
            node[torch.arange(rows), order[:, number] + 1] = number + 1
    parent = node.gather(1, growth.parent.gather(1, order) + 1)
    root_column = root.new_zeros(rows, 1)
    up = torch.cat([root_column, parent], 1)
    sees = torch.eye(size, dtype=torch.bool).expand(rows, size, size)
    while True:
        wider = sees | sees.gather(1, up.unsqueeze(2).expand(rows, size, size))
        up = up.gather(1, up)
        if (wider == sees).all() and not up.any():
            break
        sees = wider
    return DraftTree(
        torch.cat([root.unsqueeze(1), growth.token.gather(1, order)], 1),
        torch.cat([root_column - 1, parent], 1),
        torch.cat([root_column, growth.depth.gather(1, order)], 1),
        sees.clone(),
    )
