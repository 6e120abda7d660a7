"""What the three functions of exercise 5 mean, row by row in plain Python.

Slow on purpose and free of torch. Probabilities are computed in float64; what is decided about them
is decided in fractions, which round nothing. Nothing here is shared with the solution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate

ZERO = Fraction(0)
Row = Sequence[float]
Weights = Sequence[Fraction]


# ---------------------------------------------------------------- probabilities


@dataclass(frozen=True, slots=True)
class Rule:
    """The keywords of `probabilities`. told: those that are told though they have their usual values."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    told: tuple[str, ...] = ()

    @property
    def keywords(self) -> dict[str, float]:
        """As they are told: what is off is left out, unless it is to be told."""
        words = {"temperature": self.temperature}
        words |= {"top_k": self.top_k} if self.top_k or "top_k" in self.told else {}
        return words | ({"top_p": self.top_p} if self.top_p < 1 or "top_p" in self.told else {})

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.keywords.items())


@dataclass(frozen=True, slots=True)
class Spread:
    """What the rule makes of one row of logits.

    p: the probabilities. barred: how many of the likeliest are left after top_k, and the logit of
    the last of them. before: for each token what the likelier ones hold, among those that top_k
    leaves. margin: how near a sum is to top_p where it decides, or two logits to one another; a
    case below 1e-3 or so is left to rounding.
    """

    p: list[float]
    least: float
    before: list[float]
    margin: float


def spread(logits: Row, rule: Rule) -> Spread:
    """One row of logits, of which one at least is finite."""
    if rule.temperature == 0:
        best = top_token(logits)
        return Spread(
            [float(token == best) for token in range(len(logits))],
            logits[best],
            [0.0] * len(logits),
            1.0,
        )
    places = sorted(logits, reverse=True)
    least = places[rule.top_k - 1] if 0 < rule.top_k < len(logits) else -math.inf
    p = softmax([logit if logit >= least else -math.inf for logit in logits], rule.temperature)
    order = sorted(range(len(p)), key=lambda token: (-p[token], token))
    before = [0.0] * len(p)
    for token, held in zip(
        order, accumulate((p[token] for token in order), initial=0.0), strict=False
    ):
        before[token] = held
    if rule.top_p >= 1:
        return Spread(p, least, before, 1.0)
    kept = [x if held < rule.top_p else 0.0 for x, held in zip(p, before, strict=True)]
    margin = min(abs(held - rule.top_p) for x, held in zip(p, before, strict=True) if x > 0)
    return Spread([x / math.fsum(kept) for x in kept], least, before, margin)


