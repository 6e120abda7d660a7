"""Trains the Medusa heads on the frozen waiter: `python -m reference_engine.training.train_heads`.

The heads learn from the model's own greedy text, its hidden states computed once: the answers of
dialogues that the waiter's training did not see, and text that runs on behind them. Then the tree
is chosen on further dialogues, and everything is measured on held-out ones
(`reference_engine.training.evaluate_heads`).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from reference_engine.medusa import HEADS
from reference_engine.medusa.heads import Heads, save_heads
from reference_engine.training.evaluate_heads import evaluate
from reference_engine.training.greedy_text import NONE, Positions, answers, continuations, joined
from reference_engine.training.network import Waiter
from reference_engine.training.run import record, update
from reference_engine.training.storage import load_network, write_json
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import dialogue
from reference_engine.waiter.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class HeadsRecipe:
    """All that decides a run. Dialogues are those of seeds `first_seed`, `first_seed + 1`, ..., in
    the training split.

    running_on: dialogues whose text is decoded for `beyond` tokens past the end of an answer. A
    guess of head h weighs `fading` ** (h - 1) in the loss: later heads are noisier and matter less.
    """

    heads: int = 4
    dialogues: int = 300
    running_on: int = 192
    beyond: int = 128
    first_seed: int = 50_000_000
    seed: int = 11
    epochs: int = 6
    rows: int = 1024
    learning_rate: float = 2e-3
    warmup: float = 0.05
    fading: float = 0.9


class Trainee(torch.nn.Module):
    """Heads that learn. They begin as the model's own head behind an empty residual block."""

    def __init__(self, network: Waiter, count: int) -> None:
        super().__init__()
        width = network.shape.width
        self.residual = torch.nn.Parameter(torch.zeros(count, width, width))
        self.project = torch.nn.Parameter(
            network.model.embed_tokens.weight.detach().clone().repeat(count, 1, 1)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """`[R, width]` -> `[H, R, vocab]`."""
        states = F.silu(hidden @ self.residual.transpose(1, 2)) + hidden
        return states @ self.project.transpose(1, 2)

    def heads(self) -> Heads:
        """As they will be stored: rounded to bf16."""
        return Heads(
            self.residual.detach().bfloat16().float(), self.project.detach().bfloat16().float()
        )


def learn(network: Waiter, text: Positions, recipe: HeadsRecipe) -> Heads:
    """Trained heads."""
    torch.manual_seed(recipe.seed)
    trainee = Trainee(network, recipe.heads)
    optimiser = torch.optim.AdamW(
        trainee.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    steps = recipe.epochs * (len(text) // recipe.rows)
    weights = torch.tensor([recipe.fading**head for head in range(recipe.heads)])
    chance, order, losses = (
        torch.Generator().manual_seed(recipe.seed),
        torch.empty(0, dtype=torch.long),
        list[float](),
    )
    for step in range(steps):
        if len(order) < recipe.rows:
            order = torch.randperm(len(text), generator=chance)
        batch, order = order[: recipe.rows], order[recipe.rows :]
        loss = _loss(trainee(text.hidden[batch]), text.targets[batch], weights)
        torch.autograd.backward(loss)
        rate = min(1.0, (step + 1) / (recipe.warmup * steps), 1.02 - step / steps)
        update([optimiser], recipe.learning_rate * rate)
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"step {step + 1} of {steps}: loss {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
    return trainee.heads()


def collect(
    network: Waiter, tokenizer: Tokenizer, recipe: HeadsRecipe, checkpoint: Path
) -> Positions:
    """What the heads learn from."""
    seeds = range(recipe.first_seed, recipe.first_seed + recipe.dialogues)
    text = answers(network, tokenizer, seeds, "train", recipe.heads)
    if not recipe.running_on:
        return text
    return joined(
        [text, continuations(network, _run_on(tokenizer, recipe, checkpoint), recipe.heads)]
    )


def _run_on(
    tokenizer: Tokenizer, recipe: HeadsRecipe, checkpoint: Path
) -> list[tuple[list[int], list[int]]]:
    """(prompt, greedy text) that does not stop at the end of an answer, decoded by the engine."""
    from reference_engine.engine import Engine
    from reference_engine.model_loader import load_model
    from reference_engine.slots import Request

    first = recipe.first_seed + recipe.dialogues
    prompts = [
        tokenizer.encode(dialogue(seed, "train").prompt(seed % 8)).ids
        for seed in range(first, first + recipe.running_on)
    ]
    blocks = 1 + sum(-(-(len(prompt) + recipe.beyond) // 16) for prompt in prompts)
    engine = Engine(load_model(checkpoint), num_blocks=blocks, max_seqs=64, token_budget=2048)
    requests = [Request(index, prompt, recipe.beyond) for index, prompt in enumerate(prompts)]
    return list(zip(prompts, engine.generate(requests), strict=True))


def _loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """logits `[H, R, vocab]`, targets `[R, H]`; the mean over heads, NONE left out."""
    losses = torch.stack(
        [
            F.cross_entropy(each, target, ignore_index=NONE)
            for each, target in zip(logits, targets.T, strict=True)
        ]
    )
    return (losses * weights).sum() / weights.sum()


def main() -> None:
    """The command line."""
    recipe = HeadsRecipe()
    parser = argparse.ArgumentParser(
        description="Train the Medusa heads of the waiter on this machine's CPU."
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--checkpoint", type=Path, default=CHECKPOINT, help="the model that the heads sit on"
    )
    parser.add_argument("--out", type=Path, default=HEADS, help="where the heads go")
    parser.add_argument("--dialogues", type=int, default=recipe.dialogues)
    parser.add_argument("--running-on", type=int, default=recipe.running_on)
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = HeadsRecipe(
        dialogues=options.dialogues, running_on=options.running_on, epochs=options.epochs
    )
    began = time.monotonic()
    network, tokenizer = load_network(options.checkpoint), load_tokenizer(options.checkpoint)
    text = collect(network, tokenizer, recipe, options.checkpoint)
    print(f"{len(text)} places of greedy text after {time.monotonic() - began:.0f} s", flush=True)
    save_heads(learn(network, text, recipe), options.out)
    told = {**record(recipe, time.monotonic() - began), "places": len(text)}
    write_json(options.out / "training.json", told)
    print(told["minutes"], "minutes")
    evaluate(options.checkpoint, options.out, write=True)


if __name__ == "__main__":
    main()
