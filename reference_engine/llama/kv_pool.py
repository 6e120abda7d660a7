"""The KV of all requests: one row a slot and layer, keys first, values after."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reference_engine.llama.config import LlamaConfig
from reference_engine.slots import Copy


class KVPool:
    """fp32 `[layers, num_blocks * block_size, 2 * kv_heads * D]`; block 0 is scratch.

    `rows[layer]` `[slots, 2 * kv_heads * D]` is where a step writes; `heads[layer]` is the same memory as
    `[slots * 2 * kv_heads, D]`: key head h of slot s is row s * 2 * kv_heads + h, its value head kv_heads further.
    """

    def __init__(self, config: LlamaConfig, num_blocks: int, block_size: int) -> None:
        if num_blocks * block_size * 2 * config.kv_heads >= 1 << 31:
            raise ValueError(
                f"a pool of {num_blocks} blocks of {block_size} tokens is more than 32-bit rows can number"
            )
        self.num_blocks, self.block_size = num_blocks, block_size
        self._all = torch.zeros(config.layers, num_blocks * block_size, 2 * config.keys)
        self.rows = list(self._all.unbind(0))
        self.heads = [layer.view(-1, config.head_width) for layer in self.rows]

    @property
    def nbytes(self) -> int:
        """Bytes of KV."""
        return self._all.nbytes

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, one after another, as later ones may read what earlier ones wrote."""
        blocks = self._all.view(len(self.rows), self.num_blocks, self.block_size, -1)
        for copy in copies:
            blocks[:, copy.dst] = blocks[:, copy.src]

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy slots to slots, all at once: every source is read before any target is written."""
        self._all[:, target] = self._all[:, source]
