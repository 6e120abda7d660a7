"""What KV in bf16 gains as the context grows: `python -m reference_engine.benchmarks.kv_dtypes`.

A decode step of a model that does little but attend, with KV in fp32 and in bf16. Every round times
both at every context, who is first taking turns; a round's ratio is of two steps that ran one after
the other.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence

import torch

from reference_engine.benchmarks.context import DecodeSteps
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import random_model

CONTEXTS = "512,1024,2048,4096,8192"
Times = dict[KVDtype, list[float]]


def attending(heads: int, kv_heads: int, positions: int) -> LlamaConfig:
    """Four layers whose matrices are small beside the KV of a few hundred tokens."""
    return LlamaConfig(
        vocab=64,
        width=64,
        layers=4,
        heads=heads,
        kv_heads=kv_heads,
        head_width=64,
        inner=64,
        positions=positions,
    )


def measure(
    config: LlamaConfig, contexts: Sequence[int], *, batch: int, rounds: int
) -> dict[int, Times]:
    """Seconds of a step of each round, by context; the first round is for warmth."""
    model = random_model(config)
    steps = {each: DecodeSteps(model, contexts, batch=batch, kv_dtype=each) for each in KVDtype}
    taken: dict[int, Times] = {context: {each: [] for each in KVDtype} for context in contexts}
    for number in range(rounds + 1):
        order = list(KVDtype)[:: -1 if number % 2 else 1]
        for context in contexts:
            for each in order:
                taken[context][each].append(steps[each].seconds(context))
    return {
        context: {each: times[1:] for each, times in both.items()}
        for context, both in taken.items()
    }


def table(taken: dict[int, Times]) -> Iterator[str]:
    """In Markdown: medians, and of the rounds' ratios the median and the middle half."""
    yield "| context | fp32, µs | bf16, µs | fp32 over bf16 |"
    yield "|---:|---:|---:|---:|"
    for context, both in taken.items():
        whole, half = both[KVDtype.FP32], both[KVDtype.BF16]
        ratios = sorted(before / now for before, now in zip(whole, half, strict=True))
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        medians = " | ".join(f"{1e6 * statistics.median(each):,.0f}" for each in (whole, half))
        yield f"| {context:,} | {medians} | {statistics.median(ratios):.2f} ({low:.2f}–{high:.2f}) |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contexts", default=CONTEXTS)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    contexts = sorted({int(each) for each in chosen.contexts.split(",")})
    config = attending(chosen.heads, chosen.kv_heads, contexts[-1])
    taken = measure(config, contexts, batch=chosen.batch, rounds=chosen.rounds)
    told = f"{chosen.heads} heads, {chosen.kv_heads} of KV, {config.layers} layers, {chosen.batch} at a time"
    print(f"{told}, {chosen.threads} threads, {chosen.rounds} rounds\n")
    for line in table(taken):
        print(line)


if __name__ == "__main__":
    main()
