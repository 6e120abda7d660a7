"""The least time in which a trace can be served: bytes that must move, operations that must be done, on this machine.

A floor is a lower bound for any engine, so everything is counted in the engine's favour: weights are read once a step,
steps are as few as can be, a shared opening is computed once and its keys and values are read by nobody, of the last
layer tokens after which nothing is said need only keys and values, and both ceilings are the best of many tries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from graders.throughput.workloads import Trace
from reference_engine.llama.config import LlamaConfig

TRIES, READS = 12, 60
SIDE = 1024
SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
"""Of the products that are timed: which size a machine does best differs."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the machine can do at most. bandwidth: bytes a second, of a read as large as the weights. peak: operations
    a second of a matrix product in the race's dtype.
    """

    bandwidth: float
    peak: float


@dataclass(frozen=True, slots=True)
class Floor:
    """What serving one trace takes at least, and the larger of the two times it gives."""

    moved: float
    operations: float
    seconds: float


def ceilings(config: LlamaConfig, *, threads: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Ceilings:
    """Measured now, with so many threads; the best of some tries each."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        weights = torch.randn(max(1, config.parameters // SIDE), SIDE, device=device, dtype=dtype)
        column = torch.randn(SIDE, device=device, dtype=dtype)
        peak = max(_peak(side, device, dtype) for side in SIDES[torch.device(device).type])
        read = min(_best(work, device, READS) for work in (lambda: weights @ column, weights.sum))
    finally:
        torch.set_num_threads(before)
    return Ceilings(weights.numel() * weights.element_size() / read, peak)


def floor(trace: Trace, config: LlamaConfig, limits: Ceilings, *, tokens_a_step: int = 1, width: int = 4) -> Floor:
    """The floor of `trace`. tokens_a_step: that one request can get of one step (guesses). width: bytes a number."""
    borrowed = _borrowed(trace)
    prompts, context = _computed(trace, borrowed)
    asked = [request.max_new for request in trace.requests]
    tokens, said = prompts + sum(asked) - len(asked), sum(asked)
    operations = _operations(config, tokens, context, said, _context_of_said(trace))
    steps = -(-max(max(asked), -(-said // trace.max_seqs)) // tokens_a_step)
    weights = config.parameters - (0 if config.tied else config.width * config.vocab)
    decoded = 0
    for request, head in zip(trace.requests, borrowed, strict=True):
        own = len(request.prompt) - head
        decoded += sum(range(own, own + request.max_new - 1))
    keys = 2 * config.layers * config.keys * decoded / tokens_a_step
    moved = float(width) * (weights * steps + keys)
    return Floor(moved, operations, max(moved / limits.bandwidth, operations / limits.peak))


def _operations(config: LlamaConfig, tokens: int, context: int, said: int, context_of_said: int) -> float:
    """Of `tokens` that see `context` tokens in all, after `said` of which a token is said. These alone go through the
    whole last layer and the head."""
    weights = config.parameters - config.width * (1 + config.vocab * (1 if config.tied else 2))
    layer, keys = weights / config.layers, 2 * config.width * config.keys
    products = (
        layer * (config.layers - 1) * tokens + keys * tokens + (layer - keys + config.width * config.vocab) * said
    )
    return 2 * products + 4 * config.queries * ((config.layers - 1) * context + context_of_said)


def _context_of_said(trace: Trace) -> int:
    """The contexts of the tokens after which one is said, summed up."""
    return sum(sum(range(len(one.prompt), len(one.prompt) + one.max_new)) for one in trace.requests)


def _computed(trace: Trace, borrowed: Sequence[int]) -> tuple[int, int]:
    """Prompt tokens that someone must compute, and the contexts of all computed tokens summed up."""
    tokens = context = 0
    for request, head in zip(trace.requests, borrowed, strict=True):
        end = len(request.prompt) + request.max_new - 1
        tokens += len(request.prompt) - head
        context += (end * (end + 1) - head * (head + 1)) // 2
    return tokens, context


def _borrowed(trace: Trace) -> list[int]:
    """Of each request, the tokens its prompt begins with as an earlier one does; the last one is always computed."""
    known: set[int] = set()
    return [_known(request.prompt, known) if trace.cached else 0 for request in trace.requests]


def _known(prompt: tuple[int, ...], known: set[int]) -> int:
    """Tokens at the head of `prompt` that somebody had before; now all of its beginnings are known."""
    chain, borrowed = 0, 0
    for place, token in enumerate(prompt):
        chain = hash((chain, token))
        if borrowed == place < len(prompt) - 1 and chain in known:
            borrowed += 1
        known.add(chain)
    return borrowed


def _peak(side: int, device: str, dtype: torch.dtype) -> float:
    """Operations a second of a square product."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _best(lambda: left @ right, device)


def _best(work: Callable[[], object], device: str, tries: int = TRIES) -> float:
    """Seconds of the fastest of some tries."""
    times = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)
