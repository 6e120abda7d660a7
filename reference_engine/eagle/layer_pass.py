"""One pass of EAGLE's layer over rows of several requests, in torch; `native.layer_pass` does the
same compiled.

Keys and values lie in slots as the engine's KV does, and so do features: of the tokens that are
known, and of the nodes of trees that grow. Whose slots they are say block tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reference_engine.eagle.layer import EagleLayer
from reference_engine.growing_trees import GrowingTrees, GrowthPlan, KeptTrees
from reference_engine.layer_rows import (
    FIRST,
    ROWS,
    SEAT,
    START,
    TREE,
    WANTED,
    Floats,
    Integers,
    LayerRows,
)
from reference_engine.slots import Copy


class TorchLayerPass:
    """See `LayerPass`. tables: int32 `[seats, blocks of a table]`; features: float32 `[slots,
    width]`."""

    def __init__(
        self, layer: EagleLayer, tables: np.ndarray, features: np.ndarray, block_size: int
    ) -> None:
        self._layer, self._tables, self._size = layer, tables, block_size
        self._features, config = torch.from_numpy(features), layer.config
        self._keys, self._values = (
            torch.empty(len(features), config.kv_heads, config.head_width) for _ in range(2)
        )

    def copy(self, copies: Sequence[Copy]) -> None:
        """See `LayerPass`."""
        for copy in copies:
            for pool in (self._keys, self._values):
                blocks = pool.view(-1, self._size, *pool.shape[1:])
                blocks[copy.dst] = blocks[copy.src]

    @torch.no_grad()
    def guess(self, rows: LayerRows, count: int) -> tuple[Integers, Floats]:
        """See `LayerPass`."""
        states, at = list[Tensor](), 0
        for span in rows.spans.tolist():
            states.append(self._read(rows, span, slice(at, at + span[ROWS])))
            at += span[ROWS]
        made = torch.cat(states)  # [wanted, width]
        self._features[torch.from_numpy(rows.at)] = made
        best = self._layer.logits(made).log_softmax(-1).topk(count)
        return best.indices.numpy(), best.values.clamp(max=0.0).numpy()

    def guess_on(self, trees: GrowingTrees, chosen: Integers) -> tuple[Integers, Floats]:
        """See `LayerPass`."""
        found = self.guess(trees.read_on(chosen), trees.count)
        trees.append(*found)
        return found

    def grow(self, trees: GrowingTrees, rows: LayerRows, plan: GrowthPlan, due: float) -> KeptTrees:
        """See `LayerPass`."""
        roots, kept = rows.tokens[rows.spans[:, ROWS].cumsum() - 1].tolist(), plan.size - 1
        trees.append(*self.guess(rows, plan.guesses))
        first, levels, began = 0, 0, time.perf_counter()
        for wide in plan.widths:
            chosen = trees.highest(first, wide)
            if trees.found >= kept:
                gained, useful = trees.gain(chosen, kept)
                if gained <= due or not useful:
                    break
                chosen = chosen[:, :useful]
            first, levels = trees.found, levels + 1
            self.guess_on(trees, chosen)
        return trees.keep(roots, plan.size, levels, time.perf_counter() - began)

    def _read(self, rows: LayerRows, span: Sequence[int], own: slice) -> Tensor:
        """The rows of one request; what the layer makes of the wanted ones, `[wanted, width]`."""
        end = span[START] + span[ROWS]
        slots = torch.from_numpy(self._slots(span[SEAT], end))  # [end]
        before = torch.from_numpy(rows.before[own])
        features = self._features[before].masked_fill((before < 0)[:, None], 0.0)
        x = self._layer.mixed(torch.from_numpy(rows.tokens[own]), features)  # [rows, width]
        places, seen = self._seen(rows, span)
        self._keys[slots[span[START] :]], self._values[slots[span[START] :]] = (
            self._layer.keys_values(x, places)
        )
        wanted = span[WANTED]
        query = self._layer.queries(x[-wanted:], places[-wanted:])  # [wanted, heads, D]
        read = F.scaled_dot_product_attention(
            query.transpose(0, 1)[None],
            self._keys[slots].transpose(0, 1)[None],  # [1, kv_heads, end, D]
            self._values[slots].transpose(0, 1)[None],
            seen[-wanted:],
            scale=1.0,
            enable_gqa=True,
        )
        return self._layer.states(x[-wanted:], read[0].transpose(0, 1).reshape(wanted, -1))

    def _seen(self, rows: LayerRows, span: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Where the rows of a span stand in their text `[rows]`, and what they see of it `[rows,
        end]`."""
        start, count, tree, first = span[START], span[ROWS], span[TREE], span[FIRST]
        root, end = start + count - tree, start + count
        seen = torch.arange(end) <= torch.arange(start, end)[:, None]
        places, nodes = torch.arange(start, end), slice(first + max(0, tree - count), first + tree)
        at = max(0, count - tree)  # row of the first node
        places[at:] = root + torch.from_numpy(rows.depths[nodes])
        seen[at:, root:] = torch.from_numpy(rows.mask[nodes, :tree])
        return places.clamp(max=self._layer.config.positions - 1), seen

    def _slots(self, seat: int, end: int) -> Integers:
        places = np.arange(end)
        return np.asarray(
            self._tables[seat, places // self._size].astype(np.int64) * self._size
            + places % self._size
        )
