"""Exercise 5 from the contract: rows are lists of Python's doubles, sums are exact (fsum), order is by sorted keys."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    rows = logits.reshape(-1, logits.shape[-1]).tolist()
    said = [_row(row, temperature, top_k, top_p) for row in rows]
    return torch.tensor(said, dtype=logits.dtype, device=logits.device).reshape(logits.shape)


def _row(row: list[float], temperature: float, top_k: int, top_p: float) -> list[float]:
    size, top = len(row), max(row)
    if any(map(math.isnan, row)):
        return row
    if temperature == 0:
        first = row.index(top)
        return [float(i == first) for i in range(size)]
    order = sorted(range(size), key=lambda i: (-row[i], i))
    if 0 < top_k < size:
        least = row[order[top_k - 1]]
        order = [i for i in order if row[i] >= least]
    weight = {i: math.exp((row[i] - top) / temperature) for i in order if row[i] > -math.inf}
    whole = math.fsum(weight.values())
    if top_p < 1:
        kept, total = {}, 0.0
        for i in order:
            if kept and total >= top_p * (1 - 1e-7):
                break
            kept[i] = weight.get(i, 0.0)
            total = math.fsum(kept.values()) / whole
        weight, whole = kept, math.fsum(kept.values())
    return [weight.get(i, 0.0) / whole for i in range(size)]


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    counts, said = [], []
    for guesses, qs, ps, dice, last in zip(*(x.tolist() for x in (draft, q, p, u, v)), strict=False):
        weights = None
        count = 0
        for x, mine, theirs, die in zip(guesses, qs, ps, dice, strict=False):
            if not _stands(die, theirs[x], mine[x]):
                weights = [max(a - b, 0.0) for a, b in zip(theirs, mine, strict=False)]
                weights = weights if any(weights) else theirs
                break
            count += 1
        counts.append(count)
        said.append(_draw(ps[count] if weights is None else weights, last))
    return Accepted(_ints(counts, draft), _ints(said, draft))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    which, said = [], []
    for candidates, mine, theirs, dice, last in zip(*(x.tolist() for x in (tokens, q, p, u, v)), strict=False):
        left = theirs
        for turn, (x, die) in enumerate(zip(candidates, dice, strict=False)):
            if _stands(die, theirs[x], mine[x]):
                which.append(turn)
                said.append(x)
                break
            theirs = _one([max(a - b, 0.0) for a, b in zip(theirs, mine, strict=False)])
            mine = _one([0.0 if i == x else b for i, b in enumerate(mine)])
            left = theirs if any(theirs) else left
        else:
            which.append(-1)
            said.append(_draw(left, last))
    return _ints(which, tokens), _ints(said, tokens)


def _stands(die: float, p: float, q: float) -> bool:
    return p > 0 and (q == 0 or Fraction(die) * Fraction(q) < Fraction(p))


def _one(weights: list[float]) -> list[float]:
    whole = math.fsum(weights)
    return [weight / whole for weight in weights] if whole > 0 else weights


def _draw(weights: list[float], v: float) -> int:
    aim, so_far, last = v * math.fsum(weights), 0.0, 0
    for i, weight in enumerate(weights):
        so_far += weight
        if weight > 0:
            last = i
        if so_far > aim:
            return i
    return last


def _ints(values: list[int], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=like.device)
