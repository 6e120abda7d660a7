"""EAGLE's layer with keys, values and features in slots: what its pass in torch and the compiled
one answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reference_engine.growing_trees import GrowingTrees, GrowthPlan, KeptTrees
from reference_engine.layer_rows import Floats, Integers, LayerRows
from reference_engine.slots import Copy


class LayerPass(Protocol):
    """Guesses are `[wanted, count]`: tokens, and the ln of their probabilities. What it made of
    wanted rows is kept as the features of their slots."""

    def copy(self, copies: Sequence[Copy]) -> None:
        """Keys and values of whole blocks, in order."""

    def guess(self, rows: LayerRows, count: int) -> tuple[Integers, Floats]:
        """The best guesses after every wanted row."""

    def guess_on(self, trees: GrowingTrees, chosen: Integers) -> tuple[Integers, Floats]:
        """Those after candidates chosen `[B, W]`, which the trees then have."""

    def grow(self, trees: GrowingTrees, rows: LayerRows, plan: GrowthPlan, due: float) -> KeptTrees:
        """Whole trees, from rows that end with their roots: level after level, as long as more than
        `due` guesses may stand for one, in all trees together."""
