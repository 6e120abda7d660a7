"""The engine's runner on a CPU with compiled code, in fp32; its products or its KV in bf16 where
that is asked for."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from reference_engine.arithmetic import Arithmetic
from reference_engine.batch import StepBatch, Tables
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.native import library
from reference_engine.native.pool import NativePool
from reference_engine.native.weights import NativeWeights
from reference_engine.runner import Outcome
from reference_engine.slots import Copy


@dataclass(frozen=True, slots=True)
class NativeOutcome(Outcome):
    """An `Outcome` of the compiled pass, which finds the likeliest tokens (int64, of more rows
    perhaps) on the way."""

    found: array[int]

    def likeliest(self) -> list[int]:
        return self.found[: len(self.logits)].tolist()


class NativeRunner:
    """Runs a model whose weights are on the CPU. See `reference_engine.runner.Runner`.

    A request's text is the same to the last bit in any batch: every sum runs in one order, whatever
    is beside it.
    """

    def __init__(
        self,
        model: Model,
        compiled: ctypes.CDLL,
        *,
        num_blocks: int,
        block_size: int,
        seats: int,
        width: int,
        arithmetic: Arithmetic = Arithmetic.FP32,
        kv_dtype: KVDtype = KVDtype.FP32,
    ) -> None:
        self.tables = Tables(seats, width)
        self.pool = NativePool(model.config, compiled, num_blocks, block_size, kv_dtype)
        self._compiled, self._packed = compiled, NativeWeights.of(model, compiled, arithmetic)
        self._net = self._packed.computed_in(arithmetic)
        self._hidden, self._logits = (
            torch.empty(0, model.config.width),
            torch.empty(0, model.config.vocab),
        )
        self._likeliest, self._outcomes = array("q"), dict[int, NativeOutcome]()
        self._step = library.NativeStep(
            tables=self.tables.tensor.data_ptr(),
            table_width=width,
            pool=self.pool.tensor.data_ptr(),
            kept=self.pool.format,
            blocks=num_blocks,
            block_size=block_size,
        )

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, in order."""
        self.pool.copy(copies)

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy the KV of slots `source` to slots `target`, all at once."""
        self.pool.move(source, target)

    def forward(self, batch: StepBatch) -> Outcome:
        """Store the KV of every row of the batch, let each row attend to its request's KV up to
        itself."""
        step, spans, tokens, wanted = self._step, list[int](), list[int](), 0
        for span in batch.spans:
            spans += (span.seat, span.start, len(span.tokens), span.wanted, span.tree, span.first)
            tokens += span.tokens
            wanted += span.wanted
        if min(tokens) < 0 or max(tokens) >= self._packed.config.vocab:
            raise IndexError(
                f"a token is out of range: the vocabulary has {self._packed.config.vocab}"
            )
        kept = array("i", spans), array("q", tokens), self._tree(batch)
        step.spans, step.rows, step.wanted = len(batch.spans), len(tokens), wanted
        step.span, step.tokens = kept[0].buffer_info()[0], kept[1].buffer_info()[0]
        outcome = self._outcome(wanted)
        self._compiled.forward(self._net, step, torch.get_num_threads())
        del kept
        return outcome

    def _tree(self, batch: StepBatch) -> object:
        """Point to the trees of a batch; what must live as long as the step."""
        if batch.mask is None or batch.depths is None:
            self._step.nodes = 0
            return None
        depths, mask = np.array(batch.depths, np.int32), batch.mask.contiguous()
        self._step.depths, self._step.mask, self._step.nodes = (
            depths.ctypes.data,
            mask.data_ptr(),
            mask.shape[1],
        )
        return depths, mask

    def _outcome(self, wanted: int) -> NativeOutcome:
        """Where the compiled pass writes what so many rows want; made once for each number of them."""
        if wanted > len(self._hidden):
            width, vocab = self._hidden.shape[1], self._logits.shape[1]
            self._hidden, self._logits = torch.empty(wanted, width), torch.empty(wanted, vocab)
            self._likeliest = array("q", bytes(8 * wanted))
            self._step.hidden, self._step.logits = self._hidden.data_ptr(), self._logits.data_ptr()
            self._step.likeliest = self._likeliest.buffer_info()[0]
            self._outcomes.clear()
        if wanted not in self._outcomes:
            self._outcomes[wanted] = NativeOutcome(
                self._hidden[:wanted], self._logits[:wanted], self._likeliest
            )
        return self._outcomes[wanted]
