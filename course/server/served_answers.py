"""The answers of a ticket as they come in; whatever happens, nothing of it stays in the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from course.server.answer import Answer, Piece
from course.server.api_error import ApiError
from course.server.call import Call
from course.server.engine_thread import EngineThread, Failed, Said, Ticket
from course.server.limits import CLOSED_BY_CLIENT
from course.server.question import Question, ServedModel
from course.server.serving_metrics import ServingMetrics


class ServedAnswers:
    """To be used as long as `asked` is open. unfinished: answers that are not complete."""

    def __init__(
        self, ticket: Ticket, model: ServedModel, thread: EngineThread, metrics: ServingMetrics
    ) -> None:
        question = ticket.question
        self._ticket, self._thread, self._metrics = ticket, thread, metrics
        self.answers = [
            Answer(question, place, model.tokenizer) for place in range(question.samples)
        ]
        self.unfinished = question.samples
        self._last = [0.0] * question.samples
        self._reason = "abort"
        self._failed: Failed | None = None

    @classmethod
    @contextmanager
    def asked(
        cls,
        question: Question,
        model: ServedModel,
        thread: EngineThread,
        metrics: ServingMetrics,
        call: Call,
    ) -> Iterator[ServedAnswers]:
        """Ask the engine; what is left is aborted when the block ends, or as soon as the client
        hangs up."""
        metrics.prompt_tokens += sum(map(len, question.prompts)) * question.n
        ticket = thread.ask(question)
        served = cls(ticket, model, thread, metrics)
        watch = asyncio.get_running_loop().create_task(_tell_of_hanging_up(call, ticket))
        try:
            yield served
        finally:
            watch.cancel()
            served.close()

    @property
    def tokens(self) -> int:
        """Said so far."""
        return sum(answer.tokens for answer in self.answers)

    async def more(self) -> list[Piece]:
        """What came since the last time, of any of the answers, one piece at least unless all are
        complete.

        Raises ApiError when the engine cannot go on, or the client is gone.
        """
        pieces = list[Piece]()
        while self.unfinished and not pieces:
            if self._failed is not None:
                raise self._error(self._failed)
            for said in await self._ticket.told.take():
                if isinstance(said, Failed):
                    self._failed = said  # once what was said before it is told
                elif (piece := self._taken(said)) is not None:
                    pieces.append(piece)
        return pieces

    def _error(self, failed: Failed) -> ApiError:
        self._reason = "abort" if failed.status == CLOSED_BY_CLIENT else "error"
        return ApiError(
            failed.status, failed.sentence, code="broken_part" if failed.status == 500 else None
        )

    def _taken(self, said: Said) -> Piece | None:
        piece = self.answers[said.place].take(said)
        if piece is not None:
            self._time(said.place, said.at, piece)
            if piece.reason:
                self.unfinished -= 1
                if not said.finished:
                    self._thread.stop_answer(self._ticket, said.place)
        return piece

    def close(self) -> None:
        """Nobody listens any more."""
        self._thread.leave(self._ticket, complete=not self.unfinished)
        if self.unfinished:
            self._metrics.ended[self._reason] += self.unfinished

    def _time(self, place: int, at: float, piece: Piece) -> None:
        metrics, before = self._metrics, self._last[place]
        if before:
            metrics.between.note((at - before) / max(1, piece.tokens), piece.tokens)
        else:
            metrics.first.note(at - self._ticket.asked)
        self._last[place] = at
        if piece.reason:
            metrics.whole.note(at - self._ticket.asked)
            metrics.ended[piece.reason] += 1


async def _tell_of_hanging_up(call: Call, ticket: Ticket) -> None:
    await call.hung_up()
    ticket.told.put(Failed(CLOSED_BY_CLIENT, "the client hung up."))
