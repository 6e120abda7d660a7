"""Who can guess for the engine in lab 4, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reference_engine.guessers import DRAFT, EAGLE, MEDUSA, PLAIN, speculator_for

if TYPE_CHECKING:
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.model import Model
    from reference_engine.parts import Parts
    from reference_engine.speculation import Speculator

Make = Callable[["Model", "Parts"], "Speculator | None"]


@dataclass(frozen=True, slots=True)
class DrafterKind:
    """One way to guess. make: a fresh one for an engine of these parts; it makes None where nothing
    is guessed."""

    name: str
    about: str
    make: Make


def medusa_chain(model: Model, parts: Parts, depth: int) -> MedusaSpeculator:
    """Medusa's heads with a chain in place of a tree: the best guess of each of the first `depth`
    heads."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import TreeChoice

    chain = tuple((0,) * each for each in range(1, depth + 1))
    return MedusaSpeculator(
        parts.medusa, load_heads(HEADS, model), TreeChoice(chain, (0.0,) * depth)
    )


def medusa_tree(model: Model, parts: Parts, nodes: int = 0) -> Speculator | None:
    """Medusa's heads with the likeliest `nodes` of their tree; 0: as many as pay on such a device."""
    return speculator_for(MEDUSA, model, parts, nodes=nodes)


def eagle_tree(model: Model, parts: Parts, nodes: int = 0) -> Speculator | None:
    """EAGLE's layer with a tree of so many nodes that it grows itself in every step; 0: as many as
    pay on a CPU."""
    return speculator_for(EAGLE, model, replace(parts, draft_tree=None), nodes=nodes)


def _named(name: str) -> Make:
    return lambda model, parts: speculator_for(name, model, replace(parts, draft_tree=None))


ABOUT = {
    PLAIN: "no guesses",
    DRAFT: "a smaller model guesses",
    MEDUSA: "heads on the model guess",
    EAGLE: "a layer on the model's features guesses",
}
DRAFTERS = {name: DrafterKind(name, about, _named(name)) for name, about in ABOUT.items()}
"""Every drafter by name, plain decoding first."""
