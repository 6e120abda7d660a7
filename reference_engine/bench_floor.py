"""What this machine allows: the least time that any fp32 engine needs for a workload.

Two floors, of which the larger counts: the operations of all products over the peak that a large product reaches, and
the bytes that must be read (all weights once a step, and the KV of every decoded token's context) over the rate at
which memory of the weights' size is read. Nothing reaches both at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.linear import Linear
from reference_engine.slots import Request

SIDES = (256, 512, 1024, 2048)
"""Of the square products that are timed: which size a machine does best differs."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Operations and bytes a second, with as many threads as torch may use."""

    peak: float
    bandwidth: float


def measure_machine(config: LlamaConfig, repeats: int = 15) -> Machine:
    """The best of several runs: what disturbs only lengthens."""
    weights = torch.ones(_read(config))
    return Machine(max(_peak(side, repeats) for side in SIDES), 4 * len(weights) / _best(weights.sum, 10 * repeats))


def floor(config: LlamaConfig, requests: Sequence[Request], machine: Machine, shared: int = 0) -> float:
    """Seconds for these requests served at once; `shared`: tokens that all prompts open with, computed once."""
    saved = shared * (len(requests) - 1)
    prompts = sum(len(request.prompt) for request in requests) - saved
    outputs = sum(request.max_new for request in requests)
    head, keys = config.vocab * config.width, 2 * config.width * config.keys
    layer = (_read(config) - head) / config.layers
    unsaid = max(0, prompts - len(requests))  # of the last layer, keys and values will do for them
    operations = 2 * ((layer * (config.layers - 1) + keys) * unsaid + (layer * config.layers + head) * outputs)
    steps = max(request.max_new for request in requests)
    read = sum(sum(range(len(one.prompt), len(one.prompt) + one.max_new - 1)) for one in requests)
    numbers = _read(config) * steps + read * 2 * config.keys * config.layers
    return max(operations / machine.peak, 4 * numbers / machine.bandwidth)


def _read(config: LlamaConfig) -> int:
    """Numbers that a step reads of the weights: all but the embedding, of which it reads a row a token."""
    return config.parameters - (0 if config.tied else config.vocab * config.width)


def _peak(side: int, repeats: int) -> float:
    """Operations a second of a square product, by torch or by the engine."""
    x, weight = torch.randn(side, side), torch.randn(side, side)
    product = Linear(weight)
    return 2 * side**3 / min(_best(action, repeats) for action in (lambda: x @ weight, lambda: product(x)))


def _best(action: Callable[[], object], repeats: int) -> float:
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            began = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - began)
    return min(seconds)
