"""How a sequence's KV is cut into splits, and which sequence a row of the step belongs to.

A *step* computes T rows of B sequences: sequence b owns rows starts[b] .. starts[b + 1] − 1, and
`lengths[b]` tokens of KV after the step's store. A split is a run of whole tiles; the device
functions here and the host's choice of the number of splits are shared by both attention kernels
and the kernel that combines their partial results.
"""

from __future__ import annotations

from reference_engine.kernels.runtime import Pointer, Scalar, cdiv, constexpr, jit, tl

WAVES = 2
MAX_SPLITS = 64


@jit
def sequence_of(
    starts: Pointer, batch: Scalar, unit: Scalar, TILE: constexpr, SPARE: constexpr
) -> Scalar:
    """The last b with starts[b] // TILE + b·SPARE ≤ unit, by bisection.

    With TILE = 1 and SPARE = 0, `unit` is a row and b its sequence. With SPARE = 1, `unit` numbers
    tiles of TILE rows, of which sequence b is given rows // TILE + 1, so that T // TILE + B
    programs cover any batch (vLLM's unified kernel).
    """
    low, high = 0, batch
    while high - low > 1:
        middle = (low + high) // 2
        if tl.load(starts + middle) // TILE + middle * SPARE <= unit:
            low = middle
        else:
            high = middle
    return low


@jit
def span_of(length: Scalar, splits: Scalar, TILE: constexpr) -> Scalar:
    """Tokens in each split of a sequence of `length` tokens: whole tiles, at least one."""
    return tl.maximum(tl.cdiv(tl.cdiv(length, TILE), splits), 1) * TILE


def choose_splits(programs: int, max_length: int, tile: int, multiprocessors: int) -> int:
    """How many splits fill the device: `WAVES` programs a multiprocessor, never less than one tile
    a split.

    `programs`: programs without splitting. `max_length`: the longest sequence the launch must
    serve; a captured graph serves any, so there it is the capacity of a block table.
    """
    wanted = WAVES * multiprocessors // max(programs, 1)
    return max(1, min(wanted, cdiv(max_length, tile), MAX_SPLITS))
