"""The embedding of each row's token, where a token may be one that the device has just said and the
host not yet read.

    out[t] = table[tokens[t]]                  if tokens[t] ≥ 0
    out[t] = table[said[−tokens[t] − 1]]       otherwise: the token of row −tokens[t] − 1 of the step before

Shapes: table [V, d]; tokens int32 [T]; said int64 [R]; out [T, d].
Bytes moved: 2·T·d elements (each row read and written once). Floor: those bytes over bandwidth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.kernels.runtime import Pointer, constexpr, jit, on, power_of_two, require, tl


@jit
def _embed(
    table: Pointer, tokens: Pointer, said: Pointer, out: Pointer, D: constexpr, BLOCK: constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64)
    token = tl.load(tokens + row).to(tl.int64)
    if token < 0:
        token = tl.load(said - token - 1)
    column = tl.arange(0, BLOCK)  # [BLOCK]
    tl.store(
        out + row * D + column,
        tl.load(table + token * D + column, mask=column < D),
        mask=column < D,
    )


def embed(table: Tensor, tokens: Tensor, said: Tensor) -> Tensor:
    """The rows of `table` [V, d] for `tokens` int32 [T], negative ones naming a row of `said` int64
    [R] -> [T, d].

    Raises KernelsUnavailable where kernels cannot run. Ids are not checked.
    """
    require(table, tokens, said)
    rows, width = tokens.shape[0], table.shape[1]
    out = torch.empty((rows, width), dtype=table.dtype, device=table.device)  # [T, d]
    if rows:
        block = power_of_two(width)
        with on(table.device):
            _embed[(rows,)](
                table,
                tokens,
                said,
                out,
                D=width,
                BLOCK=block,
                num_warps=min(max(block // 512, 1), 8),
            )
    return out


def embed_torch(table: Tensor, tokens: Tensor, said: Tensor) -> Tensor:
    """The plain-torch twin of `embed`: same contract."""
    ids = tokens.long()  # [T]
    return table.index_select(0, torch.where(ids < 0, said[(-ids - 1).clamp(min=0)], ids))
