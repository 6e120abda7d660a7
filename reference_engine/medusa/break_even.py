"""Whether speculation pays: what a step costs with and without a tree, as measured, against what a
tree yields.

With few requests a step is bound by reading the weights, and more rows are nearly free. With many
requests it is bound by arithmetic, and a tree of N nodes costs nearly N times as much.
`costs.measure_break_even` times both on a machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference_engine.medusa.cost_model import StepCost


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one step for `batch` requests: plain, one row each; tree, one tree each, judging
    included."""

    batch: int
    plain: float
    tree: float

    @property
    def ratio(self) -> float:
        """How many plain steps a tree step costs: it must yield more tokens than that."""
        return self.tree / self.plain


@dataclass(frozen=True, slots=True)
class BreakEven:
    """A measured cost model. expected: tokens that a tree step yields for one request; costs: by
    batch, ascending."""

    expected: float
    costs: tuple[Cost, ...]

    def gain(self, batch: int) -> float:
        """Tokens a second with speculation over tokens a second without, for this many requests."""
        return self.expected / self._ratio(batch)

    def worth(self, batch: int) -> bool:
        """Whether speculation wins."""
        return self.gain(batch) > 1.0

    def note(self, spent: StepCost) -> None:
        """What was measured stands."""

    def pass_over(self, batch: int) -> None:
        """What was measured stands."""

    @property
    def limit(self) -> int:
        """The largest measured batch up to which it wins throughout; 0: it never does."""
        best = 0
        for cost in self.costs:
            if not self.worth(cost.batch):
                break
            best = cost.batch
        return best

    def verdict(self, batch: int) -> str:
        """One sentence for people."""
        ratio = self._ratio(batch)
        what = f"{batch} request{'s' * (batch != 1)}: a tree step costs {ratio:.2f} plain steps and yields"
        outcome = "speculation is on" if self.worth(batch) else "speculation is off"
        return f"{what} {self.expected:.2f} tokens each: {outcome} (gain {self.gain(batch):.2f})"

    def _ratio(self, batch: int) -> float:
        """Interpolated between measured batches, extrapolated level at both ends."""
        below = [cost for cost in self.costs if cost.batch <= batch] or [self.costs[0]]
        above = [cost for cost in self.costs if cost.batch >= batch] or [self.costs[-1]]
        low, high = below[-1], above[0]
        if low.batch == high.batch:
            return low.ratio
        share = (batch - low.batch) / (high.batch - low.batch)
        return low.ratio + share * (high.ratio - low.ratio)
