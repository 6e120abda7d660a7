"""What fewer bits cost: `python -m reference_engine.benchmarks.quantization [--model waiter]`.

The runner that serves reads held-out dialogues, in fp32 and in every narrower way that this machine
has: each token is told, whatever was likeliest before it. Of each way: the mean negative
log-likelihood of a token that the waiter says, and of any token of the dialogue, in nats; and where
the token that it finds likeliest is the one of fp32.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_engine.arithmetic import Arithmetic
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.native.products import lacks
from reference_engine.quantized import quantized
from reference_engine.training.evaluate import held_out
from reference_engine.waiter.tokenizer import encode_dialogue

BLOCK_SIZE = 16
Dialogue = tuple[list[int], list[bool]]
"""Tokens, and for each whether the waiter says it."""


@dataclass(frozen=True, slots=True)
class Way:
    """model: with the weights of this way. arithmetic: of its products. kv_dtype: of its keys and
    values."""

    name: str
    model: Model
    arithmetic: Arithmetic = Arithmetic.FP32
    kv_dtype: KVDtype = KVDtype.FP32


@dataclass(frozen=True, slots=True)
class Loss:
    """Over so many tokens: nats in all; how often the likeliest was that of fp32; how far a logit
    lay off at most."""

    tokens: int = 0
    nats: float = 0.0
    same: int = 0
    apart: float = 0.0

    @classmethod
    def of(cls, logits: Tensor, exact: Tensor, due: Tensor) -> Loss:
        """logits, exact `[T, vocab]`: this way's and those of fp32. due `[T]`."""
        nats = float(F.cross_entropy(logits.double(), due, reduction="sum"))
        same = int((logits.argmax(-1) == exact.argmax(-1)).sum())
        return cls(len(due), nats, same, float((logits - exact).abs().max()))

    def __add__(self, other: Loss) -> Loss:
        apart = max(self.apart, other.apart)
        return Loss(
            self.tokens + other.tokens, self.nats + other.nats, self.same + other.same, apart
        )


def ways(name: str) -> list[Way]:
    """All that there are, fp32 first. Raises ModelError."""
    whole, half = load_model(name), load_model(name, dtype=torch.bfloat16)
    rounded = quantized(whole)
    return [
        Way("fp32", whole),
        Way("bf16 weights", half),
        Way("bf16 weights and products", half, Arithmetic.BF16),
        Way("int8 weights (q8_0)", rounded),
        Way("int8 weights (q8_0) and products", rounded, Arithmetic.INT8),
        Way("bf16 KV", whole, kv_dtype=KVDtype.BF16),
        Way("bf16 weights, products and KV", half, Arithmetic.BF16, KVDtype.BF16),
        Way("int8 weights and products, bf16 KV", rounded, Arithmetic.INT8, KVDtype.BF16),
    ]


def losses(tried: Sequence[Way], dialogues: Iterable[Dialogue]) -> list[tuple[Loss, Loss]]:
    """Of each way: over what the waiter says, and over all tokens. The others are held against the
    first."""
    readers = [Reader(way) for way in tried]
    found = [(Loss(), Loss())] * len(tried)
    for tokens, answers in dialogues:
        due, said = torch.tensor(tokens[1:]), torch.tensor(answers[1:])
        exact = readers[0].logits(tokens).clone()
        for index, reader in enumerate(readers):
            logits = reader.logits(tokens)
            spoken, every = found[index]
            of_answers = Loss.of(logits[said], exact[said], due[said])
            found[index] = spoken + of_answers, every + Loss.of(logits, exact, due)
    return found


class Reader:
    """The runner of one way, with room for one text."""

    def __init__(self, way: Way) -> None:
        width = -(-way.model.config.positions // BLOCK_SIZE)
        sizes = {"num_blocks": width + 1, "block_size": BLOCK_SIZE, "seats": 1, "width": width}
        self._runner = make_runner(
            way.model, **sizes, arithmetic=way.arithmetic, kv_dtype=way.kv_dtype
        )
        self._runner.tables.put(0, range(1, width + 1))

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """`[len(tokens) - 1, vocab]`: row t is about token t + 1. Valid until the next call."""
        return self._runner.forward(StepBatch((Span(0, 0, tokens[:-1], len(tokens) - 1),))).logits


def texts(model: Model, count: int) -> Iterator[Dialogue]:
    """Held-out dialogues that fit the model."""
    for told in held_out(model.tokenizer, count, model.config.positions):
        yield encode_dialogue(model.tokenizer, told)


def table(tried: Sequence[Way], found: Sequence[tuple[Loss, Loss]]) -> Iterator[str]:
    """In Markdown, fp32 beside each."""
    yield "| | bytes a weight | nats a token of answers | of all text | fp32's token is likeliest | logits apart |"
    yield "|---|---:|---:|---:|---:|---:|"
    exact = [loss.nats / loss.tokens for loss in found[0]]
    for way, both in zip(tried, found, strict=True):
        means = [loss.nats / loss.tokens for loss in both]
        nats = (f"{mean:.5f} (fp32 {due:.5f})" for mean, due in zip(means, exact, strict=True))
        same = ", ".join(f"{100 * loss.same / loss.tokens:.2f} %" for loss in both)
        yield f"| {way.name} | {way.model.bytes_a_weight:.2f} | {' | '.join(nats)} | {same} | {both[1].apart:.3f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", default="waiter", help="the waiter, or the waiter in another shape"
    )
    parser.add_argument("--dialogues", type=int, default=40)
    chosen = parser.parse_args(arguments)
    every = ways(chosen.model)
    tried = [way for way in every if not lacks(way.arithmetic)]
    found = losses(tried, texts(every[0].model, chosen.dialogues))
    spoken, whole = found[0]
    told = f"{chosen.dialogues} held-out dialogues, {spoken.tokens:,} tokens of answers, {whole.tokens:,} in all"
    print(f"{chosen.model}, {told}\n")
    for line in table(tried, found):
        print(line)
    for way in every:
        if lacking := lacks(way.arithmetic):
            print(f"\n{way.name}: not here, {lacking}")


if __name__ == "__main__":
    main()
