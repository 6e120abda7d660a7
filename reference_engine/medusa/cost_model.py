"""A cost model that measures itself while the engine serves: speculation is on where it pays here
and now.

For each size of batch, to the next power of two, it tries a few steps with trees and a few without,
and goes on with what gives more tokens a second. Now and then it tries the other again, as requests
and machine change. Steps that read prompts as well tell too: what a step takes is fitted to a fixed
share, a share a row and a share a tree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TRIALS = 8
"""Steps of each kind that are told before a choice is made, and of the worse kind in every later trial."""
SETTLING = 16
"""Steps of a single request after a change of kind that are not told: what they read has to come back into the caches.
With more requests a step does more with what it reads, and fewer are left out."""
KEPT = 64
"""Steps that are remembered of each kind."""
AGAIN = 10
"""The better kind is taken so many times as long as a trial of the worse one lasts."""
SURE = 32
"""From so many steps of the worse kind on, every trial that confirms the choice doubles the time to
the next one: fewer may all lie in the same disturbance."""
SELDOM = 80
"""The better kind is taken at most so many times as long as a trial: a machine changes."""
REGRET = 0.05
"""Where trees lose, no more than this share of the time is lost in trials: what loses much is tried seldom."""
THINKING = 32
"""Every so many steps the choice is thought over: often, that would cost more than it saves."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one step took, and for what.

    rows: tokens that were computed, guesses too. batch: requests that were given tokens; trees: how
    many of them had a tree, `nodes` large; kept: tokens that those with trees were given.
    """

    seconds: float
    rows: int
    batch: int
    trees: int
    nodes: int
    kept: int

    @property
    def counts(self) -> tuple[int, int, int]:
        """What its time is shared out to: the step itself, its rows, its trees."""
        return 1, self.rows, self.trees


@dataclass(frozen=True, slots=True)
class Payback:
    """How many steps without trees a step with trees costs, and how many tokens a request gets from
    it."""

    ratio: float
    tokens: float

    @property
    def gain(self) -> float:
        """Tokens a second with trees over tokens a second without."""
        return self.tokens / self.ratio

    @property
    def lost(self) -> float:
        """Plain steps that a step with trees loses; 0 where it gains."""
        return max(0.0, self.ratio - self.tokens)


class _Size:
    """One size of batch: what its steps took, and of which kind the next one is, with trees or
    without."""

    def __init__(self, requests: int) -> None:
        self.trees = True
        self.payback: Payback | None = None
        self._settling = max(1, SETTLING // requests)
        self._run = 0  # steps since the kind was changed
        self._again = AGAIN
        self._spent = {kind: deque[StepCost](maxlen=KEPT) for kind in (True, False)}

    def step(self, spent: StepCost | None) -> None:
        """One was taken. None: it tells nothing, as when the guesses for the first trees were made."""
        self._run += 1
        if spent is not None and self._run > self._settling:
            self._spent[spent.trees > 0].append(spent)
        trial = self._settling + TRIALS
        if self.payback is None:
            if len(self._spent[self.trees]) >= TRIALS:
                self._think()
                self._take(not self.trees if self.payback is None else self._better)
        elif self.trees is self._better:
            if self._run % THINKING == 0:
                self._think()
            wait = max(self._again, self.payback.lost / REGRET)
            self._take(self._better if self._run < wait * trial else not self._better)
        elif self._run >= trial:
            if len(self._spent[self.trees]) >= SURE:
                self._again = min(2 * self._again, SELDOM)
            self._think()
            self._take(self._better)

    @property
    def _better(self) -> bool:
        return self.payback is not None and self.payback.gain > 1.0

    def _think(self) -> None:
        plain, trees, before = self._spent[False], self._spent[True], self._better
        if min(len(plain), len(trees)) >= TRIALS:
            self.payback = _payback(plain, trees)
        if self._better is not before:
            self._again = AGAIN

    def _take(self, trees: bool) -> None:
        if trees is not self.trees:
            self.trees, self._run = trees, 0


class MeasuredCosts:
    """Decides for one engine whether trees pay. See `reference_engine.medusa.speculator.CostModel`."""

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}

    def worth(self, batch: int) -> bool:
        """Whether the next step of so many requests carries trees."""
        return self._of(batch).trees

    def note(self, spent: StepCost) -> None:
        """A step that tells what trees cost, or what it costs to do without."""
        self._of(spent.batch).step(spent)

    def pass_over(self, batch: int) -> None:
        """A step that says nothing about either kind, as when the guesses for the first trees were
        made."""
        self._of(batch).step(None)

    def gain(self, batch: int) -> float | None:
        """Tokens a second with trees over tokens a second without; None: not measured yet."""
        payback = self._of(batch).payback
        return payback.gain if payback else None

    def verdict(self, batch: int) -> str:
        """One sentence for people."""
        payback, requests = self._of(batch).payback, f"{batch} request{'s' * (batch != 1)}"
        if payback is None:
            return f"{requests}: what a tree costs is not measured yet"
        state = "on" if payback.gain > 1.0 else "off"
        what = f"a tree step costs {payback.ratio:.2f} plain steps and yields {payback.tokens:.2f} tokens each"
        return f"{requests}: {what}: speculation is {state} (gain {payback.gain:.2f})"

    def _of(self, batch: int) -> _Size:
        """The next power of two counts."""
        size = 1 << max(0, batch - 1).bit_length()
        if size not in self._sizes:
            self._sizes[size] = _Size(size)
        return self._sizes[size]


def _payback(plain: Sequence[StepCost], trees: Sequence[StepCost]) -> Payback:
    """For requests that all have a tree, or none of them."""
    shares = _shares([*plain, *trees])
    batch, nodes = max(one.batch for one in trees), trees[0].nodes
    ratio = shares @ (1, batch * nodes, batch) / (shares @ (1, batch, 0))
    return Payback(float(ratio), sum(one.kept for one in trees) / sum(one.trees for one in trees))


def _shares(steps: Sequence[StepCost]) -> np.ndarray:
    """What one of each of `counts` costs, none of them less than nothing.

    By least squares of the relative error, in which steps that something disturbed weigh least.
    """
    counts = np.array([one.counts for one in steps], float)
    scale = counts.max(0)
    equations = counts / scale / np.array([one.seconds for one in steps])[:, None]
    used = [True] * len(scale)
    while True:
        found = np.linalg.lstsq(equations * used, np.ones(len(steps)), rcond=1e-6)[0]
        if found.min() >= 0:
            return np.asarray(found / scale)
        used[int(found.argmin())] = False
