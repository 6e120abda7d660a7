"""What rounding the weights to int8 costs: `python -m reference_engine.benchmarks.quantization [--model waiter]`.

The model and the model rounded read the same held-out dialogues. Over the tokens that the waiter says: cross-entropy,
how often both find the same token likeliest, and how far their logits lie apart.
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_engine import oracle
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.quantized import quantized
from reference_engine.training.evaluate import held_out
from reference_engine.waiter.tokenizer import encode_dialogue


def said(model: Model, tokens: list[int], answered: Tensor) -> Tensor:
    """`[T, vocab]`: logits of the tokens that the waiter says. answered `[len(tokens)]`: which those are."""
    return oracle.logits(model, tokens)[:-1][answered[1:]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="waiter", help="the waiter, or the waiter in another shape")
    parser.add_argument("--dialogues", type=int, default=40)
    chosen = parser.parse_args()
    whole = load_model(chosen.model)
    rounded, losses, gaps, same, count = quantized(whole), torch.zeros(2, dtype=torch.float64), [], 0, 0
    for told in held_out(whole.tokenizer, chosen.dialogues, whole.config.positions):
        tokens, answers = encode_dialogue(whole.tokenizer, told)
        answered = torch.tensor(answers)
        due = torch.tensor(tokens)[answered]
        both = [said(model, tokens, answered) for model in (whole, rounded)]
        losses += torch.tensor([float(F.cross_entropy(each, due, reduction="sum")) for each in both])
        same += int((both[0].argmax(-1) == both[1].argmax(-1)).sum())
        gaps.append(float((both[0] - both[1]).abs().max()))
        count += len(due)
    stored = whole.bytes_a_weight, rounded.bytes_a_weight
    print(f"{chosen.model}, {chosen.dialogues} held-out dialogues, {count:,} tokens of answers")
    for name, size, loss in zip(("as it is", "int8"), stored, losses.tolist(), strict=True):
        print(f"  {name:<9} {size:.2f} bytes a weight, {loss / count:.5f} nats a token")
    print(f"  the same token likeliest {100 * same / count:.2f} %; logits at most {max(gaps):.2f} apart")


if __name__ == "__main__":
    main()
