"""Measures the waiter on dialogues that training never saw: `python -m
reference_engine.training.evaluate`.

Every answer is greedy, with the model's own earlier answers in the context. A dialogue is first
read in one pass with the expected answers as guesses, as speculative decoding would: where each of
their tokens is the likeliest, they are what greedy decoding says. Only the other dialogues are
decoded token by token.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer

from reference_engine.training.model_card import write_card
from reference_engine.training.network import TrainingKV, Waiter
from reference_engine.training.storage import load_network, write_json
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import END, KINDS, Dialogue, Facts, Turn, dialogue
from reference_engine.waiter.tokenizer import encode_dialogue, load_tokenizer, special_id

TURNS = 20
LONGEST_ANSWER = 128
ROWS = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a guest was told; `given` is without `END`, which it must have reached to be word for
    word."""

    turn: Turn
    given: str
    word_for_word: bool


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """Between 0 and 1; nothing asked is all right."""
        return self.right / self.asked if self.asked else 1.0


@dataclass(frozen=True, slots=True)
class HeldOutFigures:
    """Held-out quality. `facts` has one tally for each field of `Facts`, `kinds` one for each kind
    of question."""

    dialogues: int
    word_for_word: Share
    facts: dict[str, Share]
    kinds: dict[str, Share]


def held_out(tokenizer: Tokenizer, count: int, positions: int) -> Iterator[Dialogue]:
    """The dialogues of seeds 0 .. count - 1, each with as many turns as fit `positions` whatever is
    answered."""
    for seed in range(count):
        whole = dialogue(seed, "heldout", turns=TURNS)
        length = len(tokenizer.encode(whole.head).ids)
        kept: list[Turn] = []
        for turn in whole.turns:
            length += len(_ids(tokenizer, turn.asked)) + len(_ids(tokenizer, turn.answered)) + 1
            if length + LONGEST_ANSWER > positions:
                break
            kept.append(turn)
        yield replace(whole, turns=tuple(kept))


def answers(network: Waiter, tokenizer: Tokenizer, told: Sequence[Dialogue]) -> Iterator[Answer]:
    """All greedy answers of some dialogues, in order."""
    for one, expected in zip(told, as_expected(network, tokenizer, told), strict=True):
        if expected:
            yield from (Answer(turn, turn.answer, True) for turn in one.turns)
        else:
            yield from converse(network, tokenizer, one)


@torch.inference_mode()
def as_expected(network: Waiter, tokenizer: Tokenizer, told: Sequence[Dialogue]) -> list[bool]:
    """For each dialogue, whether greedy decoding gives every expected answer to the token."""
    encoded = [encode_dialogue(tokenizer, one) for one in told]
    longest = max(len(ids) for ids, _ in encoded)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in encoded])
    said = torch.tensor([said + [False] * (longest - len(said)) for _, said in encoded])
    guessed = network(ids[:, :-1]).argmax(-1)
    every = ((guessed == ids[:, 1:]) | ~said[:, 1:]).all(dim=1)
    return [bool(one) for one in every]


def converse(network: Waiter, tokenizer: Tokenizer, told: Dialogue) -> Iterator[Answer]:
    """A dialogue decoded token by token, the model's own answers staying in the context."""
    end, cache = special_id(tokenizer, END), TrainingKV(network.shape.layers)
    context = tokenizer.encode(told.head).ids
    for turn in told.turns:
        context += _ids(tokenizer, turn.asked)
        room = min(LONGEST_ANSWER, network.shape.positions - len(context))
        output = network.greedy(context, room, end, cache)
        context += [*output, *_ids(tokenizer, "\n")]
        given = tokenizer.decode(output).strip()
        yield Answer(turn, given, given == turn.answer and output[-1] == end)


def measure(network: Waiter, tokenizer: Tokenizer, dialogues: int) -> HeldOutFigures:
    """The figures of the first `dialogues` held-out dialogues."""
    source = held_out(tokenizer, dialogues, network.shape.positions)
    given: list[Answer] = []
    while batch := list(islice(source, ROWS)):
        given += answers(network, tokenizer, batch)
    return HeldOutFigures(
        dialogues=dialogues,
        word_for_word=_tally([answer.word_for_word for answer in given]),
        facts={field.name: _facts_right(given, field.name) for field in fields(Facts)},
        kinds={
            kind: _tally([each.word_for_word for each in given if each.turn.kind == kind])
            for kind in KINDS
        },
    )


def report(figures: HeldOutFigures) -> str:
    """The figures as a table for a terminal."""
    rows = [("word for word", figures.word_for_word), *figures.facts.items()]
    rows += [(f"  {kind}", tally) for kind, tally in figures.kinds.items()]
    lines = [
        f"{name:<16}{tally.right:>7} of {tally.asked:>6}{tally.share:>10.2%}"
        for name, tally in rows
    ]
    return "\n".join([f"{figures.dialogues} unseen dialogues, greedy", *lines])


def as_json(figures: HeldOutFigures, seconds: float) -> dict[str, object]:
    """The figures and how they were taken, as figures.json holds them."""
    return {
        "dialogues": figures.dialogues,
        "word_for_word": _counts(figures.word_for_word),
        "facts": {name: _counts(tally) for name, tally in figures.facts.items()},
        "kinds": {name: _counts(tally) for name, tally in figures.kinds.items()},
        "weights": "bfloat16, computed in float32",
        "command": f"python -m reference_engine.training.evaluate --dialogues {figures.dialogues} --write",
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _facts_right(given: Sequence[Answer], field: str) -> Share:
    """Over the answers that name such a fact, or should: those that name the expected ones and no
    other."""
    pairs = [
        (getattr(Facts.read(each.turn.answer), field), getattr(Facts.read(each.given), field))
        for each in given
    ]
    return _tally([expected == named for expected, named in pairs if expected or named])


def _tally(outcomes: Sequence[bool]) -> Share:
    return Share(sum(outcomes), len(outcomes))


def _counts(tally: Share) -> dict[str, int]:
    return {"right": tally.right, "asked": tally.asked}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Measure the waiter on dialogues that training never saw."
    )
    parser.add_argument("--dialogues", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument(
        "--write",
        action="store_true",
        help="store figures.json and the model card in the checkpoint",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.monotonic()
    figures = measure(
        load_network(options.checkpoint), load_tokenizer(options.checkpoint), options.dialogues
    )
    print(report(figures))
    if options.write:
        write_json(options.checkpoint / "figures.json", as_json(figures, time.monotonic() - began))
        write_card(options.checkpoint)


if __name__ == "__main__":
    main()
