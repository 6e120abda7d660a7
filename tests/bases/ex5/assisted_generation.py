"""In the manner of transformers' assisted generation: a ratio for every guess, matches counted by what came before
them, p' clamped and normalised; warpers of logits one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    if temperature == 0:
        best = torch.argmax(logits, dim=-1, keepdim=True)
        return (torch.arange(logits.shape[-1]) == best).to(logits.dtype)
    scores = logits / temperature
    if 0 < top_k < scores.shape[-1]:
        scores = scores.masked_fill(scores < torch.topk(scores, top_k)[0][..., -1, None], -float("inf"))
    if top_p < 1.0:
        sorted_logits, sorted_indices = torch.sort(scores, descending=True, stable=True)
        shares = sorted_logits.softmax(dim=-1).double()
        sorted_indices_to_remove = (shares.cumsum(dim=-1) - shares) >= top_p - 1e-9
        indices_to_remove = torch.zeros_like(scores, dtype=torch.bool)
        indices_to_remove.scatter_(-1, sorted_indices, sorted_indices_to_remove)
        scores = scores.masked_fill(indices_to_remove, -float("inf"))
    return torch.softmax(scores, dim=-1)


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    batch, candidate_length = draft.shape
    rows, places = torch.arange(batch)[:, None], torch.arange(candidate_length)
    q_i, p_i = q[rows, places, draft], p[rows, places, draft]
    probability_ratio = torch.where(q_i > 0, p_i / q_i, torch.full_like(q_i, float("inf")))
    is_accepted = (u < probability_ratio) & (p_i > 0)
    n_matches = ((~is_accepted).cumsum(dim=-1) < 1).sum(dim=-1)
    p_n = p[torch.arange(batch), n_matches]
    q_n = torch.cat([q, torch.zeros_like(p[:, -1:])], dim=1)[torch.arange(batch), n_matches]
    return Accepted(count=n_matches, next=_multinomial(_p_prime(p_n, q_n), v))


def _p_prime(p: Tensor, q: Tensor) -> Tensor:
    """What p has more of, normalised; p itself where that is nothing."""
    p_prime = torch.clamp(p - q, min=0)
    total = p_prime.sum(-1, keepdim=True)
    return torch.where(total > 0, p_prime / torch.where(total > 0, total, 1.0), p)


def _multinomial(weights: Tensor, v: Tensor) -> Tensor:
    """By the inverse of the cumulative weights, from the largest index down."""
    reach = weights.double().cumsum(-1)
    above = reach > v.double()[:, None] * reach[:, -1:]
    indices = torch.arange(weights.shape[-1])
    first = torch.where(above, indices, weights.shape[-1]).amin(-1)
    return torch.minimum(first, torch.where(weights > 0, indices, 0).amax(-1))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    which, said = torch.full((len(tokens),), -1), torch.zeros(len(tokens), dtype=torch.long)
    for row in range(len(tokens)):
        p_row, q_row, left = p[row : row + 1], q[row : row + 1], p[row : row + 1]
        for turn, token in enumerate(tokens[row].tolist()):
            mine, theirs = q_row[0, token], p_row[0, token]
            if theirs > 0 and (mine == 0 or u[row, turn] < theirs / mine):
                which[row], said[row] = turn, token
                break
            rest = torch.clamp(p_row - q_row, min=0)
            p_row = rest / rest.sum() if rest.sum() > 0 else rest
            left = p_row if rest.sum() > 0 else left
            q_row = q_row.index_fill(1, tokens[row, turn], 0.0)
            q_row = q_row / q_row.sum() if q_row.sum() > 0 else q_row
        else:
            said[row] = _multinomial(left, v[row : row + 1])[0]
    return which, said
