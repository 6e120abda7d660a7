"""RoPE on queries and keys, and the store of keys and values into their slots, in one pass over the
packed projection.

The pair (i, i + D/2) of a head turns by positions[t] · inv_freq[i] (Hugging Face's half split).
Queries turn in place inside `qkv`; keys turn on their way into the pool; values are copied there.
With `q_norm` and `k_norm` (Qwen3) each head is RMS-normalised before it turns.

Shapes: qkv [T, (Hq + 2·Hkv)·D]; positions, slots [T]; cos, sin fp32 [P, D/2]; pools [S, Hkv, D]. A
row with a negative slot stores nothing. Rows that share a slot (the padding rows of a graph, all on
block 0) race, and nobody reads what they leave. Bytes moved: T·(2·Hq + 4·Hkv)·D elements (each head
read once and written once) and T·D fp32 of the tables. Floor: those bytes over bandwidth.
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
def _rope_store(
    qkv: Pointer,
    positions: Pointer,
    slots: Pointer,
    cos: Pointer,
    sin: Pointer,
    keys: Pointer,
    values: Pointer,
    q_norm: Pointer,
    k_norm: Pointer,
    row_stride: Scalar,
    slot_stride: Scalar,
    eps: Scalar,
    HQ: constexpr,
    HKV: constexpr,
    HALF: constexpr,
    BLOCK_H: constexpr,
    BLOCK_HALF: constexpr,
    NORM: constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H))[:, None]  # [BLOCK_H, 1]
    pair = tl.arange(0, BLOCK_HALF)[None, :]  # [1, BLOCK_HALF]
    is_query, is_value = head < HQ, head >= HQ + HKV
    inside = (head < HQ + 2 * HKV) & (pair < HALF)  # [BLOCK_H, BLOCK_HALF]
    # [BLOCK_H, BLOCK_HALF], of [T, Hq + 2·Hkv, D]
    source = qkv + row * row_stride + head * (2 * HALF) + pair
    first = tl.load(source, mask=inside, other=0.0).to(tl.float32)  # [BLOCK_H, BLOCK_HALF]
    second = tl.load(source + HALF, mask=inside, other=0.0).to(tl.float32)  # [BLOCK_H, BLOCK_HALF]
    if NORM:
        square = tl.sum(first * first + second * second, axis=1)[:, None]  # [BLOCK_H, 1]
        scale = tl.where(is_value, 1.0, 1.0 / tl.sqrt(square / (2 * HALF) + eps))  # [BLOCK_H, 1]
        queries, others = inside & is_query, inside & (head >= HQ) & (head < HQ + HKV)
        # [BLOCK_H, BLOCK_HALF]
        gain_first = tl.load(q_norm + pair + 0 * head, mask=queries, other=1.0).to(tl.float32)
        gain_first *= tl.load(k_norm + pair + 0 * head, mask=others, other=1.0).to(tl.float32)
        # [BLOCK_H, BLOCK_HALF]
        gain_second = tl.load(q_norm + HALF + pair + 0 * head, mask=queries, other=1.0).to(
            tl.float32
        )
        gain_second *= tl.load(k_norm + HALF + pair + 0 * head, mask=others, other=1.0).to(
            tl.float32
        )
        first, second = first * scale * gain_first, second * scale * gain_second
    position = tl.load(positions + row).to(tl.int64)
    cosine = tl.load(cos + position * HALF + pair, mask=pair < HALF, other=1.0)  # [1, BLOCK_HALF]
    sine = tl.load(sin + position * HALF + pair, mask=pair < HALF, other=0.0)  # [1, BLOCK_HALF]
    # [BLOCK_H, BLOCK_HALF]
    cosine, sine = tl.where(is_value, 1.0, cosine), tl.where(is_value, 0.0, sine)
    # [BLOCK_H, BLOCK_HALF]
    turned_first = (first * cosine - second * sine).to(qkv.dtype.element_ty)
    # [BLOCK_H, BLOCK_HALF]
    turned_second = (second * cosine + first * sine).to(qkv.dtype.element_ty)
    tl.store(source, turned_first, mask=inside & is_query)
    tl.store(source + HALF, turned_second, mask=inside & is_query)
    slot = tl.load(slots + row).to(tl.int64)
    # broadcast first: the interpreter mistypes a broadcast i1
    kept = inside & (slot + tl.zeros_like(head) >= 0)
    # [BLOCK_H, BLOCK_HALF], of [S, Hkv, D]
    key = keys + slot * slot_stride + (head - HQ) * (2 * HALF) + pair
    stored = kept & (head >= HQ) & (head < HQ + HKV)
    tl.store(key, turned_first, mask=stored)
    tl.store(key + HALF, turned_second, mask=stored)
    # [BLOCK_H, BLOCK_HALF], of [S, Hkv, D]
    value = values + slot * slot_stride + (head - HQ - HKV) * (2 * HALF) + pair
    tl.store(value, turned_first, mask=kept & is_value)
    tl.store(value + HALF, turned_second, mask=kept & is_value)


def rope_store(
    qkv: Tensor,
    positions: Tensor,
    slots: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 1e-6,
) -> None:
    """Turn the queries of `qkv` in place, turn its keys into `keys`, copy its values into `values`.

    qkv [T, (Hq + 2·Hkv)·D], rows contiguous; positions, slots int32 or int64 [T]; cos, sin fp32 [P,
    D/2]; keys, values [S, Hkv, D] with one slot stride; q_norm, k_norm [D], both or neither. Raises
    ValueError on shapes that do not fit, KernelsUnavailable where kernels cannot run.
    """
    heads, kv_heads, width = _checked(qkv, positions, slots, cos, keys, values, q_norm, k_norm)
    require(qkv, positions, slots, cos, sin, keys, values)
    if qkv.shape[0] == 0:
        return
    half = power_of_two(width // 2)
    block = max(min(512 // half, power_of_two(heads + 2 * kv_heads)), 1)
    with on(qkv.device):
        _rope_store[(qkv.shape[0], cdiv(heads + 2 * kv_heads, block))](
            qkv,
            positions,
            slots,
            cos,
            sin,
            keys,
            values,
            qkv if q_norm is None else q_norm,
            qkv if k_norm is None else k_norm,
            qkv.stride(0),
            keys.stride(0),
            eps,
            HQ=heads,
            HKV=kv_heads,
            HALF=width // 2,
            BLOCK_H=block,
            BLOCK_HALF=half,
            NORM=q_norm is not None,
            num_warps=2,
        )


def rope_store_torch(
    qkv: Tensor,
    positions: Tensor,
    slots: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 1e-6,
) -> None:
    """The plain-torch twin of `rope_store`: same contract; float64 input is computed in float64."""
    heads, kv_heads, width = _checked(qkv, positions, slots, cos, keys, values, q_norm, k_norm)
    wide = torch.float64 if qkv.dtype == torch.float64 else torch.float32
    rows = qkv.view(qkv.shape[0], heads + 2 * kv_heads, width)  # [T, Hq + 2·Hkv, D]
    # [T, Hq, D], [T, Hkv, D] twice
    query, key, value = (
        rows[:, :heads],
        rows[:, heads : heads + kv_heads],
        rows[:, heads + kv_heads :],
    )
    at = positions.long()
    turn_cos, turn_sin = cos[at].to(wide)[:, None], sin[at].to(wide)[:, None]  # [T, 1, D/2]

    def turned(part: Tensor, norm: Tensor | None) -> Tensor:
        part = part.to(wide)  # [T, H, D]
        if norm is not None:
            part = part * torch.rsqrt(part.square().mean(-1, keepdim=True) + eps) * norm.to(wide)
        first, second = part.chunk(2, dim=-1)  # [T, H, D/2]
        # [T, H, D]
        return torch.cat(
            (first * turn_cos - second * turn_sin, second * turn_cos + first * turn_sin), -1
        )

    kept = slots >= 0  # [T]
    keys[slots[kept].long()] = turned(key, k_norm)[kept].to(keys.dtype)  # [kept, Hkv, D]
    values[slots[kept].long()] = value[kept].to(values.dtype)  # [kept, Hkv, D]
    query.copy_(turned(query, q_norm))


def _checked(
    qkv: Tensor,
    positions: Tensor,
    slots: Tensor,
    cos: Tensor,
    keys: Tensor,
    values: Tensor,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
) -> tuple[int, int, int]:
    """(Hq, Hkv, D), once everything fits."""
    if keys.dim() != 3 or keys.shape != values.shape or keys.stride() != values.stride():
        raise ValueError(
            f"pools must be two equal [S, Hkv, D], got {tuple(keys.shape)} and {tuple(values.shape)}"
        )
    kv_heads, width = keys.shape[1:]
    if keys.stride()[1:] != (width, 1) or width % 2:
        raise ValueError(
            f"a slot of the pool must be contiguous [Hkv, even D], got strides {keys.stride()}"
        )
    packed = qkv.shape[-1] if qkv.dim() == 2 else 0
    if packed % width or packed // width <= 2 * kv_heads or qkv.stride(-1) != 1:
        raise ValueError(f"qkv must be [T, (Hq + 2·{kv_heads})·{width}], got {tuple(qkv.shape)}")
    if positions.shape != qkv.shape[:1] or slots.shape != qkv.shape[:1]:
        raise ValueError(f"positions and slots must be [{qkv.shape[0]}]")
    if cos.dim() != 2 or cos.shape[1] != width // 2:
        raise ValueError(f"cos must be [P, {width // 2}], got {tuple(cos.shape)}")
    if (q_norm is None) != (k_norm is None):
        raise ValueError("q_norm and k_norm come together")
    return packed // width - 2 * kv_heads, kv_heads, width
