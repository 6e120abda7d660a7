"""Which runner serves a model: one for GPUs, the compiled one for CPUs, plain torch where there is
no compiler."""

from __future__ import annotations

from reference_engine.arithmetic import Arithmetic
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.native import library
from reference_engine.native.products import lacks
from reference_engine.runner import Runner


def make_runner(
    model: Model,
    *,
    num_blocks: int,
    block_size: int,
    seats: int,
    width: int,
    arithmetic: Arithmetic = Arithmetic.FP32,
    kv_dtype: KVDtype = KVDtype.FP32,
) -> Runner:
    """The runner for the device that the model's weights are on. `width`: blocks that one table may
    hold.

    Raises ValueError where there is no such `arithmetic` or `kv_dtype`.
    """
    if arithmetic is not Arithmetic.FP32 and (lacking := lacks(arithmetic, model.device.type)):
        raise ValueError(lacking)
    if lacking := kv_dtype.lacking(model.device.type):
        raise ValueError(lacking)
    if model.device.type != "cpu":
        from reference_engine.gpu.runner import GpuRunner

        return GpuRunner(
            model, num_blocks=num_blocks, block_size=block_size, seats=seats, width=width
        )
    sizes = {"num_blocks": num_blocks, "block_size": block_size, "seats": seats, "width": width}
    if (compiled := library.library()) is not None:
        from reference_engine.native.runner import NativeRunner

        return NativeRunner(model, compiled, **sizes, arithmetic=arithmetic, kv_dtype=kv_dtype)
    from reference_engine.llama.cpu_runner import CpuRunner

    return CpuRunner(model, **sizes, kv_dtype=kv_dtype)
