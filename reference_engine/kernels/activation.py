"""SiLU·mul: the activation of a gated MLP, read from the packed gate/up product.

    out[t, j] = silu(gate_up[t, j]) · gate_up[t, f + j],   silu(z) = z / (1 + exp(−z))

Shapes: gate_up [T, 2f], out [T, f], one dtype, arithmetic in fp32.
Bytes moved: 3·T·f elements (read gate and up, write out). Floor: those bytes over bandwidth.
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


@jit
def _silu_mul(
    gate_up: Pointer, out: Pointer, row_stride: Scalar, F: constexpr, BLOCK: constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    inside = columns < F
    # [BLOCK]
    gate = tl.load(gate_up + row * row_stride + columns, mask=inside, other=0.0).to(tl.float32)
    # [BLOCK]
    up = tl.load(gate_up + row * row_stride + F + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(
        out + row * F + columns,
        (gate / (1.0 + tl.exp(-gate)) * up).to(out.dtype.element_ty),
        mask=inside,
    )


def silu_mul(gate_up: Tensor, *, out: Tensor | None = None) -> Tensor:
    """silu(gate) · up. gate_up [T, 2f], rows contiguous -> [T, f].

    Raises ValueError on an odd width, KernelsUnavailable where kernels cannot run.
    """
    rows, width = _checked(gate_up)
    # [T, f]
    out = (
        torch.empty((rows, width), dtype=gate_up.dtype, device=gate_up.device)
        if out is None
        else out
    )
    require(gate_up, out)
    if rows == 0:
        return out
    block = min(power_of_two(width), 1024)
    with on(gate_up.device):
        _silu_mul[(rows, cdiv(width, block))](
            gate_up,
            out,
            gate_up.stride(0),
            F=width,
            BLOCK=block,
            num_warps=4 if block == 1024 else 1,
        )
    return out


def silu_mul_torch(gate_up: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The plain-torch twin of `silu_mul`: same contract; float64 input is computed in float64."""
    _checked(gate_up)
    wide = gate_up if gate_up.dtype == torch.float64 else gate_up.float()  # [T, 2f]
    gate, up = wide.chunk(2, dim=-1)  # [T, f] each
    product = torch.nn.functional.silu(gate) * up  # [T, f]
    return product.to(gate_up.dtype) if out is None else out.copy_(product)


def _checked(gate_up: Tensor) -> tuple[int, int]:
    """(T, f) of a [T, 2f] tensor."""
    if gate_up.dim() != 2 or gate_up.shape[1] % 2 or gate_up.stride(-1) != 1:
        raise ValueError(
            f"gate_up must be [T, 2f] with contiguous rows, got {tuple(gate_up.shape)}"
        )
    return gate_up.shape[0], gate_up.shape[1] // 2
