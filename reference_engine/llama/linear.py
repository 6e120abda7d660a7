"""A matrix product whose weight is laid out once, for the few rows of a decode step and the many of
a prefill.

With one row the product reads the weight once and a plain transposed matrix is fastest; with more,
oneDNN's own layout is: it needs no packing in each call, which is what makes the plain fp32 product
slow at 2 to 64 rows.

oneDNN prepares code for every number of rows that it meets, which takes longer than a small
product. `tile` therefore cuts many rows into pieces of few sizes, which are known after a few steps
and keep what is between two products in the processor's cache.
"""

from typing import NamedTuple

import torch
from torch import Tensor

PACKED_ROWS = 64
"""The row count that oneDNN lays the weight out for; others run on it as well."""
TURNED_LIMIT = 64 * 1024 * 1024
"""Weights with more numbers than this are held once only."""


class Weight(NamedTuple):
    """A weight `[out, in]` in up to two layouts; products of at most `rows` rows use `turned` =
    weight.T."""

    packed: Tensor
    turned: Tensor
    rows: int


def pack(weight: Tensor) -> Weight:
    """The layouts of `weight` `[out, in]`, fp32 on a CPU."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return Weight(torch.empty(0), weight.T.contiguous(), 1 << 62)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_ROWS)
    if weight.numel() > TURNED_LIMIT:
        return Weight(packed, torch.empty(0), 0)
    return Weight(packed, weight.T.contiguous(), 1)


def tile(rows: int) -> int:
    """How many of so many rows go through a product together."""
    return 128 if rows >= 128 else min(rows, 64)


def product(x: Tensor, weight: Weight) -> Tensor:
    """x `[M, in]` -> x @ weight.T `[M, out]`, M being one tile. Compiles as TorchScript."""
    if x.size(0) <= weight.rows:
        return torch.mm(x, weight.turned)
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight.packed, None, "none", [], "")
    return result


def tiled_product(x: Tensor, weight: Weight) -> Tensor:
    """The same for any M."""
    rows = x.size(0)
    if tile(rows) == rows:
        return product(x, weight)
    parts, begin = [product(x[: tile(rows)], weight)], tile(rows)  # [rows of a tile, out]
    while begin < rows:
        end = begin + tile(rows - begin)
        parts.append(product(x[begin:end], weight))
        begin = end
    return torch.cat(parts)  # [M, out]


class Linear:
    """A product with one weight, as a thing to call."""

    def __init__(self, weight: Tensor) -> None:
        """`weight` `[out, in]`."""
        self._weight = pack(weight)

    def __call__(self, x: Tensor) -> Tensor:
        """x `[M, in]` -> `[M, out]`."""
        return tiled_product(x, self._weight)
