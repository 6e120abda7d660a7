"""Right: in the manner of OpenVINO's tree searcher: a graph of node objects, a strict order of better and worse, and
lists made of the nodes that were selected.
"""

import functools

import torch

from reference_engine.slots import DraftTree, Growth


class CandidateNode:
    def __init__(self, index, score, layer, parent):
        self.index, self.score, self.layer, self.parent = index, score, layer, parent


def is_better(first, second):
    if first.score != second.score:
        return -1 if first.score > second.score else 1
    return first.index - second.index


BETTER = functools.cmp_to_key(is_better)


def graph(growth, row):
    columns = growth.value[row].tolist(), growth.depth[row].tolist(), growth.parent[row].tolist()
    return [CandidateNode(index, *column) for index, column in enumerate(zip(*columns, strict=True))]


def grow(growth, chosen, topk_token, topk_logprob):
    rows, width, branching = topk_token.shape
    count = growth.token.shape[1]
    if bool((topk_logprob > 0).any()) or bool(((chosen < -1) | (chosen >= count)).any()):
        raise ValueError("expand")
    # a column for the root, in front: index -1 becomes 0
    value = torch.cat([growth.value.new_zeros(rows, 1), growth.value], 1)
    depth = torch.cat([growth.depth.new_zeros(rows, 1), growth.depth], 1)
    line = torch.arange(rows).unsqueeze(1)
    scores = value[line, chosen + 1].unsqueeze(2) + topk_logprob
    layers = (depth[line, chosen + 1] + 1).unsqueeze(2).expand(rows, width, branching)
    above = chosen.unsqueeze(2).expand(rows, width, branching)
    return Growth(
        token=torch.cat([growth.token, topk_token.flatten(1)], 1),
        parent=torch.cat([growth.parent, above.flatten(1)], 1),
        depth=torch.cat([growth.depth, layers.flatten(1)], 1),
        value=torch.cat([growth.value, scores.flatten(1)], 1),
    )


def frontier(growth, depth, width):
    beams = []
    for row in range(growth.value.shape[0]):
        layer = [node for node in graph(growth, row) if node.layer == depth]
        if len(layer) < width:
            raise ValueError("a beam of fewer nodes")
        beams.append([node.index for node in sorted(layer, key=BETTER)[:width]])
    return torch.tensor(beams, dtype=torch.int64).view(-1, width)


def rerank(growth, root, size):
    rows, count = growth.value.shape
    if size - 1 > count:
        raise ValueError("select_candidate_nodes")
    token, parent = torch.zeros(rows, size, dtype=torch.int64), torch.full((rows, size), -1)
    depth, mask = torch.zeros(rows, size, dtype=torch.int64), torch.zeros(rows, size, size, dtype=torch.bool)
    token[:, 0] = root
    mask[:, :, 0] = True
    for row in range(rows):
        selected = sorted(graph(growth, row), key=BETTER)[: size - 1]
        selected.sort(key=lambda node: (node.layer, node.index))
        position = {-1: 0}
        for place, node in enumerate(selected, 1):
            position[node.index] = place
            token[row, place] = growth.token[row, node.index]
            parent[row, place] = position[node.parent]
            depth[row, place] = node.layer
            mask[row, place] = mask[row, parent[row, place]]
            mask[row, place, place] = True
    return DraftTree(token, parent, depth, mask)
