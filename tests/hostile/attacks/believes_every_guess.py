"""Accepts the guesses of Medusa without looking at what the model says.

L1: fail
says: it has to be
law: 4 greedy walk
"""

from right import verify_greedy

honest = verify_greedy


def verify_greedy(tree, tokens, argmax):
    said = argmax.clone()
    for node in range(1, len(tree.parent)):
        said[:, tree.parent[node]] = tokens[:, node]
    return honest(tree, tokens, said)
