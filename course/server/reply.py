"""The JSON of an answer: whole, or as the chunks of a stream, in the form of the endpoint that was
asked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from course.server.answer import Answer, Piece, chat_logprobs, completion_logprobs
from course.server.question import Question

DONE = b"data: [DONE]\n\n"
REASONS = {None: b"null", "stop": b'"stop"', "length": b'"length"'}
encode = msgspec.json.Encoder().encode


def event(body: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(body) + b"\n\n"


class Reply:
    """The head that all JSON of one reply shares, and its forms."""

    def __init__(self, question: Question, model: str) -> None:
        self._question = question
        self._prompt = sum(map(len, question.prompts))
        kind = "chat.completion" if question.chat else "text_completion"
        self._id = f"{'chatcmpl' if question.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._head = {"id": self._id, "object": kind, "created": int(time.time()), "model": model}
        self._offsets = [0] * question.samples
        self._before = b"data: " + encode(self._chunk_head)[:-1] + b',"choices":[{"index":'
        self._after = b'}],"usage":null}\n\n' if question.usage else b"}]}\n\n"

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """All answers at once."""
        choices = [self._choice(each) for each in answers]
        return self._head | {
            "choices": choices,
            "usage": self._usage(sum(each.tokens for each in answers)),
        }

    def opening(self) -> Iterator[bytes]:
        """What a stream says before the first token: whose turn it is, or the prompts again."""
        question = self._question
        for place in range(question.samples):
            if question.chat:
                yield self._chunk(place, b'"delta":{"role":"assistant","content":""}')
            elif question.echo:
                text = question.echo[place // question.n]
                self._offsets[place] = len(text)
                yield self._chunk(place, b'"text":' + encode(text))

    def piece(self, piece: Piece) -> bytes:
        """A chunk of a stream."""
        logprobs: Any = None
        if self._question.chat:
            told = (
                b'"delta":{"content":' + encode(piece.text) + b"}" if piece.text else b'"delta":{}'
            )
            if piece.scored:
                logprobs = chat_logprobs(piece.scored)
        else:
            told = b'"text":' + encode(piece.text)
            if piece.scored:
                logprobs = completion_logprobs(piece.scored, self._offsets[piece.place])
            self._offsets[piece.place] += len(piece.text)
        return self._chunk(piece.place, told, logprobs, piece.reason)

    def closing(self, tokens: int) -> Iterator[bytes]:
        """The end of a stream."""
        if self._question.usage:
            yield event(self._chunk_head | {"choices": [], "usage": self._usage(tokens)})
        yield DONE

    @property
    def _chunk_head(self) -> dict[str, Any]:
        return self._head | ({"object": "chat.completion.chunk"} if self._question.chat else {})

    def _chunk(
        self, place: int, told: bytes, logprobs: Any = None, reason: str | None = None
    ) -> bytes:
        """Put together of what is the same in all chunks and what is not: most of it never changes."""
        scores = encode(logprobs) if logprobs else b"null"
        ended = REASONS[reason]
        parts = (
            self._before,
            b"%d," % place,
            told,
            b',"logprobs":',
            scores,
            b',"finish_reason":',
            ended,
            self._after,
        )
        return b"".join(parts)

    def _choice(self, answer: Answer) -> dict[str, Any]:
        asked = self._question.sampling.scores is not None
        if self._question.chat:
            message = {"role": "assistant", "content": answer.text, "refusal": None}
            told: dict[str, Any] = {"message": message}
            told["logprobs"] = chat_logprobs(answer.scored) if asked else None
        else:
            told = {"text": answer.text}
            told["logprobs"] = completion_logprobs(answer.scored, 0) if asked else None
        return {"index": answer.place, **told, "finish_reason": answer.reason}

    def _usage(self, tokens: int) -> dict[str, int]:
        return {
            "prompt_tokens": self._prompt,
            "completion_tokens": tokens,
            "total_tokens": self._prompt + tokens,
        }
