"""How near a token alone comes to reading what it has to read:
`python -m reference_engine.benchmarks.decode_floor [waiter@20m waiter@0.1b]`.

One request decodes. After each of the engine's steps as many threads read as many bytes as the step
had to (weights and KV) out of huge pages, and do nothing else: what the machine's memory is capable
of moves by half within seconds, so a round's share is of two neighbours. Both find their bytes
where the other has pushed them out of the cache.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from reference_engine.arithmetic import Arithmetic
from reference_engine.engine import Engine
from reference_engine.huge_pages import zeros
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.naive import parts
from reference_engine.native import library
from reference_engine.native.products import lacks
from reference_engine.quantized import quantized
from reference_engine.roofline import weights_read

BLOCK_SIZE = 16


@dataclass(frozen=True, slots=True)
class Way:
    """What weights, products and KV are."""

    name: str
    weights: str
    arithmetic: Arithmetic = Arithmetic.FP32
    kv_dtype: KVDtype = KVDtype.FP32

    def model(self, name: str) -> Model:
        """The model in these weights. Raises ModelError."""
        if self.weights == "q8_0":
            return quantized(load_model(name))
        return load_model(name, dtype=getattr(torch, self.weights))


WAYS = (
    Way("bf16", "bfloat16"),
    Way("bf16, products and KV too", "bfloat16", Arithmetic.BF16, KVDtype.BF16),
    Way("q8_0", "q8_0"),
    Way("q8_0, products in int8, KV in bf16", "q8_0", Arithmetic.INT8, KVDtype.BF16),
)


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of a step, and of a read of what it reads, one after the other."""

    step: float
    read: float

    @property
    def share(self) -> float:
        """Of the speed of reading."""
        return self.read / self.step


def measure(
    model: Model, way: Way, compiled: ctypes.CDLL, *, context: int, rounds: int, threads: int
) -> tuple[int, list[Round]]:
    """Bytes that a step reads in the middle of these rounds, and the rounds; the first two are for
    warmth."""
    config, every = model.config, context + rounds + 3
    engine = Engine(
        model,
        parts(),
        num_blocks=-(-every // BLOCK_SIZE) + 2,
        block_size=BLOCK_SIZE,
        max_seqs=1,
        arithmetic=way.arithmetic,
        kv_dtype=way.kv_dtype,
    )
    engine.add([1 + token % (config.vocab - 1) for token in range(context)], rounds + 3)
    engine.step()
    width = getattr(torch, way.kv_dtype.value).itemsize
    kept = 2 * config.layers * config.kv_heads * config.head_width * width
    size = int(model.bytes_a_weight * weights_read(config)) + kept * (context + rounds // 2)
    space = zeros(size // 4 // (1024 * threads) * 1024 * threads)
    taken = list[Round]()
    for _ in range(rounds + 2):
        began = time.perf_counter()
        engine.step()
        between = time.perf_counter()
        compiled.read_limit(space.data_ptr(), len(space), 1, threads)
        taken.append(Round(between - began, time.perf_counter() - between))
    return size, taken[2:]


def row(name: str, way: Way, size: int, taken: Sequence[Round]) -> str:
    """In Markdown: medians; of the shares the median and the middle half."""
    shares = sorted(each.share for each in taken)
    low, high = shares[len(shares) // 4], shares[-1 - len(shares) // 4]
    step, read = (
        statistics.median(times)
        for times in ([each.step for each in taken], [each.read for each in taken])
    )
    middle = statistics.median(shares)
    return (
        f"| {name} | {way.name} | {size / 1e6:,.0f} | {1e3 * step:.2f} | {1e3 * read:.2f} "
        f"| {middle:.2f} ({low:.2f}–{high:.2f}) |"
    )


def table(
    names: Sequence[str], compiled: ctypes.CDLL, *, context: int, rounds: int, threads: int
) -> Iterator[str]:
    """In Markdown, a row for each model in each way that this processor has."""
    yield "| model | weights | MB a step | step, ms | read, ms | share of reading |"
    yield "|---|---|---:|---:|---:|---:|"
    for name in names:
        for way in WAYS:
            if not lacks(way.arithmetic):
                sizes = {"context": context, "rounds": rounds, "threads": threads}
                yield row(name, way, *measure(way.model(name), way, compiled, **sizes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 2 where there is no compiled code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0].partition(":")[0])
    parser.add_argument("models", nargs="*", default=["waiter@20m", "waiter@0.1b"])
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args(arguments)
    compiled = library.library()
    if compiled is None:
        print(f"No compiled code reads here: {library.reason()}")
        return 2
    torch.set_num_threads(chosen.threads)
    sizes = {"context": chosen.context, "rounds": chosen.rounds, "threads": chosen.threads}
    print(f"after {chosen.context} tokens, {chosen.threads} threads, {chosen.rounds} rounds\n")
    for line in table(chosen.models, compiled, **sizes):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
