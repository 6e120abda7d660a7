"""Lab 2: what a prefix cache will save, before it is switched on. The photocopier at work.

Three formulas. The experiment of the lab serves menus that guests share, with the cache on and off, and counts what the
engine has computed; your formulas say the same number beforehand, to the last token.

What the engine does, and your formulas count. Prompts come one after another. The engine looks up which beginning of a
prompt is in its cache, in whole blocks of `block_size` tokens; it computes the rest. The last token of a prompt is
always computed, because what the model says comes from there: so what can be found of a prompt is the match of all its
tokens *but the last*. Afterwards every full block of the prompt is in the cache. Answers are not cached here. Prompts
hold at least one token each, and nobody changes them.
"""

from __future__ import annotations

from collections.abc import Sequence

### BEGIN SOLUTION
Prefix = tuple[int, ...]


class _Cache:
    """Which prefixes of whole blocks are stored, and when each was touched last."""

    def __init__(self, block_size: int, capacity: int | None) -> None:
        self._size, self._capacity = block_size, capacity
        self._touched: dict[Prefix, int] = {}
        self._clock = 0

    def serve(self, prompt: Prefix) -> int:
        """The tokens of a prompt that are cached; afterwards it is stored, as far as there is room."""
        path = [prompt[:end] for end in range(self._size, len(prompt) + 1, self._size)]
        cached = sum(prefix in self._touched and len(prefix) < len(prompt) for prefix in path)
        self._clock += 1
        self._touched |= dict.fromkeys(path, self._clock)
        self._forget()
        return cached * self._size

    def _forget(self) -> None:
        """Of equally old blocks the deepest goes first: a parent is never younger than what hangs below it."""
        if self._capacity is not None and len(self._touched) > self._capacity:
            oldest = sorted(self._touched, key=lambda prefix: (self._touched[prefix], -len(prefix)))
            for prefix in oldest[: len(self._touched) - self._capacity]:
                del self._touched[prefix]


### END SOLUTION


def computed_tokens(prompts: Sequence[Sequence[int]], block_size: int, capacity: int | None = None) -> int:
    """Tokens of all prompts together that the engine computes, served one after another from an empty cache.

    capacity: the most blocks that stay in the cache; None: nothing is ever forgotten. After each prompt its full blocks
    are stored, and all of them count as touched now, those that were there before too. Then, while more than `capacity`
    blocks are stored, one goes that has no block below it, the least recently touched of these.

    >>> menu = [1, 2, 3, 4, 5, 6, 7, 8]
    >>> computed_tokens([menu + [9], menu + [10], menu + [11]], block_size=4)       # 9, then one token each
    11
    >>> computed_tokens([menu, menu], block_size=4)          # the second finds 4 of its first 7 tokens, not 8
    12
    >>> computed_tokens([menu, [1, 2, 9, 9], menu], block_size=2, capacity=4)       # [9, 9] pushes out [7, 8]
    12
    """
    ### BEGIN SOLUTION
    cache = _Cache(block_size, capacity)
    return sum(len(prompt) - cache.serve(tuple(prompt)) for prompt in prompts)
    ### END SOLUTION


def hit_rate(prompts: Sequence[Sequence[int]], block_size: int, capacity: int | None = None) -> float:
    """The share of all prompt tokens that comes from the cache, 0.0 to 1.0; of no prompts at all 0.0.

    >>> hit_rate([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]], block_size=4)
    0.4
    """
    ### BEGIN SOLUTION
    tokens = sum(map(len, prompts))
    return (tokens - computed_tokens(prompts, block_size, capacity)) / tokens if tokens else 0.0
    ### END SOLUTION


def pages_printed(shared: int, own: int, contracts: int, cached: bool) -> int:
    """Pages that are printed for so many contracts, at least one, each of `shared` common pages and `own` of its own.

    cached: the common pages are printed once, and every contract refers to them.

    >>> pages_printed(50, 1, 100, cached=False), pages_printed(50, 1, 100, cached=True)
    (5100, 150)
    """
    ### BEGIN SOLUTION
    return shared * (1 if cached else contracts) + own * contracts
    ### END SOLUTION
