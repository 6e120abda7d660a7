"""The forward pass of some of a step's requests: all their rows, prefill and decode, go through
each layer together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from reference_engine.batch import Span, StepBatch, Tables
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.attention import SingleRows, reading
from reference_engine.llama.kv_pool import KVPool
from reference_engine.llama.layer import pack_layers
from reference_engine.llama.linear import pack
from reference_engine.llama.network import FlatStep, LlamaNetwork, NetworkSizes, forward
from reference_engine.llama.rotary import turns
from reference_engine.model import Model
from reference_engine.runner import Outcome


class PackedWeights:
    """A model's weights as the CPU reads them. `of` makes them once for all engines of a model."""

    @staticmethod
    def of(model: Model) -> PackedWeights:
        """The packed weights of this very model, which keeps them."""
        return model.kept(PackedWeights, lambda: PackedWeights(model))

    def __init__(self, model: Model) -> None:
        config = model.config
        self.config = config
        # [positions, 1, D / 2]
        self.turns = turns(config.positions, config.head_width, config.rope_theta).unsqueeze(1)
        self.embedding = model.weights["model.embed_tokens.weight"].float()  # [vocab, width]
        self.layers = pack_layers(model)
        self.norm = model.weights["model.norm.weight"].float() * math.sqrt(config.width)  # [width]
        self.head = pack(model.head.float())  # [vocab, width]

    def network(self, pool: KVPool) -> LlamaNetwork:
        """The layers and what they write to."""
        return LlamaNetwork(self.layers, self.norm, self.head, pool.heads)

    def sizes(self, pool: KVPool) -> NetworkSizes:
        """The numbers that the forward pass needs."""
        config = self.config
        floor = torch.tensor(math.sqrt(config.norm_eps * config.width))
        scale = config.head_width**-0.5
        return NetworkSizes(
            config.heads,
            config.kv_heads,
            config.inner,
            pool.values_at,
            config.norm_eps,
            scale,
            floor,
        )


class ThreadShard:
    """Runs the model for the spans that it is given, on the thread that calls it.

    Weights, pool and tables are shared with other shards; the spans of one step may be spread over
    shards, since no request reads what another writes in the same step.
    """

    def __init__(self, packed: PackedWeights, pool: KVPool, tables: Tables) -> None:
        self._packed, self._pool, self._tables = packed, pool, tables
        self._network, self._sizes = packed.network(pool), packed.sizes(pool)
        self._singles = SingleRows(packed.config, pool, tables)

    @torch.inference_mode()
    def forward(self, batch: StepBatch) -> Outcome:
        """See `Runner.forward`."""
        return Outcome(
            *forward(self._packed.embedding, self._network, self._step(batch), self._sizes)
        )

    def _step(self, batch: StepBatch) -> FlatStep:
        spans, rows = batch.spans, self._singles
        alone = self._alone(spans)
        singles = rows.arrange(spans[:alone]) if alone else None
        if alone == len(spans):
            tokens = torch.tensor([span.tokens[0] for span in spans])  # [M]
            return FlatStep(
                tokens,
                self._packed.turns.index_select(0, rows.positions),
                rows.rows,
                alone,
                singles,
                [],
                None,
            )
        several = spans[alone:]
        # [start + rows] a span
        held = [
            self._pool.first_rows_of(self._tables.array[span.seat], _end(span)) for span in several
        ]
        # [rows] a span
        own = [first[span.start :] for first, span in zip(held, several, strict=True)]
        positions, places = (
            self._positions(batch, several),
            self._pool.token_rows(np.concatenate(own)),
        )
        if alone:
            positions, places = (
                torch.cat((rows.positions, positions)),
                torch.cat((rows.rows, places)),
            )
        starts = list(accumulate((len(span.tokens) for span in spans), initial=0))
        return FlatStep(
            tokens=torch.tensor([token for span in spans for token in span.tokens]),  # [M]
            turn=self._packed.turns.index_select(0, positions),  # [M, 1, D / 2]
            places=places,  # [M * 2 * kv_heads]
            alone=alone,
            singles=singles,
            readings=[
                reading(self._pool, first, batch, span, start)
                for first, span, start in zip(held, several, starts[alone:-1], strict=True)
            ],
            wanted=_wanted(spans, starts),
        )

    def _alone(self, spans: Sequence[Span]) -> int:
        """How many of the first spans are read as single rows: none where the pool is narrower than
        what computes."""
        if self._pool.kv_dtype is not KVDtype.FP32:
            return 0
        return next(
            (i for i, span in enumerate(spans) if len(span.tokens) > 1 or not span.wanted),
            len(spans),
        )

    def _positions(self, batch: StepBatch, spans: Sequence[Span]) -> Tensor:
        """Where each row of these spans stands in its text; guesses beyond the context are never
        kept."""
        highest = self._packed.config.positions - 1
        return torch.from_numpy(
            np.concatenate([batch.positions(span) for span in spans]).clip(max=highest)
        )


def _end(span: Span) -> int:
    """The place after the span's last row."""
    return span.start + len(span.tokens)


def _wanted(spans: Sequence[Span], starts: Sequence[int]) -> Tensor | None:
    """The rows whose logits are asked for; None: all of them."""
    if sum(span.wanted for span in spans) == starts[-1]:
        return None
    wanted = [
        row
        for span, end in zip(spans, starts[1:], strict=True)
        for row in range(end - span.wanted, end)
    ]
    return torch.tensor(wanted, dtype=torch.int64)
