"""Which runner serves a model: one for GPUs, the compiled one for CPUs, plain torch where there is no compiler."""

from __future__ import annotations

from reference_engine.model import Model
from reference_engine.runner import Runner


def make_runner(model: Model, *, num_blocks: int, block_size: int, seats: int, width: int) -> Runner:
    """The runner for the device that the model's weights are on. `width`: blocks that one table may hold."""
    if model.device.type != "cpu":
        from reference_engine.gpu.runner import GpuRunner

        return GpuRunner(model, num_blocks=num_blocks, block_size=block_size, seats=seats, width=width)
    from reference_engine.native.library import library

    if (compiled := library()) is not None:
        from reference_engine.native.runner import NativeRunner

        return NativeRunner(model, compiled, num_blocks=num_blocks, block_size=block_size, seats=seats, width=width)
    from reference_engine.llama.cpu_runner import CpuRunner

    return CpuRunner(model, num_blocks=num_blocks, block_size=block_size, seats=seats, width=width)
