"""GPU kernels in Triton, one file a kernel, each beside its plain-torch twin.

`ops(device)` is what a runner asks for: the kernels where they can run, the twins where they
cannot, and why. Importing this package works without triton and without a GPU. With
TRITON_INTERPRET=1 in the environment before the first import, the kernels run in Triton's
interpreter on CPU tensors (slow: for tests).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from reference_engine.kernels import runtime
from reference_engine.kernels.activation import silu_mul, silu_mul_torch
from reference_engine.kernels.decode import decode_attention, decode_attention_torch
from reference_engine.kernels.embedding import embed, embed_torch
from reference_engine.kernels.norm import add_rms_norm, add_rms_norm_torch
from reference_engine.kernels.paging import Paging
from reference_engine.kernels.prefill import prefill_attention, prefill_attention_torch, tree_splits
from reference_engine.kernels.rope import rope_store, rope_store_torch
from reference_engine.kernels.runtime import KernelsUnavailable
from reference_engine.kernels.sampling import greedy, greedy_torch
from reference_engine.kernels.scatter_update import patch, patch_torch

__all__ = ["KERNELS", "TWINS", "KernelsUnavailable", "Ops", "Paging", "ops", "tree_splits"]


@dataclass(frozen=True, slots=True)
class Ops:
    """The fused operations of one decoder step. Contracts: the functions of the same names in this
    package.

    name: "triton", "triton-interpreter" or "torch". capturable: a CUDA graph may hold them. why:
    why they are not the compiled kernels, in one sentence; "" when they are.
    """

    name: str
    capturable: bool
    why: str
    embed: Callable[..., torch.Tensor]
    add_rms_norm: Callable[..., torch.Tensor]
    silu_mul: Callable[..., torch.Tensor]
    rope_store: Callable[..., None]
    decode_attention: Callable[..., torch.Tensor]
    prefill_attention: Callable[..., torch.Tensor]
    greedy: Callable[..., torch.Tensor]
    patch: Callable[..., None]


KERNELS: dict[str, Callable[..., Any]] = {
    "embed": embed,
    "add_rms_norm": add_rms_norm,
    "silu_mul": silu_mul,
    "rope_store": rope_store,
    "decode_attention": decode_attention,
    "prefill_attention": prefill_attention,
    "greedy": greedy,
    "patch": patch,
}
TWINS: dict[str, Callable[..., Any]] = {
    "embed": embed_torch,
    "add_rms_norm": add_rms_norm_torch,
    "silu_mul": silu_mul_torch,
    "rope_store": rope_store_torch,
    "decode_attention": decode_attention_torch,
    "prefill_attention": prefill_attention_torch,
    "greedy": greedy_torch,
    "patch": patch_torch,
}


def ops(device: torch.device | str, *, interpret: bool = False) -> Ops:
    """The operations to use on `device`: compiled kernels on a CUDA device, else the twins.

    `interpret` asks for the kernels in Triton's interpreter; it raises KernelsUnavailable unless
    that is switched on.
    """
    device = torch.device(device)
    why = runtime.why_not(device)
    if interpret:
        if not runtime.INTERPRETED:
            raise KernelsUnavailable(
                why or "set TRITON_INTERPRET=1 before reference_engine.kernels is imported"
            )
        return Ops("triton-interpreter", False, "asked for Triton's interpreter", **KERNELS)
    if device.type == "cuda" and not why and not runtime.INTERPRETED:
        return Ops("triton", True, "", **KERNELS)
    return Ops(
        "torch",
        False,
        why or "Triton's interpreter is switched on, and too slow to serve with",
        **TWINS,
    )
