"""The sizes of a Llama, read from a Hugging Face config.json or known by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = {"LlamaForCausalLM": False, "Qwen3ForCausalLM": True}
"""Those that the engine computes, and whether queries and keys are normed per head."""
TYPES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""The same by their `model_type`, which tells where a config names no architecture."""
ONLY: Mapping[str, tuple[object, ...]] = {
    "hidden_act": ("silu", None),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "use_sliding_window": (False, None),
    "quantization_config": (None, {}),
    "partial_rotary_factor": (1, None),
}
"""What of a config is computed in one way only: the values that mean this way, the first of them said in errors."""
IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
MOST = 1 << 40
"""No size is larger; Python would count on, and memory would not."""


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Sizes of a decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

    heads query heads share kv_heads heads of keys and values, each head_width wide. positions: the
    longest context. tied: the LM head is the embedding. qk_norm: queries and keys are RMS-normed
    per head before rotation (Qwen3).
    """

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    positions: int = 4096
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tied: bool = False
    qk_norm: bool = False

    @property
    def queries(self) -> int:
        """Columns of the query projection."""
        return self.heads * self.head_width

    @property
    def keys(self) -> int:
        """Columns of the key projection; of the value projection too."""
        return self.kv_heads * self.head_width

    @property
    def parameters(self) -> int:
        """Numbers in the checkpoint."""
        layer = (
            self.width * (2 * self.queries + 2 * self.keys + 3 * self.inner + 2)
            + 2 * self.qk_norm * self.head_width
        )
        return self.layers * layer + self.width * (1 + self.vocab * (1 if self.tied else 2))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the checkpoint by its Hugging Face name."""
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab, self.width)}
        for layer in range(self.layers):
            shapes |= {
                f"model.layers.{layer}.{name}.weight": shape
                for name, shape in self._layer_shapes().items()
            }
        shapes["model.norm.weight"] = (self.width,)
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocab, self.width)
        return shapes

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        norms = {"self_attn.q_norm": (self.head_width,), "self_attn.k_norm": (self.head_width,)}
        return {
            "input_layernorm": (self.width,),
            "self_attn.q_proj": (self.queries, self.width),
            "self_attn.k_proj": (self.keys, self.width),
            "self_attn.v_proj": (self.keys, self.width),
            "self_attn.o_proj": (self.width, self.queries),
            "post_attention_layernorm": (self.width,),
            "mlp.gate_proj": (self.inner, self.width),
            "mlp.up_proj": (self.inner, self.width),
            "mlp.down_proj": (self.width, self.inner),
            **(norms if self.qk_norm else {}),
        }


SHAPES: dict[str, LlamaConfig] = {
    "tiny": LlamaConfig(
        vocab=128, width=32, layers=2, heads=4, kv_heads=2, head_width=8, inner=64, positions=2048
    ),
    "5m": LlamaConfig(
        vocab=4096, width=256, layers=4, heads=8, kv_heads=4, head_width=32, inner=688
    ),
    "llama-0.1b": LlamaConfig(
        vocab=32_000, width=768, layers=12, heads=12, kv_heads=4, head_width=64, inner=2048
    ),
    "llama-1b": LlamaConfig(
        vocab=128_256,
        width=2048,
        layers=16,
        heads=32,
        kv_heads=8,
        head_width=64,
        inner=8192,
        positions=8192,
        rope_theta=500_000.0,
        tied=True,
    ),
    "llama-8b": LlamaConfig(
        vocab=128_256,
        width=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        head_width=128,
        inner=14_336,
        positions=8192,
        rope_theta=500_000.0,
    ),
    "qwen3-0.6b": LlamaConfig(
        vocab=151_936,
        width=1024,
        layers=28,
        heads=16,
        kv_heads=8,
        head_width=128,
        inner=3072,
        positions=8192,
        rope_theta=1_000_000.0,
        norm_eps=1e-6,
        tied=True,
        qk_norm=True,
    ),
}
"""Shapes that `random:<name>` fills with weights from a seed."""


