"""Lists and loops, a number at a time; tensors are read once and made once."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    vocab = logits.shape[-1]
    rows = [_row(row, temperature, top_k, top_p) for row in logits.reshape(-1, vocab).tolist()]
    return torch.tensor(rows, dtype=logits.dtype).reshape(logits.shape)


def _row(logits: list[float], temperature: float, top_k: int, top_p: float) -> list[float]:
    if any(map(math.isnan, logits)):
        return [math.nan] * len(logits)
    best = max(logits)
    if temperature == 0:
        first = logits.index(best)
        return [1.0 if token == first else 0.0 for token in range(len(logits))]
    weights = [math.exp((logit - best) / temperature) for logit in logits]
    if 0 < top_k < len(weights):
        least = sorted(logits)[-top_k]
        weights = [weight if logit >= least else 0.0 for weight, logit in zip(weights, logits, strict=True)]
    whole = sum(weights)
    if top_p < 1.0:
        held = 0.0
        kept = set()
        for token in sorted(range(len(weights)), key=lambda token: -weights[token]):
            if held >= top_p * whole:
                break
            kept.add(token)
            held += weights[token]
        weights = [weight if token in kept else 0.0 for token, weight in enumerate(weights)]
        whole = sum(weights)
    return [weight / whole for weight in weights]


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    counts, following = [], []
    rows = zip(draft.tolist(), q.tolist(), p.tolist(), u.tolist(), v.tolist(), strict=True)
    for tokens, guessed, likely, dice, last in rows:
        count = 0
        while count < len(tokens) and _stands(likely[count][tokens[count]], guessed[count][tokens[count]], dice[count]):
            count += 1
        weights = likely[count]
        if count < len(tokens):
            weights = _missing(weights, guessed[count]) or weights
        counts.append(count)
        following.append(_drawn(weights, last))
    return Accepted(count=torch.tensor(counts, dtype=torch.int64), next=torch.tensor(following, dtype=torch.int64))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    which, said = [], []
    for row in zip(tokens.tolist(), q.tolist(), p.tolist(), u.tolist(), v.tolist(), strict=True):
        found, token = _one_place(*row)
        which.append(found)
        said.append(token)
    return torch.tensor(which, dtype=torch.int64), torch.tensor(said, dtype=torch.int64)


def _one_place(tokens: list[int], q: list[float], p: list[float], u: list[float], v: float) -> tuple[int, int]:
    left = p
    for number, token in enumerate(tokens):
        if _stands(p[token], q[token], u[number]):
            return number, token
        p = _normalised(_missing(p, q) or [0.0] * len(p))
        q = _normalised([0.0 if other == token else x for other, x in enumerate(q)])
        if any(p):
            left = p
    return -1, _drawn(left, v)


def _stands(p: float, q: float, u: float) -> bool:
    if p == 0 or math.isnan(p):
        return False
    return q == 0 or u < p / q


def _missing(p: list[float], q: list[float]) -> list[float]:
    """Empty if nothing is."""
    rest = [max(x - y, 0.0) for x, y in zip(p, q, strict=True)]
    return rest if any(rest) else []


def _normalised(weights: list[float]) -> list[float]:
    whole = sum(weights)
    return [weight / whole for weight in weights] if whole else weights


def _drawn(weights: list[float], v: float) -> int:
    reach = list(accumulate(weights))
    for index, held in enumerate(reach):
        if held > v * reach[-1]:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)
