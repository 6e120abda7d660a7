"""What this machine can do at most, measured: `Ceilings` of a CPU or a GPU.

What disturbs a sample lengthens it, so only the least of many counts; and samples are short, so
that some fit between two interruptions however busy the machine is. All threads at once are
disturbed when any of them is, so one thread's best, times the cores, is a ceiling as well. The
kernels are the best there are: multiply-adds that wait for nothing, and plain reads
(`native/limits.h`); beside them, and where there is no compiled code, oneDNN's product with a
weight that was packed before, and MKL's, in the shapes of the model's own matrices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.linear import Linear
from reference_engine.native import library
from reference_engine.processor import processor
from reference_engine.roofline import Ceilings, weights_read

Clock = Callable[[], float]
Action = Callable[[], object]
Kernel = tuple[int, Action]
"""Something to time, and how many operations it does."""
TRIES, AGREE, SPREAD = 24, 3, 1.02
"""Samples of one kernel at least; so many must lie within so much of the least before it is believed."""
SHORTEST, LONGEST = 0.05, 0.25
"""Seconds that one kernel is sampled for at least, as what disturbs may last longer than many samples; and at most."""
FIRST, KEPT = 3, 1
"""Of several kernels: samples of each, after which so many of them are sampled further."""
ROUNDS = 30_000
"""Of multiply-adds in one sample: a tenth of a millisecond or so."""
OPERATIONS = 64_000_000
"""Of a product in one sample and thread: a millisecond or so."""
ROWS = (64, 256)
"""Of such a product: a step's, and a prefill's."""
SLICE, LEAST_READ, LARGEST = 1 << 22, 1 << 21, 1 << 27
"""Bytes: that a thread reads in one sample at most, and at least (again and again); of weights that
fit into no cache, beyond which all are read alike."""
PASSES = 24
"""Over all slices of the weights, within `LONGEST`; three at least."""
SIDES = (4096, 8192)
"""Of square products on a GPU."""


def measure(
    config: LlamaConfig,
    *,
    threads: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    width: float = 4,
    effort: int = 1,
    clock: Clock = time.perf_counter,
) -> Ceilings:
    """Measured now, with so many threads, in a second or two. width: bytes of a number of the
    weights, on a CPU. effort: how many times as many samples.
    """
    if device != "cpu":
        return _of_gpu(config, device, dtype, effort, clock)
    peak = measure_peak(config, threads=threads, effort=effort, clock=clock)
    with torch.inference_mode():
        return Ceilings(peak, _bandwidth(int(width * weights_read(config)), threads, effort, clock))


def measure_peak(
    config: LlamaConfig, *, threads: int, effort: int = 1, clock: Clock = time.perf_counter
) -> float:
    """Operations a second of a CPU: of all cores, if each does as well as one alone; or of all
    threads at once."""
    cores, every = min(threads, processor().cores), range(2 * len(ROWS) * len(_shapes(config)))
    with torch.inference_mode(), _threads(1):
        products = _products(config, 1, every)
        ahead = _ahead(products, effort, clock)
        alone = _fastest([*_multiply_adds(1), *(products[index] for index in ahead)], effort, clock)
    with torch.inference_mode(), _threads(threads):
        together = (
            [*_multiply_adds(threads), *_products(config, threads, ahead)] if threads > 1 else []
        )
        return max(cores * alone, _fastest(together, effort, clock))


def least(action: Action, *, effort: int = 1, clock: Clock = time.perf_counter) -> float:
    """Seconds of the least disturbed of many samples: of `TRIES`, and of more until some agree with
    the least."""
    taken, spent, best = list[float](), 0.0, float("inf")
    while (
        len(taken) < TRIES
        or spent < SHORTEST * effort
        or (sum(seconds <= SPREAD * best for seconds in taken) < AGREE and spent < LONGEST * effort)
    ):
        taken.append(_timed(action, clock))
        spent, best = spent + taken[-1], min(best, taken[-1])
    return best


def slices(
    actions: Sequence[Action], *, effort: int = 1, clock: Clock = time.perf_counter
) -> float:
    """Seconds of all of them in turn, had nothing disturbed any: the sum of each one's least over
    several passes."""
    best, begun = [float("inf")] * len(actions), clock()
    for made in range(PASSES * effort):
        if made >= 3 and clock() - begun > LONGEST * effort:
            break
        best = [
            min(before, _timed(action, clock)) for before, action in zip(best, actions, strict=True)
        ]
    return sum(best)


def _timed(action: Action, clock: Clock) -> float:
    began = clock()
    action()
    return clock() - began


def _ahead(kernels: Sequence[Kernel], effort: int, clock: Clock) -> list[int]:
    """Which are the fastest, after a first look at each."""
    rates = [
        done / min(_timed(action, clock) for _ in range(FIRST * effort)) for done, action in kernels
    ]
    return sorted(range(len(kernels)), key=lambda index: -rates[index])[:KEPT]


def _fastest(kernels: Sequence[Kernel], effort: int, clock: Clock) -> float:
    """Operations a second of the best of some kernels; 0 of none."""
    return max(
        (done / least(action, effort=effort, clock=clock) for done, action in kernels), default=0.0
    )


def _multiply_adds(threads: int) -> list[Kernel]:
    """Our own, where there is compiled code."""
    compiled = library.library()
    if compiled is None:
        return []
    done = compiled.compute_limit(ROUNDS, threads)
    return [(done, partial(compiled.compute_limit, ROUNDS, threads))]


def _shapes(config: LlamaConfig) -> list[tuple[int, int]]:
    """`[out, in]` of the model's matrices, and of one that any processor does well."""
    heads = config.queries + 2 * config.keys
    own = [(heads, config.width), (config.width, config.queries), (2 * config.inner, config.width)]
    return [*own, (config.width, config.inner), (512, 512)]


