"""The forward pass of a step's rows through all layers, as one piece of TorchScript.

So Python costs once a step what it would cost at each operation, and the interpreter lock is free
meanwhile: threads can run parts of a batch side by side.
"""

from typing import List, NamedTuple, Optional  # noqa: UP035  (TorchScript)

import torch
from torch import Tensor

from reference_engine.llama.layer import DecoderLayer
from reference_engine.llama.linear import Weight, product, tile, tiled_product
from reference_engine.llama.torchscript import scripted


class NetworkSizes(NamedTuple):
    """floor: sqrt(eps * width), which keeps the length of a vector from 0. values_at: see `KVPool`."""

    heads: int
    kv_heads: int
    inner: int
    values_at: int
    eps: float
    scale: float
    floor: Tensor


class LlamaNetwork(NamedTuple):
    """A model's layers, the norm and the head after them, and the KV pool `[rows, D]` of each
    layer."""

    layers: List[DecoderLayer]  # noqa: UP006  (TorchScript)
    norm: Tensor
    head: Weight
    pools: List[Tensor]  # noqa: UP006


class SingleRowInputs(NamedTuple):
    """What rows that stand alone read: see `attention.SingleRows`.

    pattern: sparse `[n * heads, pool rows]`. mask: added to its values, flat. groups: views of its
    values, one score row a line. offsets int32 `[n * heads]`: where each score row begins.
    """

    pattern: Tensor
    mask: Tensor
    groups: List[Tensor]  # noqa: UP006
    offsets: Tensor


class Reading(NamedTuple):
    """What the rows [start, end) of one request read: pool rows, head by head; None: its own keys
    and values.

    mask float `[rows, tokens]`, None: each row sees itself and what came before. wanted: how many
    of its last rows the last layer needs; last: the mask of those, None when they see everything.
    """

    start: int
    end: int
    rows: Optional[Tensor]  # noqa: UP045
    mask: Optional[Tensor]  # noqa: UP045
    wanted: int
    last: Optional[Tensor]  # noqa: UP045


class FlatStep(NamedTuple):
    """A step, flat. For each row its token, its turn (complex `[M, 1, D / 2]`) and, in `places`,
    its pool rows.

    The first `alone` rows are single decodes, the rest belongs to `readings`. wanted: rows with
    logits; None: all.
    """

    tokens: Tensor
    turn: Tensor
    places: Tensor
    alone: int
    singles: Optional[SingleRowInputs]  # noqa: UP045
    readings: List[Reading]  # noqa: UP006
    wanted: Optional[Tensor]  # noqa: UP045


def unit(x: Tensor, floor: Tensor) -> Tensor:
    """x `[M, width]`, each row over its length."""
    return x / torch.hypot(torch.ops.aten.linalg_vector_norm(x, 2, [-1], True), floor)


def _states(x: Tensor, layer: DecoderLayer, step: FlatStep, sizes: NetworkSizes) -> Tensor:
    """`[M, heads + 2 * kv_heads, D]`: queries and keys, turned to their positions, and values."""
    # [M, heads + 2 * kv_heads, D]
    states = tiled_product(unit(x, sizes.floor), layer.qkv).view(
        x.size(0), sizes.heads + 2 * sizes.kv_heads, -1
    )
    turned = sizes.heads + sizes.kv_heads
    pairs = states[:, :turned].view(x.size(0), turned, -1, 2)  # [M, heads + kv_heads, D / 2, 2]
    norms = layer.head_norms
    if norms is not None:
        pairs.mul_(torch.rsqrt(pairs.square().mean([2, 3], True) + sizes.eps) * norms)
    torch.view_as_complex(pairs).mul_(step.turn)  # [M, heads + kv_heads, D / 2] times [M, 1, D / 2]
    return states


def _attend_alone(
    query: Tensor, pool: Tensor, singles: SingleRowInputs, sizes: NetworkSizes
) -> Tensor:
    """query `[n * heads, D]` -> what each reads, `[n * heads, D]`."""
    pattern = singles.pattern
    scores = pattern.values()  # [scores]
    scores.copy_(singles.mask)
    # [n * heads, D] times [D, pool rows], where the pattern has a place
    torch.ops.aten.sparse_sampled_addmm(
        pattern, query, pool.t(), beta=1.0, alpha=sizes.scale, out=pattern
    )
    for group in singles.groups:
        torch.softmax(group, -1, out=group)  # [rows * heads, width]
    values = pool[sizes.values_at :]  # [pool rows - values_at, D]
    # [n * heads, D]
    return torch.embedding_bag(
        values, pattern.col_indices(), singles.offsets, False, 0, False, scores
    )[0]


