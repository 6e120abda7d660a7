"""The model of a small engine that guesses, in the grader's own process: its passes are counted
here, and told whole.

What drafts stays beside the part: chains, trees of each request's own, whatever is written down for
it. So what a pass is asked for may hold any guess; but a text comes of as many passes as were made
here, and of no fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from graders.sandbox import protocol
from graders.sandbox.protocol import ProtocolError
from graders.throughput.model_room import DEEPEST, ROWS, ModelRoom, within
from graders.workloads import Trace
from reference_engine.batch import Span, StepBatch
from reference_engine.model import Model
from reference_engine.runner import Outcome

NODES = 4096  # of all trees of a pass


class WholeRoom(ModelRoom):
    """See `ModelRoom`. sizes: of the engine, as its keywords."""

    def __init__(self, model: Model, sizes: Mapping[str, Any]) -> None:
        trace = Trace(
            "small", 0, "", (), sizes["num_blocks"], sizes["max_seqs"], sizes["block_size"]
        )
        super().__init__(trace, guesses=False, model=model)

    def decodes(self, prompts: int) -> int:
        """Passes that said something to a request, but for the first of each: so many requests
        there are."""
        return sum(span.wanted > 0 for made in self.passes for span in made.batch.spans) - prompts

    def beyond(self, place: int) -> int:
        """Passes with a row that begins at that place of a text, or behind it."""
        return sum(any(span.start >= place for span in made.batch.spans) for made in self.passes)

    def _batch(self, told: list[Any], tree: Any) -> StepBatch:
        depths, mask = _trees(tree)
        spans = tuple(
            self._whole_span(one, depths, 0 if mask is None else mask.shape[1]) for one in told
        )
        if not spans or len({span.seat for span in spans}) != len(spans):
            raise ProtocolError("a pass for nobody, or twice for one seat")
        within(sum(len(span.tokens) for span in spans), ROWS + NODES, "rows of a pass:")
        return StepBatch(spans, depths, mask) if depths else StepBatch(spans)

    def _whole_span(self, told: Any, depths: tuple[int, ...], nodes: int) -> Span:
        if type(told) is not list or len(told) not in (5, 6):
            raise ProtocolError("rows that are none")
        seat, start, wanted, tree, first = protocol.integers(
            [*told[:4], *told[5:], *[0] * (6 - len(told))]
        )
        tokens = protocol.integers(told[4])
        if not tokens:
            raise ProtocolError("a request without a row")
        within(seat, self._seats, "a seat")
        within(start, self._width * self._size - len(tokens) + 1, "a start")
        within(tree, min(nodes, len(tokens)) + 1, "a tree")
        within(first, len(depths) - tree + 1, "a first node")
        within(wanted, len(tokens) + 1, "rows wanted:")
        for token in (min(tokens), max(tokens)):
            within(token, self._model.config.vocab, "a token")
        return Span(seat, start, tokens, wanted, tree, first)

    def _answer(self, outcome: Outcome, found: list[int]) -> dict[str, Any]:
        told = super()._answer(outcome, found)
        return {**told, "hidden": outcome.hidden.tolist(), "logits": outcome.logits.tolist()}


def _trees(told: Any) -> tuple[tuple[int, ...], torch.Tensor | None]:
    """Several of N nodes, one after the other: their depths, and a mask `[T * N, N]`."""
    if told is None:
        return (), None
    if type(told) is not list or len(told) != 2 or type(told[1]) is not list or not told[1]:
        raise ProtocolError("a tree that is none")
    depths = protocol.integers(told[0], len(told[1]))
    within(len(depths), NODES, "nodes:")
    for depth in depths:
        within(depth, DEEPEST, "a depth")
    width = len(told[1][0]) if type(told[1][0]) is list else 0
    rows = [protocol.integers(row, width) for row in told[1]]
    if not width or len(rows) % width:
        raise ProtocolError("a tree that is none")
    return tuple(depths), torch.tensor(rows) != 0