def _products(config: LlamaConfig, threads: int, wanted: Sequence[int]) -> list[Kernel]:
    """Products of rows with the model's matrices, or with as much of them as a sample has time for;
    by their places."""
    kernels = list[Kernel]()
    for index in wanted:
        rows, (wide, deep) = ROWS[index // 2 % len(ROWS)], _shapes(config)[index // 2 // len(ROWS)]
        deep = min(deep, 1024)
        wide = max(16, min(wide, OPERATIONS * threads // (2 * rows * deep)))
        x, weight = torch.randn(rows, deep), torch.randn(wide, deep)
        action = (
            partial(Linear(weight), x) if index % 2 else partial(torch.mm, x, weight.T.contiguous())
        )
        action()
        kernels.append((2 * rows * wide * deep, action))
    return kernels


def _bandwidth(size: int, threads: int, effort: int, clock: Clock) -> float:
    """Bytes a second of a read of so many bytes: of all threads at once; of what fits into a cache
    also of a core alone, times the cores.
    """
    cores = min(threads, processor().cores)
    cached = size <= processor().cache
    with _threads(threads):
        together = _read(size, threads, effort, clock, cached=cached)
    if threads == 1:
        return together
    with _threads(1):
        return max(
            together, (cores if cached else 1) * _read(size, 1, effort, clock, cached=cached)
        )


def _read(size: int, threads: int, effort: int, clock: Clock, *, cached: bool) -> float:
    """Bytes a second of a read of `size` bytes with so many threads: by our own kernel, or by
    torch's without it.

    What is cached is there when it is read again: one slice stands for all.
    """
    numbers, part = max(1024 * threads, size // 4), SLICE * threads // 4
    most = part if cached else max(LARGEST, 4 * processor().cache) // 4
    weights = torch.ones(min(numbers, most))
    parts, compiled = torch.split(weights, part), library.library()
    if compiled is None:
        return weights.nbytes / _pass([one.sum for one in parts], effort, clock)
    times = max(1, LEAST_READ * threads // weights.nbytes)
    reads = [
        partial(compiled.read_limit, one.data_ptr(), len(one), times, threads) for one in parts
    ]
    numbers = sum(int(read()) for read in reads)
    return 4 * numbers / _pass(reads, effort, clock)


def _pass(actions: Sequence[Action], effort: int, clock: Clock) -> float:
    """Seconds of all of them in turn."""
    if len(actions) == 1:
        return least(actions[0], effort=effort, clock=clock)
    return slices(actions, effort=effort, clock=clock)


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """So many for torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of_gpu(
    config: LlamaConfig, device: str, dtype: torch.dtype, effort: int, clock: Clock
) -> Ceilings:
    """Products and reads; the clock stops when the device is idle."""

    def waited(action: Action) -> Action:
        def run() -> None:
            action()
            torch.cuda.synchronize()

        return run

    kernels = list[Kernel]()
    for side in SIDES:
        left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        kernels.append((2 * side**3, waited(partial(torch.mm, left, right))))
    weights = torch.randn(max(1, weights_read(config) // 1024), 1024, device=device, dtype=dtype)
    column = torch.randn(1024, device=device, dtype=dtype)
    reads = [waited(lambda: weights @ column), waited(weights.sum)]
    read = min(least(action, effort=effort, clock=clock) for action in reads)
    return Ceilings(_fastest(kernels, effort, clock), weights.nbytes / read)
