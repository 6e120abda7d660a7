"""From logits to tokens: greedy, or a draw that depends on the request and the position alone.

A request's draw at a position uses one number in [0, 1) made from (seed, position) by a
counter-based hash, and reads the candidates from the likeliest down. So a text is the same in any
batch, after any preemption, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
COLDEST = 1e-6
"""Temperatures below this are taken as this."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one request chooses its tokens.

    temperature: 0 is greedy. top_k: choose among the k likeliest; 0: among all. top_p: of those,
    among the fewest likeliest whose probabilities sum to at least p. seed: two requests with the
    same seed and prompt say the same; None: the engine makes one from its own seed and the
    request's id. min_new: EOS is not said before so many tokens. scores: with every token, its
    log-probability and those of so many of the likeliest; None: without. Raises ValueError for
    values out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    min_new: int = 0
    scores: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be a number from 0 on, not {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (all) or more, not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}")
        if self.min_new < 0 or (self.scores or 0) < 0:
            raise ValueError(
                f"min_new ({self.min_new}) and scores ({self.scores}) must be 0 or more"
            )

    @property
    def greedy(self) -> bool:
        """The likeliest token, always."""
        return self.temperature == 0 or self.top_k == 1


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities, of the model itself at temperature 1: the token's, and (token, its own) of
    the likeliest."""

    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """One row to be chosen at random: its index among the logits, its rule, and its number in [0,
    1)."""

    row: int
    rule: Sampling
    number: float


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on (seed, position) alone (two rounds of SplitMix64, Steele
    et al. 2014)."""
    mixed = _mix(_mix(seed & _MASK) ^ (position * 0xD1B54A32D192ED03 & _MASK))
    return (mixed >> 11) / (1 << 53)


def request_seed(engine_seed: int, id: int) -> int:
    """The seed of a request that brought none."""
    return _mix(_mix(engine_seed & _MASK) + id & _MASK)


def choose(logits: Tensor, draws: Sequence[Draw] = ()) -> list[int]:
    """One token for each row of `[R, vocab]`: greedy, the lowest id among equals, unless `draws`
    names the row."""
    tokens = argmax(logits)
    if draws:
        rows = torch.tensor([draw.row for draw in draws], device=logits.device)
        chosen = draw_tokens(logits.index_select(0, rows).float(), draws)
        for draw, token in zip(draws, chosen, strict=True):
            tokens[draw.row] = token
    return tokens


def scores(logits: Tensor, token: int, count: int) -> TokenScores:
    """Scores of a token and of the `count` likeliest ones in one row of logits `[vocab]`."""
    known = logits.float().log_softmax(-1)
    found = known.topk(min(count, len(known)))
    top = zip(map(int, found.indices.tolist()), found.values.tolist(), strict=True)
    return TokenScores(float(known[token]), tuple(top))


def argmax(logits: Tensor) -> list[int]:
    """The likeliest token of each row of `[R, vocab]`; numpy's argmax is vectorised on a CPU,
    torch's is not."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        return list(map(int, logits.numpy().argmax(-1).tolist()))
    return [int(token) for token in logits.argmax(-1).tolist()]


def draw_tokens(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token a row of `[R, vocab]` by inverse transform over the candidates, likeliest first."""
    device, vocab = logits.device, logits.shape[1]
    warm = torch.tensor([max(draw.rule.temperature, COLDEST) for draw in draws], device=device)[
        :, None
    ]
    most = torch.tensor([draw.rule.top_k or vocab for draw in draws], device=device)[:, None]
    share = torch.tensor([draw.rule.top_p for draw in draws], device=device, dtype=torch.float64)[
        :, None
    ]
    scores, order = logits.sort(dim=-1, descending=True, stable=True)
    scores = (scores - scores[:, :1]).double() / warm
    scores.masked_fill_(torch.arange(vocab, device=device) >= most, float("-inf"))
    probabilities = scores.softmax(-1)
    # what the likelier ones hold is enough
    barred = probabilities.cumsum(-1) - probabilities >= share
    barred[:, 0] = False
    reach = probabilities.masked_fill_(barred, 0.0).cumsum(-1)
    number = torch.tensor([draw.number for draw in draws], device=device, dtype=torch.float64)[
        :, None
    ]
    place = (reach <= number * reach[:, -1:]).sum(-1, keepdim=True)
    last = (probabilities > 0).sum(-1, keepdim=True) - 1
    return [int(token) for token in order.gather(1, place.minimum(last))[:, 0].tolist()]


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
