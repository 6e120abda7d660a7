"""The endpoints: what comes in by HTTP goes to the engine thread, and what that says goes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from course.server import bodies
from course.server.answer import Answer, Piece
from course.server.api_error import ApiError, error_object
from course.server.engine_thread import EngineThread, Failed, Ticket
from course.server.limits import Limits
from course.server.question import Question, ServedModel, of_chat, of_completion
from course.server.reply import DONE, Reply, event
from course.server.serving_metrics import ServingMetrics
from course.window.frames import FrameWriter
from course.window.page import EngineRun, live, policy, words_of
from reference_engine.engine import Engine

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]
CLOSED_BY_CLIENT = 499
WINDOW_SECONDS = 0.1
"""Between two events of the window."""


class ApiServer:
    """The endpoints of one engine thread. `app` is the ASGI application; `closing` says whether the server drains."""

    def __init__(self, thread: EngineThread, model: ServedModel, limits: Limits | None = None) -> None:
        self._thread, self._model, self._limits = thread, model, limits or Limits()
        self._metrics = ServingMetrics(model.name)
        self.closing: Callable[[], bool] = lambda: False
        keyed = {
            "/v1/completions": (self._completions, "POST"),
            "/v1/chat/completions": (self._chat, "POST"),
            "/v1/models": (self._models, "GET"),
            "/tokenize": (self._tokenize, "POST"),
            "/detokenize": (self._detokenize, "POST"),
            "/trace": (self._trace, "GET"),
        }
        routes = [Route(path, self._keyed(what), methods=[how]) for path, (what, how) in keyed.items()]
        free = {"/": self._window, "/health": self._health, "/metrics": self._tell_metrics}
        routes += [Route(path, self._called(what)) for path, what in free.items()]
        handlers: Mapping[Any, Any] = {
            ApiError: _refused,
            HTTPException: _no_such_thing,
            ClientDisconnect: _gone,
            Exception: _stumbled,
        }
        self.app = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._thread.start()
        watch = asyncio.create_task(self._watch())
        yield
        watch.cancel()
        self._thread.stop()

    async def _watch(self) -> None:
        while True:
            self._thread.look()
            await asyncio.sleep(self._thread.stall / 4)

    def _keyed(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            self._limits.check_key(request)
            return await endpoint(request)

        return self._called(guarded)

    def _called(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            self._limits.check_caller(request)
            return await endpoint(request)

        return guarded

    # ---------------------------------------------------------------- endpoints

    async def _completions(self, request: Request) -> Response:
        body = bodies.read(await self._limits.read(request), bodies.CompletionBody)
        return await self._answer(request, of_completion(body, self._model))

    async def _chat(self, request: Request) -> Response:
        body = bodies.read(await self._limits.read(request), bodies.ChatBody)
        return await self._answer(request, of_chat(body, self._model))

    async def _models(self, request: Request) -> Response:
        card = {"id": self._model.name, "object": "model", "created": 0, "owned_by": "inference-kitchen"}
        return JSONResponse({"object": "list", "data": [card | {"max_model_len": self._model.capacity}]})

    async def _tokenize(self, request: Request) -> Response:
        body = bodies.read(await self._limits.read(request), bodies.TokenizeBody)
        self._model.check_name(body.model or self._model.name)
        ids = self._model.tokenizer.encode(body.prompt, add_special_tokens=body.add_special_tokens).ids
        return JSONResponse({"tokens": ids, "count": len(ids), "max_model_len": self._model.capacity})

    async def _detokenize(self, request: Request) -> Response:
        body = bodies.read(await self._limits.read(request), bodies.DetokenizeBody)
        self._model.check_name(body.model or self._model.name)
        strange = next((token for token in body.tokens if token >= self._model.vocab), None)
        if strange is not None:
            sentence = f"token {strange} is not in the vocabulary of {self._model.vocab}."
            raise ApiError(400, sentence, param="tokens")
        text = self._model.tokenizer.decode(body.tokens, skip_special_tokens=False)
        return JSONResponse({"prompt": text})

    async def _health(self, request: Request) -> Response:
        if self._thread.failure:
            return JSONResponse(error_object(503, self._thread.failure, code="broken_part"), 503)
        return JSONResponse({"status": "ok", "broken_parts": self._thread.failures})

    async def _tell_metrics(self, request: Request) -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return PlainTextResponse(self._metrics.text(self._thread), media_type=kind)

    async def _window(self, request: Request) -> Response:
        """The page is the same for everybody and tells nothing; what it shows is asked for at /trace, with the key."""
        headers = {"Content-Security-Policy": policy(live=True), "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(live(), headers=headers)

    async def _trace(self, request: Request) -> Response:
        return EventStream(self._records())

    async def _records(self) -> AsyncGenerator[bytes]:
        """Which engine it is, and again when another takes over; its records as they are made, several to an event."""
        feed, seen = self._thread.feed, -1
        feed.watchers += 1
        try:
            while not self.closing():
                if feed.engine != seen:
                    seen, count, run = feed.engine, 0, self._run_of(self._thread.engine)
                    writer = FrameWriter(run.size)
                    yield event({"title": f"{self._model.name} at work", "run": run.about})
                count, records = feed.since(count)
                if records:
                    steps = [writer.frame(record) for record in records]
                    yield event({"words": words_of(records, self._word), "steps": steps})
                await asyncio.sleep(WINDOW_SECONDS)
        finally:
            feed.watchers -= 1

    def _run_of(self, engine: Engine) -> EngineRun:
        return EngineRun(self._model.name, engine.kv.num_blocks, engine.kv.block_size, engine.token_budget)

    def _word(self, tokens: list[int]) -> str:
        text: str = self._model.tokenizer.decode(tokens, skip_special_tokens=False)
        return text

    # ---------------------------------------------------------------- answers

    async def _answer(self, request: Request, question: Question) -> Response:
        self._limits.check_room(self._thread.unfinished, question.samples)
        self._metrics.prompt_tokens += sum(map(len, question.prompts)) * question.n
        ticket = self._thread.ask(question)
        served = ServedAnswers(ticket, self._model, self._thread, self._metrics)
        reply, pieces = Reply(question, self._model.name), served.pieces()
        try:
            first = await _while_connected(request, anext(pieces, None))
            if question.stream:
                stream = _stream(reply, first, pieces, served)
                return EventStream(stream, pieces)
            await _while_connected(request, served.rest(pieces))
        except BaseException:
            await pieces.aclose()
            raise
        return JSONResponse(reply.whole(served.answers))


class ServedAnswers:
    """The answers of a ticket as they come in; whatever happens, nothing of it stays in the engine."""

    def __init__(self, ticket: Ticket, model: ServedModel, thread: EngineThread, metrics: ServingMetrics) -> None:
        question = ticket.question
        self._ticket, self._thread, self._metrics = ticket, thread, metrics
        self.answers = [Answer(question, place, model.tokenizer) for place in range(question.samples)]
        self._last = [0.0] * question.samples

    @property
    def tokens(self) -> int:
        """Said so far."""
        return sum(answer.tokens for answer in self.answers)

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Every piece of every answer. Raises ApiError when the engine cannot go on. Closing it aborts what is left."""
        unfinished, reason = len(self.answers), "abort"
        try:
            while unfinished:
                said = await self._ticket.told.get()
                if isinstance(said, Failed):
                    reason = "error"
                    raise ApiError(said.status, said.sentence, code="broken_part" if said.status == 500 else None)
                piece = self.answers[said.place].take(said)
                if piece is None:
                    continue
                self._time(said.place, said.at, piece)
                if piece.reason:
                    unfinished -= 1
                    if not said.finished:
                        self._thread.stop_answer(self._ticket, said.place)
                yield piece
        finally:
            self._thread.leave(self._ticket)
            if unfinished:
                self._metrics.ended[reason] += unfinished

    async def rest(self, pieces: AsyncIterator[Piece]) -> None:
        """Wait for the end."""
        async for _ in pieces:
            pass

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


