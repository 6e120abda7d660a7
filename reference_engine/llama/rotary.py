"""Rotary positions as one complex product.

A head's dimensions i and i + D/2 turn together. Stored side by side they are the two halves of one
complex number, and turning is multiplying by cos + i sin. Queries and keys are stored that way
alike, so their products do not change.
"""

from __future__ import annotations

import torch
from torch import Tensor


def interleaved(weight: Tensor, head_width: int) -> Tensor:
    """`[heads * D, ...]`: the rows of each head reordered 0, D/2, 1, D/2 + 1, ..."""
    order = torch.arange(head_width, device=weight.device).view(2, -1).T.reshape(-1)  # [D]
    heads = weight.view(-1, head_width, *weight.shape[1:])  # [heads, D, ...]
    return heads[:, order].flatten(0, 1).contiguous()


def angles(positions: int, head_width: int, theta: float) -> Tensor:
    """fp32 `[positions, D / 2]`: by how much each position's pairs turn."""
    # [D / 2]
    frequency = torch.pow(theta, -torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    return torch.outer(torch.arange(positions, dtype=torch.float32), frequency)


def turns(positions: int, head_width: int, theta: float) -> Tensor:
    """complex64 `[positions, D / 2]`: what each position's pairs are multiplied by."""
    turned = angles(positions, head_width, theta)
    return torch.complex(turned.cos(), turned.sin())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`[..., D]` turned by cosines and sines of the same width, both halves of which are alike: the
    second half of D pairs with the first, as in Llama."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
