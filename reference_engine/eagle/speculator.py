"""The speculator with EAGLE's layer: every greedy request grows a tree of its own in every step.

Two parts are asked and neither is believed: "draft_tree" grows the trees (exercise 6), "medusa" verifies them
(exercise 4). What they return is checked for shape and range; whether it is *right* shows in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reference_engine.eagle import GROWTH, LAYER, NODES
from reference_engine.eagle.drafter import Drafter, LayerDrafter
from reference_engine.eagle.layer import load_layer
from reference_engine.medusa.speculator import CostModel, MedusaSpeculator, greedy_roots
from reference_engine.model import Model
from reference_engine.parts import PartError, Parts
from reference_engine.request_state import RequestState
from reference_engine.runner import Outcome, Runner
from reference_engine.slots import Chunk, Copy, DraftTree, Growth, Tree
from reference_engine.speculation import Drafted, Room


class EagleSpeculator(MedusaSpeculator):
    """Drafts a tree of `size` nodes for each request. See `reference_engine.speculation.Speculator`.

    depth: levels that are grown. width: candidates of a level that are guessed on. guesses: after each of them. grown:
    what grew in the step drafted last. trees: what was kept of it, by request.
    """

    watches = True

    def __init__(
        self,
        part: Any,
        trees: Any,
        drafter: Drafter,
        *,
        size: int,
        depth: int,
        width: int,
        guesses: int,
        cost_model: CostModel | None = None,
    ) -> None:
        self._part, self._trees, self._drafter, self._cost_model = part, trees, drafter, cost_model
        self._guesses, self._widths = guesses, list[int]()
        for _ in range(1, depth):
            self._widths.append(min(width, guesses * (self._widths[-1] if self._widths else 1)))
        self.lookahead, self.resting = size - 1, False
        self.mask, self.depths = torch.eye(size, dtype=torch.bool), (0,) * size
        self.grown: Growth | None = None
        self.trees: dict[int, Tree] = {}
        self._judged, self._drafted = None, frozenset()
        self._guessed, self._batch, self._vocab = {}, 0, 0

    def attach(self, runner: Runner, model: Model, room: Room) -> None:
        """The engine that it drafts for. Raises ValueError when the drafter cannot."""
        self._vocab = model.config.vocab
        self._drafter.attach(model, room)

    def draft(self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy]) -> Mapping[int, Sequence[int]]:
        """A tree for each request that has said something, unless speculation loses for so many."""
        self._drafter.read(work, copies, self.lookahead)
        roots = greedy_roots(work)
        self._batch, self._drafted, self._judged = len(roots), frozenset(), None
        self.grown, self.trees, self.first = None, {}, {}
        going = [state for chunk, state in work if state.id in roots and chunk.length == 1 and state.said]
        wanted = bool(going) and self.speculates(self._batch)
        self.resting = not wanted
        return self._planted(going) if wanted else {}

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """Features for the drafter."""
        self._drafter.watch(known, hidden)

    def settle(self, drafted: Sequence[Drafted], outcome: Outcome, runner: Runner) -> dict[int, list[int]]:
        """What each greedy request says; features of the guesses that stood are kept."""
        said, _ = self._settled(drafted, outcome, runner)
        if self._judged:
            for one, walk in zip(self._judged.drafted, self._judged.walks, strict=True):
                self._drafter.stood(one, walk, outcome.hidden)
        return said

    def forget(self, id: int) -> None:
        """All that is kept of a request lies in the slots of its KV."""

    def _planted(self, going: Sequence[RequestState]) -> dict[int, list[int]]:
        """Tokens of the nodes, by request; the step's mask and depths."""
        drawn, size = self._drawn(going), self.lookahead + 1
        self.mask, self.depths = drawn.mask.flatten(0, 1).clone(), tuple(drawn.depth.flatten().tolist())
        for row, state in enumerate(going):
            parent, depth, mask = (each[row].clone() for each in (drawn.parent, drawn.depth, drawn.mask))
            self.trees[state.id] = Tree(parent, depth, torch.zeros_like(depth), mask)
        self.first = {state.id: row * size for row, state in enumerate(going)}
        return {state.id: tokens for state, tokens in zip(going, drawn.token.tolist(), strict=True)}

    def _drawn(self, going: Sequence[RequestState]) -> DraftTree:
        """Grow level after level, then keep the best."""
        batch, count = len(going), self._guesses
        none = torch.zeros(batch, 0, dtype=torch.int64)
        growth = Growth(none, none, none, torch.zeros(batch, 0))
        growth = self._asked(
            "grow", growth, torch.full((batch, 1), -1), *self._drafter.begin(going, count, sum(self._widths))
        )
        candidates = count
        for level, wide in enumerate(self._widths, 1):
            chosen = self._chosen(self._asked("frontier", growth, level, wide), (batch, wide), candidates)
            growth = self._asked("grow", growth, chosen, *self._drafter.further(chosen, count))
            candidates += wide * count
        self.grown, root = growth, torch.tensor([state.tokens[-1] for state in going])
        return self._checked(self._asked("rerank", growth, root, self.lookahead + 1), batch)

    def _asked(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._trees, name)(*arguments)
        except Exception as error:
            raise PartError("draft_tree", f"{name}() raised {type(error).__name__}: {error}") from error

    def _chosen(self, chosen: Any, shape: tuple[int, int], candidates: int) -> Tensor:
        """What `frontier` returned, if it names candidates."""
        if not isinstance(chosen, Tensor) or chosen.dtype != torch.int64 or tuple(chosen.shape) != shape:
            raise PartError("draft_tree", f"frontier() returned no int64 tensor {list(shape)}")
        if not 0 <= int(chosen.min()) <= int(chosen.max()) < candidates:
            raise PartError("draft_tree", f"frontier() returned {chosen.tolist()}: there are {candidates} candidates")
        return chosen.clone()

    def _checked(self, drawn: Any, batch: int) -> DraftTree:
        """What `rerank` returned, if it can be a tree of so many rows."""
        size = self.lookahead + 1
        for name in ("token", "parent", "depth", "mask"):
            value, shape = getattr(drawn, name, None), (batch, size, size) if name == "mask" else (batch, size)
            if not isinstance(value, Tensor) or value.is_floating_point() or tuple(value.shape) != shape:
                raise PartError("draft_tree", f"rerank() returned no {name} of shape {list(shape)}")
        if drawn.mask.dtype != torch.bool:
            raise PartError("draft_tree", "rerank() returned a mask that is not bool")
        for name, low, high in (("token", 0, self._vocab), ("parent", -1, size), ("depth", 0, size)):
            value = getattr(drawn, name)
            if not low <= int(value.min()) <= int(value.max()) < high:
                raise PartError("draft_tree", f"rerank() returned {name} {value.tolist()}: no such tree can be")
        tree: DraftTree = drawn
        return tree

    def _alike(self, trees: Sequence[Drafted]) -> list[tuple[Tree, int, Sequence[Drafted]]]:
        """Every request has a tree of its own."""
        return [(self.trees[one.id], int(self.trees[one.id].depth.max()), [one]) for one in trees]


def eagle_for(
    model: Model, parts: Parts, *, size: int = NODES, cost_model: CostModel | None = None, **growth: int
) -> EagleSpeculator:
    """One for an engine of these parts, with the waiter's trained layer. Raises ModelError for a model it does not fit.

    growth: depth, width and guesses where they are not those of GROWTH.
    """
    drafter = LayerDrafter(load_layer(LAYER, model))
    return EagleSpeculator(
        parts.medusa, parts.draft_tree, drafter, size=size, cost_model=cost_model, **(GROWTH | growth)
    )
