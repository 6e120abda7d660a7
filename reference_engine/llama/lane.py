"""The forward pass of some of a step's requests: all their rows, prefill and decode, go through each layer together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reference_engine.batch import Batch, Tables
from reference_engine.llama.attention import SingleRows, SpanRows
from reference_engine.llama.kv_pool import KVPool
from reference_engine.llama.layer import after_attention, before_attention, pack_layers, unit
from reference_engine.llama.linear import pack, product
from reference_engine.llama.rotary import turns
from reference_engine.model import Model
from reference_engine.runner import Outcome


@dataclass(frozen=True, slots=True)
class Rows:
    """A step, flat: for each row its token, turn (complex `[M, 1, D / 2]`) and slot.

    The first `alone` rows are single decodes, the rest belongs to `spans`. wanted: rows with logits; None: all.
    """

    tokens: Tensor
    turn: Tensor
    slots: Tensor
    alone: int
    spans: tuple[SpanRows, ...]
    wanted: Tensor | None


class Packed:
    """A model's weights as the CPU reads them."""

    def __init__(self, model: Model) -> None:
        config = model.config
        self.config = config
        self.turns = turns(config.positions, config.head_width, config.rope_theta)
        self.embedding = model.weights["model.embed_tokens.weight"].float()
        self.layers = pack_layers(model)
        self.norm = model.weights["model.norm.weight"].float() * math.sqrt(config.width)
        self.head = pack(model.head.float())
        self.floor = torch.tensor(math.sqrt(config.norm_eps * config.width))


class Lane:
    """Runs the model for the spans that it is given, on the thread that calls it.

    Weights, pool and tables are shared with other lanes; the spans of one step may be spread over lanes, since no
    request reads what another writes in the same step.
    """

    def __init__(self, packed: Packed, pool: KVPool, tables: Tables) -> None:
        self._packed, self._config, self._pool, self._tables = packed, packed.config, pool, tables
        self._singles = SingleRows(packed.config, pool, tables)

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Outcome:
        """See `Runner.forward`."""
        rows, packed, config = self._rows(batch), self._packed, self._config
        x = packed.embedding.index_select(0, rows.tokens)
        for index, layer in enumerate(packed.layers):
            query, kv = before_attention(
                x,
                packed.floor,
                layer.qkv,
                layer.head_norms,
                config.norm_eps,
                rows.turn,
                rows.slots,
                self._pool.rows[index],
                config.heads,
                config.kv_heads,
            )
            if index + 1 == config.layers and rows.wanted is not None:
                x, query = x.index_select(0, rows.wanted), query.index_select(0, rows.wanted)
                mixed = self._mix_last(index, query, kv, rows)
            else:
                mixed = self._mix(index, query, kv, rows)
            after_attention(x, mixed, layer.out, layer.gate_up, layer.down, packed.floor, config.inner)
        hidden = unit(x, packed.floor).mul_(packed.norm)
        return Outcome(hidden, product(hidden, packed.head))

    def _mix(self, index: int, query: Tensor, kv: Tensor, rows: Rows) -> Tensor:
        """What one layer's attention reads for every row: query `[M, heads, D]` -> `[M, heads * D]`."""
        if not rows.spans:
            return self._mix_alone(index, query)
        mixed = torch.empty_like(query)
        if rows.alone:
            mixed[: rows.alone] = self._mix_alone(index, query[: rows.alone]).view(rows.alone, *query.shape[1:])
        own, pool = self._by_head(kv), self._by_head(self._pool.rows[index])
        for span in rows.spans:
            at = slice(span.start, span.end)
            mixed[at] = span.attend(query[at], own[at], pool)
        return mixed.flatten(1)

    def _mix_last(self, index: int, query: Tensor, kv: Tensor, rows: Rows) -> Tensor:
        """The same for the wanted rows alone, which is all that the last layer must compute."""
        mixed = torch.empty_like(query)
        if rows.alone:
            mixed[: rows.alone] = self._mix_alone(index, query[: rows.alone]).view(rows.alone, *query.shape[1:])
        own, pool, at = self._by_head(kv), self._by_head(self._pool.rows[index]), rows.alone
        for span in rows.spans:
            if span.wanted:
                wanted = slice(at, at + span.wanted)
                mixed[wanted] = span.attend_last(query[wanted], own[span.start : span.end], pool)
                at += span.wanted
        return mixed.flatten(1)

    def _mix_alone(self, index: int, query: Tensor) -> Tensor:
        mixed = self._singles.attend(query.reshape(-1, query.shape[2]), self._pool.heads[index])
        return mixed.view(len(query), -1)

    def _by_head(self, kv: Tensor) -> Tensor:
        """`[rows, 2 * keys]` -> `[rows, 2, kv_heads, D]`."""
        return kv.view(len(kv), 2, self._config.kv_heads, self._config.head_width)

    def _rows(self, batch: Batch) -> Rows:
        spans, size = batch.spans, self._pool.block_size
        alone = next((i for i, span in enumerate(spans) if len(span.tokens) > 1 or not span.wanted), len(spans))
        places, seats, starts = list[int](), list[int](), [0]
        for span in spans:
            places += range(span.start, span.start + len(span.tokens))
            seats += [span.seat] * len(span.tokens)
            starts.append(len(places))
        where, stands = np.array([seats, places]), places
        slots = self._tables.array[where[0], where[1] // size].astype(np.int64) * size + where[1] % size
        if batch.mask is not None:  # guesses beyond the context are never kept
            stands = [min(at, self._config.positions - 1) for span in spans for at in batch.positions(span)]
        if alone:
            self._singles.arrange(spans[:alone])
        return Rows(
            tokens=torch.tensor([token for span in spans for token in span.tokens]),
            turn=self._packed.turns.index_select(0, torch.tensor(stands)).unsqueeze(1),
            slots=torch.from_numpy(slots),
            alone=alone,
            spans=tuple(
                SpanRows(size, self._tables, batch, span, start)
                for span, start in zip(spans[alone:], starts[alone:-1], strict=True)
            ),
            wanted=_wanted(batch, starts),
        )


def _wanted(batch: Batch, starts: Sequence[int]) -> Tensor | None:
    """The rows whose logits are asked for; None: all of them."""
    wanted = [row for span, end in zip(batch.spans, starts[1:], strict=True) for row in range(end - span.wanted, end)]
    return None if len(wanted) == starts[-1] else torch.tensor(wanted, dtype=torch.int64)
