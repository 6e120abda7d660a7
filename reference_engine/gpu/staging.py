"""A step's numbers on their way to the device: laid out once a size, filled by the host, sent in
one copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
T = TypeVar("T")
ALIGNED = 32
"""Fields begin at multiples of this many int32, so that kernels find their pointers aligned."""
IN_FLIGHT = 2
"""Host buffers of one size: one may be read by a copy under way while the next step is being written."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one captured step holds: rows, sequences, rows that want logits, changed cells of the
    block tables."""

    rows: int
    batch: int
    wanted: int
    patches: int


@dataclass(frozen=True, slots=True)
class Fields(Generic[T]):
    """The int32 fields of a step.

    tokens, positions, slots [rows]; starts [batch + 1]; lengths, seats, trees [batch]; wanted
    [wanted]: row numbers; where, block [patches]: changed cells of the flat block tables.
    """

    tokens: T
    positions: T
    slots: T
    starts: T
    lengths: T
    seats: T
    trees: T
    wanted: T
    where: T
    block: T


class Staging:
    """Buffers of one size. `host` is to be filled, then `send` makes it what `device` holds.

    Where there is no CUDA, host buffers are ordinary memory and a copy is done when it returns.
    """

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size = size
        bounds, total = _layout(size)
        self._pinned = device.type == "cuda"
        self._buffers = [
            torch.zeros(total, dtype=torch.int32, pin_memory=self._pinned) for _ in range(IN_FLIGHT)
        ]
        # each buffer is [total]; its fields are views, as long as `Fields` says
        self._hosts = [_views(buffer.numpy(), bounds) for buffer in self._buffers]
        self._sent: list[torch.cuda.Event | None] = [None] * IN_FLIGHT
        self._turn = 0
        self._all = torch.zeros(total, dtype=torch.int32, device=device)  # [total]
        self.device: Fields[Tensor] = _views(self._all, bounds)

    @property
    def host(self) -> Fields[Array]:
        """The fields to fill for the next `send`; waits until an earlier copy from them is done."""
        sent = self._sent[self._turn]
        if sent is not None:
            sent.synchronize()
        return self._hosts[self._turn]

    def send(self) -> None:
        """Copy the filled fields to the device, in stream order."""
        self._all.copy_(self._buffers[self._turn], non_blocking=True)
        if self._pinned:
            event: Callable[[], torch.cuda.Event] = torch.cuda.Event
            sent = self._sent[self._turn] or event()
            sent.record()
            self._sent[self._turn] = sent
        self._turn = (self._turn + 1) % IN_FLIGHT


def _layout(size: Size) -> tuple[list[tuple[int, int]], int]:
    """(first, last + 1) of each field, and the length of all."""
    # in the order of `Fields`: rows, starts, batch, wanted, patches
    lengths = (
        [size.rows] * 3 + [size.batch + 1] + [size.batch] * 3 + [size.wanted] + [size.patches] * 2
    )
    bounds, at = [], 0
    for length in lengths:
        bounds.append((at, at + length))
        at += -(-length // ALIGNED) * ALIGNED
    return bounds, at


def _views(buffer: Any, bounds: list[tuple[int, int]]) -> Fields[Any]:
    return Fields(*(buffer[first:last] for first, last in bounds))
