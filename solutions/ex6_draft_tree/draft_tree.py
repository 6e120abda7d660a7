"""The draft tree of EAGLE: guesses grow where the drafter is sure, and only the best of them are verified.

A small drafter guesses token after token, and says how likely each guess is. A path of guesses is
worth the product of its probabilities: that is how likely it stands to its end. So the tree is not
the same in every step. Where the drafter is sure it grows long, where it is not it grows wide
(EAGLE-2, Li et al., EMNLP'24; arXiv 2406.16858). Three functions:

    grow      the drafter has guessed what follows some candidates: append the guesses
    frontier  which candidates of a depth are worth another guess: those of the highest value
    rerank    keep the best of everything that has grown, as a tree that one forward pass can verify

One row, four guesses of two at a time; the numbers are probabilities, `value` is the logarithm of
their product:

                                       candidate   token    parent  depth   probability of the path
        "one cup of tea"                   0       please     -1      1     0.5
          |-- please  0.5                  1       with       -1      1     0.4
          |     |-- and   0.9              2       and         0      2     0.5 * 0.9 = 0.45
          |     `-- .     0.1              3       .           0      2     0.05
          `-- with    0.4                  4       milk        1      2     0.2
                |-- milk  0.5              5       sugar       1      2     0.2
                `-- sugar 0.5
                                      rerank, size 4: the root, please (0.5), and (0.45), with (0.4)
        node    0 tea   1 please   2 with   3 and       sorted by (depth, creation)
        parent    -1        0         0        1        a node number, no candidate's

A value never exceeds its parent's, since no probability exceeds 1. So what is best is connected:
whoever keeps a candidate has kept its parent. And the sum of the kept probabilities is the number
of guesses that are expected to stand, so no other tree of that size yields more.

Shapes: B rows (sequences), M candidates, W chosen, K guesses after each, N nodes. Integers are
int64, values float32 or float64, and stay of the dtype that they come in. No function changes what
it is given, or returns a view of it. B may be 0; rows never influence each other.

`Growth(token, parent, depth, value)`, each [B, M], and `DraftTree(token, parent, depth, mask)` are
frozen dataclasses of tensors, in this order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.slots import DraftTree, Growth


def grow(growth: Growth, chosen: Tensor, topk_token: Tensor, topk_logprob: Tensor) -> Growth:
    """Append what the drafter guessed after the chosen candidates.

    chosen int64 [B, W]: candidates of the growth, each of its own row, of any depth; -1 is the
    root, which is chosen alone (W = 1) in the call that begins a tree, when M is 0 and the four
    tensors are [B, 0]. topk_token int64 [B, W, K]: the K guesses after each of them. topk_logprob
    float [B, W, K]: ln of the probability of each, given the path before it; 0 (certain) and -inf
    (impossible) are possible.

    Returns a Growth of M + W * K candidates. The first M are as they were. After them come the K
    guesses after chosen[:, 0], then those after chosen[:, 1], and so on. A new candidate's parent
    is the one that it was guessed after, its depth is one more than the parent's (1 below the
    root), its value is the parent's (0 for the root) plus its logprob.

    Raises ValueError: an index in `chosen` that is neither a candidate nor -1, a topk_logprob above
    0; in any row.

    >>> empty = torch.zeros(1, 0, dtype=torch.int64)
    >>> start = Growth(token=empty, parent=empty, depth=empty, value=torch.zeros(1, 0))
    >>> first = grow(start, torch.tensor([[-1]]), torch.tensor([[[11, 12]]]), torch.tensor([[[-0.5, -1.0]]]))
    >>> first.token.tolist(), first.parent.tolist(), first.depth.tolist(), first.value.tolist()
    ([[11, 12]], [[-1, -1]], [[1, 1]], [[-0.5, -1.0]])
    >>> then = grow(first, torch.tensor([[1]]), torch.tensor([[[21, 22]]]), torch.tensor([[[-0.25, -2.0]]]))
    >>> then.token.tolist(), then.parent.tolist(), then.depth.tolist(), then.value.tolist()
    ([[11, 12, 21, 22]], [[-1, -1, 1, 1]], [[1, 1, 2, 2]], [[-0.5, -1.0, -1.25, -3.0]])
    """
    ### BEGIN SOLUTION
    count = growth.token.shape[1]
    lowest = -1 if chosen.shape[1] == 1 else 0
    if not all(lowest <= index < count for index in chosen.flatten().tolist()):
        raise ValueError(f"chosen names what is no candidate; there are {count}")
    if any(log > 0 for log in topk_logprob.flatten().tolist()):
        raise ValueError("a topk_logprob is above 0: no probability is above 1")
    parent = chosen.unsqueeze(2).expand(topk_token.shape).flatten(1)  # [B, W * K]
    depth = _after_root(growth.depth).gather(1, parent + 1) + 1
    value = _after_root(growth.value).gather(1, parent + 1) + topk_logprob.flatten(1)
    return Growth(
        token=torch.cat([growth.token, topk_token.flatten(1)], 1),  # [B, M + W * K]
        parent=torch.cat([growth.parent, parent], 1),
        depth=torch.cat([growth.depth, depth], 1),
        value=torch.cat([growth.value, value], 1),
    )
    ### END SOLUTION


def frontier(growth: Growth, depth: int, width: int) -> Tensor:
    """The candidates that are worth another guess.

    Returns int64 [B, width]: of each row the indices of the candidates of that depth with the
    highest value, the highest first; of equal ones the one with the lower index first. Values may
    be -inf.

    Raises ValueError: a row has fewer than `width` candidates of that depth. width is 1 at least.

    >>> growth = Growth(token=torch.tensor([[11, 12, 21, 22]]), parent=torch.tensor([[-1, -1, 0, 0]]),
    ...     depth=torch.tensor([[1, 1, 2, 2]]), value=torch.tensor([[-0.5, -1.0, -2.5, -0.75]]))
    >>> frontier(growth, 2, 2).tolist(), frontier(growth, 1, 1).tolist()
    ([[3, 2]], [[0]])
    """
    ### BEGIN SOLUTION
    there = growth.depth == depth  # [B, M]
    if (there.sum(1) < width).any():
        raise ValueError(f"there are fewer than {width} candidates of depth {depth}")
    value = growth.value.neg().masked_fill(~there, torch.nan)  # NaN sorts behind everything, behind inf too
    return value.sort(dim=1, stable=True).indices[:, :width]
    ### END SOLUTION


def rerank(growth: Growth, root: Tensor, size: int) -> DraftTree:
    """Keep the best of all that has grown, as a tree of `size` nodes.

    root int64 [B]: the token of node 0. Kept are the size - 1 candidates of the highest value, of
    equal ones those with the lower index, whatever their depth. Nodes are sorted by (depth,
    creation): node 0 is the root, then come the kept candidates of depth 1 in order of their index,
    then those of depth 2, and so on.

    Returns DraftTree(token, parent, depth, mask): int64 [B, size], the mask bool [B, size, size].
    Parents are node numbers: -1 for the root, 0 for its children. The root has depth 0. mask[b, i,
    j] is True when node j is node i or one of its ancestors.

    Raises ValueError: size - 1 is above M. size is 1 at least: the root alone.

    >>> growth = Growth(token=torch.tensor([[11, 12, 21, 22]]), parent=torch.tensor([[-1, -1, 1, 1]]),
    ...     depth=torch.tensor([[1, 1, 2, 2]]), value=torch.tensor([[-2.0, -0.5, -1.0, -3.0]]))
    >>> tree = rerank(growth, torch.tensor([5]), 3)                # candidates 1 and 2 are kept
    >>> tree.token.tolist(), tree.parent.tolist(), tree.depth.tolist(), tree.mask.int().tolist()
    ([[5, 12, 21]], [[-1, 0, 1]], [[0, 1, 2]], [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]])
    """
    ### BEGIN SOLUTION
    rows, count = growth.value.shape
    if not 1 <= size <= count + 1:
        raise ValueError(f"a tree of {size} nodes cannot be made of {count} candidates and the root")
    kept = _highest_first(growth.value)[:, : size - 1].sort(dim=1).values  # [B, N - 1], by creation
    kept = kept.gather(1, growth.depth.gather(1, kept).sort(dim=1, stable=True).indices)
    node = torch.zeros(rows, count + 1, dtype=torch.int64, device=root.device)  # of candidate i in column i + 1
    node.scatter_(1, kept + 1, torch.arange(1, size, device=root.device).expand(rows, -1))
    parent = node.gather(1, growth.parent.gather(1, kept) + 1)
    tree = DraftTree(
        token=torch.cat([root[:, None], growth.token.gather(1, kept)], 1),
        parent=torch.cat([torch.full_like(root, -1)[:, None], parent], 1),
        depth=_after_root(growth.depth.gather(1, kept)),
        mask=torch.eye(size, dtype=torch.bool, device=root.device).repeat(rows, 1, 1),
    )
    above = tree.parent.clamp(min=0)[:, :, None].expand(rows, size, size)
    for _ in range(int(tree.depth.max()) if rows else 0):
        tree.mask.logical_or_(tree.mask.gather(1, above))  # a node sees what its parent sees
    return tree
    ### END SOLUTION


### BEGIN SOLUTION
def _after_root(values: Tensor) -> Tensor:
    """[B, M] -> [B, M + 1]: the same after a column of zeros, the root's."""
    return torch.cat([values.new_zeros(len(values), 1), values], 1)


def _highest_first(value: Tensor) -> Tensor:
    """[B, M]: indices by value, of equal ones the lower first."""
    return value.sort(dim=1, descending=True, stable=True).indices


### END SOLUTION
