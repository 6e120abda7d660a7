"""The endpoints: what comes in by HTTP goes to the engine thread, and what that says goes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from course.server import bodies
from course.server.api_error import ApiError, error_object
from course.server.call import Call, Receive, Scope, Send
from course.server.endpoint import STUMBLED, Endpoint
from course.server.engine_thread import EngineThread
from course.server.limits import Limits
from course.server.question import Question, ServedModel, of_chat, of_completion
from course.server.reply import DONE, Reply, event
from course.server.served_answers import ServedAnswers
from course.server.serving_metrics import ServingMetrics
from course.window.frames import FrameWriter
from course.window.page import EngineRun, live, policy, words_of
from reference_engine.engine import Engine

Handler = Callable[[Request], Awaitable[Response]]
WINDOW_SECONDS = 0.1
"""Between two events of the window."""


class ApiServer:
    """The endpoints of one engine thread, an ASGI application. closing: says whether the server
    drains."""

    def __init__(
        self, thread: EngineThread, model: ServedModel, limits: Limits | None = None
    ) -> None:
        self._thread, self._model, self._limits = thread, model, limits or Limits()
        self._metrics = ServingMetrics(model.name)
        self.closing: Callable[[], bool] = lambda: False
        asked = {
            "/v1/completions": self._completions,
            "/v1/chat/completions": self._chat,
            "/tokenize": self._tokenize,
            "/detokenize": self._detokenize,
        }
        self._endpoints = {path: Endpoint(self._limits, answer) for path, answer in asked.items()}
        routes = [
            Route(path, endpoint, methods=["POST"]) for path, endpoint in self._endpoints.items()
        ]
        keyed = {"/v1/models": self._models, "/trace": self._trace}
        routes += [Route(path, self._keyed(endpoint)) for path, endpoint in keyed.items()]
        free = {"/": self._window, "/health": self._health, "/metrics": self._tell_metrics}
        routes += [Route(path, self._called(what)) for path, what in free.items()]
        handlers: Mapping[Any, Any] = {
            ApiError: _refused,
            HTTPException: _no_such_thing,
            Exception: _stumbled,
        }
        self._others = Starlette(
            routes=routes, exception_handlers=handlers, lifespan=self._lifespan
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. What is answered token by token does not go through a framework."""
        endpoint = self._endpoints.get(scope["path"]) if scope.get("method") == "POST" else None
        await (endpoint or self._others)(scope, receive, send)

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

    def _keyed(self, endpoint: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            self._limits.check_key(request.headers.get("authorization", ""))
            return await endpoint(request)

        return self._called(guarded)

    def _called(self, endpoint: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            self._limits.check_caller(
                request.headers.get("host", ""), request.headers.get("origin", "")
            )
            return await endpoint(request)

        return guarded

    # ---------------------------------------------------------------- endpoints

    async def _completions(self, call: Call, raw: bytes) -> None:
        await self._answer(
            call, of_completion(bodies.read(raw, bodies.CompletionBody), self._model)
        )

    async def _chat(self, call: Call, raw: bytes) -> None:
        await self._answer(call, of_chat(bodies.read(raw, bodies.ChatBody), self._model))

    async def _models(self, request: Request) -> Response:
        card = {
            "id": self._model.name,
            "object": "model",
            "created": 0,
            "owned_by": "inference-kitchen",
        }
        return JSONResponse(
            {"object": "list", "data": [card | {"max_model_len": self._model.capacity}]}
        )

    async def _tokenize(self, call: Call, raw: bytes) -> None:
        body = bodies.read(raw, bodies.TokenizeBody)
        self._model.check_name(body.model or self._model.name)
        ids = self._model.tokenizer.encode(
            body.prompt, add_special_tokens=body.add_special_tokens
        ).ids
        await call.tell({"tokens": ids, "count": len(ids), "max_model_len": self._model.capacity})

    async def _detokenize(self, call: Call, raw: bytes) -> None:
        body = bodies.read(raw, bodies.DetokenizeBody)
        self._model.check_name(body.model or self._model.name)
        strange = next((token for token in body.tokens if token >= self._model.vocab), None)
        if strange is not None:
            sentence = f"token {strange} is not in the vocabulary of {self._model.vocab}."
            raise ApiError(400, sentence, param="tokens")
        await call.tell(
            {"prompt": self._model.tokenizer.decode(body.tokens, skip_special_tokens=False)}
        )

    async def _health(self, request: Request) -> Response:
        if self._thread.failure:
            return JSONResponse(error_object(503, self._thread.failure, code="broken_part"), 503)
        return JSONResponse({"status": "ok", "broken_parts": self._thread.failures})

    async def _tell_metrics(self, request: Request) -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return PlainTextResponse(self._metrics.text(self._thread), media_type=kind)

    async def _window(self, request: Request) -> Response:
        """The page is the same for everybody and tells nothing; what it shows is asked for at
        /trace, with the key."""
        headers = {
            "Content-Security-Policy": policy(live=True),
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(live(), headers=headers)

    async def _trace(self, request: Request) -> Response:
        return EventStream(self._records())

    async def _records(self) -> AsyncGenerator[bytes]:
        """Which engine it is, and again when another takes over; its records as they are made,
        several to an event."""
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
        return EngineRun(
            self._model.name, engine.kv.num_blocks, engine.kv.block_size, engine.token_budget
        )

    def _word(self, tokens: list[int]) -> str:
        text: str = self._model.tokenizer.decode(tokens, skip_special_tokens=False)
        return text

    # ---------------------------------------------------------------- answers

    async def _answer(self, call: Call, question: Question) -> None:
        self._limits.check_room(self._thread.unfinished, question.samples)
        reply = Reply(question, self._model.name)
        with ServedAnswers.asked(
            question, self._model, self._thread, self._metrics, call
        ) as served:
            if question.stream:
                await _stream(call, reply, served)
                return
            while served.unfinished:
                await served.more()
        await call.tell(reply.whole(served.answers))


async def _stream(call: Call, reply: Reply, served: ServedAnswers) -> None:
    """Raises ApiError before the head has gone out; after it, an error is an event."""
    events = [*reply.opening(), *map(reply.piece, await served.more())]
    while served.unfinished:
        await call.stream(b"".join(events), last=False)
        try:
            events = [reply.piece(piece) for piece in await served.more()]
        except ApiError as error:
            await call.stream(event(error.body) + DONE, last=True)
            return
    await call.stream(b"".join((*events, *reply.closing(served.tokens))), last=True)


class EventStream(StreamingResponse):
    """A stream that is closed with its connection, so that what it stands for is given up at once."""

    def __init__(self, chunks: AsyncGenerator[bytes]) -> None:
        super().__init__(
            chunks, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )
        self._chunks = chunks

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()


async def _refused(request: Request, error: ApiError) -> Response:
    return JSONResponse(error.body, error.status, headers=error.headers)


async def _no_such_thing(request: Request, error: HTTPException) -> Response:
    sentence = f"{request.method} {request.url.path}: {error.detail.lower()}."
    return JSONResponse(
        error_object(error.status_code, sentence), error.status_code, headers=error.headers
    )


async def _stumbled(request: Request, error: Exception) -> Response:
    return JSONResponse(STUMBLED, 500)
