"""A tree of guesses that is grown anew in every step, where the heads are sure: EAGLE-2's way, on Medusa's heads.

A step has one mask, so one greedy request at a time carries a tree; the others of the step are
served without. Two parts are asked and neither is believed: "draft_tree" grows the tree, "medusa" verifies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from reference_engine.medusa.heads import Heads, RequestProgress
from reference_engine.medusa.speculator import MedusaSpeculator, greedy_roots
from reference_engine.parts import PartError
from reference_engine.request_state import RequestState
from reference_engine.slots import Chunk, Copy, DraftTree, Growth, Tree
from reference_engine.speculation import Drafted


class Weigher(Protocol):
    """Guesses, and says how likely each is."""

    def weigh(self, told: Sequence[RequestProgress], hidden: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Tokens int64 and ln of their probabilities float32, both `[R, H, count]`, on the CPU."""

    def forget(self, id: int) -> None:
        """The request left; it may be unknown."""


class HeadWeigher:
    """Medusa's heads, their probabilities with them."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    @torch.inference_mode()
    def weigh(self, told: Sequence[RequestProgress], hidden: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See `Weigher`."""
        best = self._heads.logits(hidden).float().log_softmax(-1).topk(count)
        return best.indices.cpu(), best.values.clamp(max=0.0).cpu()

    def forget(self, id: int) -> None:
        """Heads remember nobody."""


class DynamicSpeculator(MedusaSpeculator):
    """Drafts a tree of `size` nodes for one request a step. See `reference_engine.speculation.Speculator`.

    depth: levels that are grown. width: candidates of a level that are guessed on. guesses: after each of them.
    """

    def __init__(
        self,
        part: Any,
        trees: Any,
        weigher: Weigher,
        *,
        size: int,
        depth: int,
        width: int,
        guesses: int,
    ) -> None:
        self._part, self._trees, self._weigher = part, trees, weigher
        self._levels, self._width, self._guesses = depth, width, guesses
        self._cost_model, self._judged = None, None
        self.lookahead, self.resting = size - 1, False
        self.mask, self.depths = torch.eye(size, dtype=torch.bool), (0,) * size
        self.grown: Growth | None = None
        self._weighed: dict[int, tuple[Tensor, Tensor]] = {}
        self._batch = self._vocab = 0
        self._drafted: frozenset[int] = frozenset()

    def draft(self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy]) -> Mapping[int, Sequence[int]]:
        """A tree for the first request that has guesses."""
        roots = greedy_roots(work)
        self._batch, self._drafted, self._judged = len(roots), frozenset(), None
        self.resting = not roots
        one = next((id for id in roots if id in self._weighed), None)
        if one is None:
            return {}
        drawn = self._tree(roots[one], *self._weighed[one])
        self.tree = Tree(drawn.parent[0], drawn.depth[0], torch.zeros_like(drawn.depth[0]), drawn.mask[0])
        self.mask, self.depths = drawn.mask[0].clone(), tuple(drawn.depth[0].tolist())
        tokens: list[int] = drawn.token[0].tolist()
        if not 0 <= min(tokens) <= max(tokens) < self._vocab:
            raise PartError("draft_tree", f"rerank() returned tokens {tokens}: the vocabulary has {self._vocab}")
        return {one: tokens}

    def forget(self, id: int) -> None:
        """The request left."""
        self._weighed.pop(id, None)
        self._weigher.forget(id)

    def _tree(self, root: int, tokens: Tensor, logs: Tensor) -> DraftTree:
        """Grow level after level, then keep the best. tokens, logs `[H, K]`."""
        none = torch.zeros(1, 0, dtype=torch.int64)
        growth = Growth(none, none, none, torch.zeros(1, 0))
        chosen = torch.full((1, 1), -1)
        for level in range(self._levels):
            width = chosen.shape[1]
            given = (each[level].expand(1, width, -1) for each in (tokens, logs))  # [1, W, K]
            growth = self._asked("grow", growth, chosen, *given)
            if level + 1 < self._levels:
                wanted = min(self._width, width * tokens.shape[1])
                chosen = self._asked("frontier", growth, level + 1, wanted)
        self.grown = growth
        return self._checked(self._asked("rerank", growth, torch.tensor([root]), self.lookahead + 1))

    def _asked(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._trees, name)(*arguments)
        except Exception as error:
            raise PartError("draft_tree", f"{name}() raised {type(error).__name__}: {error}") from error

    def _checked(self, drawn: Any) -> DraftTree:
        """What `rerank` returned, if it can be a tree of one row."""
        size = self.lookahead + 1
        shapes = {"token": (1, size), "parent": (1, size), "depth": (1, size), "mask": (1, size, size)}
        for name, shape in shapes.items():
            value = getattr(drawn, name, None)
            if not isinstance(value, Tensor) or tuple(value.shape) != shape:
                raise PartError("draft_tree", f"rerank() returned no {name} of shape {list(shape)}")
        if drawn.mask.dtype != torch.bool or not 0 <= int(drawn.depth.min()) <= int(drawn.depth.max()) < size:
            raise PartError("draft_tree", "rerank() returned a mask that is not bool, or depths that no such tree has")
        tree: DraftTree = drawn
        return tree

    def _guess(
        self, going: Sequence[Drafted], said: Mapping[int, list[int]], states: Mapping[int, int], hidden: Tensor
    ) -> None:
        """Guesses for the next step, if there is one in which they will be used."""
        self._weighed = {}
        if going:
            at = torch.tensor([states[one.id] for one in going], device=hidden.device)
            told = [RequestProgress(one.id, said[one.id]) for one in going]
            tokens, logs = self._weigher.weigh(told, hidden.index_select(0, at), self._guesses)
            self._weighed = {one.id: (tokens[row], logs[row]) for row, one in enumerate(going)}