def from_json(data: object) -> LlamaConfig:
    """The sizes in a config.json. Raises ValueError, in one sentence, for what the engine does not
    compute.

    Keys that may be absent, or null, have the values that transformers gives them; sizes without
    which no tensor has a shape may not.
    """
    if not isinstance(data, dict):
        raise ValueError("it holds no table of sizes")
    architecture = _architecture(data)
    for name, (wanted, *others) in ONLY.items():
        if data.get(name, wanted) not in (wanted, *others):
            raise ValueError(f"{name} is {data[name]!r}; the engine computes {wanted!r} only")
    normed = ARCHITECTURES[architecture]
    heads, width = _whole(data, "num_attention_heads"), _whole(data, "hidden_size")
    config = LlamaConfig(
        vocab=_whole(data, "vocab_size"),
        width=width,
        layers=_whole(data, "num_hidden_layers"),
        heads=heads,
        kv_heads=_whole(
            data,
            "num_key_value_heads",
            32 if normed and "num_key_value_heads" not in data else heads,
        ),
        head_width=_whole(
            data, "head_dim", 128 if normed and "head_dim" not in data else max(1, width // heads)
        ),
        inner=_whole(data, "intermediate_size"),
        positions=_whole(data, "max_position_embeddings", 32_768 if normed else 2048),
        rope_theta=_theta(data),
        norm_eps=_positive(data, "rms_norm_eps", 1e-6),
        tied=_truth(data, "tie_word_embeddings"),
        qk_norm=normed,
    )
    if config.heads % config.kv_heads:
        raise ValueError(
            f"{config.heads} query heads cannot share {config.kv_heads} heads of keys and values evenly"
        )
    if config.head_width % 2:
        raise ValueError(
            f"heads {config.head_width} wide cannot be rotated: their dimensions must pair up"
        )
    return config


def _architecture(data: Mapping[str, Any]) -> str:
    """The first one named, or the one of the model's type."""
    named = data.get("architectures")
    told = (
        named[0]
        if isinstance(named, list) and named
        else TYPES.get(str(data.get("model_type")), "none named")
    )
    if not isinstance(told, str) or told not in ARCHITECTURES:
        raise ValueError(
            f"its architecture is {told}; the engine runs {' and '.join(ARCHITECTURES)}"
        )
    return told


def _theta(data: Mapping[str, Any]) -> float:
    """The base of the rotary frequencies, which older configs name outside of `rope_parameters`."""
    rope: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        told = data.get(name) or {}
        if not isinstance(told, dict):
            raise ValueError(f"{name} is {told!r}; it must be a table")
        kind = told.get("rope_type", told.get("type", "default"))
        if kind != "default":
            raise ValueError(
                f"its rotary positions are scaled ({kind}), which the engine does not compute"
            )
        rope |= told
    if any(isinstance(value, dict) for value in rope.values()):
        raise ValueError(
            "its rotary positions differ from layer to layer, which the engine does not compute"
        )
    if rope.get("partial_rotary_factor") not in (None, 1):
        raise ValueError("only a part of each head is rotated, which the engine does not compute")
    return _positive(rope if rope.get("rope_theta") is not None else data, "rope_theta", 10_000.0)


def _whole(data: Mapping[str, Any], name: str, otherwise: int | None = None) -> int:
    """A size: a whole number from 1 on. otherwise: its value where it is absent or null; None: it
    may not be."""
    value = data.get(name)
    if value is None:
        if otherwise is None:
            raise ValueError(f"it names no {name}")
        return otherwise
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < MOST:
        raise ValueError(f"{name} is {_shown(value)}; it must be a whole number from 1 on")
    return value


def _positive(data: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = data.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MOST:
        raise ValueError(f"{name} is {_shown(value)}; it must be a finite number above 0")
    return float(value)


def _truth(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name)
    if not isinstance(value, bool | None):
        raise ValueError(f"{name} is {_shown(value)}; it must be true or false")
    return bool(value)


def _shown(value: object) -> str:
    """A value of a config, short."""
    if isinstance(value, int) and abs(value) >= MOST:
        return "far too large"
    told = repr(value) if not isinstance(value, float) or math.isfinite(value) else str(value)
    return told if len(told) <= 40 else f"{told[:39]}…"


def to_json(
    config: LlamaConfig, dtype: str = "float32", ids: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The config.json that `from_json` reads, with every key that some engine asks for, in old and
    new spelling.

    dtype: of the tensors beside it. ids: tokens with a meaning, of `IDS`; those that nobody has
    named are left out.
    """
    return {
        "architectures": ["Qwen3ForCausalLM" if config.qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if config.qk_norm else "llama",
        "vocab_size": config.vocab,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "intermediate_size": config.inner,
        "max_position_embeddings": config.positions,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "dtype": dtype,
        "torch_dtype": dtype,
        **{name: ids[name] for name in IDS if ids and ids.get(name) is not None},
    }
