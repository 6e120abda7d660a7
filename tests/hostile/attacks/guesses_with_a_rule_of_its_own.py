"""Has guesses of its own verified in the timed engine, which no head has made.

L1: invalid
says: neither model nor heads had said
law: 4 fast enough
"""

from right import propose

honest = propose


def propose(tree, root, topk):
    return (honest(tree, root, topk) + 1) % 512
