"""How many blocks of KV a device has room for: a number that depends on the free memory and the
sizes alone."""

from __future__ import annotations

import torch

from reference_engine.llama.config import LlamaConfig

KEPT_FREE = 0.08
"""Share of the free memory that is left to the allocator's fragments, the driver and captured graphs."""
ROWS = 8192
"""Rows of a step that room is kept for."""


def block_bytes(config: LlamaConfig, block_size: int, dtype: torch.dtype) -> int:
    """Bytes of one block's keys and values in all layers."""
    return 2 * config.layers * block_size * config.keys * dtype.itemsize


def workspace_bytes(config: LlamaConfig, dtype: torch.dtype, rows: int = ROWS) -> int:
    """Bytes of a step's largest activations at once: residual, norm, packed products, and 256 rows
    of fp32 logits."""
    widest = max(config.queries + 2 * config.keys, 3 * config.inner)
    return (
        rows * (3 * config.width + config.queries + widest) * dtype.itemsize
        + 256 * config.vocab * 8
    )


def blocks_in(free: int, config: LlamaConfig, block_size: int, dtype: torch.dtype) -> int:
    """Blocks, scratch included, for `free` bytes. Raises ValueError when there is no room for
    scratch and one block."""
    available = int(free * (1 - KEPT_FREE)) - workspace_bytes(config, dtype)
    blocks = available // block_bytes(config, block_size, dtype)
    if blocks < 2:
        need = 2 * block_bytes(config, block_size, dtype) + workspace_bytes(config, dtype)
        raise ValueError(
            f"{free / 2**20:.0f} MiB are free on the device; one block of KV and a step's activations take "
            f"{need / (1 - KEPT_FREE) / 2**20:.0f} MiB: use a smaller model, dtype or block size"
        )
    return blocks


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on a CUDA device, those that torch's allocator holds unused
    included."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def check_pool(
    free: int, num_blocks: int, config: LlamaConfig, block_size: int, dtype: torch.dtype
) -> None:
    """Raise ValueError, saying how many blocks would fit, unless a pool of `num_blocks` does."""
    most = blocks_in(free, config, block_size, dtype)
    if num_blocks > most:
        raise ValueError(
            f"a pool of {num_blocks} blocks of {block_size} tokens takes "
            f"{num_blocks * block_bytes(config, block_size, dtype) / 2**30:.1f} GiB; {most} blocks fit on the device"
        )