def softmax(logits: Row, temperature: float) -> list[float]:
    top = max(logits)
    weights = [math.exp((logit - top) / temperature) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


def top_token(logits: Row) -> int:
    """The lowest index of the largest."""
    return max(range(len(logits)), key=lambda token: (logits[token], -token))


# ---------------------------------------------------------------- drawing


def exact(row: Row) -> list[Fraction]:
    return [Fraction(x) if x else ZERO for x in row]


def drawn(weights: Weights, v: Fraction) -> int:
    """The lowest index at which the sum so far exceeds v times the whole."""
    due, held = v * sum(filter(None, weights)), ZERO
    for index, weight in enumerate(weights):
        held = held + weight if weight else held
        if held > due:
            return index
    raise ValueError("nothing to draw from")


def draw_margin(weights: Weights, v: Fraction) -> float:
    """How near v is to a number at which another token would be drawn."""
    whole = sum(weights)
    return float(
        min([1 - v, *(abs(held / whole - v) for held in accumulate(weights) if 0 < held < whole)])
    )


def ratio(p: Fraction, q: Fraction) -> Fraction:
    """What u must be below: min(1, p / q)."""
    if p == 0:
        return ZERO
    return Fraction(1) if q <= p else p / q


def missing(p: Weights, q: Weights) -> list[Fraction]:
    return [x - y if x and x > y else ZERO for x, y in zip(p, q, strict=True)]


def normalised(weights: Weights) -> list[Fraction]:
    """Sums to 1, or is 0 everywhere."""
    whole = sum(filter(None, weights))
    return [x / whole if x else ZERO for x in weights] if whole else list(weights)


# ---------------------------------------------------------------- a chain of guesses


@dataclass(frozen=True, slots=True)
class Guess:
    """One guess: its token, what it was drawn from, what the large model says in its place, its
    uniform."""

    token: int
    q: Row
    p: Row
    u: float

    @property
    def bar(self) -> Fraction:
        """It stands when u is below."""
        return ratio(Fraction(self.p[self.token]), Fraction(self.q[self.token]))

    @property
    def stands(self) -> bool:
        return Fraction(self.u) < self.bar


@dataclass(frozen=True)
class Chain:
    """One row of `accept_chain`. last: what the large model says after all guesses."""

    guesses: tuple[Guess, ...]
    last: Row
    v: float

    @cached_property
    def count(self) -> int:
        for number, guess in enumerate(self.guesses):
            if not guess.stands:
                return number
        return len(self.guesses)

    @cached_property
    def weights(self) -> list[Fraction]:
        """What `next` is drawn from."""
        if self.count == len(self.guesses):
            return exact(self.last)
        fell = self.guesses[self.count]
        left = missing(exact(fell.p), exact(fell.q))
        return left if any(left) else exact(fell.p)

    @cached_property
    def next(self) -> int:
        return drawn(self.weights, Fraction(self.v))

    @property
    def margin(self) -> float:
        """How near the nearest decision is to going the other way."""
        decided = self.guesses[: self.count + 1]
        return min(
            [
                draw_margin(self.weights, Fraction(self.v)),
                *(float(abs(one.u - one.bar)) for one in decided),
            ]
        )


# ---------------------------------------------------------------- candidates for one place


@dataclass(frozen=True, slots=True)
class Turn:
    """A candidate's turn: p and q as they are then, what u must be below, whether it stands."""

    p: list[Fraction]
    q: list[Fraction]
    bar: Fraction
    stands: bool


@dataclass(frozen=True)
class Siblings:
    """One row of `accept_siblings`."""

    tokens: tuple[int, ...]
    q: Row
    p: Row
    u: tuple[float, ...]
    v: float

    @cached_property
    def turns(self) -> list[Turn]:
        """Until one stands."""
        p, q, turns = exact(self.p), exact(self.q), list[Turn]()
        for token, u in zip(self.tokens, self.u, strict=True):
            bar = ratio(p[token], q[token])
            turns.append(Turn(p, q, bar, Fraction(u) < bar))
            if turns[-1].stands:
                break
            p, q = (
                normalised(missing(p, q)),
                normalised([x * (at != token) for at, x in enumerate(q)]),
            )
        return turns

    @property
    def which(self) -> int:
        return len(self.turns) - 1 if self.turns and self.turns[-1].stands else -1

    @cached_property
    def weights(self) -> list[Fraction]:
        """What is left to draw from when none stands: the last p that is not 0 everywhere."""
        last = self.turns[-1] if self.turns else None
        if last is None:
            return exact(self.p)
        left = normalised(missing(last.p, last.q))
        return next(p for p in [left, *(turn.p for turn in reversed(self.turns))] if any(p))

    @cached_property
    def next(self) -> int:
        return self.tokens[self.which] if self.which >= 0 else drawn(self.weights, Fraction(self.v))

    @property
    def margin(self) -> float:
        """As for a chain. What p has more of than q must be more than rounding leaves, or nothing
        at once."""
        near = [
            float(abs(Fraction(u) - turn.bar)) for u, turn in zip(self.u, self.turns, strict=False)
        ]
        fell = [turn for turn in self.turns if not turn.stands]
        near += [float(sum(missing(turn.p, turn.q))) for turn in fell]
        return min(
            near if self.which >= 0 else [*near, draw_margin(self.weights, Fraction(self.v))]
        )