async def _stream(
    reply: Reply, first: Piece | None, pieces: AsyncGenerator[Piece], served: ServedAnswers
) -> AsyncGenerator[bytes]:
    try:
        for chunk in reply.opening():
            yield chunk
        if first is not None:
            yield reply.piece(first)
        async for piece in pieces:
            yield reply.piece(piece)
        for chunk in reply.closing(served.tokens):
            yield chunk
    except ApiError as error:  # the status has gone out already
        yield event(error.body)
        yield DONE
    finally:
        await pieces.aclose()


class EventStream(StreamingResponse):
    """A stream that is closed with its connection, so that what it stands for is given up at once."""

    def __init__(self, chunks: AsyncGenerator[bytes], source: AsyncGenerator[Any] | None = None) -> None:
        super().__init__(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._chunks, self._source = chunks, source

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()
            if self._source is not None:  # a generator that was never begun closes nothing
                await self._source.aclose()


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """What `work` comes to. Raises ClientDisconnect when the client hangs up before."""
    waiting, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientDisconnect
        return waiting.result()
    finally:
        for task in (waiting, gone):
            task.cancel()
        await asyncio.gather(waiting, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, error: ApiError) -> Response:
    return JSONResponse(error.body, error.status, headers=error.headers)


async def _no_such_thing(request: Request, error: HTTPException) -> Response:
    sentence = f"{request.method} {request.url.path}: {error.detail.lower()}."
    return JSONResponse(error_object(error.status_code, sentence), error.status_code, headers=error.headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=CLOSED_BY_CLIENT)


async def _stumbled(request: Request, error: Exception) -> Response:
    return JSONResponse(error_object(500, "the server itself stumbled; its log says more."), 500)
