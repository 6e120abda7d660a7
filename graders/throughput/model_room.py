"""The model and the KV of a timed engine, in the grader's own process, where no part can write.

A timed engine, parts and all, runs in the worker; every forward pass is asked for over the wire and made here: by this
model, in a pool of the trace's size, for as many seats as the trace has. Whatever the part makes of the engine beside
it, tokens are only to be had from here, and the clock is the grader's. Afterwards `unsaid` holds the outputs against
what was computed: each token that came must have been said to its own text. Nothing that is asked is believed: an
index beyond the pool, the tables or the vocabulary is a ProtocolError before compiled code sees it.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch

from graders.sandbox import protocol
from graders.sandbox.protocol import ProtocolError
from graders.workloads import GUESSES, Trace
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.slots import Copy

ROWS = 512
"""Of a pass at most, the engine's `token_budget`; trees come on top."""
DEEPEST = 64
"""Nodes of a tree at most."""
Said = tuple[int, int, int]
"""Where a token stands in a text, the token, and the one that the model says after it."""


class ModelRoom:
    """For one trace, served once. guesses: further heads read the states of the rows.

    Raises ModelError when the model cannot be used.
    """

    def __init__(self, trace: Trace, *, guesses: bool) -> None:
        self._model, self._guesses, self._seats = _model(trace.model), guesses, trace.max_seqs
        self._blocks, self._size = trace.num_blocks, trace.block_size
        self._width = -(-(self._model.config.positions + DEEPEST) // trace.block_size)
        sizes = {"num_blocks": trace.num_blocks, "block_size": trace.block_size}
        self._runner = make_runner(self._model, **sizes, seats=trace.max_seqs, width=self._width)
        self._passes: list[tuple[StepBatch, list[int]]] = []

    @property
    def steps(self) -> int:
        """Passes made so far."""
        return len(self._passes)

    def told(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What came of the pass that the worker asks for. Raises ProtocolError for what is none."""
        protocol.only(answer, ("forward",))
        wanted = protocol.field(answer, "forward", dict)
        protocol.only(wanted, ("tables", "kv", "spans", "tree"))
        self._fill(protocol.field(wanted, "tables", list))
        for moved in protocol.field(wanted, "kv", list):
            self._move(moved)
        batch = self._batch(protocol.field(wanted, "spans", list), wanted.get("tree"))
        outcome = self._runner.forward(batch)
        found = outcome.likeliest() if any(span.wanted for span in batch.spans) else []
        self._passes.append((batch, found))
        hidden = base64.b64encode(outcome.hidden.numpy().tobytes()).decode() if self._guesses else ""
        config = self._model.config
        return {"likeliest": found, "hidden": hidden, "width": config.width, "vocab": config.vocab}

    def unsaid(self, trace: Trace, outputs: Sequence[Sequence[int]]) -> int:
        """How many of the tokens that came no pass has said to the text before them."""
        pairs = zip(trace.requests, outputs, strict=True)
        due = Counter(one for request, said in pairs for one in _texts(request.prompt, said))
        return (due - Counter(self._said())).total()

    def _said(self) -> Iterable[Said]:
        for batch, found in self._passes:
            left = iter(found)
            for span in batch.spans:
                first = len(span.tokens) - span.wanted
                places = batch.positions(span)
                for row in range(first, len(span.tokens)):
                    yield places[row], span.tokens[row], next(left)

    def _fill(self, entries: list[Any]) -> None:
        array = self._runner.tables.array
        for entry in entries:
            seat, place, block = protocol.integers(entry, 3)
            _within(seat, self._seats, "a seat")
            _within(place, self._width, "a place in a table")
            _within(block, self._blocks, "a block")
            array[seat, place] = block
        self._runner.tables.version += bool(entries)

    def _move(self, moved: Any) -> None:
        if type(moved) is not list or len(moved) != 3 or type(moved[2]) is not bool:
            raise ProtocolError("a move of KV that is none")
        source = protocol.integers(moved[0])
        target = protocol.integers(moved[1], len(source))
        room = self._blocks if moved[2] else self._blocks * self._size
        for place in (*source, *target):
            _within(place, room, "a block" if moved[2] else "a slot")
        if moved[2]:
            self._runner.copy([Copy(*pair) for pair in zip(source, target, strict=True)])
        elif source:
            self._runner.move(source, target)

    def _batch(self, told: list[Any], tree: Any) -> StepBatch:
        depths, mask = _tree(tree)
        spans = tuple(self._span(one, len(depths)) for one in told)
        rows = sum(len(span.tokens) for span in spans)
        if not spans or len({span.seat for span in spans}) != len(spans):
            raise ProtocolError("a pass for nobody, or twice for one seat")
        _within(rows, ROWS + (1 + GUESSES) * self._seats + 1, "rows of a pass:")
        return StepBatch(spans, depths, mask) if depths else StepBatch(spans)

    def _span(self, told: Any, nodes: int) -> Span:
        if type(told) is not list or len(told) != 5:
            raise ProtocolError("rows that are none")
        seat, start, wanted, tree = protocol.integers(told[:4])
        tokens = protocol.integers(told[4])
        _within(seat, self._seats, "a seat")
        _within(start, self._width * self._size - len(tokens) + 1, "a start")
        _within(wanted, len(tokens) + 1, "rows wanted:")
        _within(tree, min(nodes, len(tokens)) + 1, "a tree")
        if not tokens:
            raise ProtocolError("a request without a row")
        _within(min(tokens), self._model.config.vocab, "a token")
        _within(max(tokens), self._model.config.vocab, "a token")
        return Span(seat, start, tokens, wanted, tree)


def _texts(prompt: Sequence[int], said: Sequence[int]) -> Iterable[Said]:
    text = [*prompt, *said]
    for place in range(len(prompt) - 1, len(text) - 1):
        yield place, text[place], text[place + 1]


def _tree(told: Any) -> tuple[tuple[int, ...], torch.Tensor | None]:
    if told is None:
        return (), None
    if type(told) is not list or len(told) != 2 or type(told[1]) is not list:
        raise ProtocolError("a tree that is none")
    depths = protocol.integers(told[0])
    _within(len(depths), DEEPEST + 1, "nodes:")
    for depth in depths:
        _within(depth, DEEPEST, "a depth")
    rows = [protocol.integers(row, len(depths)) for row in told[1]]
    if len(rows) != len(depths) or not depths:
        raise ProtocolError("a tree that is none")
    return tuple(depths), torch.tensor(rows) != 0


def _within(number: int, below: int, what: str) -> None:
    if not 0 <= number < below:
        raise ProtocolError(f"{what} {number}, where {below} is too much")


@cache
def _model(name: str) -> Model:
    return load_model(name)
