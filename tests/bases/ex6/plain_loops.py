"""Right: one row and one candidate at a time, in plain Python loops over lists."""

import torch

from reference_engine.slots import DraftTree, Growth


def grow(growth, chosen, topk_token, topk_logprob):
    rows, width, guesses = topk_token.shape
    count = growth.token.shape[1]
    fields = [[], [], [], []]
    for row in range(rows):
        token, parent = growth.token[row].tolist(), growth.parent[row].tolist()
        depth, value = growth.depth[row].tolist(), growth.value[row].tolist()
        for w, above in enumerate(chosen[row].tolist()):
            if above >= count or above < -1:
                raise ValueError(f"candidate {above} does not exist")
            for k in range(guesses):
                log = float(topk_logprob[row, w, k])
                if log > 0:
                    raise ValueError(f"logprob {log}")
                token.append(int(topk_token[row, w, k]))
                parent.append(above)
                depth.append(1 if above < 0 else depth[above] + 1)
                value.append(log if above < 0 else value[above] + log)
        for field, column in zip(fields, (token, parent, depth, value), strict=True):
            field.append(column)
    size = count + width * guesses
    integers = [torch.tensor(field, dtype=torch.long).reshape(rows, size) for field in fields[:3]]
    return Growth(*integers, torch.tensor(fields[3], dtype=growth.value.dtype).reshape(rows, size))


def frontier(growth, depth, width):
    found = []
    for depths, values in zip(growth.depth.tolist(), growth.value.tolist(), strict=True):
        own = [index for index in range(len(depths)) if depths[index] == depth]
        if len(own) < width:
            raise ValueError(f"{len(own)} candidates of depth {depth}, {width} wanted")
        own.sort(key=lambda index: -values[index])
        found.append(own[:width])
    return torch.tensor(found, dtype=torch.long).reshape(len(found), width)


def rerank(growth, root, size):
    if size - 1 > growth.token.shape[1]:
        raise ValueError(f"{growth.token.shape[1]} candidates, {size} nodes wanted")
    tokens, parents, depths, masks = [], [], [], []
    for row in range(len(root)):
        token, parent = growth.token[row].tolist(), growth.parent[row].tolist()
        depth, value = growth.depth[row].tolist(), growth.value[row].tolist()
        kept = sorted(range(len(value)), key=lambda index: (-value[index], index))[: size - 1]
        kept.sort(key=lambda index: (depth[index], index))
        number = {-1: 0}
        for node, index in enumerate(kept):
            number[index] = node + 1
        tokens.append([int(root[row])] + [token[index] for index in kept])
        parents.append([-1] + [number[parent[index]] for index in kept])
        depths.append([0] + [depth[index] for index in kept])
        mask = [[False] * size for _ in range(size)]
        for node in range(size):
            at = node
            while at >= 0:
                mask[node][at] = True
                at = parents[-1][at]
        masks.append(mask)
    return DraftTree(
        torch.tensor(tokens, dtype=torch.long).reshape(-1, size),
        torch.tensor(parents, dtype=torch.long).reshape(-1, size),
        torch.tensor(depths, dtype=torch.long).reshape(-1, size),
        torch.tensor(masks, dtype=torch.bool).reshape(-1, size, size),
    )
