"""The speculator with EAGLE's layer: every request grows a tree of its own in every step.

Two parts are asked and neither is believed: "draft_tree" grows the trees (exercise 6), "medusa"
verifies them (exercise 4). What they return is checked for shape and range; whether it is *right*
shows in the text. An engine that has no part to grow trees has the layer grow them: the same ones,
in one call of compiled code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reference_engine.eagle import GROWTH, LAYER, NODES
from reference_engine.eagle.drafter import Drafter, GrowingDrafter, LayerDrafter
from reference_engine.eagle.layer import load_layer
from reference_engine.eagle.level_costs import GrownStep, LevelCosts
from reference_engine.growing_trees import GrowthPlan, gain
from reference_engine.medusa.speculator import CostModel, MedusaSpeculator
from reference_engine.model import Model
from reference_engine.parts import PartError, Parts
from reference_engine.request_state import RequestState
from reference_engine.runner import Outcome, Runner
from reference_engine.slots import Chunk, Copy, DraftTree, Growth, Tree
from reference_engine.speculation import Drafted, Room


class EagleSpeculator(MedusaSpeculator):
    """Drafts a tree of `size` nodes for each request. See
    `reference_engine.speculation.Speculator`.

    trees: the part that grows them; None: the drafter itself. depth: levels that are grown at most:
    none of whose guesses a node could be kept, and where `levels` decides, none that does not pay.
    width: candidates of a level that are guessed on. guesses: after each of them. `trees`: what was
    kept of the step drafted last, by request. Raises ValueError for a tree that cannot grow so
    large, and where nobody grows trees.
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
        levels: LevelCosts | None = None,
    ) -> None:
        self._part, self._grower, self._drafter, self._cost_model = part, trees, drafter, cost_model
        self._own = drafter if trees is None and isinstance(drafter, GrowingDrafter) else None
        if trees is None and self._own is None:
            raise ValueError("nobody grows trees: neither a part nor this drafter")
        widths = list[int]()
        for _ in range(1, depth):
            widths.append(min(width, guesses * (widths[-1] if widths else 1)))
        self._plan = GrowthPlan(tuple(widths), guesses, size)
        self.lookahead, self.resting = size - 1, False
        self.mask, self.depths = torch.eye(size, dtype=torch.bool), (0,) * size
        self._growth: Growth | None = None
        self.trees: dict[int, Tree] = {}
        self._judged, self._drafted, self._states = None, frozenset(), {}
        self._guessed, self._batch, self._vocab = {}, 0, 0
        self._early = False  # trees are wanted, and nobody has said a word to grow them from
        # levels of the last step after the first one, and their seconds
        self._levels, self._grown = levels, (0, 0.0)

    @property
    def grown(self) -> Growth | None:
        """What grew in the step drafted last, if anything did."""
        if self._own is not None:
            return self._own.growth() if self.trees else None
        return self._growth

    def attach(self, runner: Runner, model: Model, room: Room) -> None:
        """The engine that it drafts for. Raises ValueError when the drafter cannot."""
        self._vocab = model.config.vocab
        self._drafter.attach(model, room)

    def draft(
        self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy]
    ) -> Mapping[int, Sequence[int]]:
        """A tree for each request that has said something, unless speculation loses for so many."""
        self._drafter.read(work, copies, self.lookahead)
        self._note(work)
        self._growth, self.trees, self.first = None, {}, {}
        going = [
            state
            for chunk, state in work
            if state.id in self._states and chunk.length == 1 and state.said
        ]
        wanted = self.speculates(self._batch)
        self.resting, self._early = not (wanted and going), wanted and not going
        return {} if self.resting else self._planted(going)

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """Features for the drafter."""
        self._drafter.watch(known, hidden)

    def settle(
        self, drafted: Sequence[Drafted], outcome: Outcome, runner: Runner
    ) -> dict[int, list[int]]:
        """What each request says; features of the guesses that stood are kept."""
        said, _ = self._settled(drafted, outcome, runner)
        if self._judged:
            for one, walk in zip(self._judged.drafted, self._judged.walks, strict=True):
                self._drafter.stood(one, walk, outcome.hidden)
        return said

    def forget(self, id: int) -> None:
        """All that is kept of a request lies in the slots of its KV."""

    def spent(self, seconds: float, rows: int, kept: Mapping[int, Sequence[int]]) -> None:
        """See `Speculator`."""
        if self._early:  # it was too early for trees: that is not what it takes to do without
            if self._cost_model is not None and self._batch:
                self._cost_model.pass_over(self._batch)
            return
        super().spent(seconds, rows, kept)
        if self._levels is not None and self._drafted:
            tokens = sum(len(kept[id]) for id in self._drafted)
            self._levels.note(len(self._drafted), GrownStep(seconds, *self._grown, tokens))

    def _planted(self, going: Sequence[RequestState]) -> dict[int, list[int]]:
        """Tokens of the nodes, by request; the step's mask and depths."""
        due = 0.0 if self._levels is None else self._levels.due(len(going))
        drawn = (
            self._drawn(self._own, going, due)
            if self._own is not None
            else self._asked_for(going, due)
        )
        size = self._plan.size
        parent, depth, mask = drawn.parent, drawn.depth, drawn.mask
        self.mask, self.depths, ranks = (
            mask.view(-1, size),
            tuple(depth.flatten().tolist()),
            torch.zeros_like(depth),
        )
        for row, state in enumerate(going):
            self.trees[state.id] = Tree(parent[row], depth[row], ranks[row], mask[row])
        self.first = {state.id: row * size for row, state in enumerate(going)}
        return {state.id: tokens for state, tokens in zip(going, drawn.token.tolist(), strict=True)}

    def _drawn(
        self, drafter: GrowingDrafter, going: Sequence[RequestState], due: float
    ) -> DraftTree:
        """The trees that the drafter grows."""
        kept = drafter.grow(going, self._plan, due)
        self._grown = kept.levels, kept.seconds
        return DraftTree(
            *(torch.from_numpy(each) for each in (kept.token, kept.parent, kept.depth, kept.mask))
        )

    def _asked_for(self, going: Sequence[RequestState], due: float) -> DraftTree:
        """The part grows level after level, as long as it pays, then keeps the best."""
        batch, count, widths = len(going), self._plan.guesses, self._plan.widths
        none = torch.zeros(batch, 0, dtype=torch.int64)
        growth = Growth(none, none, none, torch.zeros(batch, 0))
        growth = self._asked(
            "grow",
            growth,
            torch.full((batch, 1), -1),
            *self._drafter.begin(going, count, sum(widths)),
        )
        candidates, last, began, levels = count, count, time.perf_counter(), 0
        for level, most in enumerate(widths, 1):
            wide = min(most, last)
            chosen = self._chosen(
                self._asked("frontier", growth, level, wide), (batch, wide), candidates
            )
            if candidates >= self.lookahead:
                gained, useful = self._gain(growth, chosen)
                if gained <= due or not useful:
                    break
                chosen = chosen[:, :useful].contiguous()
            growth = self._asked("grow", growth, chosen, *self._drafter.further(chosen, count))
            last = chosen.shape[1] * count
            candidates, levels = candidates + last, level
        self._grown = levels, time.perf_counter() - began
        self._growth, root = growth, torch.tensor([state.tokens[-1] for state in going])
        return self._checked(self._asked("rerank", growth, root, self.lookahead + 1), batch)

    def _gain(self, growth: Growth, chosen: Tensor) -> tuple[float, int]:
        """See `growing_trees.gain`."""
        try:
            return gain(
                growth.value.numpy(), growth.value.gather(1, chosen).numpy(), self.lookahead
            )
        except Exception as error:
            raise PartError(
                "draft_tree", f"grow() returned no values: {type(error).__name__}: {error}"
            ) from error

    def _asked(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._grower, name)(*arguments)
        except Exception as error:
            raise PartError(
                "draft_tree", f"{name}() raised {type(error).__name__}: {error}"
            ) from error

    def _chosen(self, chosen: Any, shape: tuple[int, int], candidates: int) -> Tensor:
        """What `frontier` returned, if it names candidates."""
        if (
            not isinstance(chosen, Tensor)
            or chosen.dtype != torch.int64
            or tuple(chosen.shape) != shape
        ):
            raise PartError("draft_tree", f"frontier() returned no int64 tensor {list(shape)}")
        named = chosen.flatten().tolist()
        if not 0 <= min(named) <= max(named) < candidates:
            raise PartError(
                "draft_tree",
                f"frontier() returned {chosen.tolist()}: there are {candidates} candidates",
            )
        return chosen.clone()

    def _checked(self, drawn: Any, batch: int) -> DraftTree:
        """What `rerank` returned, if it can be a tree of so many rows."""
        size = self.lookahead + 1
        for name in ("token", "parent", "depth", "mask"):
            value, shape = (
                getattr(drawn, name, None),
                (batch, size, size) if name == "mask" else (batch, size),
            )
            if (
                not isinstance(value, Tensor)
                or value.is_floating_point()
                or tuple(value.shape) != shape
            ):
                raise PartError("draft_tree", f"rerank() returned no {name} of shape {list(shape)}")
        if drawn.mask.dtype != torch.bool:
            raise PartError("draft_tree", "rerank() returned a mask that is not bool")
        for name, low, high in (
            ("token", 0, self._vocab),
            ("parent", -1, size),
            ("depth", 0, size),
        ):
            held = getattr(drawn, name).flatten().tolist()
            if not low <= min(held) <= max(held) < high:
                raise PartError(
                    "draft_tree", f"rerank() returned {name} {held}: no such tree can be"
                )
        return DraftTree(
            drawn.token, *(each.clone() for each in (drawn.parent, drawn.depth, drawn.mask))
        )

    def _alike(self, trees: Sequence[Drafted]) -> list[tuple[Tree, int, Sequence[Drafted]]]:
        """Every request has a tree of its own; those that are alike are judged together."""
        alike: dict[tuple[int, ...], list[Drafted]] = {}
        for one in trees:
            alike.setdefault(tuple(self.trees[one.id].parent.tolist()), []).append(one)
        found = [(self.trees[some[0].id], some) for some in alike.values()]
        return [(tree, int(tree.depth.max()), some) for tree, some in found]


def eagle_for(
    model: Model,
    parts: Parts,
    *,
    size: int = NODES,
    cost_model: CostModel | None = None,
    levels: LevelCosts | None = None,
    **growth: int,
) -> EagleSpeculator:
    """One for an engine of these parts, with the waiter's trained layer. Raises ModelError for a
    model it does not fit.

    Trees are grown by the part "draft_tree" where the parts have one. growth: depth, width and
    guesses where they are not those of GROWTH. levels: decides how far a tree grows.
    """
    drafter = LayerDrafter(load_layer(LAYER, model))
    sizes: dict[str, Any] = GROWTH | growth
    return EagleSpeculator(
        parts.medusa,
        parts.draft_tree,
        drafter,
        size=size,
        cost_model=cost_model,
        levels=levels,
        **sizes,
    )
