"""Lab 4: what guessing yields, before a head is trained. Guess and check.

Four formulas. A pass of the model reads several guesses at once and keeps those that it would have said itself; it says
one token of its own beside them, so a pass never yields less than one. How many more depends on how often guesses
stand, and whether it pays depends on what a pass with guesses costs beside one without.

A *path* is a tuple of ranks, as in exercise 4: (0,) is the best guess of the first head, (1, 0) the best guess of the
second head behind the second best of the first. `share[path]` is how often the last guess of a path is the right one
when all above it are right, between 0 and 1; whenever a mapping has a path, it has all beginnings of it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

### BEGIN SOLUTION
Path = tuple[int, ...]


def _chance(path: Path, share: Mapping[Path, float]) -> float:
    """How often all guesses of a path stand."""
    chance = 1.0
    for depth in range(1, len(path) + 1):
        chance *= share[path[:depth]]
    return chance


### END SOLUTION


def tokens_a_pass_chain(alpha: float, depth: int) -> float:
    """Tokens that a pass over a chain of `depth` guesses yields on average, the model's own token included.

    Each guess stands with chance `alpha`, whatever stands above it, until the first one falls: it and all behind it are
    lost. alpha is between 0 and 1, both included; depth is 0 or more.

    >>> tokens_a_pass_chain(0.5, 2), tokens_a_pass_chain(1.0, 4), tokens_a_pass_chain(0.0, 3)
    (1.75, 5.0, 1.0)
    """
    ### BEGIN SOLUTION
    return sum((alpha**place for place in range(1, depth + 1)), 1.0)
    ### END SOLUTION


def tokens_a_pass_tree(choices: Sequence[tuple[int, ...]], share: Mapping[tuple[int, ...], float]) -> float:
    """Tokens that a pass over a tree of guesses yields on average, the model's own token included.

    The tree holds every path of `choices` and every beginning of one, each once, as `build_tree` of exercise 4 makes
    it. Of two guesses side by side at most one is right. `share` may hold more paths than the tree.

    >>> share = {(0,): 0.5, (1,): 0.25, (0, 0): 0.5, (1, 0): 0.5}
    >>> tokens_a_pass_tree([(0, 0)], share), tokens_a_pass_tree([(0, 0), (1,), (0, 0)], share)
    (1.75, 2.0)
    """
    ### BEGIN SOLUTION
    nodes = {choice[:depth] for choice in choices for depth in range(1, len(choice) + 1)}
    return sum((_chance(node, share) for node in sorted(nodes)), 1.0)
    ### END SOLUTION


def best_choices(share: Mapping[tuple[int, ...], float], size: int) -> list[tuple[int, ...]]:
    """The tree of `size` guesses that yields most, as a list of its paths, in any order.

    Every beginning of a path in the list is in the list. Among paths that are worth the same, the lower tuple is taken
    first: (0, 1) before (1,). All paths of `share` when there are no more than `size`.

    >>> share = {(0,): 0.5, (1,): 0.25, (0, 0): 0.25, (1, 0): 1.0}
    >>> best_choices(share, 1), best_choices(share, 3)
    ([(0,)], [(0,), (1,), (1, 0)])
    """
    ### BEGIN SOLUTION
    return sorted(share, key=lambda path: (-_chance(path, share), path))[:size]
    ### END SOLUTION


def speed_up(tokens_a_pass: float, pass_cost: float) -> float:
    """How many times as fast answers are with guesses as without. pass_cost: the time of a pass over the guesses, in
    times of a plain step, which yields one token.

    >>> speed_up(2.0, 1.25)
    1.6
    """
    ### BEGIN SOLUTION
    return tokens_a_pass / pass_cost
    ### END SOLUTION
