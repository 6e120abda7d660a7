"""Who guesses for an engine, by name: with the draft model, the heads and the layer that were
trained for the waiter.

Importing this module imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_engine.medusa.cost_model import MeasuredCosts
    from reference_engine.medusa.heads import Heads
    from reference_engine.model import Model
    from reference_engine.parts import Parts
    from reference_engine.speculation import Speculator

PLAIN, DRAFT, MEDUSA, EAGLE = "plain", "draft", "medusa", "eagle"
GUESSERS = (PLAIN, DRAFT, MEDUSA, EAGLE)


def guesser_of(parts: Parts) -> str:
    """Who guesses where these parts are there: a draft model where a part samples speculatively,
    else EAGLE's layer where one grows trees, else Medusa's heads where one verifies them."""
    if parts.speculative_sampling is not None:
        return DRAFT
    if parts.draft_tree is not None:
        return EAGLE
    return PLAIN if parts.medusa is None else MEDUSA


def speculator_for(
    name: str,
    model: Model,
    parts: Parts,
    *,
    thrifty: bool = False,
    measured: bool = False,
    nodes: int = 0,
    waiter: Model | None = None,
) -> Speculator | None:
    """A fresh one of that name for an engine of these parts; None where nobody guesses.

    thrifty: guess only while it pays, by the clock; measured: how far EAGLE's trees grow is decided
    by it all the same. nodes: of a tree; 0, as many as pay on such a device. waiter: what guessers
    were trained for, where `model` is a checkpoint of it in a larger shape. Raises ModelError for a
    model that they do not fit, ValueError for a name that nobody has.
    """
    from reference_engine.medusa.cost_model import MeasuredCosts

    costs, trained = MeasuredCosts() if thrifty else None, waiter or model
    if name == PLAIN:
        return None
    if name == DRAFT:
        from reference_engine.drafting import draft_for
        from reference_engine.drafting.speculator import DraftSpeculator

        return DraftSpeculator(parts.speculative_sampling, draft_for(trained), cost_model=costs)
    if name == EAGLE:
        from reference_engine.eagle import NODES
        from reference_engine.eagle.level_costs import LevelCosts
        from reference_engine.eagle.speculator import eagle_for

        levels = LevelCosts() if thrifty or measured else None
        return eagle_for(trained, parts, size=nodes or NODES, cost_model=costs, levels=levels)
    if name == MEDUSA:
        return _with_heads(model, parts, nodes, _heads(model, trained), costs)
    raise ValueError(f"nobody called {name!r} guesses; there are {', '.join(GUESSERS)}")


def _heads(model: Model, trained: Model) -> Heads:
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads, stretch_heads

    heads = load_heads(HEADS, trained)
    return heads if model.config == trained.config else stretch_heads(heads, model.config)


def _with_heads(
    model: Model, parts: Parts, nodes: int, heads: Heads, costs: MeasuredCosts | None
) -> Speculator:
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.speculator import MedusaSpeculator
    from reference_engine.medusa.tree_search import read_tree, tree_for

    tree = read_tree(HEADS).pruned(nodes) if nodes else tree_for(model.device.type, HEADS)
    return MedusaSpeculator(parts.medusa, heads, tree, cost_model=costs)
