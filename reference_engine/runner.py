"""What the engine asks of the machine that holds weights and KV. One runner a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from reference_engine.batch import StepBatch, Tables
from reference_engine.sampler import argmax
from reference_engine.slots import Copy


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results for the rows that wanted them, in the order of the batch's spans.

    hidden `[R, width]`: after the final norm, what further heads read. logits `[R, vocab]`. Both
    are only valid until the runner's next call.
    """

    hidden: Tensor
    logits: Tensor

    def likeliest(self) -> list[int]:
        """Each row's likeliest token, the lowest among equals."""
        return argmax(self.logits)


class Runner(Protocol):
    """Weights and a paged KV pool on one device.

    Slot s of the pool is place s % block_size of block s // block_size.
    """

    tables: Tables

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, in order."""

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy the KV of slots `source` to slots `target`, all at once."""

    def forward(self, batch: StepBatch) -> Outcome:
        """Store the KV of every row of the batch, let each row attend to its request's KV up to
        itself."""
