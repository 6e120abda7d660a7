"""Trains the waiter on a CPU: `python -m reference_engine.training.train`.

Each row of a batch is one dialogue that the model has never seen, in the end cut at the last
position only, so answers are learnt at every position behind the menu. What the waiter says weighs
more than what guests ask, which is drawn by chance. A run can be cut off and started again: it goes
on from its last snapshot.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from reference_engine.llama.config import LlamaConfig
from reference_engine.training.network import WAITER, Waiter, initialise
from reference_engine.training.run import load_snapshot, record, save_snapshot, update
from reference_engine.training.storage import save_checkpoint, write_json
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import KINDS, dialogue
from reference_engine.waiter.tokenizer import encode_dialogue, train_tokenizer

TURNS = 40
"""Enough questions for every dialogue to reach the last position."""


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """Steps that look alike: `rows` dialogues each, cut at `positions`, with or without the listing
    of the menu."""

    steps: int
    rows: int
    positions: int
    menu: bool
    kinds: tuple[str, ...] = KINDS


LOOKUPS = TrainingStage(
    steps=125, rows=32, positions=128, menu=False, kinds=("waiter", "table", "name")
)
SHORT = TrainingStage(steps=450, rows=32, positions=128, menu=False)
MIDDLE = TrainingStage(steps=125, rows=8, positions=512, menu=True)
WHOLE = TrainingStage(steps=725, rows=4, positions=1024, menu=True)


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """All that decides a run.

    Looking up who serves and where, hundreds of tokens back, is learnt late from whole documents:
    the one token that matters is lost among the others. So dialogues begin short and about nothing
    else, and grow once it is there. Row b of step s is the training dialogue of seed `first_seed +
    s * spacing + b`. narrow: the network computes in bf16, which not every processor is quick at;
    muon: so do the updates of its matrices.
    """

    shape: LlamaConfig = WAITER
    narrow: bool = True
    muon: bool = True
    stages: tuple[TrainingStage, ...] = (LOOKUPS, SHORT, MIDDLE, WHOLE)
    seed: int = 7
    first_seed: int = 1_000_000
    spacing: int = 32
    learning_rate: float = 2.5e-3
    warmup: int = 60
    decay: float = 0.4  # the share of the steps in which the learning rate falls
    weight_decay: float = 0.1
    clip: float = 1.0
    # weight of a token that the waiter does not say, against 1 for one that it does
    aside: float = 0.2

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def schedule(self) -> tuple[TrainingStage, ...]:
        """The stage of each step."""
        return tuple(stage for stage in self.stages for _ in range(stage.steps))

    def rate(self, step: int) -> float:
        """Learning rate of a step: up in a line, level, down in a line to nothing."""
        return self.learning_rate * min(
            1, (step + 1) / self.warmup, (self.steps - step) / (self.decay * self.steps)
        )


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """ids `[B, T + 1]` int64; said `[B, T]` bool: position t's next token is one that the waiter
    says."""

    ids: Tensor
    said: Tensor


@dataclass(frozen=True, slots=True)
class Score:
    """Of one batch: weighted loss in nats a token, and the share of answers with every token
    guessed right."""

    loss: Tensor
    answers: float


def draw(recipe: TrainingRecipe, step: int, tokenizer: Tokenizer) -> TrainingBatch:
    """The batch of a step; it depends on nothing else, so a resumed run sees the same."""
    stage = recipe.schedule()[step]
    seeds = range(
        recipe.first_seed + step * recipe.spacing,
        recipe.first_seed + step * recipe.spacing + stage.rows,
    )
    rows = [
        encode_dialogue(tokenizer, dialogue(seed, turns=TURNS, kinds=stage.kinds), stage.menu)
        for seed in seeds
    ]
    if min(len(ids) for ids, _ in rows) <= stage.positions:
        raise ValueError(
            f"a dialogue of {TURNS} turns ends before position {stage.positions}: raise TURNS"
        )
    ids = torch.tensor([ids[: stage.positions + 1] for ids, _ in rows])
    said = torch.tensor([said[1 : stage.positions + 1] for _, said in rows])
    return TrainingBatch(ids, said)


def score(network: Waiter, batch: TrainingBatch, aside: float, *, narrow: bool = True) -> Score:
    """Loss and look-up accuracy of a batch. narrow: the network runs in bf16."""
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        logits = network(batch.ids[:, :-1])
    targets = batch.ids[:, 1:]
    losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    weights = torch.where(batch.said.flatten(), 1.0, aside)
    right = logits.detach().argmax(-1) == targets
    return Score((losses * weights).sum() / weights.sum(), answers_right(right, batch.said))


def answers_right(right: Tensor, said: Tensor) -> float:
    """The share of runs of `said` within which everything is `right`; both `[B, T]` bool."""
    opens = said & ~F.pad(said, (1, 0))[:, :-1]
    numbers = opens.flatten().cumsum(0)[said.flatten()] - 1  # which answer a said token belongs to
    wrong = torch.zeros(int(opens.sum())).index_add_(0, numbers, (~right[said]).float())
    return float((wrong == 0).float().mean())


def optimisers(network: Waiter, recipe: TrainingRecipe) -> tuple[Optimizer, ...]:
    """Muon for the matrices of the layers, which learns rare associations in fewer tokens; AdamW
    for what is left."""
    matrices = [weight for weight in network.model.layers.parameters() if weight.dim() == 2]
    vectors = [weight for weight in network.parameters() if weight.dim() == 1]
    rest = [
        {"params": [network.model.embed_tokens.weight], "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if not recipe.muon:
        return (
            AdamW([{"params": matrices, "weight_decay": decay}, *rest], lr=rate, betas=(0.9, 0.95)),
        )
    return (
        Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        AdamW(rest, lr=rate, betas=(0.9, 0.95)),
    )


class TrainingRun:
    """A training run and its folder: snapshot.pt to go on from, log.jsonl to read."""

    def __init__(self, recipe: TrainingRecipe, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.folder = recipe, folder
        self.tokenizer = train_tokenizer()
        self.network = Waiter(recipe.shape)
        initialise(self.network, torch.Generator().manual_seed(recipe.seed))
        self.optimisers = optimisers(self.network, recipe)
        self.step, self.seconds = 0, 0.0
        self._resume()

    def advance(self) -> Score:
        """One step: draw, score, learn."""
        began = time.monotonic()
        batch = draw(self.recipe, self.step, self.tokenizer)
        result = score(self.network, batch, self.recipe.aside, narrow=self.recipe.narrow)
        torch.autograd.backward(result.loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        update(self.optimisers, self.recipe.rate(self.step))
        self.step += 1
        self.seconds += time.monotonic() - began
        return result

    @property
    def tokens(self) -> int:
        """Tokens seen so far."""
        return sum(stage.rows * stage.positions for stage in self.recipe.schedule()[: self.step])

    def snapshot(self) -> None:
        """Keeps everything that a resumed run needs."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
        }
        save_snapshot(self.folder, self.recipe, self.optimisers, state)

    def log(self, losses: list[float], answers: list[float]) -> None:
        """One line of means since the last."""
        line = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
            "loss": round(sum(losses) / len(losses), 4),
            "answers_right": round(sum(answers) / len(answers), 4),
        }
        print(json.dumps(line), flush=True)
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def record(self) -> dict[str, object]:
        """What the model card says about the run."""
        return {
            **record(self.recipe, self.seconds),
            "parameters": sum(weight.numel() for weight in self.network.parameters()),
            "dialogues": sum(stage.rows for stage in self.recipe.schedule()[: self.step]),
            "tokens": self.tokens,
        }

    def _resume(self) -> None:
        state = load_snapshot(self.folder, self.recipe, self.optimisers)
        if state is not None:
            self.step, self.seconds = state["step"], state["seconds"]
            self.network.load_state_dict(state["network"])


def train(run: TrainingRun, out: Path, *, log_every: int = 25, snapshot_every: int = 200) -> None:
    """Advances a run to its last step, then writes the checkpoint and training.json to `out`."""
    losses: list[float] = []
    answers: list[float] = []
    while run.step < run.recipe.steps:
        result = run.advance()
        losses.append(float(result.loss.detach()))
        answers.append(result.answers)
        if run.step % log_every == 0:
            run.log(losses, answers)
            losses, answers = [], []
        if run.step % snapshot_every == 0 or run.step == run.recipe.steps:
            run.snapshot()
    save_checkpoint(run.network, run.tokenizer, out)
    write_json(out / "training.json", run.record())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the waiter on this machine's CPU.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--work", type=Path, default=Path("build/waiter"), help="snapshots and log of the run"
    )
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="where the checkpoint goes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(TrainingRun(TrainingRecipe(), options.work), options.out)


if __name__ == "__main__":
    main()
