"""EAGLE's layer in compiled code. See `reference_engine.layer_rows`."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_engine.growing_trees import GrowingTrees, GrowthPlan, KeptTrees
from reference_engine.layer_rows import Floats, Integers, LayerRows
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import Model
from reference_engine.native import library
from reference_engine.native.pool import NativePool
from reference_engine.native.weights import NativeWeights, Packer
from reference_engine.slots import Copy


class PackedLayer:
    """The weights of a layer as the compiled pass reads them: a model of one layer, and what stands
    before it.

    weights: by the names of `EagleLayer.shapes`. embedding, head: the large model's.
    """

    def __init__(
        self,
        compiled: ctypes.CDLL,
        weights: Mapping[str, Tensor],
        config: LlamaConfig,
        embedding: Tensor,
        head: Tensor,
    ) -> None:
        single = replace(config, layers=1, tied=False, qk_norm=False)
        named = {f"model.{name}": weight for name, weight in weights.items()}
        named |= {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
        self.compiled, self.config = compiled, single
        self._packer, self._weights = (
            Packer(compiled),
            NativeWeights(Model("an EAGLE layer", single, named), compiled),
        )
        self.net = self._weights.net
        self._norms = [
            weights[f"{name}.weight"].float().contiguous() for name in ("enorm", "hnorm")
        ]
        self._fc = self._packer.pack(weights["fc.weight"])

    def fusion(self, features: np.ndarray[Any, np.dtype[np.float32]]) -> library.NativeFusion:
        """How its inputs are made; features: `[slots, width]`, read and written."""
        return library.NativeFusion(
            self._fc, *(norm.data_ptr() for norm in self._norms), features.ctypes.data
        )


class NativeLayerPass:
    """See `LayerPass`. tables: int32 `[seats, blocks of a table]`; features: float32 `[slots,
    width]`."""

    def __init__(
        self, packed: PackedLayer, tables: np.ndarray, features: np.ndarray, block_size: int
    ) -> None:
        self._packed, self._fusion, self._kept = packed, packed.fusion(features), (tables, features)
        self._pool = NativePool(
            packed.config, packed.compiled, len(features) // block_size, block_size
        )
        self._hidden, self._logits = (
            torch.empty(0, packed.config.width),
            torch.empty(0, packed.config.vocab),
        )
        self._trees: GrowingTrees | None = None
        self._step = library.NativeStep(
            tables=tables.ctypes.data,
            table_width=tables.shape[1],
            pool=self._pool.tensor.data_ptr(),
            kept=self._pool.format,
            blocks=self._pool.num_blocks,
            block_size=block_size,
        )

    def copy(self, copies: Sequence[Copy]) -> None:
        """See `LayerPass`."""
        self._pool.copy(copies)

    def guess(self, rows: LayerRows, count: int) -> tuple[Integers, Floats]:
        """See `LayerPass`."""
        wanted = len(rows.at)
        self._begin(rows, wanted)
        tokens, logs = np.empty((wanted, count), np.int64), np.empty((wanted, count), np.float32)
        self._packed.compiled.draft(
            *(
                self._packed.net,
                self._fusion,
                self._step,
                rows.before.ctypes.data,
                rows.at.ctypes.data,
                count,
            ),
            *(tokens.ctypes.data, logs.ctypes.data, torch.get_num_threads()),
        )
        return tokens, logs

    def guess_on(self, trees: GrowingTrees, chosen: Integers) -> tuple[Integers, Floats]:
        """See `LayerPass`."""
        growing, count, named = self._growing_of(trees), trees.count, np.ascontiguousarray(chosen)
        wanted = named.size
        if wanted > len(self._hidden):
            self._make_room(wanted)
        tokens, logs = np.empty((wanted, count), np.int64), np.empty((wanted, count), np.float32)
        self._packed.compiled.draft_on(
            *(
                self._packed.net,
                self._fusion,
                self._step,
                growing,
                named.ctypes.data,
                named.shape[1],
                count,
            ),
            *(tokens.ctypes.data, logs.ctypes.data, torch.get_num_threads()),
        )
        trees.read, trees.found = growing.read, growing.found
        return tokens, logs

    def grow(self, trees: GrowingTrees, rows: LayerRows, plan: GrowthPlan, due: float) -> KeptTrees:
        """See `LayerPass`."""
        growing, size, seconds = self._growing_of(trees), plan.size, ctypes.c_double()
        count = len(trees.slots)
        self._begin(rows, count * max(plan.widths, default=1))
        numbers, mask = (
            np.empty((3, count, size), np.int64),
            np.empty((count, size, size), np.bool_),
        )
        token, parent, depth = numbers
        place, widths = numbers.ctypes.data, np.array(plan.widths, np.int64)
        kept = library.NativeKeptTrees(
            *(place + each * token.nbytes for each in range(len(numbers))), mask.ctypes.data
        )
        levels = self._packed.compiled.grow(
            *(self._packed.net, self._fusion, self._step, rows.before.ctypes.data, growing),
            *(widths.ctypes.data, len(widths), plan.guesses, size, due),
            *(kept, seconds, torch.get_num_threads()),
        )
        trees.read, trees.found = growing.read, growing.found
        return KeptTrees(token, parent, depth, mask, levels, seconds.value)

    def _begin(self, rows: LayerRows, most: int) -> None:
        """The step is these rows; `most` will be wanted at once."""
        step = self._step
        if most > len(self._hidden):
            self._make_room(most)
        step.spans, step.rows, step.wanted = len(rows.spans), len(rows.tokens), len(rows.at)
        step.nodes = rows.mask.shape[1]
        step.span, step.tokens = rows.spans.ctypes.data, rows.tokens.ctypes.data
        step.depths, step.mask = rows.depths.ctypes.data, rows.mask.ctypes.data

    def _growing_of(self, trees: GrowingTrees) -> library.NativeGrowing:
        """These trees as the compiled pass sees them."""
        if self._trees is not trees:
            count, nodes = trees.slots.shape
            arrays = (
                *(trees.slots, trees.depths, trees.mask, trees.origin, trees.spans, trees.starts),
                *(trees.token, trees.node, trees.value),
            )
            pointers = (each.ctypes.data for each in arrays)
            self._growing = library.NativeGrowing(count, nodes, trees.token.shape[1], *pointers)
            self._trees = trees
        self._growing.read, self._growing.found = trees.read, trees.found
        return self._growing

    def _make_room(self, wanted: int) -> None:
        """For what the pass makes of so many rows."""
        config = self._packed.config
        self._hidden, self._logits = (
            torch.empty(wanted, config.width),
            torch.empty(wanted, config.vocab),
        )
        self._likeliest = np.empty(wanted, np.int64)
        self._step.hidden, self._step.logits = self._hidden.data_ptr(), self._logits.data_ptr()
        self._step.likeliest = self._likeliest.ctypes.data
