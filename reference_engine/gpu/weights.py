"""A model's weights as the runner multiplies them: q, k and v in one matrix, gate and up in one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference_engine.model import Model


@dataclass(frozen=True, slots=True)
class GpuLayer:
    """One decoder layer. qkv [(Hq + 2·Hkv)·D, d], out [d, Hq·D], gate_up [2f, d], down [d, f];
    norms [d] and [D]."""

    before: Tensor
    qkv: Tensor
    out: Tensor
    after: Tensor
    gate_up: Tensor
    down: Tensor
    q_norm: Tensor | None
    k_norm: Tensor | None


@dataclass(frozen=True, slots=True)
class Weights:
    """All of a model's weights. embedding and head [V, d], norm [d]."""

    embedding: Tensor
    layers: tuple[GpuLayer, ...]
    norm: Tensor
    head: Tensor


def packed(model: Model) -> Weights:
    """The model's weights, packed. Where the model's mapping is a dict, its matrices become views
    of the packed ones, equal to what they were, so that nothing is held twice."""
    layers = tuple(_layer(model, f"model.layers.{index}") for index in range(model.config.layers))
    embedding, norm = model.weights["model.embed_tokens.weight"], model.weights["model.norm.weight"]
    return Weights(embedding.contiguous(), layers, norm, model.head.contiguous())


def _layer(model: Model, name: str) -> GpuLayer:
    def weight(part: str) -> Tensor:
        return model.weights[f"{name}.{part}.weight"].contiguous()

    normed = model.config.qk_norm
    return GpuLayer(
        before=weight("input_layernorm"),
        qkv=_joined(model, [f"{name}.self_attn.{letter}_proj.weight" for letter in "qkv"]),
        out=weight("self_attn.o_proj"),
        after=weight("post_attention_layernorm"),
        gate_up=_joined(model, [f"{name}.mlp.{which}_proj.weight" for which in ("gate", "up")]),
        down=weight("mlp.down_proj"),
        q_norm=weight("self_attn.q_norm") if normed else None,
        k_norm=weight("self_attn.k_norm") if normed else None,
    )


def _joined(model: Model, names: list[str]) -> Tensor:
    """The named matrices, one below the other; as they lie, if an earlier runner has joined them
    already."""
    parts = [model.weights[name] for name in names]
    if _adjoining(parts):
        return parts[0].as_strided((sum(map(len, parts)), parts[0].shape[1]), parts[0].stride())
    whole, first = torch.cat(parts), 0  # [sum of outs, in]
    if isinstance(model.weights, dict):
        for name, part in zip(names, parts, strict=True):
            model.weights[name] = whole[first : first + len(part)]
            first += len(part)
    return whole


def _adjoining(parts: list[Tensor]) -> bool:
    """Whether contiguous matrices lie one after another in one storage."""
    at = parts[0].data_ptr()
    for part in parts:
        if not part.is_contiguous() or part.data_ptr() != at:
            return False
        at += part.numel() * part.element_size()
    return len({part.untyped_storage().data_ptr() for part in parts}) == 1
