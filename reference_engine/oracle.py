"""What the model says when nothing is clever: no batch, no pages, no cache; every token recomputes
its whole prefix.

Written for reading, sharing only the weights with the engine. Tokens are judged in fp32 with one
rule for near-ties: replay the emitted text; each token must be the argmax there, or its logit
within `TIE` of the argmax's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model

TIE = 1e-3
"""Logits closer than this may change places when sums are taken in another order."""
NARROW_TIE = 0.5
"""The same where an engine computes in 16 bits or fewer: the last place of a logit of 32 is 0.25 in bf16, and its sum
went through many; llama.cpp rounds to int8 what it multiplies with int8."""


def logits(model: Model, tokens: Sequence[int], kv_dtype: KVDtype = KVDtype.FP32) -> Tensor:
    """`[T, vocab]` fp32: row t is about the token that follows tokens[: t + 1]. Raises ValueError
    for no tokens."""
    return _head(model, hidden(model, tokens, kv_dtype))


def greedy(model: Model, prompt: Sequence[int], max_new: int, eos: int | None = None) -> list[int]:
    """The likeliest continuation, at most `max_new` tokens; it ends after `eos`, which is kept."""
    tokens = list(prompt)
    while len(tokens) - len(prompt) < max_new:
        tokens.append(int(_head(model, hidden(model, tokens)[-1]).argmax()))
        if tokens[-1] == eos:
            break
    return tokens[len(prompt) :]


def replay(
    model: Model,
    prompt: Sequence[int],
    output: Sequence[int],
    tolerance: float = TIE,
    kv_dtype: KVDtype = KVDtype.FP32,
) -> int | None:
    """The index of the first token of `output` that greedy decoding could not have emitted, or None
    if there is none.

    One forward pass over prompt + output. A token outside the vocabulary is never right.
    """
    vocab = model.config.vocab
    known = next(
        (index for index, token in enumerate(output) if not 0 <= token < vocab), len(output)
    )
    if known:
        states = hidden(model, [*prompt, *output[: known - 1]], kv_dtype)[len(prompt) - 1 :]
        scores = _head(model, states)
        chosen = scores.gather(1, torch.tensor(output[:known], device=scores.device)[:, None])[:, 0]
        wrong = (chosen < scores.amax(-1) - tolerance).nonzero()
        if len(wrong):
            return int(wrong[0])
    return known if known < len(output) else None


@torch.inference_mode()
def hidden(model: Model, tokens: Sequence[int], kv_dtype: KVDtype = KVDtype.FP32) -> Tensor:
    """`[T, width]` fp32: what the LM head and further heads read, after the final norm. kv_dtype:
    keys and values are rounded to it.
    """
    config = model.config
    if not tokens:
        raise ValueError("the oracle needs at least one token")
    x = _weight(model, "model.embed_tokens")[torch.tensor(tokens, device=model.device)]
    for layer in range(config.layers):
        name = f"model.layers.{layer}"
        normed = _norm(x, _weight(model, f"{name}.input_layernorm"), config.norm_eps)
        x = x + _attention(model, name, normed, kv_dtype)
        x = x + _feed_forward(
            model,
            name,
            _norm(x, _weight(model, f"{name}.post_attention_layernorm"), config.norm_eps),
        )
    return _norm(x, _weight(model, "model.norm"), config.norm_eps)


@torch.inference_mode()
def _head(model: Model, states: Tensor) -> Tensor:
    return states @ model.head.float().T


def _weight(model: Model, name: str) -> Tensor:
    return model.weights[f"{name}.weight"].float()


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def _attention(model: Model, name: str, x: Tensor, kv_dtype: KVDtype) -> Tensor:
    """Every token sees itself and what came before: `[T, width]` -> `[T, width]`."""
    config = model.config
    query, key, value = (
        (x @ _weight(model, f"{name}.self_attn.{letter}_proj").T)
        .view(len(x), -1, config.head_width)
        .transpose(0, 1)
        for letter in "qkv"
    )  # [heads, T, D], [kv_heads, T, D] twice
    if config.qk_norm:
        query = _norm(query, _weight(model, f"{name}.self_attn.q_norm"), config.norm_eps)
        key = _norm(key, _weight(model, f"{name}.self_attn.k_norm"), config.norm_eps)
    query, key = _rotate(query, config.rope_theta), _rotate(key, config.rope_theta)
    key, value = (states.to(getattr(torch, kv_dtype.value)).float() for states in (key, value))
    key, value = (
        states.repeat_interleave(config.heads // config.kv_heads, dim=0) for states in (key, value)
    )
    scores = query @ key.transpose(1, 2) * config.head_width**-0.5
    future = torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).triu(1)
    mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ value
    out: Tensor = mixed.transpose(0, 1).flatten(1) @ _weight(model, f"{name}.self_attn.o_proj").T
    return out


def _rotate(x: Tensor, theta: float) -> Tensor:
    """`[heads, T, D]` turned by each token's position; dimension i pairs with i + D / 2 (RoFormer,
    Llama's order)."""
    tokens, width = x.shape[1:]
    frequency = torch.pow(
        theta, -torch.arange(0, width, 2, dtype=torch.float32, device=x.device) / width
    )
    angles = torch.outer(torch.arange(tokens, dtype=torch.float32, device=x.device), frequency)
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def _feed_forward(model: Model, name: str, x: Tensor) -> Tensor:
    gate, up = (x @ _weight(model, f"{name}.mlp.{which}_proj").T for which in ("gate", "up"))
    return (torch.nn.functional.silu(gate) * up) @ _weight(model, f"{name}.mlp.down_proj").T
