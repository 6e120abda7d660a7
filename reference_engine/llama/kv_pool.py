"""The KV of all requests, block by block: for each head the keys, or the values, of a block's
tokens lie together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_engine.huge_pages import zeros
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.config import LlamaConfig
from reference_engine.slots import Copy

Integers = np.ndarray[Any, np.dtype[np.int64]]


class KVPool:
    """`[layers, num_blocks, 2, kv_heads, block_size, D]`, of kv_dtype, keys before values; block 0
    is scratch.

    `heads[layer]` is a layer as `[rows, D]`. Slot s, place s % block_size of block s // block_size,
    has its first key in row `first_rows(s)`; key head h is h * block_size rows further, value head
    h `values_at` further than that.
    """

    def __init__(
        self,
        config: LlamaConfig,
        num_blocks: int,
        block_size: int,
        kv_dtype: KVDtype = KVDtype.FP32,
    ) -> None:
        if num_blocks * block_size * 2 * config.kv_heads >= 1 << 31:
            raise ValueError(
                f"a pool of {num_blocks} blocks of {block_size} tokens is more than 32-bit rows can number"
            )
        self.num_blocks, self.block_size, self.kv_dtype = num_blocks, block_size, kv_dtype
        self.values_at = config.kv_heads * block_size
        self.stride = 2 * self.values_at
        # [2 * kv_heads]
        self._parts: Integers = np.arange(2 * config.kv_heads, dtype=np.int64) * block_size
        shape = (config.layers, num_blocks * self.stride, config.head_width)
        kept: torch.dtype = getattr(torch, kv_dtype.value)
        self._all = zeros(shape[0] * shape[1] * shape[2], kept).view(shape)  # [layers, rows, D]
        self.heads = list(self._all.unbind(0))  # [rows, D] a layer

    @property
    def nbytes(self) -> int:
        """Bytes of KV."""
        return self._all.nbytes

    def first_rows(self, block: Integers, place: Integers) -> Integers:
        """The rows of the first key head at these places of these blocks."""
        return block * self.stride + place

    def first_rows_of(self, table: np.ndarray[Any, np.dtype[np.int32]], tokens: int) -> Integers:
        """The same for the first tokens of a request, by its block table."""
        blocks = table[: -(-tokens // self.block_size), None].astype(np.int64)  # [blocks, 1]
        # [blocks, block_size] -> [tokens]
        return self.first_rows(blocks, np.arange(self.block_size)).reshape(-1)[:tokens]

    def token_rows(self, first: Integers) -> Tensor:
        """int64 `[n * 2 * kv_heads]`: the rows of whole tokens, one after the other, heads in
        order."""
        # [n, 2 * kv_heads], flat
        return torch.from_numpy((first[:, None] + self._parts).reshape(-1))

    def head_rows(self, first: Integers) -> Tensor:
        """int64 `[2 * kv_heads * n]`: the same rows head by head."""
        # [2 * kv_heads, n], flat
        return torch.from_numpy((first + self._parts[:, None]).reshape(-1))

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, one after another, as later ones may read what earlier ones wrote."""
        # [layers, blocks, stride * D]
        blocks = self._all.view(len(self.heads), self.num_blocks, -1)
        for copy in copies:
            blocks[:, copy.dst] = blocks[:, copy.src]

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy slots to slots, all at once: every source is read before any target is written."""
        # [n * 2 * kv_heads] each
        read, write = (self.token_rows(self._first(slots)) for slots in (source, target))
        self._all[:, write] = self._all[:, read]  # [layers, n * 2 * kv_heads, D]

    def fill(self, slots: Sequence[int], value: float) -> None:
        """Write one number all over some slots."""
        self._all[:, self.token_rows(self._first(slots))] = value

    def _first(self, slots: Sequence[int]) -> Integers:
        where = np.array(slots, dtype=np.int64)
        return self.first_rows(where // self.block_size, where % self.block_size)
