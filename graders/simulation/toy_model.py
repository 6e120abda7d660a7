"""A language model that is a hash: the next token is determined by the whole text before it, and by
nothing else."""

from __future__ import annotations

from collections.abc import Sequence

Prefix = int
EMPTY: Prefix = 0
_MASK = (1 << 61) - 1


class TextNumbers:
    """Every text has a number of its own, given when it is first seen: equal numbers mean equal
    texts, no chance in it.

    vocabulary: tokens are 0 .. vocabulary - 1.
    """

    def __init__(self, vocabulary: int = 7) -> None:
        self.vocabulary = vocabulary
        self._longer: dict[tuple[Prefix, int], Prefix] = {}
        self._hash = [1]
        self._depth = [0]

    def extend(self, prefix: Prefix, token: int) -> Prefix:
        """The number of the text `prefix` followed by `token`."""
        key = (prefix, token)
        number = self._longer.get(key)
        if number is None:
            number = self._longer[key] = len(self._hash)
            self._hash.append(
                (self._hash[prefix] * 1_000_003 + token + 7) * 0x9E3779B97F4A7C15 & _MASK
            )
            self._depth.append(self._depth[prefix] + 1)
        return number

    def prefixes(self, tokens: Sequence[int], start: Prefix = EMPTY) -> list[Prefix]:
        """The number of the text up to and with each of `tokens`."""
        numbers = []
        for token in tokens:
            start = self.extend(start, token)
            numbers.append(start)
        return numbers

    def depth(self, prefix: Prefix) -> int:
        """How many tokens the text has."""
        return self._depth[prefix]

    def next(self, prefix: Prefix) -> int:
        """The token that follows."""
        return (self._hash[prefix] >> 20) % self.vocabulary

    def say(self, prompt: Sequence[int], max_new: int, eos: int | None) -> list[int]:
        """All that is emitted for a prompt: the oracle."""
        prefix = self.prefixes(prompt)[-1]
        said: list[int] = []
        while len(said) < max_new and (not said or said[-1] != eos):
            said.append(self.next(prefix))
            prefix = self.extend(prefix, said[-1])
        return said
