"""EAGLE's layer: what it is made of, how it guesses, and the folder that it lies in.

At place p it reads the token there and the *feature* of place p - 1, the state after the large
model's final norm, and guesses token p + 1 with the large model's own LM head. Where the large
model has not been yet its feature is not known; there the layer reads what it made itself of the
place before (training-time test: it was trained so).

    [norm(embedding of token p) ; norm(feature of p - 1)] -> fc -> one Llama layer -> norm -> LM
    head

Keys and values depend on a place's own two inputs alone, since there is one layer: a prompt costs
`fc` and two small products a token. Tensor names follow those of public EAGLE checkpoints (`fc`,
`layers.0.self_attn.q_proj`, ...).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reference_engine.embed_in_larger import Stretched
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.rotary import angles, rotate
from reference_engine.llama.weights import check_finite, save_narrow
from reference_engine.model import Model, ModelError
from reference_engine.native.layer_pass import PackedLayer
from reference_engine.native.library import library

WEIGHTS = "layer.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True)
class EagleLayer:
    """Weights by name, with the large model's embedding and LM head `[vocab, width]`; all fp32 on
    one device."""

    weights: Mapping[str, Tensor]
    config: LlamaConfig
    embedding: Tensor
    head: Tensor

    @staticmethod
    def shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
        """Of every tensor, by name."""
        width, queries = config.width, config.heads * config.head_width
        keys, norm = config.kv_heads * config.head_width, (config.width,)
        return {
            "enorm.weight": norm,
            "hnorm.weight": norm,
            "fc.weight": (width, 2 * width),
            "layers.0.input_layernorm.weight": norm,
            "layers.0.self_attn.q_proj.weight": (queries, width),
            "layers.0.self_attn.k_proj.weight": (keys, width),
            "layers.0.self_attn.v_proj.weight": (keys, width),
            "layers.0.self_attn.o_proj.weight": (width, queries),
            "layers.0.post_attention_layernorm.weight": norm,
            "layers.0.mlp.gate_proj.weight": (config.inner, width),
            "layers.0.mlp.up_proj.weight": (config.inner, width),
            "layers.0.mlp.down_proj.weight": (width, config.inner),
            "norm.weight": norm,
        }

    @cached_property
    def compiled(self) -> PackedLayer | None:
        """For the compiled pass; None where there is none."""
        built = library()
        if built is None:
            return None
        return PackedLayer(built, self.weights, self.config, self.embedding, self.head)

    def mixed(self, tokens: Tensor, features: Tensor) -> Tensor:
        """tokens int64 `[R]`, features of the places before them `[R, width]` -> what the layer
        reads `[R, width]`."""
        embedded = self._norm(self.embedding[tokens], "enorm")
        return F.linear(
            torch.cat((embedded, self._norm(features, "hnorm")), -1), self.weights["fc.weight"]
        )

    def keys_values(self, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """x `[R, width]` at places int64 `[R]` -> keys and values, each `[R, kv_heads, D]`."""
        normed = self._norm(x, "layers.0.input_layernorm")
        key, value = (
            self._heads(normed, name, self.config.kv_heads) for name in ("k_proj", "v_proj")
        )
        return self._turned(key, places), value

    def queries(self, x: Tensor, places: Tensor) -> Tensor:
        """x `[R, width]` -> `[R, heads, D]`, scaled."""
        query = self._heads(self._norm(x, "layers.0.input_layernorm"), "q_proj", self.config.heads)
        return self._turned(query, places) / math.sqrt(self.config.head_width)

    def states(self, x: Tensor, read: Tensor) -> Tensor:
        """What the layer makes of x and what attention read `[R, heads * D]`: `[R, width]`, in
        place of features."""
        x = x + F.linear(read, self.weights["layers.0.self_attn.o_proj.weight"])
        normed = self._norm(x, "layers.0.post_attention_layernorm")
        gate, up = (
            F.linear(normed, self.weights[f"layers.0.mlp.{name}_proj.weight"])
            for name in ("gate", "up")
        )
        x = x + F.linear(F.silu(gate) * up, self.weights["layers.0.mlp.down_proj.weight"])
        return self._norm(x, "norm")

    def logits(self, states: Tensor) -> Tensor:
        """`[R, width]` -> `[R, vocab]`, of the token after the next one."""
        return F.linear(states, self.head)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.config.norm_eps)

    def _heads(self, normed: Tensor, name: str, heads: int) -> Tensor:
        return F.linear(normed, self.weights[f"layers.0.self_attn.{name}.weight"]).view(
            len(normed), heads, -1
        )

    def _turned(self, x: Tensor, places: Tensor) -> Tensor:
        """`[R, H, D]`, each row turned to its place: the second half of D pairs with the first (as
        in Llama)."""
        cos, sin = (each[places][:, None] for each in self._turns)  # [R, 1, D]
        return rotate(x, cos, sin)

    @cached_property
    def _turns(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every place, `[positions, D]` each."""
        config, device = self.config, self.head.device
        turned = angles(config.positions, config.head_width, config.rope_theta).repeat(1, 2)
        return turned.cos().to(device), turned.sin().to(device)


def save_layer(layer: EagleLayer, folder: Path) -> None:
    """Writes weights (bf16) and config.json; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    save_narrow(layer.weights, folder / WEIGHTS)
    config = {
        "architectures": ["LlamaForCausalLMEagle"],
        "model_type": "eagle",
        "hidden_size": layer.config.width,
        "intermediate_size": layer.config.inner,
        "num_attention_heads": layer.config.heads,
        "num_key_value_heads": layer.config.kv_heads,
        "num_hidden_layers": 1,
        "vocab_size": layer.config.vocab,
        "torch_dtype": "bfloat16",
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_layer(folder: Path, model: Model) -> EagleLayer:
    """The layer in `folder` for a model, in fp32 on its device; for a stretched model its
    original's.

    Raises ModelError, one sentence: a missing, truncated or corrupt file, a missing tensor, a layer
    of another model.
    """
    if isinstance(model, Stretched):
        return load_layer(folder, model.original)
    path = folder / WEIGHTS
    try:
        found = load_file(path, device=str(model.device))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"the EAGLE layer in {folder} cannot be read: {error}") from error
    for name, shape in EagleLayer.shapes(model.config).items():
        if name not in found or tuple(found[name].shape) != shape:
            raise ModelError(
                f"the EAGLE layer in {folder} has no {name} {list(shape)}: it is of another model"
            )
        check_finite(found[name], f"the EAGLE layer in {folder}")
    weights = {name: found[name].float() for name in EagleLayer.shapes(model.config)}
    embedding = model.weights["model.embed_tokens.weight"].float()
    return EagleLayer(weights, model.config, embedding, model.head.float())
