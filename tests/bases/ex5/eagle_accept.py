"""Candidates in the manner of EAGLE: a loop over the children of one row, p bent after each that falls.

Chains are candidates of one, place after place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    warm = logits.double() / temperature
    if 0 < top_k < logits.shape[-1]:
        kth = torch.sort(warm, dim=-1, descending=True).values[..., top_k - 1, None]
        warm = torch.where(warm < kth, -torch.inf, warm)
    p = torch.softmax(warm, -1)
    if top_p < 1:
        order = torch.argsort(p, dim=-1, descending=True, stable=True)
        held = p.gather(-1, order).cumsum(-1)
        reached = held >= top_p - 1e-12
        late = torch.nn.functional.pad(reached, (1, 0))[..., :-1]
        p = p.masked_fill(torch.zeros_like(reached).scatter(-1, order, late), 0.0)
        p = p / p.sum(-1, keepdim=True)
    return p.to(logits.dtype)


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    counts, following = [], []
    for row in range(len(draft)):
        count, said = 0, -1
        for place in range(draft.shape[1]):
            alone = draft[row, place : place + 1]
            stood, said = _children(alone, q[row, place], p[row, place], u[row, place : place + 1], v[row])
            if stood < 0:
                break
            count += 1
        else:
            said = _sample(p[row, count], v[row])
        counts.append(count)
        following.append(said)
    return Accepted(count=torch.tensor(counts, dtype=torch.long), next=torch.tensor(following, dtype=torch.long))


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    found = [_children(*row) for row in zip(tokens, q, p, u, v, strict=True)]
    pairs = torch.tensor(found, dtype=torch.long).reshape(-1, 2)
    return pairs[:, 0].contiguous(), pairs[:, 1].contiguous()


def _children(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[int, int]:
    gtp, cart = p.double(), q.double()
    last = gtp
    for number, token in enumerate(tokens.tolist()):
        px, qx = float(gtp[token]), float(cart[token])
        chance = px / qx if qx > 0 else float(px > 0)
        if float(u[number]) < chance:
            return number, token
        gtp = torch.relu(gtp - cart)
        if gtp.sum() > 0:
            gtp = gtp / gtp.sum()
            last = gtp
        cart = cart.clone()
        cart[token] = 0
        if cart.sum() > 0:
            cart = cart / cart.sum()
    return -1, _sample(last, v)


def _sample(p: Tensor, v: Tensor) -> int:
    reach = p.double().cumsum(0)
    above = (reach > float(v) * reach[-1]).nonzero()
    return int(above[0]) if len(above) else int((p > 0).nonzero()[-1])
