"""When enough has been measured, and what follows from it: the rule by which a ratio meets a bound.

Submission and reference take turns in pairs, AB BA AB BA …, each pair on a fresh trace; a pair
gives one ratio, the submission's speed over the other's. After 5, 8, 11, 17 and 23 pairs the median
of the ratios is bracketed by two of them (order statistics): the true median lies below the lower
one, and above the upper one, each with a chance of at most 1 in 20, whatever the noise looks like.
The rule:

    3 pairs, all below half the bound    it is missed, and nobody waits for more
    lower >= bound                       it is met
    upper <  bound                       it is missed
    else, fewer than 23 pairs            measure more
    else, bracket too wide               undecided: the machine is too noisy, nobody is to blame, unless the
                                         reference's own times are steady and the submission's are
                                         not
    else                                 the median decides, within `MARGIN` of the bound in favour of the submission:
                                         marginal

A ratio that the processor cannot do, however well its multipliers are used, is held for a person to
review. Merely to be above what was measured is no reason: then the measurement was too low
(`reference_engine.roofline`).
"""

from __future__ import annotations

import enum
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

EARLY, HOPELESS = 3, 0.5
"""After so many pairs, a submission is sent home if all of its ratios are below this share of the bound."""
RANKS = {5: 1, 8: 2, 11: 3, 17: 5, 23: 8}
"""After so many pairs, the bracket is from the k-th lowest ratio to the k-th highest."""
LOOKS = tuple(RANKS)
LAST = LOOKS[-1]
MARGIN = 0.01
WIDEST = 1.25
"""An upper end that is more than so many times the lower one, after the last pair, says nothing about the part."""


class Call(enum.StrEnum):
    """What becomes of a bound."""

    MET = "met"
    MISSED = "missed"
    MORE = "more"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Interval:
    """The median of `pairs` ratios, and the ratios between which the true one lies."""

    pairs: int
    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Interval:
        """Raises ValueError when their number is none that the rule looks at, or one of them is not
        above 0."""
        if len(ratios) not in (EARLY, *RANKS):
            raise ValueError(
                f"{len(ratios)} pairs: the rule looks after {', '.join(map(str, (EARLY, *LOOKS)))}"
            )
        if not all(ratio > 0 for ratio in ratios):
            raise ValueError("a ratio of speeds is above 0")
        rank, ordered = RANKS.get(len(ratios), 1), sorted(ratios)
        return cls(len(ratios), statistics.median(ordered), ordered[rank - 1], ordered[-rank])

    def times(self, factor: float) -> Interval:
        """The same measurement against something that is `factor` times slower than what was
        measured against."""
        return Interval(self.pairs, self.median * factor, self.lower * factor, self.upper * factor)


@dataclass(frozen=True, slots=True)
class Decision:
    """A call, the bracket it rests on and the bound. marginal: the median decided. review: too good
    to be true."""

    call: Call
    bracket: Interval
    bound: float
    marginal: bool = False
    review: bool = False

    @property
    def final(self) -> bool:
        return self.call is not Call.MORE

    @property
    def met(self) -> bool:
        return self.call is Call.MET and not self.review


def decide(bracket: Interval, bound: float, *, ceiling: float | None = None) -> Decision:
    """The call on what was measured so far. ceiling: the ratio that no such processor exceeds;
    None: unknown."""
    review = ceiling is not None and bracket.lower > ceiling
    if bracket.pairs == EARLY:
        return Decision(
            Call.MISSED if bracket.upper < HOPELESS * bound else Call.MORE,
            bracket,
            bound,
            review=review,
        )
    if bracket.lower >= bound or bracket.upper < bound:
        call = Call.MET if bracket.lower >= bound else Call.MISSED
        return Decision(call, bracket, bound, review=review)
    if bracket.pairs < LAST:
        return Decision(Call.MORE, bracket, bound, review=review)
    if bracket.upper > WIDEST * bracket.lower:
        return Decision(Call.UNDECIDED, bracket, bound, review=review)
    return by_median(Decision(Call.UNDECIDED, bracket, bound, review=review))


def look_until_final(
    measure: Callable[[int], None], judged: Callable[[], list[Decision]], deadline: float
) -> list[Decision]:
    """Measure until every bound is decided, or one is missed beyond hope. What is decided stays.

    measure: makes it so many pairs. judged: the call on every bound, by the pairs so far. deadline:
    of the monotonic clock; what is too close to call then is undecided.
    """
    pairs, decisions = 0, list[Decision]()
    while not (decisions and all(each.final for each in decisions)):
        pairs = next_look(pairs)
        measure(pairs)
        now = judged()
        decisions = [
            old if old.final else new for old, new in zip(decisions or now, now, strict=True)
        ]
        if pairs == EARLY and any(each.final for each in decisions):
            break
        if pairs > EARLY and time.monotonic() > deadline:
            decisions = [
                each if each.final else replace(each, call=Call.UNDECIDED) for each in decisions
            ]
    return decisions


def by_median(decision: Decision) -> Decision:
    """The median decides, within `MARGIN` of the bound in favour of the submission."""
    met = decision.bracket.median >= decision.bound * (1 - MARGIN)
    return replace(decision, call=Call.MET if met else Call.MISSED, marginal=True)


def own_noise(decision: Decision, mine: Sequence[float], theirs: Sequence[float]) -> Decision:
    """What is undecided is so for the machine's noise only where the reference's times have it too.

    mine, theirs: of each pair, seconds for the same work. A submission that is noisy by itself has
    the median's call.
    """
    if decision.call is not Call.UNDECIDED:
        return decision
    noisy, steady = Interval.of(mine), Interval.of(theirs)
    alone = noisy.upper > WIDEST * noisy.lower and steady.upper <= WIDEST * steady.lower
    return by_median(decision) if alone else decision


def score(ratio: float, floor: float, bound: float) -> float:
    """The share of the points: 0 at the floor and below, 1 at the bound and above, a straight line
    between them.

    Raises ValueError unless floor < bound.
    """
    if not floor < bound:
        raise ValueError(f"the floor {floor:g} is not below the bound {bound:g}")
    return min(1.0, max(0.0, (ratio - floor) / (bound - floor)))


def submission_first(pair: int) -> bool:
    """Whether the submission goes first in this pair, counted from 0: AB BA AB BA …"""
    return pair % 2 == 0


def next_look(pairs: int) -> int:
    """The number of pairs after which the rule looks next. Raises ValueError after the last."""
    for look in (EARLY, *LOOKS):
        if look > pairs:
            return look
    raise ValueError(f"after {LAST} pairs the rule has decided")
