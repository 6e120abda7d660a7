"""Hands the engine a draft tree in which each node is the parent of the one above it, and ends nowhere.

L1: fail or invalid
law: 6 same text, more tokens a pass
"""

from right import DraftTree, rerank

honest = rerank


def rerank(growth, root, size):
    tree = honest(growth, root, size)
    parent = tree.parent.clone()
    if parent.shape[1] > 2:
        parent[:, 1], parent[:, 2] = 2, 1
    return DraftTree(tree.token, parent, tree.depth, tree.mask)
