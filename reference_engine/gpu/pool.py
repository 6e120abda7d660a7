"""The KV of all requests on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reference_engine.llama.config import LlamaConfig
from reference_engine.slots import Copy


class DevicePool:
    """`[layers, 2, num_blocks * block_size, kv_heads, D]`, keys and values; block 0 is scratch."""

    def __init__(
        self,
        config: LlamaConfig,
        num_blocks: int,
        block_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        shape = (config.layers, 2, num_blocks * block_size, config.kv_heads, config.head_width)
        self.all = torch.zeros(shape, device=device, dtype=dtype)
        self.layers: list[tuple[Tensor, Tensor]] = [
            (layer[0], layer[1]) for layer in self.all.unbind(0)
        ]

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, one after another: later ones may read what earlier ones wrote."""
        blocks = self.all.view(
            *self.all.shape[:2], self.num_blocks, -1
        )  # [layers, 2, num_blocks, block_size·Hkv·D]
        sources, targets = [copy.src for copy in copies], [copy.dst for copy in copies]
        if len(set(targets)) == len(targets) and not set(sources) & set(targets):
            at = torch.tensor([sources, targets], device=self.all.device)
            blocks.index_copy_(2, at[1], blocks.index_select(2, at[0]))
            return
        for copy in copies:
            blocks[:, :, copy.dst] = blocks[:, :, copy.src]

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy slots to slots, all at once: every source is read before any target is written."""
        at = torch.tensor([source, target], device=self.all.device)  # [2, n]
        self.all.index_copy_(2, at[1], self.all.index_select(2, at[0]))
