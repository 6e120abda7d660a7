"""In the manner of vLLM's rejection sampler: what is accepted, recovered tokens for every place, then a choice.

Its policy alone, no code of it: recovered tokens are drawn for all K places, and one of them is picked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    if temperature == 0:
        best = logits.max(-1, keepdim=True).values
        first = (logits == best).long().cumsum(-1) * (logits == best) == 1
        return first.to(logits.dtype)
    scores = logits / temperature
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    if 0 < top_k < scores.shape[-1]:
        ordered = ordered.masked_fill(ordered < ordered[..., top_k - 1 : top_k], -torch.inf)
    p = ordered.softmax(-1)
    if top_p < 1:
        held = p.double().cumsum(-1) - p.double()
        ordered = ordered.masked_fill(held >= top_p - 1e-9, -torch.inf)
        p = ordered.softmax(-1)
    back = order.argsort(-1)
    return p.gather(-1, back)


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    rows, count = draft.shape
    if not rows:
        return Accepted(count=draft.new_zeros(0), next=draft.new_zeros(0))
    target = p[:, :count]
    index = draft.unsqueeze(-1)
    p_draft = target.gather(-1, index).squeeze(-1)
    q_draft = q.gather(-1, index).squeeze(-1)
    ratio = torch.where(q_draft > 0, p_draft / q_draft, (p_draft > 0).to(p.dtype))
    accepted = u < ratio
    limits = torch.where(accepted, count, torch.arange(count))
    stood = limits.amin(1) if count else draft.new_zeros(rows)
    recovered = (target - q).clamp(min=0)
    empty = ~(recovered > 0).any(-1, keepdim=True)
    recovered = torch.where(empty, target, recovered)
    choices = torch.cat([recovered, p[:, count:]], 1)
    weights = choices[torch.arange(rows), stood]
    return Accepted(count=stood, next=_inverse(weights, v))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    which = torch.full_like(tokens[:, 0], -1) if tokens.shape[1] else tokens.new_full((len(tokens),), -1)
    open_rows = torch.ones(len(tokens), dtype=torch.bool)
    last = p.clone()
    p, q = p.clone(), q.clone()
    for turn in range(tokens.shape[1]):
        token = tokens[:, turn]
        rows = torch.arange(len(tokens))
        mine, theirs = q[rows, token], p[rows, token]
        ratio = torch.where(mine > 0, theirs / mine.clamp(min=1e-30), (theirs > 0).to(p.dtype))
        stands = (u[:, turn] < ratio) & open_rows
        which[stands] = turn
        open_rows = open_rows & ~stands
        rest = (p - q).clamp(min=0)
        whole = rest.sum(-1, keepdim=True)
        p = torch.where(whole > 0, rest / whole.clamp(min=1e-30), rest)
        filled = open_rows & (whole.squeeze(-1) > 0)
        last[filled] = p[filled]
        q[rows, token] = 0
        q = q / q.sum(-1, keepdim=True).clamp(min=1e-30)
    stood = tokens.gather(1, which.clamp(min=0)[:, None]).squeeze(1) if tokens.shape[1] else which
    return which, torch.where(open_rows, _inverse(last, v), stood)


def _inverse(weights: Tensor, v: Tensor) -> Tensor:
    reach = weights.double().cumsum(-1)
    due = v.double() * reach[:, -1]
    found = torch.searchsorted(reach, due[:, None], right=True).squeeze(-1)
    steps = torch.arange(weights.shape[-1])
    last = torch.where(weights > 0, steps, -1).amax(-1)
    return found.minimum(last)
