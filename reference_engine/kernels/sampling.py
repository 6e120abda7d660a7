"""Greedy sampling: the argmax of each row of logits, the lowest index where several are equal.

Shapes: logits [B, V] -> int64 [B]. A NaN never wins; a row of nothing but NaN or −inf gives 0.
Bytes moved: B·V elements read, 8·B written. Floor: those bytes over bandwidth; B = 1, V = 128,256
in bf16 is 0.25 MB, 0.06 µs. One program reading a whole row would take a hundred times that, so
each row is cut into parts of `PART` entries that separate programs reduce, and a second launch
reduces the parts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.kernels.runtime import (
    Pointer,
    Scalar,
    cdiv,
    constexpr,
    jit,
    on,
    power_of_two,
    require,
    tl,
)

PART = 4096


@jit
def _best_of_part(
    logits: Pointer,
    values: Pointer,
    indices: Pointer,
    row_stride: Scalar,
    V: constexpr,
    PARTS: constexpr,
    BLOCK: constexpr,
) -> None:
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    columns = part * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    # [BLOCK]
    value = tl.load(logits + row * row_stride + columns, mask=columns < V, other=float("-inf")).to(
        tl.float32
    )
    value = tl.where(value == value, value, float("-inf"))
    best = tl.max(value, axis=0)  # a number
    tl.store(values + row * PARTS + part, best)
    tl.store(indices + row * PARTS + part, tl.min(tl.where(value == best, columns, V), axis=0))


@jit
def _best_of_parts(
    values: Pointer, indices: Pointer, out: Pointer, PARTS: constexpr, BLOCK: constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64)
    parts = tl.arange(0, BLOCK)  # [BLOCK]
    inside = parts < PARTS
    value = tl.load(values + row * PARTS + parts, mask=inside, other=float("-inf"))  # [BLOCK]
    index = tl.load(indices + row * PARTS + parts, mask=inside, other=2147483647)  # [BLOCK]
    best = tl.max(value, axis=0)  # a number
    tl.store(out + row, tl.min(tl.where(value == best, index, 2147483647), axis=0).to(tl.int64))


def greedy(logits: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The token with the highest logit, the lowest id at ties. logits [B, V], rows contiguous ->
    int64 [B].

    Raises ValueError on an empty vocabulary, KernelsUnavailable where kernels cannot run.
    """
    rows, vocabulary = _checked(logits)
    out = torch.empty(rows, dtype=torch.int64, device=logits.device) if out is None else out  # [B]
    require(logits, out)
    if rows == 0:
        return out
    block = min(power_of_two(vocabulary), PART)
    parts = cdiv(vocabulary, block)
    values = torch.empty((rows, parts), dtype=torch.float32, device=logits.device)  # [B, parts]
    indices = torch.empty((rows, parts), dtype=torch.int32, device=logits.device)  # [B, parts]
    with on(logits.device):
        _best_of_part[(rows, parts)](
            logits,
            values,
            indices,
            logits.stride(0),
            V=vocabulary,
            PARTS=parts,
            BLOCK=block,
            num_warps=4,
        )
        _best_of_parts[(rows,)](
            values, indices, out, PARTS=parts, BLOCK=power_of_two(parts), num_warps=1
        )
    return out


def greedy_torch(logits: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The plain-torch twin of `greedy`: same contract."""
    _checked(logits)
    clean = torch.where(logits.isnan(), float("-inf"), logits)  # [B, V]
    tokens = (clean == clean.amax(-1, keepdim=True)).int().argmax(-1)  # [B]
    return tokens if out is None else out.copy_(tokens)


def _checked(logits: Tensor) -> tuple[int, int]:
    """(B, V) of the logits."""
    if logits.dim() != 2 or logits.shape[1] < 1 or logits.stride(-1) != 1:
        raise ValueError(
            f"logits must be [B, V] with V ≥ 1 and contiguous rows, got {tuple(logits.shape)}"
        )
    return logits.shape[0], logits.shape[1]
