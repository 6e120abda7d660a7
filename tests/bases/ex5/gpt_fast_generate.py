"""In the manner of gpt-fast: guesses verified row by row in plain Python, the first that falls found by its place, and
new probabilities made for that place alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    rows = logits.reshape(-1, logits.shape[-1])
    made = [_logits_to_probs(row, temperature, top_k, top_p) for row in rows]
    return torch.stack(made).view(logits.shape) if made else torch.zeros_like(logits)


def _logits_to_probs(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    if temperature == 0:
        probs = torch.zeros_like(logits)
        probs[int(torch.argmax(logits))] = 1
        return probs
    logits = logits / temperature
    if top_k and top_k < len(logits):
        pivot = torch.topk(logits, top_k).values[-1]
        logits = torch.where(logits < pivot, -float("Inf"), logits)
    probs = torch.nn.functional.softmax(logits, dim=-1)
    if top_p >= 1:
        return probs
    order = sorted(range(len(probs)), key=lambda index: -float(probs[index]))
    kept, mass = torch.zeros_like(probs), 0.0
    for index in order:
        if mass >= top_p - 1e-9:
            break
        kept[index] = probs[index]
        mass += float(probs[index])
    return kept / kept.sum()


def _inverse(weights: list[float], v: float) -> int:
    """The lowest index at which the weights so far exceed v of all."""
    whole, reach, last = 0.0, 0.0, 0
    for weight in weights:
        whole += weight
    for index, weight in enumerate(weights):
        reach += weight
        if weight > 0:
            last = index
            if reach > v * whole:
                return index
    return last


def _new_probs(p: list[float], q: list[float]) -> list[float]:
    new = [max(mine - theirs, 0.0) for mine, theirs in zip(p, q, strict=True)]
    return new if sum(new) > 0 else p


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    speculate_k = draft.shape[1]
    counts, said = [], []
    for row in range(len(draft)):
        accept_length = speculate_k
        for i, token in enumerate(draft[row].tolist()):
            large, small = float(p[row, i, token]), float(q[row, i, token])
            if not large > 0 or not float(u[row, i]) * small < large:
                accept_length = i
                break
        weights = p[row, accept_length].double().tolist()
        if accept_length < speculate_k:
            weights = _new_probs(weights, q[row, accept_length].double().tolist())
        counts.append(accept_length)
        said.append(_inverse(weights, float(v[row])))
    return Accepted(count=torch.tensor(counts, dtype=torch.int64), next=torch.tensor(said, dtype=torch.int64))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    which, said = [], []
    for row in range(len(tokens)):
        large, small = p[row].double().tolist(), q[row].double().tolist()
        left, stood = large, -1
        for i, token in enumerate(tokens[row].tolist()):
            if large[token] > 0 and float(u[row, i]) * small[token] < large[token]:
                stood = i
                break
            large = [max(mine - theirs, 0.0) for mine, theirs in zip(large, small, strict=True)]
            if (whole := sum(large)) > 0:
                large = left = [weight / whole for weight in large]
            small[token] = 0.0
            if (whole := sum(small)) > 0:
                small = [weight / whole for weight in small]
        which.append(stood)
        said.append(int(tokens[row, stood]) if stood >= 0 else _inverse(left, float(v[row])))
    return torch.tensor(which, dtype=torch.int64), torch.tensor(said, dtype=torch.int64)
