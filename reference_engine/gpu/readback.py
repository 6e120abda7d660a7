"""Tokens on their way back: copied while the device goes on, read when the host wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class StepTokens:
    """The likeliest tokens of a step's rows. They can be read until the step after the next is
    sent.

    rows: which of the copied tokens, in order; None: all of them.
    """

    copied: Tensor
    done: torch.cuda.Event | None
    rows: Sequence[int] | None = None

    def at(self, rows: Sequence[int]) -> StepTokens:
        """These rows alone."""
        return StepTokens(self.copied, self.done, rows)

    def read(self) -> list[int]:
        """The tokens; waits until the step that said them is done, and for no later one."""
        if self.done is not None:
            self.done.synchronize()
        tokens = [int(token) for token in self.copied.tolist()]
        return tokens if self.rows is None else [tokens[row] for row in self.rows]


class Readback:
    """Host buffers for `said` int64 [R], used in turn."""

    def __init__(self, said: Tensor) -> None:
        self._said, self._on_gpu = said, said.device.type == "cuda"
        shape = (IN_FLIGHT, len(said))
        self._hosts = torch.zeros(shape, dtype=torch.int64, pin_memory=self._on_gpu)
        event: Callable[[], torch.cuda.Event] = torch.cuda.Event
        self._done = [event() if self._on_gpu else None for _ in range(IN_FLIGHT)]
        self._turn = 0

    def send(self, count: int) -> StepTokens:
        """Begin to copy the first `count` tokens, in stream order."""
        copied, done = self._hosts[self._turn][:count], self._done[self._turn]  # [count]
        self._turn = (self._turn + 1) % IN_FLIGHT
        copied.copy_(self._said[:count], non_blocking=True)
        if done is not None:
            done.record()
        return StepTokens(copied, done)
