"""Trains EAGLE's layer on the frozen waiter: `python -m reference_engine.training.train_eagle`.

It learns from the waiter's answers in dialogues of the corpus and from text that the waiter made
itself, greedily and at temperature 1: there from all of it, what it makes its guests say as well,
since it goes on with that where nobody ends an answer. There is no loss on features, only on
tokens, over several guesses one after the other, each of them made from what the layer made of the
place before: what happens when it is used happens in training (EAGLE-3's training-time test). Then
everything is measured on held-out answers (`reference_engine.training.evaluate_eagle`).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.optim import AdamW, Optimizer

from reference_engine.eagle import LAYER
from reference_engine.eagle.layer import EagleLayer, save_layer
from reference_engine.llama.config import LlamaConfig
from reference_engine.model_loader import load_model
from reference_engine.sampler import Sampling
from reference_engine.training.greedy_text import Text
from reference_engine.training.network import Waiter
from reference_engine.training.run import load_snapshot, record, save_snapshot, update
from reference_engine.training.storage import load_network, write_json
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import dialogue
from reference_engine.waiter.tokenizer import encode_dialogue, load_tokenizer

TURNS = 40


@dataclass(frozen=True, slots=True)
class EagleRecipe:
    """All that decides a run.

    told: dialogues of the corpus, of seeds `first_seed`, `first_seed + 1`, ..., in the training
    split. own: texts that the waiter goes on with for `beyond` tokens, every other one greedily and
    at temperature 1. guesses: made one after the other from each place; the n-th weighs `fading` **
    n. sharp: how much of the target is the likeliest token, the rest is the waiter's distribution.
    texts: of one update, of each of them at most so many `places`, drawn from the seed.
    """

    told: int = 150
    own: int = 1000
    beyond: int = 192
    first_seed: int = 70_000_000
    first_own: int = 70_000_450
    seed: int = 11
    guesses: int = 6
    fading: float = 0.9
    sharp: float = 0.5
    texts: int = 2
    places: int = 128
    learning_rate: float = 4e-3
    warmup: float = 0.02

    @property
    def steps(self) -> int:
        """Updates of the weights; every text is read once."""
        return (self.told + self.own) // self.texts

    def rate(self, step: int) -> float:
        """The learning rate of a step: up, level, and down to 0."""
        share = (step + 1) / self.steps
        return self.learning_rate * min(1.0, share / self.warmup, 2.0 * (1.0 - share) + 1e-3)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One text as the layer reads it.

    tokens int64 `[T]`; features `[T, width]`, those of the place before; logits `[T, vocab]` of the
    large model after each place; roots int64 `[R]`: places from which guesses start; ends int64
    `[R]`: where the answer of each ends.
    """

    tokens: Tensor
    features: Tensor
    logits: Tensor
    roots: Tensor
    ends: Tensor


class Muon32(Optimizer):
    """Muon in float32: torch's own computes in bf16, which takes most processors ten times as long.

    A step is the momentum made orthogonal by five Newton-Schulz steps, as large as one of AdamW's
    (Keller Jordan, 2024; Liu et al., arXiv 2502.16982).
    """

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                held = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                held.lerp_(weight.grad, 1 - group["momentum"])
                update = _orthogonal(weight.grad.lerp(held, group["momentum"]))
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(update, alpha=-0.2 * group["lr"] * max(weight.shape) ** 0.5)


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix whose rows, or columns, are orthonormal, roughly."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    orthogonal: Tensor = x.T if tall else x
    return orthogonal


class EagleTrainee(torch.nn.Module):
    """A layer that learns. It begins as the large model's last one, which reads the feature alone."""

    def __init__(self, network: Waiter, config: LlamaConfig, seed: int) -> None:
        super().__init__()
        generator, weights = torch.Generator().manual_seed(seed), network.state_dict()
        self.config, self.embedding = config, network.model.embed_tokens.weight.detach()
        self.held = torch.nn.ParameterList()
        self.names = list(EagleLayer.shapes(config))
        last = f"model.layers.{config.layers - 1}."
        for name, shape in EagleLayer.shapes(config).items():
            source = weights.get(name.replace("layers.0.", last), weights.get(f"model.{name}"))
            if source is None:
                source = torch.ones(shape)
            if name == "fc.weight":
                source = torch.randn(shape, generator=generator) * shape[1] ** -0.5
            self.held.append(torch.nn.Parameter(source.clone()))

    def layer(self) -> EagleLayer:
        """As it is now; gradients flow to what is held."""
        return EagleLayer(
            dict(zip(self.names, self.held, strict=True)),
            self.config,
            self.embedding,
            self.embedding,
        )

    def optimisers(self, rate: float) -> tuple[Optimizer, ...]:
        """Muon for matrices, AdamW for norms, as for the waiter itself."""
        matrices = [weight for weight in self.held if weight.dim() == 2]
        vectors = [weight for weight in self.held if weight.dim() == 1]
        return (
            Muon32(matrices, rate),
            AdamW(vectors, lr=rate, betas=(0.9, 0.95), weight_decay=0.0),
        )


