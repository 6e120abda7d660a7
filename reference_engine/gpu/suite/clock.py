"""How long things take: on a GPU by events around replays of a captured run, on a CPU by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from statistics import median

import torch

Among = Callable[[Iterable[float]], float]
"""Which of several times counts: the median of them, or the least, where what could be at best is asked."""


def device_seconds(
    action: Callable[[int], object],
    device: torch.device,
    *,
    repeats: int,
    calls: int = 20,
    of: Among = median,
) -> float:
    """Seconds of one call of `action(i)`, launches apart; the median of `repeats`, or what `of`
    makes of them.

    On a GPU `calls` calls are captured in one graph and replayed. `i` counts them, so that an
    action may rotate its inputs and read nothing that a call before left in the cache.
    """
    if device.type != "cuda":
        return wall_seconds(lambda: action(0), device, repeats=repeats, of=of)
    for index in range(calls):
        action(index)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(calls):
            action(index)
    graph.replay()
    return of(_replay(graph) for _ in range(repeats)) / calls


def wall_seconds(
    action: Callable[[], object], device: torch.device, *, repeats: int, of: Among = median
) -> float:
    """Seconds of `action` and everything it started, by the host's clock; the median, after one run
    not counted."""
    action()
    seconds = []
    for _ in range(repeats):
        settle(device)
        began = time.perf_counter()
        action()
        settle(device)
        seconds.append(time.perf_counter() - began)
    return of(seconds)


def settle(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _replay(graph: torch.cuda.CUDAGraph) -> float:
    event: Callable[..., torch.cuda.Event] = torch.cuda.Event
    begun, ended = event(enable_timing=True), event(enable_timing=True)
    begun.record()
    graph.replay()
    ended.record()
    ended.synchronize()
    return float(begun.elapsed_time(ended)) / 1000.0
