"""Everything in numpy, float64 inside."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    scores = logits.numpy().astype(np.float64)
    if temperature == 0:
        greedy = np.zeros_like(scores)
        np.put_along_axis(greedy, scores.argmax(-1)[..., None], 1.0, -1)
        return torch.from_numpy(greedy).to(logits.dtype)
    top = scores.max(-1, keepdims=True)
    weights = np.exp((scores - top) / temperature)
    vocab = scores.shape[-1]
    if 0 < top_k < vocab:
        least = np.sort(scores, -1)[..., vocab - top_k : vocab - top_k + 1]
        weights = np.where(scores >= least, weights, 0.0)
    weights = weights / weights.sum(-1, keepdims=True)
    if top_p < 1:
        order = np.argsort(-weights, -1, kind="stable")
        ordered = np.take_along_axis(weights, order, -1)
        before = np.concatenate([np.zeros_like(ordered[..., :1]), ordered.cumsum(-1)[..., :-1]], -1)
        ordered[before >= top_p] = 0.0
        np.put_along_axis(weights, order, ordered, -1)
        weights = weights / weights.sum(-1, keepdims=True)
    return torch.from_numpy(weights).to(logits.dtype)


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    tokens, guessed, likely = draft.numpy(), q.numpy().astype(np.float64), p.numpy().astype(np.float64)
    rows, count = tokens.shape
    at = tokens[..., None]
    mine = np.take_along_axis(guessed, at, 2)[..., 0]
    theirs = np.take_along_axis(likely[:, :count], at, 2)[..., 0]
    falls = ~(u.numpy() * mine < theirs)
    stood = np.where(falls.any(1), falls.argmax(1), count) if count else np.zeros(rows, np.int64)
    every = np.arange(rows)
    weights = likely[every, stood]
    for row in np.flatnonzero(stood < count):
        rest = np.maximum(weights[row] - guessed[row, stood[row]], 0.0)
        weights[row] = rest if rest.any() else weights[row]
    return Accepted(count=torch.from_numpy(stood.astype(np.int64)), next=_drawn(weights, v))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    candidates, dice = tokens.numpy(), u.numpy()
    which = np.full(len(candidates), -1, np.int64)
    said = np.zeros(len(candidates), np.int64)
    left = p.numpy().astype(np.float64)
    for row in range(len(candidates)):
        mine, theirs = q[row].numpy().astype(np.float64), left[row]
        for turn, token in enumerate(candidates[row]):
            if dice[row, turn] * mine[token] < theirs[token]:
                which[row], said[row] = turn, token
                break
            rest = np.maximum(theirs - mine, 0.0)
            mine[token] = 0.0
            mine = mine / (mine.sum() or 1.0)
            if not rest.any():
                break
            theirs = rest / rest.sum()
        left[row] = theirs
    drawn = _drawn(left, v)
    found = torch.from_numpy(which)
    return found, torch.where(found < 0, drawn, torch.from_numpy(said))


def _drawn(weights: np.ndarray, v: Tensor) -> Tensor:
    reach = weights.cumsum(-1)
    above = reach > v.numpy()[:, None] * reach[:, -1:]
    last = weights.shape[-1] - 1 - (weights[:, ::-1] > 0).argmax(-1)
    found = np.where(above.any(-1), above.argmax(-1), last)
    return torch.from_numpy(found.astype(np.int64))
