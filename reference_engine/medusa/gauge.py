"""A cost model that measures itself while the engine serves: speculation is on where it pays here and now.

For each size of batch, to the next power of two, the gauge tries a few steps with trees and a few without, and goes on
with what gave more tokens a second. Now and then it tries the other again, as guests and machine change.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from statistics import fmean

TRIALS = 6
"""Steps of each kind before a choice is made."""
KEPT = 16
"""Steps that are remembered of each kind."""
AGAIN = 100
"""After so many steps the kind that lost is tried again."""
TRIAL = 4
"""Steps of such a trial; the first of them has no guesses yet and does not count."""


@dataclass(slots=True)
class _Size:
    """What steps of one size of batch took, and how many tokens a guest got of a step with trees."""

    steps: int = 0
    plain: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    tree: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    yields: deque[float] = field(default_factory=lambda: deque(maxlen=4 * KEPT))

    @property
    def known(self) -> bool:
        return len(self.tree) >= TRIALS and len(self.plain) >= TRIALS

    @property
    def ratio(self) -> float:
        """How many plain steps a step with trees costs: the quickest of each, as what disturbs only lengthens, and the
        first steps after a change run into cold caches."""
        return min(self.tree) / min(self.plain)

    @property
    def gain(self) -> float:
        """Tokens a second with trees over tokens a second without."""
        return fmean(self.yields) / self.ratio


class Gauge:
    """Decides for one engine whether trees pay. See `reference_engine.medusa.speculator.CostModel`."""

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = defaultdict(_Size)

    def worth(self, batch: int) -> bool:
        """Whether the next step of so many guests carries trees."""
        size = self._sizes[_size(batch)]
        if not size.known:
            return len(size.tree) < TRIALS
        trying = size.steps % AGAIN < TRIAL
        return (size.gain > 1.0) is not trying

    def note(self, batch: int, seconds: float, kept: int, *, drafted: bool) -> None:
        """A step took so long in which every guest did nothing but decode, all with trees or all without.

        kept: how many tokens the guests got.
        """
        size = self._sizes[_size(batch)]
        size.steps += 1
        (size.tree if drafted else size.plain).append(seconds)
        if drafted:
            size.yields.append(kept / batch)

    def pass_over(self, batch: int) -> None:
        """A step that says nothing about either kind, as when the guesses for the first trees were made."""
        self._sizes[_size(batch)].steps += 1

    def gain(self, batch: int) -> float | None:
        """Tokens a second with trees over tokens a second without; None: not measured yet."""
        size = self._sizes[_size(batch)]
        return size.gain if size.known else None

    def verdict(self, batch: int) -> str:
        """One sentence for people."""
        size, guests = self._sizes[_size(batch)], f"{batch} guest{'s' * (batch != 1)}"
        if not size.known:
            return f"{guests}: what a tree costs is not measured yet"
        state = "on" if size.gain > 1.0 else "off"
        what = f"a tree step costs {size.ratio:.2f} plain steps and yields {fmean(size.yields):.2f} tokens each"
        return f"{guests}: {what}: speculation is {state} (gain {size.gain:.2f})"


def _size(batch: int) -> int:
    """The next power of two."""
    return 1 << max(0, batch - 1).bit_length()
