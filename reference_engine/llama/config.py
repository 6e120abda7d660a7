"""The sizes of a Llama, read from a Hugging Face config.json or known by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = {"LlamaForCausalLM": False, "Qwen3ForCausalLM": True}
"""Those that the engine computes, and whether queries and keys are normed per head."""


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Sizes of a decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

    heads query heads share kv_heads heads of keys and values, each head_width wide. positions: the longest context.
    tied: the LM head is the embedding. qk_norm: queries and keys are RMS-normed per head before rotation (Qwen3).
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
            self.width * (2 * self.queries + 2 * self.keys + 3 * self.inner + 2) + 2 * self.qk_norm * self.head_width
        )
        return self.layers * layer + self.width * (1 + self.vocab * (1 if self.tied else 2))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the checkpoint by its Hugging Face name."""
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab, self.width)}
        for layer in range(self.layers):
            shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in self._layer_shapes().items()}
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
    "tiny": LlamaConfig(vocab=128, width=32, layers=2, heads=4, kv_heads=2, head_width=8, inner=64, positions=2048),
    "5m": LlamaConfig(vocab=4096, width=256, layers=4, heads=8, kv_heads=4, head_width=32, inner=688),
    "llama-0.1b": LlamaConfig(vocab=32_000, width=768, layers=12, heads=12, kv_heads=4, head_width=64, inner=2048),
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


def from_json(data: Mapping[str, Any]) -> LlamaConfig:
    """The sizes in a config.json. Raises ValueError, in one sentence, for what the engine does not compute."""
    architecture = next(iter(data.get("architectures") or ["none named"]))
    if architecture not in ARCHITECTURES:
        raise ValueError(f"its architecture is {architecture}; the engine runs {' and '.join(ARCHITECTURES)}")
    for name, wanted in (("hidden_act", "silu"), ("attention_bias", False), ("mlp_bias", False)):
        if data.get(name, wanted) != wanted:
            raise ValueError(f"{name} is {data[name]!r}; the engine computes {wanted!r} only")
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"its rotary positions are scaled ({kind}), which the engine does not compute")
    try:
        heads, width = int(data["num_attention_heads"]), int(data["hidden_size"])
        return LlamaConfig(
            vocab=int(data["vocab_size"]),
            width=width,
            layers=int(data["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(data.get("num_key_value_heads") or heads),
            head_width=int(data.get("head_dim") or width // heads),
            inner=int(data["intermediate_size"]),
            positions=int(data["max_position_embeddings"]),
            rope_theta=float(rope.get("rope_theta") or data.get("rope_theta") or 10_000.0),
            norm_eps=float(data["rms_norm_eps"]),
            tied=bool(data.get("tie_word_embeddings", False)),
            qk_norm=ARCHITECTURES[architecture],
        )
    except KeyError as error:
        raise ValueError(f"it names no {error.args[0]}") from None


def to_json(config: LlamaConfig) -> dict[str, Any]:
    """The config.json that `from_json` reads; other engines read it too."""
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
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
    }