def guesses(layer: EagleLayer, lesson: Lesson, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(states `[R, width]`, places `[R]`) of `count` guesses after each root, each made from the
    guess before.

    A guess sees the text up to its root and the places in between as the layer made them.
    """
    roots, places = lesson.roots, torch.arange(len(lesson.tokens))
    x = layer.mixed(lesson.tokens, lesson.features)
    key, value = layer.keys_values(x, places)  # [T, kv_heads, D]
    unseen = places > roots[:, None]  # [R, T]
    x, states, own = x[roots], lesson.features, list[tuple[Tensor, Tensor]]()
    for number in range(count):
        at = (roots + number).clamp(max=len(lesson.tokens) - 1)
        if number:
            x = layer.mixed(lesson.tokens[at], states)
            own.append(layer.keys_values(x, at))
        states = layer.states(x, _read(layer.queries(x, at), key, value, unseen, own))
        yield states, at


def _read(
    query: Tensor, key: Tensor, value: Tensor, unseen: Tensor, own: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """query `[R, heads, D]` over the text's keys and values and each row's own ones, `[R, heads *
    D]`."""
    rows, kv_heads = len(query), key.shape[1]
    query = query.view(rows, kv_heads, -1, query.shape[2]).permute(1, 2, 0, 3)  # [kv, group, R, D]
    scores = (query.flatten(1, 2) @ key.permute(1, 2, 0)).view(
        *query.shape[:3], -1
    )  # [kv, group, R, T]
    scores = scores.masked_fill(unseen, float("-inf"))
    if own:
        keys = torch.stack([k for k, _ in own], 2)  # [R, kv, n, D]
        scores = torch.cat((scores, torch.einsum("kgrd,rknd->kgrn", query, keys)), -1)
    weights = scores.softmax(-1)
    size = len(key)
    read = (weights[..., :size].flatten(1, 2) @ value.transpose(0, 1)).view_as(
        query
    )  # [kv, group, R, D]
    if own:
        values = torch.stack([v for _, v in own], 2)
        read = read + torch.einsum("kgrn,rknd->kgrd", weights[..., size:], values)
    return read.permute(2, 0, 1, 3).reshape(rows, -1)


def loss_of(layer: EagleLayer, lesson: Lesson, recipe: EagleRecipe) -> Tensor:
    """Cross-entropy against the large model's distribution, sharpened; the mean over guesses within
    answers."""
    total, weight = torch.zeros(()), 0.0
    for number, (states, at) in enumerate(guesses(layer, lesson, recipe.guesses)):
        known = (at + 1 < lesson.ends) & (at == lesson.roots + number)
        if not known.any():
            break
        aim = lesson.logits[at[known]]  # [R, vocab]
        target = aim.softmax(-1).mul_(1 - recipe.sharp)
        target.scatter_add_(
            1, aim.argmax(-1, keepdim=True), torch.full((len(aim), 1), recipe.sharp)
        )
        losses = -(target * layer.logits(states[known]).log_softmax(-1)).sum(-1)
        total = total + recipe.fading**number * losses.sum()
        weight += recipe.fading**number * len(losses)
    return total / max(weight, 1.0)


@torch.no_grad()
def lesson_of(network: Waiter, text: Text, most: int = 0, seed: int = 0) -> Lesson | None:
    """What one text teaches, None where it holds no answer. most: places at most, drawn from the
    seed; 0: all."""
    tokens, said = torch.tensor(text[0]), torch.tensor(text[1])
    roots = said.nonzero()[:, 0]
    if not len(roots):
        return None
    hidden = network.hidden(tokens[None])[0]  # [T, width]
    ends = torch.empty_like(roots)
    last = len(tokens)
    for index in range(len(roots) - 1, -1, -1):
        if index + 1 == len(roots) or roots[index + 1] != roots[index] + 1:
            last = int(roots[index]) + 1
        ends[index] = last
    if most:
        drawn = (
            torch.randperm(len(roots), generator=torch.Generator().manual_seed(seed))[:most]
            .sort()
            .values
        )
        roots, ends = roots[drawn], ends[drawn]
    features = torch.cat((torch.zeros(1, hidden.shape[1]), hidden[:-1]))
    return Lesson(tokens, features, network.logits(hidden), roots, ends)


def told(tokenizer: Tokenizer, seed: int, positions: int) -> Text:
    """A dialogue of the corpus, as long as the context."""
    ids, said = encode_dialogue(tokenizer, dialogue(seed, "train", turns=TURNS))
    return ids[:positions], said[:positions]


def own_texts(tokenizer: Tokenizer, recipe: EagleRecipe, checkpoint: Path) -> list[Text]:
    """What the waiter says and makes its guests say, decoded by the engine, greedily and at
    temperature 1."""
    from reference_engine.engine import Engine

    seeds = range(recipe.first_own, recipe.first_own + recipe.own)
    prompts = [tokenizer.encode(dialogue(seed).prompt(seed % 8)).ids for seed in seeds]
    blocks = 1 + 80 * -(-1024 // 16)
    engine = Engine(load_model(checkpoint), num_blocks=blocks, max_seqs=64, token_budget=2048)
    texts, numbers = dict[int, list[int]](), dict[int, int]()
    for number, prompt in enumerate(prompts):
        rule = Sampling(temperature=float(number % 2), seed=recipe.seed + number)
        numbers[engine.add(prompt, min(recipe.beyond, 1024 - len(prompt)), rule)] = number
        texts[number] = list(prompt)
    unfinished = len(prompts)
    while unfinished:
        for event in engine.step():
            texts[numbers[event.id]] += event.tokens
            unfinished -= event.finished
    return [
        (texts[n], [place >= len(prompt) for place in range(len(texts[n]))])
        for n, prompt in enumerate(prompts)
    ]


class EagleRun:
    """A run and its folder: snapshot.pt to go on from, texts.json with what the waiter said."""

    def __init__(self, recipe: EagleRecipe, folder: Path, checkpoint: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.folder = recipe, folder
        self.network, self.tokenizer = load_network(checkpoint), load_tokenizer(checkpoint)
        self.trainee = EagleTrainee(self.network, load_model(checkpoint).config, recipe.seed)
        self.optimisers = self.trainee.optimisers(recipe.learning_rate)
        self.step, self.seconds, self.places = 0, 0.0, 0
        self.own = self._own(checkpoint)
        self.order = list(range(recipe.told + recipe.own))
        random.Random(recipe.seed).shuffle(self.order)
        self._resume()

    def advance(self) -> float:
        """One update; its loss."""
        began, size = time.monotonic(), self.recipe.texts
        loss = torch.zeros(())
        for number in self.order[self.step * size : (self.step + 1) * size]:
            lesson = lesson_of(self.network, self._text(number), self.recipe.places, number)
            if lesson is None:
                continue
            each = loss_of(self.trainee.layer(), lesson, self.recipe) / size
            torch.autograd.backward(each)
            loss += each.detach()
            self.places += len(lesson.roots)
        update(self.optimisers, self.recipe.rate(self.step))
        self.step += 1
        self.seconds += time.monotonic() - began
        return float(loss)

    def snapshot(self) -> None:
        """Keeps all that is needed to go on."""
        state = {
            "numbers": (self.step, self.seconds, self.places),
            "layer": self.trainee.state_dict(),
        }
        save_snapshot(self.folder, self.recipe, self.optimisers, state)

    def record(self) -> dict[str, object]:
        """As training.json holds it."""
        return {
            **record(self.recipe, self.seconds),
            "places": self.places,
            "parameters": sum(weight.numel() for weight in self.trainee.parameters()),
        }

    def _text(self, number: int) -> Text:
        if number < self.recipe.told:
            return told(
                self.tokenizer, self.recipe.first_seed + number, self.network.shape.positions
            )
        return self.own[number - self.recipe.told]

    def _own(self, checkpoint: Path) -> list[Text]:
        path = self.folder / "texts.json"
        if path.exists():
            return [(ids, said) for ids, said in json.loads(path.read_text())]
        began = time.monotonic()
        texts = own_texts(self.tokenizer, self.recipe, checkpoint)
        write_json(path, texts)
        print(
            f"{len(texts)} texts of the waiter's own after {time.monotonic() - began:.0f} s",
            flush=True,
        )
        return texts

    def _resume(self) -> None:
        state = load_snapshot(self.folder, self.recipe, self.optimisers)
        if state is not None:
            self.step, self.seconds, self.places = state["numbers"]
            self.trainee.load_state_dict(state["layer"])


def train(run: EagleRun, *, every: int = 20) -> EagleLayer:
    """Advances a run to its last step."""
    losses: list[float] = []
    while run.step < run.recipe.steps:
        losses.append(run.advance())
        if run.step % every == 0 or run.step == run.recipe.steps:
            mean, minutes = sum(losses) / len(losses), run.seconds / 60
            print(
                f"step {run.step} of {run.recipe.steps}: loss {mean:.4f}, {minutes:.1f} minutes",
                flush=True,
            )
            losses.clear()
            run.snapshot()
    return run.trainee.layer()


def main() -> None:
    """The command line."""
    recipe = EagleRecipe()
    parser = argparse.ArgumentParser(
        description="Train the EAGLE layer of the waiter on this machine's CPU."
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, default=Path("build/eagle"), help="snapshots of the run"
    )
    parser.add_argument("--out", type=Path, default=LAYER, help="where the layer goes")
    parser.add_argument("--told", type=int, default=recipe.told)
    parser.add_argument("--own", type=int, default=recipe.own)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = EagleRun(EagleRecipe(told=options.told, own=options.own), options.work, CHECKPOINT)
    save_layer(train(run), options.out)
    write_json(options.out / "training.json", run.record())


if __name__ == "__main__":
    main()
