"""The KV of all requests, block by block, as the compiled pass reads it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from reference_engine.huge_pages import zeros
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.config import LlamaConfig
from reference_engine.native.library import Format
from reference_engine.slots import Copy


class NativePool:
    """`[layers, num_blocks, kv_heads, 2, D * block_size]` of kv_dtype; block 0 is scratch.

    For each head the keys of a block `[D, block_size]`, then its values `[block_size, D]`. Of bf16
    keys lie as `[D / 2, block_size, 2]`, and values as `[block_size / 2, D, 2]` where that is a
    whole number (`HalfKV` in attention.h).
    """

    def __init__(
        self,
        config: LlamaConfig,
        compiled: ctypes.CDLL,
        num_blocks: int,
        block_size: int,
        kv_dtype: KVDtype = KVDtype.FP32,
    ) -> None:
        self.format = Format[kv_dtype.name]
        self.num_blocks, self.block_size = num_blocks, block_size
        self._move, self._sizes = (
            compiled.move,
            (config.layers, num_blocks, config.kv_heads, config.head_width),
        )
        shape = (config.layers, num_blocks, config.kv_heads, 2, config.head_width * block_size)
        self.tensor = zeros(torch.Size(shape).numel(), getattr(torch, kv_dtype.value)).view(shape)

    @property
    def nbytes(self) -> int:
        """Bytes of KV."""
        return self.tensor.nbytes

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, one after another, as later ones may read what earlier ones wrote."""
        for copy in copies:
            self.tensor[:, copy.dst] = self.tensor[:, copy.src]

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy slots to slots, all at once: every source is read before any target is written."""
        slots = np.array([source, target], np.int64)  # [2, n]
        self._check(slots)
        start, pool = (
            slots.ctypes.data,
            (self.tensor.data_ptr(), self.format, *self._sizes, self.block_size),
        )
        self._move(*pool, start, start + 8 * len(source), len(source))

    def fill(self, slots: Sequence[int], value: float) -> None:
        """Write one number all over some slots."""
        where = np.array(slots, np.int64)
        self._check(where)
        blocks, places = (
            torch.from_numpy(where // self.block_size),
            torch.from_numpy(where % self.block_size),
        )
        layers, count, kv_heads, depth = self._sizes
        keys, values = self.tensor.unbind(3)  # [layers, num_blocks, kv_heads, D * block_size] each
        beside = 2 if self.format is Format.BF16 else 1
        keys = keys.view(layers, count, kv_heads, depth // beside, self.block_size, beside)
        keys[:, blocks, :, :, places] = value
        together = beside if self.block_size % beside == 0 else 1
        values = values.view(layers, count, kv_heads, self.block_size // together, depth, together)
        values[:, blocks, :, places // together, :, places % together] = value

    def _check(self, slots: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        if slots.size and not 0 <= slots.min() <= slots.max() < self.num_blocks * self.block_size:
            raise IndexError(
                f"slot {slots.max()} or {slots.min()} is out of range: the pool has {self.num_blocks} blocks"
            )
