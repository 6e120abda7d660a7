"""Speculative sampling: a small model guesses, the large one checks, and the text stays the large one's.

A small model drafts K tokens one after the other; the large one reads them all in one pass. Your part decides which of
them stand, so that the text is distributed exactly as if the large model had written it alone (Leviathan et al., arXiv
2211.17192, and Chen et al., arXiv 2302.01318). Three functions:

    probabilities     logits -> what a model would say how often: temperature, top-k, top-p
    accept_chain      K guesses in a row: how many stand, and the token after them
    accept_siblings   C guesses for one and the same place: which one stands, if any does

Where q is what the small model thought and p what the large one thinks, a guess x was drawn with probability q(x):

    p(x) >= q(x)    it was guessed too seldom: it stands, always
    p(x) <  q(x)    it was guessed too often: it stands p(x) / q(x) of the time

                              soup   fish   pie
    q, the small model        0.50   0.25   0.25
    p, the large one          0.25   0.25   0.50
    min(p, q)                 0.25   0.25   0.25      guesses that stand: 0.75 of them in all
    max(p - q, 0)             0      0      0.25      what is missing of p: from this the token after a guess that
                                                      fell is drawn, so that every token comes as often as p says

Shapes: B rows (sequences), K guesses, C candidates, V tokens. Integers are int64, probabilities float32 or float64. The
result of `probabilities` is in the dtype of the logits; `count`, `which` and `next` are int64 [B]. No function changes
what it is given. B may be 0, and so may K, where nothing was guessed and `next` is drawn from p[:, 0]. Rows never
influence each other. float32 is exact enough: whatever is compared lies well off its bar, or exactly on it.
`Accepted(count, next)` is a frozen dataclass of two tensors, in this order.

Dice. Nothing here rolls any: randomness comes in as uniforms in [0, 1), so every answer has one right value. *Drawing*
from weights w with a uniform v means: the lowest index i with cumsum(w)[i] > v * sum(w). If rounding leaves none, as it
may where v is the last number below 1, the last index with w > 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.slots import Accepted


def probabilities(logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """How likely a model says each token: softmax(logits / temperature), of which only the likeliest may be kept.

    logits float [..., V]; returns [..., V] in their dtype, each row sums to 1. In this order:

    temperature  0 is greedy: all weight on the argmax, the lowest index among equals.
    top_k        keep the k likeliest; those as likely as the k-th all stay. 0, or k >= V: all are kept.
    top_p        of those, whose probabilities sum to 1 again, keep the smallest set of the likeliest whose sum reaches
                 top_p; among equals the lower index comes first. 1.0: all are kept.

    What is not kept is 0, the rest sums to 1. A logit of -inf is a probability of 0.

    >>> logits = torch.tensor([2.0, 2.0, 2.0, 2.0])
    >>> probabilities(logits, temperature=1.0).tolist()
    [0.25, 0.25, 0.25, 0.25]
    >>> probabilities(logits, temperature=0.0).tolist()
    [1.0, 0.0, 0.0, 0.0]
    >>> probabilities(logits, temperature=1.0, top_k=1).tolist()          # all four are as likely as the first
    [0.25, 0.25, 0.25, 0.25]
    >>> probabilities(logits, temperature=1.0, top_p=0.5).tolist()        # two of them reach one half
    [0.5, 0.5, 0.0, 0.0]
    """
    ### BEGIN SOLUTION
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    scores = logits / temperature
    if 0 < top_k < scores.shape[-1]:
        least = scores.topk(top_k).values[..., -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    p = scores.softmax(-1)
    return p if top_p >= 1 else _nucleus(p, top_p)
    ### END SOLUTION


def accept_chain(draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Accepted:
    """How many of K guesses in a row stand, and the token after them.

    draft int64 [B, K]; q [B, K, V]: what guess i was drawn from; p [B, K + 1, V]: what the large model says in the
    place of guess i, having read the guesses before it, and after all of them (p[:, K]). u [B, K] and v [B] are
    uniforms.

    Guess i, the token x, stands when u[i] < min(1, p_i(x) / q_i(x)). So p = 0 never stands, and q = 0 with p > 0 always
    does. The first guess that falls ends it: those after it were guesses about another text.

    Returns Accepted(count, next). count int64 [B]: how many stand, 0..K; next int64 [B]: the token after them, drawn
    with v from max(p_i - q_i, 0) if guess i fell (from p_i if that is 0 everywhere), from p_K if all stood. So a pass
    yields count + 1 tokens.

    What p, q and u hold after the guess that fell may be anything, NaN too: it harms nobody. The guesses themselves are
    tokens of 0..V-1 there as well.

    >>> q = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    >>> p = torch.tensor([[[0.25, 0.75], [0.25, 0.75], [0.5, 0.5]]])
    >>> accepted = accept_chain(torch.tensor([[1, 0]]), q, p, torch.tensor([[0.9, 0.6]]), torch.tensor([0.25]))
    >>> accepted.count.tolist(), accepted.next.tolist()     # 1 stands; 0 falls, 0.6 >= 0.5; of 1 p has more than q
    ([1], [1])
    >>> accepted = accept_chain(torch.tensor([[1, 0]]), q, p, torch.tensor([[0.9, 0.4]]), torch.tensor([0.25]))
    >>> accepted.count.tolist(), accepted.next.tolist()     # both stand: next is drawn from p[:, 2]
    ([2], [0])
    """
    ### BEGIN SOLUTION
    guesses = draft.shape[1]
    likely = p[:, :guesses].gather(2, draft[:, :, None]).squeeze(2)  # [B, K]
    guessed = q.gather(2, draft[:, :, None]).squeeze(2)  # [B, K]
    stands = u * guessed < likely  # a division would have to mind q = 0; NaN compares false
    count = stands.long().cumprod(1).sum(1)  # [B]
    rows = torch.arange(len(draft), device=draft.device)
    weights = p[rows, count]  # [B, V]: a copy
    fell = (count < guesses).nonzero().squeeze(1)
    weights[fell] = _or_else(_missing(weights[fell], q[fell, count[fell]]), weights[fell])
    return Accepted(count=count, next=_drawn(weights, v))
    ### END SOLUTION


def accept_siblings(tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Which of C candidates for one place stands, if any does, and what is said there.

    tokens int64 [B, C]: drawn from q [B, V] one after the other without replacement; p [B, V]: what the large model
    says in that place; u [B, C] and v [B] are uniforms.

    The candidates are tried in order. Candidate i, the token x, stands when u[i] < min(1, p(x) / q(x)). When it falls,
    p becomes max(p - q, 0), renormalised, and q loses x and is renormalised: so the next candidate was drawn from the
    new q, and what is still missing is the new p. A q that has lost all is 0 everywhere: whatever has p > 0 stands
    then. A p of which nothing is left is 0 everywhere: nothing stands then.

    Returns which int64 [B]: the index of the candidate that stands, -1 if none does; next int64 [B]: its token, or one
    drawn with v from the p that is left (from the last p that was not 0 everywhere, if nothing is left).

    >>> q, p = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    >>> which, said = accept_siblings(torch.tensor([[0, 1]]), q, p, torch.tensor([[0.75, 0.0]]), torch.tensor([0.5]))
    >>> which.tolist(), said.tolist()      # 0 falls at 0.75 >= 0.5; p is (0, 0, 1) then, so 1 falls too; 2 is drawn
    ([-1], [2])
    """
    ### BEGIN SOLUTION
    which = torch.full((len(tokens),), -1, device=tokens.device)
    said = which.clone()
    left = p  # [B, V]: the last p of each row that is not 0 everywhere
    for turn in range(tokens.shape[1]):
        at = tokens[:, turn : turn + 1]
        stands = (u[:, turn : turn + 1] * q.gather(1, at) < p.gather(1, at)).squeeze(1) & (which < 0)
        which, said = which.masked_fill(stands, turn), torch.where(stands, at.squeeze(1), said)
        p = _normalised(_missing(p, q))
        q = _normalised(q.scatter(1, at, 0.0))
        left = torch.where(which[:, None] < 0, _or_else(p, left), left)
    return which, torch.where(which < 0, _drawn(left, v), said)
    ### END SOLUTION


