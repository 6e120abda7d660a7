"""The waiter's network: a plain Llama, small enough to train on a CPU.

RMSNorm, rotary positions (rotated halves), grouped-query attention, SwiGLU, tied embeddings;
parameter names are those of Hugging Face's `LlamaForCausalLM`. It is what `train` and `evaluate`
run; the engine has a runner of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.rotary import angles, rotate

WAITER = LlamaConfig(
    vocab=1024,
    width=256,
    layers=4,
    heads=8,
    kv_heads=4,
    head_width=32,
    inner=688,
    positions=1024,
    tied=True,
)


class TrainingKV:
    """Keys and values of the tokens computed so far, one pair a layer, each `[B, kv_heads, T,
    head_width]`."""

    def __init__(self, layers: int) -> None:
        self._pairs: list[tuple[Tensor, Tensor] | None] = [None] * layers

    @property
    def length(self) -> int:
        """Tokens held for each row."""
        pair = self._pairs[0]
        return 0 if pair is None else pair[0].shape[2]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds `[B, kv_heads, T, head_width]` to a layer; returns all that it then holds."""
        held = self._pairs[layer]
        pair = (
            (key, value)
            if held is None
            else (torch.cat((held[0], key), 2), torch.cat((held[1], value), 2))
        )
        self._pairs[layer] = pair
        return pair

    def truncate(self, length: int) -> None:
        """Forgets every token from position `length` on."""
        self._pairs = [
            pair and (pair[0][:, :, :length], pair[1][:, :, :length]) for pair in self._pairs
        ]


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension, computed in fp32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps)


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, shape: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_width = layer, shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: TrainingKV | None) -> Tensor:
        query, key, value = (
            self._heads(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, cos, sin).to(value.dtype), rotate(key, cos, sin).to(value.dtype)
        if cache is not None:
            key, value = cache.append(self.layer, key, value)
        mixed = causal_attention(query, key, value)
        joined: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return joined

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_width).transpose(
            1, 2
        )  # [B, T, H * D] -> [B, H, T, D]


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        update: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return update


class TrainableLayer(nn.Module):
    """Attention and feed-forward, each normed before and added after."""

    def __init__(self, shape: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape, layer)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: TrainingKV | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, cache)
        updated: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return updated


class Trunk(nn.Module):
    """Embedding, layers and final norm: `[B, T]` ids -> `[B, T, width]` hidden states."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.width)
        self.layers = nn.ModuleList(TrainableLayer(shape, index) for index in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_eps)
        turned = angles(shape.positions, shape.head_width, shape.rope_theta).repeat(1, 2)
        self.register_buffer("cos", turned.cos(), persistent=False)
        self.register_buffer("sin", turned.sin(), persistent=False)

    def forward(self, ids: Tensor, cache: TrainingKV | None = None) -> Tensor:
        start = 0 if cache is None else cache.length
        cos, sin = self.cos[start : start + ids.shape[1]], self.sin[start : start + ids.shape[1]]
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, cache)
        hidden: Tensor = self.norm(x)
        return hidden


class Waiter(nn.Module):
    """The whole network. `state_dict()` has the names of a Hugging Face checkpoint with tied
    embeddings."""

    def __init__(self, shape: LlamaConfig = WAITER) -> None:
        super().__init__()
        self.shape = shape
        self.model = Trunk(self.shape)

    def hidden(self, ids: Tensor, cache: TrainingKV | None = None) -> Tensor:
        """`[B, T]` ids -> `[B, T, width]`: the final hidden states, which Medusa heads read.

        With a cache, `ids` follow the tokens that it holds and join them; the rows of a batch are
        equally long.
        """
        hidden: Tensor = self.model(ids, cache)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """`[..., width]` hidden states -> `[..., vocab]` logits of the next token."""
        return F.linear(hidden, self.model.embed_tokens.weight)

    def forward(self, ids: Tensor, cache: TrainingKV | None = None) -> Tensor:
        """`[B, T]` ids -> `[B, T, vocab]` logits."""
        return self.logits(self.hidden(ids, cache))

    @torch.inference_mode()
    def greedy(
        self, prompt: list[int], max_new: int, end: int, cache: TrainingKV | None = None
    ) -> list[int]:
        """The likeliest continuation of a prompt, token by token, to `end` (kept) or `max_new`.

        `cache`, where given, holds a prefix of the prompt and keeps what is computed here.
        """
        cache = cache or TrainingKV(self.shape.layers)
        pending, output = prompt[cache.length :], list[int]()
        while len(output) < max_new and (not output or output[-1] != end):
            hidden = self.hidden(torch.tensor([pending]), cache)
            pending = [int(self.logits(hidden[0, -1]).argmax())]
            output += pending
        return output


def initialise(network: Waiter, generator: torch.Generator) -> None:
    """Normal weights of deviation 0.02, those that end a residual branch narrower by sqrt(2 *
    layers) (GPT-2)."""
    for name, weight in network.named_parameters():
        if weight.dim() == 2:
            ends = name.endswith(("o_proj.weight", "down_proj.weight"))
            deviation = 0.02 / (2 * network.shape.layers) ** 0.5 if ends else 0.02
            nn.init.normal_(weight, std=deviation, generator=generator)


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`[B, H, T, D]` over `[B, kv_heads, S, D]`, T <= S: the queries are the last T of S positions."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    tokens, total = query.shape[2], key.shape[2]
    if tokens == total:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    seen = torch.ones(tokens, total, dtype=torch.bool, device=query.device).tril(total - tokens)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
