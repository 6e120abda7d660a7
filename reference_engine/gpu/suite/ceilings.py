"""What the device can do at most: a large copy, and a large matrix product on random data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reference_engine.gpu.suite.card import Outcome, Row, Section
from reference_engine.gpu.suite.clock import device_seconds
from reference_engine.gpu.suite.room import Room


@dataclass(frozen=True, slots=True)
class Ceilings:
    """bandwidth: bytes a second, read and written, of a copy. peak: operations a second of a bf16 product."""

    bandwidth: float
    peak: float

    def floor(self, moved: float, operations: float = 0.0) -> float:
        """Seconds that work takes at least."""
        return max(moved / self.bandwidth, operations / self.peak)


def measure(room: Room) -> tuple[Ceilings, Section]:
    """Both ceilings."""
    numbers, side = (1 << 12, 64) if room.dry else (1 << 31, 8192)
    source = torch.empty(numbers, dtype=torch.uint8, device=room.device).random_(0, 255)
    target = torch.empty_like(source)
    copied = device_seconds(lambda _: target.copy_(source), room.device, repeats=room.repeats, calls=4)
    left, right = (torch.randn(side, side, device=room.device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(left)
    multiplied = device_seconds(
        lambda _: torch.mm(left, right, out=product), room.device, repeats=room.repeats, calls=4
    )
    ceilings = Ceilings(2 * numbers / copied, 2 * side**3 / multiplied)
    row: Row = {"copy_tb_s": ceilings.bandwidth / 1e12, "bf16_tflop_s": ceilings.peak / 1e12}
    return ceilings, Section("ceilings", Outcome.PASS, rows=(row,))
