"""What the device can do at most: a large copy, and a large matrix product on random data."""

from __future__ import annotations

import torch

from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.clock import device_seconds
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.roofline import Ceilings, Roof


def measure(target: DeviceSizes) -> tuple[Roof, Section]:
    """Both ceilings: bytes a second, read and written, of a copy, and operations a second of a bf16
    product.

    Both are measured again when a kernel or a step comes above them.
    """
    ceilings = _measured(target, target.repeats)
    row: Row = {"copy_tb_s": ceilings.bandwidth / 1e12, "bf16_tflop_s": ceilings.peak / 1e12}
    roof = Roof(ceilings, lambda: _measured(target, 3 * target.repeats))
    return roof, Section("ceilings", SectionOutcome.PASS, rows=(row,))


def _measured(target: DeviceSizes, repeats: int) -> Ceilings:
    """The least disturbed of so many samples each."""
    numbers, side = (1 << 12, 64) if target.dry else (1 << 31, 8192)
    source = torch.empty(numbers, dtype=torch.uint8, device=target.device).random_(0, 255)
    destination = torch.empty_like(source)
    left, right = (
        torch.randn(side, side, device=target.device, dtype=torch.bfloat16) for _ in range(2)
    )
    product = torch.empty_like(left)
    actions = (lambda _: destination.copy_(source), lambda _: torch.mm(left, right, out=product))
    copied, multiplied = (
        device_seconds(action, target.device, repeats=repeats, calls=4, of=min)
        for action in actions
    )
    return Ceilings(2 * side**3 / multiplied, 2 * numbers / copied)
