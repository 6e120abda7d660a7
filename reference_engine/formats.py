"""In how few bytes a matrix can be stored without loss: as bf16, or as int8 with a scale a group
(llama.cpp's Q8_0)."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from reference_engine.mapped_files import MappedFiles

GROUP = 32
"""Neighbouring weights of a row that share a scale of int8."""
PAIR = 2
"""Neighbouring weights of a row that share a word of bf16: rows of an odd length stay fp32."""
SLICE = 1024
"""Rows of a matrix that are looked at, or laid out, at a time: what that takes beside the matrix stays small."""
LARGEST = 127
"""Of int8: the largest of a group in absolute value is so many times its scale."""


class Stored(Enum):
    """What a number of a matrix is stored as, and its bytes; with int8 its share of a scale in fp16
    counts."""

    FP32 = 4.0
    BF16 = 2.0
    INT8 = 1 + 2 / GROUP


def stored_as(*parts: Tensor, zeros: Stored = Stored.BF16) -> Stored:
    """As what a CPU stores a matrix `[out, in]`, given in parts that lie one below the other: as
    small as it can be without loss. zeros: as small as one of zeros alone may be, which every
    format holds; no checkpoint is int8 because a layer of it does nothing.
    """
    slices = [part[start : start + SLICE] for part in parts for start in range(0, len(part), SLICE)]
    may_be_int8 = zeros is Stored.INT8 or any(bool(each.any()) for each in slices)
    if may_be_int8 and _held_by_int8(parts[0][:1]) and all(map(_held_by_int8, slices)):
        return Stored.INT8
    half = parts[0].shape[-1] % PAIR == 0 and all(map(_held_by_bf16, slices))
    return Stored.BF16 if half else Stored.FP32


def on_int8_grid(matrix: Tensor, mapped: MappedFiles) -> bool:
    """Whether `quantized` would leave the matrix as it is. What of it is `mapped` is let go."""
    groups = matrix.shape[-1] % GROUP == 0
    due = Stored.INT8 if groups else Stored.BF16
    fits = stored_as(matrix, zeros=Stored.INT8) is due
    mapped.let_go(matrix)
    return fits


def _held_by_bf16(matrix: Tensor) -> bool:
    return matrix.dtype is torch.bfloat16 or torch.equal(matrix.bfloat16().float(), matrix.float())


def _held_by_int8(matrix: Tensor) -> bool:
    return matrix.shape[-1] % GROUP == 0 and torch.equal(to_int8(matrix), matrix.float())


def to_int8(matrix: Tensor) -> Tensor:
    """`[out, in]` as fp32, each number the nearest that int8 has: symmetric, in groups of GROUP
    along a row.

    An int8 times a scale of 11 bits is an fp32, and rounding these again changes none. A scale is
    found as llama.cpp finds it for Q8_0. Raises ValueError where `in` is no multiple of GROUP.
    """
    if matrix.shape[-1] % GROUP:
        raise ValueError(f"rows of {matrix.shape[-1]} weights are no groups of {GROUP}")
    groups = matrix.float().reshape(*matrix.shape[:-1], -1, GROUP)
    exact = groups.abs().amax(-1, keepdim=True) / LARGEST
    numbers = torch.where(exact > 0, groups / exact, 0.0).round().clamp(-LARGEST, LARGEST)
    return (numbers * exact.half().float()).reshape(matrix.shape)
