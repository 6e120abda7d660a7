"""A decode step of a whole model against its roofline, over batch sizes.

step ≥ max((weight bytes + B·context·KV bytes) / bandwidth, 2·P·B / peak): reads and products may
overlap
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from reference_engine.batch import Span, StepBatch
from reference_engine.gpu import budget
from reference_engine.gpu.runner import DeviceOutcome, GpuRunner
from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.clock import wall_seconds
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import Model, random_model
from reference_engine.roofline import Ceilings, Roof, Work, weights_read

BLOCK = 16
STEPS = 20
"""Steps in one timing, each sent before the one before is read."""


def measure(target: DeviceSizes, roof: Roof) -> Section:
    """One row a model and batch size. host: the step with filling and sending; it is what an engine
    can reach."""
    rows: list[Row] = []
    for name, config in target.shapes.items():
        model = random_model(config, device=target.device, dtype=torch.bfloat16)
        for batch in target.pick((1, 4, 16, 64, 128, 256), (1, 3)):
            if target.left < 0:
                return Section("steps", SectionOutcome.SKIPPED, "no time left", tuple(rows))
            taken = _step(target, model, batch)
            if taken is None:
                continue
            work = step_work(config, batch, _context(target))
            roof.watch(work, taken, f"{name}, batch {batch}")
            floor = min(taken, roof.ceilings.seconds(work))
            row: Row = {"model": name, "batch": batch, "ms": taken * 1e3}
            rows.append(row | {"floor_ms": floor * 1e3, "of_roofline": floor / taken})
        del model
    target.notes.extend(map(str, roof.raised))
    return Section(
        "steps",
        SectionOutcome.PASS,
        f"decode steps at context {_context(target)}, bf16",
        tuple(rows),
    )


def step_work(config: LlamaConfig, batch: int, context: int) -> Work:
    """What a decode step of a bf16 model takes at least."""
    read = weights_read(config)
    return Work(
        2.0 * read * batch,
        2.0 * read + batch * context * budget.block_bytes(config, 1, torch.bfloat16),
    )


def roofline(config: LlamaConfig, batch: int, context: int, ceilings: Ceilings) -> float:
    """Seconds of it at least."""
    return ceilings.seconds(step_work(config, batch, context))


def _context(target: DeviceSizes) -> int:
    return 24 if target.dry else 1024


def _step(target: DeviceSizes, model: Model, batch: int) -> float | None:
    """Seconds of one step; None when the KV does not fit."""
    columns = -(-_context(target) // BLOCK)
    sizes = {
        "num_blocks": batch * columns + 1,
        "block_size": BLOCK,
        "seats": batch,
        "width": columns,
    }
    if target.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        runner = GpuRunner(model, **sizes)  # type: ignore[arg-type]
    except ValueError as refusal:
        target.notes.append(f"{model.name}, batch {batch}: {refusal}")
        return None
    for seat in range(batch):
        runner.tables.put(seat, range(1 + seat * columns, 1 + (seat + 1) * columns))
    rng = target.random("step", batch)
    tokens = [rng.randrange(model.config.vocab) for _ in range(batch)]
    first = StepBatch(
        tuple(Span(seat, _context(target) - 1, [token], 1) for seat, token in enumerate(tokens))
    )
    after = StepBatch(
        tuple(Span(seat, _context(target) - 1, [-seat - 1], 1) for seat in range(batch))
    )
    return wall_seconds(
        _many(target, runner, first, after), target.device, repeats=target.repeats
    ) / _steps(target)


def _many(
    target: DeviceSizes, runner: GpuRunner, first: StepBatch, after: StepBatch
) -> Callable[[], None]:
    """A run of steps, each reading its tokens from the one before on the device; warmed up."""

    def run() -> None:
        late: DeviceOutcome = runner.forward(first)
        for _ in range(_steps(target) - 1):
            outcome = runner.forward(after)
            late.said.read()
            late = outcome
        late.said.read()

    run()
    return run


def _steps(target: DeviceSizes) -> int:
    return 2 if target.dry else STEPS
