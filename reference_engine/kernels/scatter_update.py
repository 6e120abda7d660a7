"""Changes of a few cells of a table that stays on the device: block tables change in a block or two
a step.

    cells[where[i]] ← value[i]     for each i with where[i] ≥ 0, the indices distinct

Shapes: cells int32 [n]; where, value int32 [m]. Bytes moved: 12·m. Floor: the launch.
"""

from __future__ import annotations

from torch import Tensor

from reference_engine.kernels.runtime import Pointer, cdiv, constexpr, jit, on, require, tl

BLOCK = 128


@jit
def _patch(cells: Pointer, where: Pointer, value: Pointer, M: constexpr, BLOCK: constexpr) -> None:
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    at = tl.load(where + index, mask=index < M, other=-1)  # [BLOCK]
    tl.store(cells + at, tl.load(value + index, mask=index < M, other=0), mask=at >= 0)


def patch(cells: Tensor, where: Tensor, value: Tensor) -> None:
    """Write `value` [m] to `cells` [n] at `where` [m], all int32; a negative index is skipped.

    Raises KernelsUnavailable where kernels cannot run.
    """
    require(cells, where, value)
    if where.shape[0]:
        with on(cells.device):
            _patch[(cdiv(where.shape[0], BLOCK),)](
                cells, where, value, M=where.shape[0], BLOCK=BLOCK, num_warps=1
            )


def patch_torch(cells: Tensor, where: Tensor, value: Tensor) -> None:
    """The plain-torch twin of `patch`: same contract."""
    kept = where >= 0  # [m]
    cells[where[kept].long()] = value[kept]