def _attend_span(
    query: Tensor,
    own: Tensor,
    pool: Tensor,
    rows: Optional[Tensor],  # noqa: UP045
    mask: Optional[Tensor],  # noqa: UP045
    causal: bool,
) -> Tensor:
    """query `[T, heads, D]`, own keys and values `[S, 2 * kv_heads, D]` -> `[T, heads, D]`."""
    kv_heads = own.size(1) // 2
    # [2 * kv_heads, S, D]
    if rows is None:
        kv = own.transpose(0, 1)
    else:
        kv = pool.index_select(0, rows).to(query.dtype).view(2 * kv_heads, -1, own.size(2))
    mixed: Tensor = torch.ops.aten.scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0),  # [1, heads, T, D]
        kv[:kv_heads].unsqueeze(0),  # [1, kv_heads, S, D]
        kv[kv_heads:].unsqueeze(0),  # [1, kv_heads, S, D]
        mask,
        0.0,
        causal,
        enable_gqa=query.size(1) != kv_heads,
    )
    return mixed[0].transpose(0, 1)  # [T, heads, D]


def _mix(
    states: Tensor, query: Tensor, pool: Tensor, step: FlatStep, sizes: NetworkSizes, last: bool
) -> Tensor:
    """What attention reads for every row of `query` `[M, heads, D]`: `[M, heads * D]`.

    last: the query holds the wanted rows only.
    """
    singles, alone = step.singles, step.alone
    if singles is not None and len(step.readings) == 0:
        return _attend_alone(query.reshape(-1, query.size(2)), pool, singles, sizes).view(alone, -1)
    mixed = torch.empty_like(query)  # [M, heads, D]
    if singles is not None:
        own = query[:alone].reshape(-1, query.size(2))  # [n * heads, D]
        mixed[:alone] = _attend_alone(own, pool, singles, sizes).view(alone, -1, query.size(2))
    kv, at = states[:, sizes.heads :], alone  # [rows, 2 * kv_heads, D]
    for span in step.readings:
        count = span.wanted if last else span.end - span.start
        if count > 0:
            mask = span.last if last else span.mask
            causal = not last and span.rows is None
            part = query[at : at + count]  # [T, heads, D]
            mixed[at : at + count] = _attend_span(
                part, kv[span.start : span.end], pool, span.rows, mask, causal
            )
            at += count
    return mixed.flatten(1)  # [M, heads * D]


def _feed_forward(x: Tensor, mixed: Tensor, layer: DecoderLayer, sizes: NetworkSizes) -> None:
    """x `[M, width]` takes in what attention read, and goes through the feed-forward part."""
    rows, begin = x.size(0), 0
    while begin < rows:
        end = begin + tile(rows - begin)
        part = x[begin:end]  # [m, width], m rows of a tile
        part.add_(product(mixed[begin:end], layer.out))  # [m, heads * D] -> [m, width]
        states = product(unit(part, sizes.floor), layer.gate_up)  # [m, 2 * inner]
        gate, up = states[:, : sizes.inner], states[:, sizes.inner :]  # [m, inner] each
        # [m, inner] -> [m, width]
        part.add_(product(torch.nn.functional.silu(gate).mul_(up), layer.down))
        begin = end


def _forward(
    embedding: Tensor, network: LlamaNetwork, step: FlatStep, sizes: NetworkSizes
) -> tuple[Tensor, Tensor]:
    """Stores the KV of all rows; for the wanted ones the states after the final norm, and the
    logits."""
    x = embedding.index_select(0, step.tokens)  # [M, width]
    wanted = step.wanted
    for index in range(len(network.layers)):
        layer, pool = network.layers[index], network.pools[index]
        states = _states(x, layer, step, sizes)  # [M, heads + 2 * kv_heads, D]
        query = states[:, : sizes.heads]  # [M, heads, D]
        kv = states[:, sizes.heads :]  # [M, 2 * kv_heads, D]
        if pool.dtype != kv.dtype:
            kv.copy_(kv.to(pool.dtype))  # what is not read from the pool is rounded as well
        # [M * 2 * kv_heads, D]
        pool.index_copy_(0, step.places, kv.reshape(-1, states.size(2)).to(pool.dtype))
        last = index + 1 == len(network.layers) and wanted is not None
        if last and wanted is not None:
            # [wanted, width], [wanted, heads, D]
            x, query = x.index_select(0, wanted), query.index_select(0, wanted)
        _feed_forward(x, _mix(states, query, pool, step, sizes, last), layer, sizes)
    hidden = unit(x, sizes.floor).mul_(network.norm)  # [wanted, width]
    return hidden, tiled_product(hidden, network.head)  # [wanted, width], [wanted, vocab]


forward = scripted(_forward)
