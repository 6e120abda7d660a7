"""What the waiter says, and from which hidden states: the text that Medusa heads learn from and are
measured on.

Only the model's own greedy text counts. A dialogue of the corpus is read in one pass; an answer
belongs to the greedy text up to the first token that is not the likeliest one there, and no
decoding is needed to know it. Text that goes on after the end of an answer is decoded by the
engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import torch
from tokenizers import Tokenizer
from torch import Tensor

from reference_engine.training.network import Waiter
from reference_engine.waiter.corpus import Split, dialogue
from reference_engine.waiter.tokenizer import encode_dialogue

Text = tuple[list[int], list[bool]]
"""Tokens, and for each whether the waiter says it."""

NONE = -1
TURNS = 40
ROWS = 4


@dataclass(frozen=True)
class Positions:
    """Places from which the waiter speaks, in the order of the text.

    hidden `[P, width]`: the state from which token t+1 is said. targets int64 `[P, H]`: the tokens
    t+2 .. t+1+H of the same greedy text, NONE beyond its end. opens bool `[P]`: the first place of
    an answer.
    """

    hidden: Tensor
    targets: Tensor
    opens: Tensor

    def __len__(self) -> int:
        return len(self.hidden)

    @property
    def answers(self) -> Iterator[Positions]:
        """One after the other."""
        starts = [*self.opens.nonzero()[:, 0].tolist(), len(self)]
        for start, end in pairwise(starts):
            yield Positions(self.hidden[start:end], self.targets[start:end], self.opens[start:end])


def joined(parts: Iterable[Positions]) -> Positions:
    """All of them as one."""
    every = list(parts)
    return Positions(
        torch.cat([part.hidden for part in every]),
        torch.cat([part.targets for part in every]),
        torch.cat([part.opens for part in every]),
    )


def answers(
    network: Waiter, tokenizer: Tokenizer, seeds: Iterable[int], split: Split, heads: int
) -> Positions:
    """The answers in the dialogues of these seeds, each dialogue as long as the context."""
    size = network.shape.positions
    told = (encode_dialogue(tokenizer, dialogue(seed, split, turns=TURNS)) for seed in seeds)
    texts = ((ids[:size], said[:size]) for ids, said in told)
    return joined(_read(network, rows, heads) for rows in _batches(texts))


def continuations(
    network: Waiter, texts: Sequence[tuple[list[int], list[int]]], heads: int
) -> Positions:
    """Greedy text decoded elsewhere: (prompt, output) pairs."""
    rows = [
        ([*prompt, *output], [False] * len(prompt) + [True] * len(output))
        for prompt, output in texts
    ]
    return joined(_read(network, part, heads) for part in _batches(rows))


@torch.inference_mode()
def _read(network: Waiter, rows: Sequence[Text], heads: int) -> Positions:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    with torch.autocast("cpu", enabled=False):
        hidden = network.hidden(ids)
    likeliest = network.logits(hidden).argmax(-1)
    found = []
    for row, (own, said) in enumerate(rows):
        for start, end in _runs(said):
            wrong = (likeliest[row, start - 1 : end - 1] != ids[row, start:end]).nonzero()
            last = start + int(wrong[0]) if len(wrong) else end
            if last > start:
                found.append(_positions(hidden[row, start - 1 : last - 1], own[start:last], heads))
    return joined(found)


def _positions(hidden: Tensor, text: Sequence[int], heads: int) -> Positions:
    """hidden `[T, width]`: row t is the state that says text[t]."""
    padded = torch.tensor([*text, *[NONE] * heads])
    opens = torch.zeros(len(text), dtype=torch.bool)
    opens[0] = True
    return Positions(hidden.clone(), padded[1:].unfold(0, heads, 1), opens)


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    source = iter(texts)
    while batch := list(islice(source, ROWS)):
        yield batch


def _runs(said: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """[start, end) of every stretch of True that does not begin the text."""
    start = 0
    for place, now in enumerate([*said, False]):
        if now and not start:
            start = place
        elif not now and start:
            yield start, place
            start = 0
