"""One answer as it comes: tokens become text, stop strings end it, scores are told as OpenAI tells
them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course.server.engine_thread import Said
from course.server.incremental_text import IncrementalText
from course.server.question import Question
from course.server.stop_strings import StopStrings

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token's text with its log-probability, and those of the likeliest."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step adds to an answer. reason: why it is over, "stop" or "length"; None: it goes
    on."""

    place: int
    text: str
    tokens: int
    scored: tuple[ScoredToken, ...] = ()
    reason: str | None = None


class Answer:
    """The answer in one place of a question. `text`, `tokens`, `scored`, `reason`: of what came so
    far."""

    def __init__(self, question: Question, place: int, tokenizer: Tokenizer) -> None:
        self.place, self.text, self.tokens = place, "", 0
        self.scored: list[ScoredToken] = []
        self.reason: str | None = None
        self._question, self._tokenizer = question, tokenizer
        self._words, self._stops = IncrementalText(tokenizer), StopStrings(question.stops)
        self._early = ""
        if question.echo:
            self.text = question.echo[place // question.n]

    def take(self, said: Said) -> Piece | None:
        """What it adds; None after the end."""
        if self.reason is not None:
            return None
        scored = self._scored(said)
        shown, taken = self._pushed(said.tokens)
        if said.finished and self.reason is None:
            self.reason = "stop" if said.tokens[-1] == self._question.eos else "length"
            shown += self._rest()
        self.text += shown
        self.tokens += taken
        self.scored += scored
        return Piece(self.place, shown, taken, scored, self.reason)

    def _pushed(self, tokens: Sequence[int]) -> tuple[str, int]:
        """Text that tokens bring, and how many of them count: those after a stop string do not."""
        if not self._question.stops:
            return self._words.push(
                [token for token in tokens if token != self._question.eos]
            ), len(tokens)
        shown = ""
        for taken, token in enumerate(tokens, 1):
            shown += self._push(token, self.tokens + taken)
            if self.reason:
                return shown, taken
        return shown, len(tokens)

    def _push(self, token: int, count: int) -> str:
        """Text that a token brings; before `min_new` of them no stop string counts."""
        if token == self._question.eos:
            return ""
        text = self._words.push([token])
        if count < self._question.sampling.min_new:
            return text
        shown, stopped = self._stops.push(text)
        if stopped:
            self.reason = "stop"
        return shown

    def _rest(self) -> str:
        shown, stopped = self._stops.push(self._words.flush())
        if stopped:
            self.reason = "stop"
            return shown
        return shown + self._stops.flush()

    def _scored(self, said: Said) -> tuple[ScoredToken, ...]:
        if said.scores is None:
            return ()
        top = tuple((self._word(token), logprob) for token, logprob in said.scores.top)
        return (ScoredToken(self._word(said.tokens[0]), said.scores.logprob, top),)

    def _word(self, token: int) -> str:
        return self._tokenizer.decode([token], skip_special_tokens=False)


def chat_logprobs(scored: tuple[ScoredToken, ...] | list[ScoredToken]) -> dict[str, Any]:
    """As /v1/chat/completions tells them."""

    def entry(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    told = [
        entry(each.text, each.logprob) | {"top_logprobs": [entry(*top) for top in each.top]}
        for each in scored
    ]
    return {"content": told, "refusal": None}


def completion_logprobs(
    scored: tuple[ScoredToken, ...] | list[ScoredToken], start: int
) -> Mapping[str, Any]:
    """As /v1/completions tells them. start: characters of text before."""

    def offsets() -> Iterator[int]:
        at = start
        for each in scored:
            yield at
            at += len(each.text)

    return {
        "tokens": [each.text for each in scored],
        "token_logprobs": [each.logprob for each in scored],
        "top_logprobs": [dict(each.top) for each in scored],
        "text_offset": list(offsets()),
    }
