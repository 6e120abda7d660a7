"""Right: candidates as tuples in a heap, ancestors as sets of node numbers, one tensor made at the end."""

import heapq

import torch

from reference_engine.slots import DraftTree, Growth


def _lists(growth):
    return list(
        zip(growth.token.tolist(), growth.parent.tolist(), growth.depth.tolist(), growth.value.tolist(), strict=True)
    )


def grow(growth, chosen, topk_token, topk_logprob):
    count = growth.token.shape[1]
    if any(not (-1 <= index < count) for line in chosen.tolist() for index in line):
        raise ValueError("chosen")
    if any(log > 0 for line in topk_logprob.flatten(1).tolist() for log in line):
        raise ValueError("topk_logprob")
    rows, width, guesses = topk_token.shape
    wide = topk_token.new_zeros(rows, width * guesses)
    parent, depth, value = wide.clone(), wide.clone(), topk_logprob.new_zeros(rows, width * guesses)
    for row, line in enumerate(chosen.tolist()):
        for w, index in enumerate(line):
            part = slice(w * guesses, (w + 1) * guesses)
            parent[row, part] = index
            depth[row, part] = 1 + (growth.depth[row, index] if index >= 0 else 0)
            value[row, part] = topk_logprob[row, w] + (growth.value[row, index] if index >= 0 else 0)
    new = (topk_token.flatten(1), parent, depth, value)
    old = (growth.token, growth.parent, growth.depth, growth.value)
    return Growth(*(torch.hstack(pair) for pair in zip(old, new, strict=True)))


def frontier(growth, depth, width):
    answer = []
    for _, _, depths, values in _lists(growth):
        heap = [(-value, index) for index, (own, value) in enumerate(zip(depths, values, strict=True)) if own == depth]
        heapq.heapify(heap)
        if len(heap) < width:
            raise ValueError("width")
        answer.append([heapq.heappop(heap)[1] for _ in range(width)])
    return torch.tensor(answer, dtype=torch.int64).reshape(-1, width)


def rerank(growth, root, size):
    if growth.token.shape[1] < size - 1:
        raise ValueError("size")
    rows = []
    for top, (tokens, parents, depths, values) in zip(root.tolist(), _lists(growth), strict=True):
        best = heapq.nsmallest(size - 1, range(len(values)), key=lambda index: (-values[index], index))
        order = sorted(best, key=lambda index: (depths[index], index))
        node = {index: place for place, index in enumerate(order, 1)} | {-1: 0}
        seen = [{0}]
        for index in order:
            seen.append(seen[node[parents[index]]] | {node[index]})
        rows.append(
            (
                [top, *(tokens[index] for index in order)],
                [-1, *(node[parents[index]] for index in order)],
                [0, *(depths[index] for index in order)],
                [[other in each for other in range(size)] for each in seen],
            )
        )
    token, parent, depth = (
        torch.tensor([row[i] for row in rows], dtype=torch.int64).reshape(-1, size) for i in range(3)
    )
    return DraftTree(
        token, parent, depth, torch.tensor([row[3] for row in rows], dtype=torch.bool).reshape(-1, size, size)
    )
