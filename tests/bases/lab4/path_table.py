"""Right: a table of how often each path stands, filled from short to long."""

import math


def table(share):
    stands = {(): 1.0}
    for path in sorted(share, key=len):
        stands[path] = stands[path[:-1]] * share[path]
    return stands


def tokens_a_pass_chain(alpha, depth):
    if alpha == 1:
        return depth + 1.0
    return (1 - alpha ** (depth + 1)) / (1 - alpha)


def tokens_a_pass_tree(choices, share):
    stands = table(share)
    inside = {()}
    for choice in choices:
        inside.update(choice[:depth] for depth in range(1, len(choice) + 1))
    return math.fsum(stands[path] for path in inside)


def best_choices(share, size):
    stands = table(share)
    paths = sorted(share)
    paths.sort(key=lambda path: stands[path], reverse=True)
    return sorted(paths[:size])


def speed_up(tokens_a_pass, pass_cost):
    plain = pass_cost
    return tokens_a_pass / plain
