"""Medusa heads: what they are made of, how they guess, and the folder that they lie in.

Head h (counted from 1) reads the hidden state from which the model says token t+1, and guesses the
token t+1+h. It is one residual block, x + silu(W x), and one projection to the vocabulary. Tensor
names and config.json are those of vLLM's and FasterDecoding's Medusa checkpoints
(`blocks.0.layers.0.weight`, `lm_heads.0.weight`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reference_engine.embed_in_larger import Stretched, mean_row, random_weight
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.linear import Linear
from reference_engine.llama.weights import check_finite, save_narrow
from reference_engine.model import Model, ModelError
from reference_engine.native.heads import NativeHeads
from reference_engine.native.library import library

WEIGHTS = "heads.safetensors"
CONFIG = "config.json"
FEW = 2
"""On a CPU, up to so many requests are guessed for by one plain product over all heads."""


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """One request after a step: what it said in it."""

    id: int
    tokens: Sequence[int]


class Guesser(Protocol):
    """Whoever guesses further tokens: trained heads, or a stand-in of a test."""

    def guess(self, told: Sequence[RequestProgress], hidden: Tensor, count: int) -> Tensor:
        """int64 `[R, H, count]`: for each request in `told` the guesses of every head, best first.

        hidden `[R, width]`: the state from which the last of its tokens was said.
        """

    def forget(self, id: int) -> None:
        """The request left."""


@dataclass(frozen=True)
class Heads:
    """H trained heads on one device. residual `[H, width, width]`, project `[H, vocab, width]`."""

    residual: Tensor
    project: Tensor

    @property
    def count(self) -> int:
        """H."""
        return len(self.residual)

    def first(self, count: int) -> Heads:
        """The first `count` heads: all that a tree of that depth asks."""
        if count >= self.count:
            return self
        if count not in self._shorter:
            self._shorter[count] = Heads(self.residual[:count], self.project[:count])
        return self._shorter[count]

    @cached_property
    def _shorter(self) -> dict[int, Heads]:
        return {}

    @cached_property
    def _compiled(self) -> NativeHeads | None:
        compiled = library()
        if (
            compiled is None
            or self.project.device.type != "cpu"
            or self.project.dtype != torch.float32
        ):
            return None
        return NativeHeads(compiled, self.residual, self.project)

    @cached_property
    def _blocks(self) -> Linear:
        return Linear(self.residual.flatten(0, 1))  # [H * width, width]

    @cached_property
    def _turned(self) -> Tensor:
        return self.project.transpose(1, 2).contiguous()  # [H, width, vocab]

    @cached_property
    def _projections(self) -> tuple[Linear, ...]:
        return tuple(Linear(each) for each in self.project)

    def logits(self, hidden: Tensor) -> Tensor:
        """`[R, width]` -> `[R, H, vocab]`."""
        wide = hidden[:, None, :]  # [R, 1, width]
        if hidden.device.type == "cpu" and hidden.dtype == torch.float32:
            # [R, H, width]
            states = F.silu(self._blocks(hidden)).view(len(hidden), self.count, -1).add_(wide)
            if len(hidden) <= FEW:
                # [H, R, vocab] -> [R, H, vocab]
                return torch.bmm(states.transpose(0, 1), self._turned).transpose(0, 1)
            # [R, H, vocab]
            return torch.stack(
                [project(states[:, h]) for h, project in enumerate(self._projections)], 1
            )
        states = torch.einsum("hij,rj->rhi", self.residual, hidden)  # [R, H, width]
        return torch.einsum("hvi,rhi->rhv", self.project, F.silu(states) + wide)  # [R, H, vocab]

    @torch.inference_mode()
    def guess(self, told: Sequence[RequestProgress], hidden: Tensor, count: int) -> Tensor:
        """See `Guesser`."""
        if self._compiled is not None:
            return self._compiled.guess(hidden, count)
        logits = self.logits(hidden)  # [R, H, vocab]
        # [R, H, count]
        return logits.argmax(-1, keepdim=True) if count == 1 else logits.topk(count).indices

    def forget(self, id: int) -> None:
        """Heads remember nobody."""


def save_heads(heads: Heads, folder: Path) -> None:
    """Writes weights (bf16) and config.json; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    for index in range(heads.count):
        weights[f"blocks.{index}.layers.0.weight"] = heads.residual[index]
        weights[f"lm_heads.{index}.weight"] = heads.project[index]
    save_narrow(weights, folder / WEIGHTS)
    vocab, width = heads.project.shape[1:]
    config = {
        "architectures": ["MedusaModel"],
        "model_type": "medusa",
        "hidden_size": width,
        "vocab_size": vocab,
        "num_heads": heads.count,
        "medusa_num_heads": heads.count,
        "num_hidden_layers": 1,
        "medusa_num_layers": 1,
        "torch_dtype": "bfloat16",
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_heads(folder: Path, model: Model) -> Heads:
    """The heads in `folder`, on the model's device and of its dtype; for a stretched model they are
    stretched too.

    Raises ModelError, one sentence: a missing, truncated or corrupt file, a missing tensor, heads
    of another model.
    """
    if isinstance(model, Stretched):
        return stretch_heads(load_heads(folder, model.original), model.config)
    path = folder / WEIGHTS
    try:
        found = load_file(path, device=str(model.device))
        count = json.loads((folder / CONFIG).read_text())["num_heads"]
        # [H, width, width]
        residual = torch.stack([found[f"blocks.{index}.layers.0.weight"] for index in range(count)])
        # [H, vocab, width]
        project = torch.stack([found[f"lm_heads.{index}.weight"] for index in range(count)])
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename or path} is missing") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"the Medusa heads in {folder} cannot be read: {error}") from error
    width, vocab = model.config.width, model.config.vocab
    if residual.shape != (count, width, width) or project.shape != (count, vocab, width):
        sizes = f"{list(residual.shape)} and {list(project.shape)}"
        raise ModelError(
            f"the Medusa heads in {folder} are {sizes}: not of a model {width} wide with {vocab} tokens"
        )
    heads = Heads(residual.to(model.dtype), project.to(model.dtype))
    for weights in (heads.residual, heads.project):
        check_finite(weights, f"a Medusa head in {folder}")
    return heads


def stretch_heads(heads: Heads, config: LlamaConfig, seed: int = 0) -> Heads:
    """The Medusa heads of a model for its stretched shape `config`: the same guesses, at that
    shape's cost."""
    count, width = heads.residual.shape[:2]
    vocab = heads.project.shape[1]
    like = heads.residual
    residual = random_weight(
        "medusa.residual", (count, config.width, config.width), seed, like.device, like.dtype
    )
    residual[:, :width, :width] = heads.residual
    project = torch.zeros(count, config.vocab, config.width, device=like.device, dtype=like.dtype)
    project[:, :vocab, :width] = heads.project
    project[:, vocab:, :width] = mean_row(heads.project)
    return Heads(residual, project)


def random_heads(model: Model, count: int, seed: int) -> Heads:
    """Heads with weights from a seed: they guess badly, and cost what trained ones cost."""
    generator = torch.Generator().manual_seed(seed)
    width, vocab = model.config.width, model.config.vocab
    # [H, width, width]
    residual = torch.randn(count, width, width, generator=generator) / width**0.5
    # [H, vocab, width]
    project = torch.randn(count, vocab, width, generator=generator) / width**0.5
    return Heads(residual.to(model.device, model.dtype), project.to(model.device, model.dtype))
