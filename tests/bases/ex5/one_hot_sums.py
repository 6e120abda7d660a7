"""No indexing: one-hot sums pick p and q, products of masks end the chain, all rows and places at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    vocab = logits.shape[-1]
    if temperature == 0:
        return one_hot(logits.argmax(-1), vocab).to(logits.dtype)
    kept = logits
    if 0 < top_k < vocab:
        likelier = (logits[..., None, :] > logits[..., :, None]).sum(-1)  # [..., V]: tokens with a larger logit
        kept = logits.masked_fill(likelier >= top_k, -torch.inf)
    p = (kept.double() / temperature).softmax(-1)
    if top_p < 1:
        steps = torch.arange(vocab)
        larger = p[..., None, :] > p[..., :, None]
        equal = (p[..., None, :] == p[..., :, None]) & (steps[None, :] < steps[:, None])
        before = (p[..., None, :] * (larger | equal)).sum(-1)
        p = p * (before < top_p)
        p = p / p.sum(-1, keepdim=True)
    return p.to(logits.dtype)


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    _rows, guesses = draft.shape
    vocab = p.shape[-1]
    chosen = one_hot(draft, vocab).bool()
    theirs = p[:, :guesses].masked_fill(~chosen, 0.0).sum(-1)
    mine = q.masked_fill(~chosen, 0.0).sum(-1)
    stands = (theirs > 0) & (u * mine < theirs)
    count = stands.to(torch.int64).cumprod(1).sum(1)
    here = one_hot(count, guesses + 1).bool()
    weights = p.masked_fill(~here[..., None], 0.0).sum(1)
    taken = q.masked_fill(~here[:, :guesses, None], 0.0).sum(1)
    rest = (weights - taken).clamp(min=0)
    weights = torch.where((rest.amax(-1, keepdim=True) > 0), rest, weights)
    return Accepted(count=count, next=_first_above(weights, v))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    rows, candidates = tokens.shape
    vocab = p.shape[-1]
    turns = one_hot(tokens, vocab)
    theirs, mine = [p.double()], [q.double()]
    left = theirs[0]
    stands = torch.zeros(rows, candidates, dtype=torch.bool)
    for turn in range(candidates):
        at = turns[:, turn]
        x, y = (theirs[-1] * at).sum(-1), (mine[-1] * at).sum(-1)
        stands[:, turn] = u[:, turn] * y < x
        rest = (theirs[-1] - mine[-1]).clamp(min=0)
        theirs.append(rest / rest.sum(-1, keepdim=True).clamp(min=1e-300))
        left = torch.where(rest.amax(-1, keepdim=True) > 0, theirs[-1], left)
        smaller = mine[-1] * (1 - at)
        mine.append(smaller / smaller.sum(-1, keepdim=True).clamp(min=1e-300))
    any_stands = stands.any(-1)
    first = torch.where(stands, torch.arange(candidates), candidates).amin(-1) if candidates else tokens.new_zeros(rows)
    which = torch.where(any_stands, first, -1)
    said = tokens.gather(1, which.clamp(min=0)[:, None]).squeeze(1) if candidates else which
    return which, torch.where(any_stands, said, _first_above(left, v))


def _first_above(weights: Tensor, v: Tensor) -> Tensor:
    reach = weights.double().cumsum(-1)
    above = (reach > v[:, None] * reach[:, -1:]) & (weights > 0)
    steps = torch.arange(weights.shape[-1])
    last = torch.where(weights > 0, steps, -1).amax(-1)
    first = torch.where(above, steps, weights.shape[-1]).amin(-1)
    return first.minimum(last)
