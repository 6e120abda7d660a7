"""What EAGLE's layer reads in a pass: rows of several requests, whose keys, values and features lie
in slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
SEAT, START, ROWS, WANTED, TREE, FIRST = range(6)
"""Columns of `LayerRows.spans`, in the order of the compiled pass."""


@dataclass(slots=True)
class LayerRows:
    """What the layer reads in a pass, a span of rows for each request.

    spans: int32 `[B, 6]`, see `batch.Span`: seat, KV place of the first row, rows, how many of the
    last of them are to be guessed after, nodes of the tree that ends with these rows, and its node
    0 among those of all trees. A tree may have more nodes than there are rows: the others were read
    in passes before. tokens `[R]`; before `[R]`: the slot of the feature of the place before each,
    -1: there is none. at `[wanted]`: the slots in which what the layer makes of them is kept.
    depths int32 `[B * N]`, mask bool `[B * N, N]`: of the trees.
    """

    spans: np.ndarray[Any, np.dtype[np.int32]]
    tokens: Integers
    before: Integers
    at: Integers
    depths: np.ndarray[Any, np.dtype[np.int32]]
    mask: np.ndarray[Any, np.dtype[np.bool_]]