### BEGIN SOLUTION
def _nucleus(p: Tensor, top_p: float) -> Tensor:
    """p [..., V] with the smallest set of the likeliest tokens whose sum reaches top_p, normalised."""
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1, dtype=torch.float64).roll(1, -1)  # what the likelier ones hold
    before[..., :1] = 0
    kept = torch.zeros_like(p).scatter_(-1, order, ordered.masked_fill(before >= top_p, 0.0))
    return kept / kept.sum(-1, keepdim=True)


def _missing(p: Tensor, q: Tensor) -> Tensor:
    """What p has more of than q."""
    return (p - q).clamp(min=0)


def _normalised(weights: Tensor) -> Tensor:
    """Rows [B, V] that sum to 1, or are 0 everywhere."""
    total = weights.sum(-1, keepdim=True)
    return weights / total.masked_fill(total == 0, 1.0)


def _or_else(weights: Tensor, otherwise: Tensor) -> Tensor:
    """Rows [B, V], those of `otherwise` where all weights are 0."""
    return torch.where((weights > 0).any(-1, keepdim=True), weights, otherwise)


def _drawn(weights: Tensor, v: Tensor) -> Tensor:
    """The lowest index of each row of weights [B, V] at which their sum so far exceeds v times the whole."""
    reach = weights.cumsum(-1, dtype=torch.float64)  # of a hundred thousand tokens float32 loses the last digits
    place = (reach <= v[:, None] * reach[:, -1:]).sum(-1)
    last = weights.shape[-1] - 1 - (weights.flip(-1) > 0).long().argmax(-1)
    return place.minimum(last)


### END SOLUTION
