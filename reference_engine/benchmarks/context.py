"""What a decode step costs as the context grows: `python -m reference_engine.benchmarks.context
[--model random:5m]`.

A step reads every key and value of its context once, so its cost is a straight line: weights, and
so much a token. Each context is timed many times, all contexts in turn, and the least counts. Shown
beside each: how far it lies from the line through all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from reference_engine.arithmetic import Arithmetic
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.config import SHAPES
from reference_engine.model import Model, random_model
from reference_engine.model_loader import load_model

BLOCK_SIZE = 16


@dataclass(frozen=True, slots=True)
class Line:
    """start: seconds of a step without a context. slope: more for each token of it."""

    start: float
    slope: float

    @classmethod
    def through(cls, costs: dict[int, float]) -> Line:
        """The line whose relative distances from all costs have the least squares."""
        weights = {context: seconds**-2 for context, seconds in costs.items()}
        total = sum(weights.values())
        middle = sum(weights[each] * each for each in costs) / total
        level = sum(weights[each] * costs[each] for each in costs) / total
        spread = sum(weights[each] * (each - middle) ** 2 for each in costs)
        slope = (
            sum(weights[each] * (each - middle) * costs[each] for each in costs) / spread
            if spread
            else 0.0
        )
        return cls(level - slope * middle, slope)

    def off(self, context: int, seconds: float) -> float:
        """How far a cost lies from the line, as a share of it."""
        due = self.start + self.slope * context
        return seconds / due - 1


class DecodeSteps:
    """Decode steps of `batch` requests at any of these contexts. The KV holds zeros."""

    def __init__(
        self,
        model: Model,
        contexts: Sequence[int],
        *,
        batch: int = 1,
        arithmetic: Arithmetic = Arithmetic.FP32,
        kv_dtype: KVDtype = KVDtype.FP32,
    ) -> None:
        width = -(-max(contexts) // BLOCK_SIZE)
        sizes = {
            "num_blocks": batch * width + 1,
            "block_size": BLOCK_SIZE,
            "seats": batch,
            "width": width,
        }
        self._runner = make_runner(model, **sizes, arithmetic=arithmetic, kv_dtype=kv_dtype)
        for seat in range(batch):
            self._runner.tables.put(seat, list(range(1 + seat * width, 1 + (seat + 1) * width)))
        self._steps = {
            each: StepBatch(tuple(Span(seat, each - 1, [1], 1) for seat in range(batch)))
            for each in contexts
        }

    def seconds(self, context: int, clock: Callable[[], float] = time.perf_counter) -> float:
        """Of one step."""
        began = clock()
        self._runner.forward(self._steps[context])
        return clock() - began


def measure(
    model: Model,
    contexts: Sequence[int],
    *,
    batch: int = 1,
    rounds: int = 20,
    arithmetic: Arithmetic = Arithmetic.FP32,
    kv_dtype: KVDtype = KVDtype.FP32,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Seconds of a decode step of `batch` requests at each context, the least of `rounds`. The KV
    holds zeros."""
    steps = DecodeSteps(model, contexts, batch=batch, arithmetic=arithmetic, kv_dtype=kv_dtype)
    least = dict.fromkeys(contexts, float("inf"))
    for _ in range(rounds):
        for context in contexts:
            least[context] = min(least[context], steps.seconds(context, clock))
    return least


def model_for(name: str, positions: int) -> Model:
    """The model, whose context goes so far: of a random one that is changed, of others it is not."""
    shape = name.removeprefix("random:")
    if shape != name and shape in SHAPES:
        config = replace(SHAPES[shape], positions=max(positions, SHAPES[shape].positions))
        return random_model(config, dtype=torch.bfloat16)
    return load_model(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", default="random:5m", help="random:<shape>, in bf16; or as everywhere"
    )
    parser.add_argument("--contexts", default="256,512,1024,2048,4096,8192")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--arithmetic", choices=[each.value for each in Arithmetic], default=Arithmetic.FP32.value
    )
    parser.add_argument(
        "--kv-dtype", choices=[each.value for each in KVDtype], default=KVDtype.FP32.value
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    contexts = sorted({int(each) for each in chosen.contexts.split(",")})
    model = model_for(chosen.model, contexts[-1])
    arithmetic, kv_dtype = Arithmetic(chosen.arithmetic), KVDtype(chosen.kv_dtype)
    sizes = {"batch": chosen.batch, "rounds": chosen.rounds}
    costs = measure(model, contexts, **sizes, arithmetic=arithmetic, kv_dtype=kv_dtype)
    line = Line.through(costs)
    moved = 2 * kv_dtype.bytes * model.config.layers * model.config.keys * chosen.batch
    told = f"products in {arithmetic.value}, KV in {kv_dtype.value}"
    print(f"{model.name}, {chosen.batch} at a time, {chosen.threads} threads, {told}")
    for context, seconds in costs.items():
        print(
            f"  {context:>6} tokens {1e3 * seconds:9.3f} ms, {line.off(context, seconds):+.1%} off the line"
        )
    read = moved / line.slope / 1e9 if line.slope > 0 else 0.0
    print(f"  {1e6 * line.slope:.3f} µs a token of context, {read:.1f} GB/s of KV")


if __name__ == "__main__":
    main()
