"""A talk with the waiter: what the model is given to read, and its answer as it is said, with its
speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from course.terminal import clean
from reference_engine.engine import Engine
from reference_engine.waiter.corpus import END, Party, introduction, menu_prompt
from reference_engine.waiter.tokenizer import SPECIALS

LONGEST_ANSWER = 96  # tokens


class Unanswerable(Exception):
    """A question that cannot be put to the waiter; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How an answer came. `first`: seconds to its first token. `reused`: prompt tokens that were
    cached."""

    tokens: int
    first: float
    seconds: float
    prompt: int
    reused: int

    @property
    def per_second(self) -> float:
        """Tokens a second after the first one; 0 when there was only one."""
        return (self.tokens - 1) / (self.seconds - self.first) if self.tokens > 1 else 0.0


@dataclass
class Conversation:
    """One guest's questions at one table. The engine keeps its prefix cache from question to
    question."""

    engine: Engine
    party: Party
    guest: str
    turns: list[str] = field(default_factory=list)
    speed: Speed | None = None

    def ask(self, question: str) -> Iterator[str]:
        """The answer, piece by piece. Afterwards `speed` says how fast it came.

        When the talk outgrows the model's context the oldest questions are forgotten. Raises
        `Unanswerable` for a question that is empty or too long by itself.
        """
        asked = f"Guest {self.guest}: {_plain(question)}\nWaiter:"
        tokens = self._fit(asked)
        end = self.engine.model.tokenizer.token_to_id(END)
        before, start, said, shown = (
            self.engine.metrics.cached,
            time.perf_counter(),
            list[int](),
            "",
        )
        first = 0.0
        for token in self.engine.stream(tokens, LONGEST_ANSWER, eos=end):
            said.append(token)
            first = first or time.perf_counter() - start
            text = self.engine.model.tokenizer.decode(said)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield clean(text[len(shown) :])
                shown = text
        seconds = time.perf_counter() - start
        self.speed = Speed(
            len(said), first, seconds, len(tokens), self.engine.metrics.cached - before
        )
        self.turns.append(f"{asked}{shown}{END}\n")

    def _fit(self, asked: str) -> list[int]:
        """The tokens of the whole talk and the question, older turns left out until they fit."""
        while True:
            told = (
                menu_prompt(self.party.restaurant)
                + introduction(self.party)
                + "".join(self.turns)
                + asked
            )
            tokens = list(self.engine.model.tokenizer.encode(told).ids)
            if len(tokens) + LONGEST_ANSWER <= self.engine.capacity:
                return tokens
            if not self.turns:
                raise Unanswerable(
                    "this question is too long for the waiter; ask it in fewer words."
                )
            del self.turns[0]


def _plain(question: str) -> str:
    """The question as one line, without anything that the tokenizer would take for a special token."""
    text = " ".join(clean(question).split())
    for special in SPECIALS:
        text = text.replace(special, "")
    if not text:
        raise Unanswerable(
            "there is nothing to answer; ask, for example: How much is the tomato soup?"
        )
    return text
