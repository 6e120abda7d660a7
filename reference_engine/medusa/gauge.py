"""A cost model that measures itself while the engine serves: speculation is on where it pays here and now.

For each size of batch, to the next power of two, the gauge tries a few steps with trees and a few without, and goes on
with what gives more tokens a second. Now and then it tries the other again, as guests and machine change. Steps that
read prompts as well tell too: what a step takes is fitted to a fixed share, a share a row and a share a tree.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

TRIALS = 6
"""Steps of each kind before a choice is made."""
KEPT = 24
"""Steps that are remembered of each kind."""
AGAIN = 100
"""After so many steps the kind that lost is tried again."""
TRIAL = 6
"""Steps of such a trial; the first of them has no guesses yet and does not count."""
THINKING = 24
"""Every so many steps the choice is thought over: often, that would cost more than it saves."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one step took, and for what.

    rows: tokens that were computed, guesses too. batch: greedy requests that were given tokens; trees: how many of them
    had a tree, `nodes` large; kept: tokens that those with trees were given.
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
    """How many steps without trees a step with trees costs, and how many tokens a guest gets of it."""

    ratio: float
    tokens: float

    @property
    def gain(self) -> float:
        """Tokens a second with trees over tokens a second without."""
        return self.tokens / self.ratio


@dataclass(slots=True)
class _Size:
    """Steps of one size of batch."""

    steps: int = 0
    plain: deque[Spent] = field(default_factory=lambda: deque(maxlen=KEPT))
    trees: deque[Spent] = field(default_factory=lambda: deque(maxlen=KEPT))
    payback: Payback | None = None

    def note(self, spent: Spent) -> None:
        (self.trees if spent.trees else self.plain).append(spent)
        due = self.payback is None or self.steps % THINKING == 0
        if due and len(self.trees) >= TRIALS and len(self.plain) >= TRIALS:
            self.payback = _payback(self.plain, self.trees)


class Gauge:
    """Decides for one engine whether trees pay. See `reference_engine.medusa.speculator.CostModel`."""

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = defaultdict(_Size)

    def worth(self, batch: int) -> bool:
        """Whether the next step of so many guests carries trees."""
        size = self._sizes[_size(batch)]
        if size.payback is None:
            return len(size.trees) < TRIALS
        trying = size.steps % AGAIN < TRIAL
        return (size.payback.gain > 1.0) is not trying

    def note(self, spent: Spent) -> None:
        """A step that tells what trees cost, or what it costs to do without."""
        self.pass_over(spent.batch)
        self._sizes[_size(spent.batch)].note(spent)

    def pass_over(self, batch: int) -> None:
        """A step that says nothing about either kind, as when the guesses for the first trees were made."""
        self._sizes[_size(batch)].steps += 1

    def gain(self, batch: int) -> float | None:
        """Tokens a second with trees over tokens a second without; None: not measured yet."""
        payback = self._sizes[_size(batch)].payback
        return payback.gain if payback else None

    def verdict(self, batch: int) -> str:
        """One sentence for people."""
        payback, guests = self._sizes[_size(batch)].payback, f"{batch} guest{'s' * (batch != 1)}"
        if payback is None:
            return f"{guests}: what a tree costs is not measured yet"
        state = "on" if payback.gain > 1.0 else "off"
        what = f"a tree step costs {payback.ratio:.2f} plain steps and yields {payback.tokens:.2f} tokens each"
        return f"{guests}: {what}: speculation is {state} (gain {payback.gain:.2f})"


def _size(batch: int) -> int:
    """The next power of two."""
    return 1 << max(0, batch - 1).bit_length()


def _payback(plain: Sequence[Spent], trees: Sequence[Spent]) -> Payback:
    """Of guests of whom all have a tree, or none."""
    first = _shares([*plain, *trees])
    shares = _shares([*_undisturbed(plain, first), *_undisturbed(trees, first)])
    batch, nodes = max(one.batch for one in trees), trees[0].nodes
    ratio = shares @ (1, batch * nodes, batch) / (shares @ (1, batch, 0))
    return Payback(float(ratio), sum(one.kept for one in trees) / sum(one.trees for one in trees))


def _undisturbed(steps: Sequence[Spent], shares: np.ndarray) -> Sequence[Spent]:
    """The half that took the least beside what is expected of them: what disturbs a step only lengthens it."""
    return sorted(steps, key=lambda one: one.seconds / (shares @ one.counts))[: (len(steps) + 1) // 2]


def _shares(steps: Sequence[Spent]) -> np.ndarray:
    """What one of each of `counts` costs, none of them less than nothing, by least squares of the relative error."""
    counts = np.array([one.counts for one in steps], float)
    scale = counts.max(0)
    equations = counts / scale / np.array([one.seconds for one in steps])[:, None]
    used = [True] * len(scale)
    while True:
        found = np.linalg.lstsq(equations * used, np.ones(len(steps)), rcond=1e-6)[0]
        if found.min() >= 0:
            return np.asarray(found / scale)
        used[int(found.argmin())] = False
