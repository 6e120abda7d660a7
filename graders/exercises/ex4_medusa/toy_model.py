"""An engine small enough to believe: a model that is a checksum, a KV pool that is a dict.

The toy model's answer after a node is a checksum of all that the node sees: tokens, their
positions, and what each of them had seen in its turn (that is what a KV cache holds). So a wrong
mask, a wrong position or KV in the wrong slot changes what the model says, as in a transformer, and
everything can be recomputed from the text alone.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graders.exercises.ex4_medusa.specification import PathTree

Entry = tuple[int, int, int]  # position, token, checksum of what it saw


@dataclass(frozen=True)
class ToyModel:
    """vocab: tokens 0 .. vocab - 1."""

    vocab: int
    seed: int

    def read(self, position: int, token: int, seen: Iterable[Entry]) -> Entry:
        """The KV of a token that sees these entries (in any order)."""
        return (
            position,
            token,
            zlib.crc32(repr((self.seed, position, token, sorted(seen))).encode()),
        )

    def says(self, entry: Entry) -> int:
        """The token that the model wants after this one."""
        return (entry[2] >> 7) % self.vocab

    def text(self, tokens: Sequence[int]) -> list[Entry]:
        """The KV of a whole text, token after token."""
        entries: list[Entry] = []
        for position, token in enumerate(tokens):
            entries.append(self.read(position, token, entries))
        return entries

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The next `count` tokens of greedy decoding."""
        entries = self.text(prompt)
        for _ in range(count):
            token = self.says(entries[-1])
            entries.append(self.read(len(entries), token, entries))
        return [token for _, token, _ in entries[len(prompt) :]]


@dataclass(frozen=True)
class ToyHeads:
    """Medusa heads that know the truth and bend it. kind:

    perfect      rank 0 of every head is right
    useless      no guess is ever right
    late         head h tells what head h - 1 should have: everything is one token late
    mixed        each guess is right or wrong by chance
    all-alike    every guess of every head is token 0
    """

    model: ToyModel
    kind: str
    heads: int
    guesses: int

    def topk(self, text: Sequence[int], root: int, chance: random.Random) -> list[list[int]]:
        """[heads][guesses], for a text after which the model has said `root`."""
        truth = self.model.greedy([*text, root], self.heads)
        if self.kind == "late":
            truth = [root, *truth[:-1]]
        return [self._guesses(token, chance) for token in truth]

    def _guesses(self, truth: int, chance: random.Random) -> list[int]:
        others = [token for token in range(self.model.vocab) if token != truth] or [truth]
        wrong = [chance.choice(others) for _ in range(self.guesses)]
        if self.kind == "all-alike":
            return [0] * self.guesses
        if self.kind in ("perfect", "late"):
            return [truth, *wrong[1:]]
        if self.kind == "mixed" and chance.random() < 0.7:
            place = chance.randrange(min(2, self.guesses))
            return [*wrong[:place], truth, *wrong[place + 1 :]]
        return wrong


def one_pass(
    model: ToyModel,
    tokens: Sequence[int],
    depth: Sequence[int],
    mask: Sequence[Sequence[bool]],
    past: Sequence[Entry],
) -> list[Entry]:
    """The KV of every node after one forward pass over the tree, as a transformer would compute it.

    A node sits at position len(past) + depth and sees the past and the nodes in its row of the
    mask, itself aside.
    """
    entries: list[Entry] = []
    for node, token in enumerate(tokens):
        seen = [*past, *(entries[other] for other in range(node) if mask[node][other])]
        later = sum(mask[node][other] for other in range(node + 1, len(tokens)))
        position = len(past) + depth[node]
        entries.append(
            model.read(position, token, [*seen, *[(-1, -1, -1)] * later] if later else seen)
        )
    return entries


def alone(
    model: ToyModel, tree: PathTree, tokens: Sequence[int], node: int, past: Sequence[Entry]
) -> Entry:
    """The KV of a node when its path is run on its own."""
    entries = list(past)
    for step in tree.walk(node):
        entries.append(model.read(len(entries), tokens[step], entries))
    return entries[-1]
