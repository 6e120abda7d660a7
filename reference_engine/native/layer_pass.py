"""EAGLE's layer in compiled code. See `reference_engine.layer_rows`."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_engine.layer_rows import Integers, LayerRows
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import Model
from reference_engine.native import library
from reference_engine.native.pool import NativePool
from reference_engine.native.weights import NativeWeights, Packer
from reference_engine.slots import Copy


class PackedLayer:
    """The weights of a layer as the compiled pass reads them: a model of one layer, and what stands before it.

    weights: by the names of `EagleLayer.shapes`. embedding, head: the large model's.
    """

    def __init__(
        self, compiled: ctypes.CDLL, weights: Mapping[str, Tensor], config: LlamaConfig, embedding: Tensor, head: Tensor
    ) -> None:
        single = replace(config, layers=1, tied=False, qk_norm=False)
        named = {f"model.{name}": weight for name, weight in weights.items()}
        named |= {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
        self.compiled, self.config = compiled, single
        self._packer, self._weights = Packer(compiled), NativeWeights(Model("an EAGLE layer", single, named), compiled)
        self.net = self._weights.net
        self._norms = [weights[f"{name}.weight"].float().contiguous() for name in ("enorm", "hnorm")]
        self._fc = self._packer.pack(weights["fc.weight"])

    def fusion(self, features: np.ndarray[Any, np.dtype[np.float32]]) -> library.NativeFusion:
        """How its inputs are made; features: `[slots, width]`, read and written."""
        return library.NativeFusion(self._fc, *(norm.data_ptr() for norm in self._norms), features.ctypes.data)


class NativeLayerPass:
    """See `LayerPass`. tables: int32 `[seats, blocks of a table]`; features: float32 `[slots, width]`."""

    def __init__(self, packed: PackedLayer, tables: np.ndarray, features: np.ndarray, block_size: int) -> None:
        self._packed, self._fusion, self._kept = packed, packed.fusion(features), (tables, features)
        self._pool = NativePool(packed.config, packed.compiled, len(features) // block_size, block_size)
        self._hidden, self._logits = torch.empty(0, packed.config.width), torch.empty(0, packed.config.vocab)
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

    def guess(self, rows: LayerRows, count: int) -> tuple[Integers, np.ndarray[Any, np.dtype[np.float32]]]:
        """See `LayerPass`."""
        step, wanted = self._step, len(rows.at)
        if wanted > len(self._hidden):
            self._make_room(wanted)
        step.spans, step.rows, step.wanted, step.nodes = len(rows.spans), len(rows.tokens), wanted, rows.mask.shape[1]
        step.span, step.tokens = rows.spans.ctypes.data, rows.tokens.ctypes.data
        step.depths, step.mask = rows.depths.ctypes.data, rows.mask.ctypes.data
        tokens, logs = np.empty((wanted, count), np.int64), np.empty((wanted, count), np.float32)
        self._packed.compiled.draft(
            *(self._packed.net, self._fusion, step, rows.before.ctypes.data, rows.at.ctypes.data, count),
            *(tokens.ctypes.data, logs.ctypes.data, torch.get_num_threads()),
        )
        return tokens, logs

    def _make_room(self, wanted: int) -> None:
        """For what the pass makes of so many rows."""
        config = self._packed.config
        self._hidden, self._logits = torch.empty(wanted, config.width), torch.empty(wanted, config.vocab)
        self._likeliest = np.empty(wanted, np.int64)
        self._step.hidden, self._step.logits = self._hidden.data_ptr(), self._logits.data_ptr()
        self._step.likeliest = self._likeliest.ctypes.data
