"""Who can guess for the engine in lab 4, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_engine.drafting.speculator import DraftSpeculator
    from reference_engine.eagle.speculator import EagleSpeculator
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.model import Model
    from reference_engine.parts import Parts
    from reference_engine.speculation import Speculator

Make = Callable[["Model", "Parts"], "Speculator | None"]
PLAIN, MEDUSA = "plain", "medusa"


@dataclass(frozen=True, slots=True)
class DrafterKind:
    """One way to guess. make: a fresh one for an engine of these parts; it makes None where nothing is guessed."""

    name: str
    about: str
    make: Make


def medusa_chain(model: Model, parts: Parts, depth: int) -> MedusaSpeculator:
    """Medusa's heads with a chain in place of a tree: the best guess of each of the first `depth` heads."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import TreeChoice

    chain = tuple((0,) * each for each in range(1, depth + 1))
    return MedusaSpeculator(parts.medusa, load_heads(HEADS, model), TreeChoice(chain, (0.0,) * depth))


def medusa_tree(model: Model, parts: Parts, nodes: int = 0) -> MedusaSpeculator:
    """Medusa's heads with the likeliest `nodes` of their tree; 0: as many as pay on such a device."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import read_tree, tree_for

    tree = read_tree(HEADS).pruned(nodes) if nodes else tree_for(model.device.type, HEADS)
    return MedusaSpeculator(parts.medusa, load_heads(HEADS, model), tree)


def draft_model(model: Model, parts: Parts) -> DraftSpeculator:
    """The small waiter that was trained to guess what the waiter says."""
    from reference_engine.drafting import draft_for
    from reference_engine.drafting.speculator import DraftSpeculator

    return DraftSpeculator(parts.speculative_sampling, draft_for(model))


def eagle_tree(model: Model, parts: Parts, nodes: int = 0) -> EagleSpeculator:
    """EAGLE's layer with a tree of so many nodes that it grows in every step; 0: as many as pay on a CPU."""
    from reference_engine.eagle import NODES
    from reference_engine.eagle.speculator import eagle_for

    return eagle_for(model, replace(parts, draft_tree=None), size=nodes or NODES)


def _plain(model: Model, parts: Parts) -> None:
    return None


DRAFTERS = {
    kind.name: kind
    for kind in (
        DrafterKind(PLAIN, "no guesses", _plain),
        DrafterKind("draft", "a smaller model guesses", draft_model),
        DrafterKind(MEDUSA, "heads on the model guess", medusa_tree),
        DrafterKind("eagle", "a layer on the model's features guesses", eagle_tree),
    )
}
"""Every drafter by name, plain decoding first."""
