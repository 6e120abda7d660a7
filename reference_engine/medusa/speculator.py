"""The speculator: between the engine, the heads that guess and the part that verifies.

The part is not believed: what it returns is checked for shape and range before the engine acts on
it, and a wrong answer becomes a `PartError` that names "medusa". Whether it is *right* shows in the
text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from reference_engine.medusa.cost_model import StepCost
from reference_engine.medusa.heads import Guesser, Heads, RequestProgress
from reference_engine.medusa.tree_search import TreeChoice
from reference_engine.metrics import VerifiedTree
from reference_engine.model import Model
from reference_engine.parts import PartError
from reference_engine.request_state import RequestState
from reference_engine.runner import Outcome, Runner
from reference_engine.sampler import Draw, choose, uniform
from reference_engine.slots import Chunk, Copy, Tree, Verdict
from reference_engine.speculation import Drafted, Room


class CostModel(Protocol):
    """Knows whether trees pay: `BreakEven` was measured beforehand, `MeasuredCosts` learns from
    every step."""

    def worth(self, batch: int) -> bool: ...
    def verdict(self, batch: int) -> str: ...
    def note(self, spent: StepCost) -> None: ...
    def pass_over(self, batch: int) -> None: ...


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the part said of the trees of a step; moves: all their sources, all their destinations."""

    drafted: Sequence[Drafted]
    walks: Sequence[Sequence[int]]
    following: Sequence[int]
    moves: tuple[Sequence[int], Sequence[int]]

    def trees(self, parents: Callable[[int], tuple[int, ...]]) -> tuple[VerifiedTree, ...]:
        told = []
        for one, walk, token in zip(self.drafted, self.walks, self.following, strict=True):
            moves = tuple(move for move in zip(*self.moves, strict=True) if move[0] in one.slots)
            told.append(
                VerifiedTree(
                    one.id,
                    parents(one.id),
                    tuple(one.tokens),
                    tuple(one.slots),
                    tuple(walk),
                    token,
                    moves,
                )
            )
        return tuple(told)


class MedusaSpeculator:
    """Drafts trees from heads and lets a part judge them. See
    `reference_engine.speculation.Speculator`.

    A request that draws its tokens is judged like a greedy one, by the token that it draws after
    each node: with its own die of that place, so its text is the one that it would say without
    guesses. That is rejection sampling where guesses are certain: of a node's children one stands
    as often as the model says one of them (so do those of SpecInfer, arXiv 2305.09781, and
    EAGLE-2).

    cost_model: decides when trees are drafted; without one every request that has guesses carries
    one.
    """

    watches = False
    first: Mapping[int, int] = {}

    def __init__(
        self,
        part: Any,
        guesser: Guesser,
        choice: TreeChoice,
        *,
        cost_model: CostModel | None = None,
    ) -> None:
        """Raises PartError when the part cannot build the tree."""
        self._part, self._cost_model = part, cost_model
        self._guesser = guesser.first(choice.depth) if isinstance(guesser, Heads) else guesser
        self.choice = choice
        self.tree: Tree = _call("build_tree", part.build_tree, choice.choices)
        self.mask, self.depths = _checked_tree(self.tree, choice)
        self.lookahead, self.resting = len(self.depths) - 1, False
        self._judged: _Judged | None = None
        self._guessed: dict[int, int] = {}  # whose guesses lie in which row of `_topk`
        self._topk = torch.empty(0, dtype=torch.int64)
        self._batch = self._vocab = 0
        self._drafted: frozenset[int] = frozenset()  # whose trees are in the step
        self._states: dict[int, RequestState] = {}  # who says something in it

    @property
    def passes(self) -> tuple[VerifiedTree, ...]:
        """See `Speculator`. Made when it is asked for: serving does not pay for it."""
        return self._judged.trees(self._parents) if self._judged else ()

    def attach(self, runner: Runner, model: Model, room: Room) -> None:
        """The heads were made for the model; they need nothing of the engine."""

    def takes(self, state: RequestState) -> bool:
        """Those that may be guessed for."""
        return state.guessable

    def draft(
        self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy]
    ) -> Mapping[int, Sequence[int]]:
        """Tokens of the nodes for the requests that have guesses, unless speculation loses for so
        many."""
        self._note(work)
        self.resting = not self._states or not self.speculates(self._batch)
        if self.resting:
            if self._states:
                self._guessed = {}
            return {}
        ids = [id for id in self._states if id in self._guessed]
        if not ids:
            return {}
        root = torch.tensor([self._states[id].tokens[-1] for id in ids])
        rows = [self._guessed[id] for id in ids]
        topk = self._topk if rows == list(range(len(self._topk))) else self._topk[rows]
        tokens = _call("propose", self._part.propose, self.tree, root, topk)
        _expect("propose", tokens, (len(ids), self.lookahead + 1))
        drafts: list[list[int]] = tokens.tolist()
        for draft in drafts:
            self._expect_tokens("propose", draft)
        return dict(zip(ids, drafts, strict=True))

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """Heads read the last state alone."""

    def settle(
        self, drafted: Sequence[Drafted], outcome: Outcome, runner: Runner
    ) -> dict[int, list[int]]:
        """What each request says: its accepted guesses, then the model's own next token."""
        said, states = self._settled(drafted, outcome, runner)
        self._guess(
            [one for one in drafted if len(said[one.id]) < one.remaining],
            said,
            states,
            outcome.hidden,
        )
        return said

    def _settled(
        self, drafted: Sequence[Drafted], outcome: Outcome, runner: Runner
    ) -> tuple[dict[int, list[int]], dict[int, int]]:
        """What each request says, and which row of the outcome said the last of it."""
        best, self._vocab = self._wanted(drafted, outcome), outcome.logits.shape[1]
        said = {one.id: [best[one.rows.start]] for one in drafted}
        states = {one.id: one.rows.start for one in drafted}
        trees = [one for one in drafted if len(one.tokens) > 1]
        self._drafted = frozenset(one.id for one in trees)
        if trees:
            self._verify(trees, best, runner, said, states)
        return said, states

    def spent(self, seconds: float, rows: int, kept: Mapping[int, Sequence[int]]) -> None:
        """See `Speculator`."""
        if self._cost_model is None or not self._batch:
            return
        if self._guessed and not self._drafted:  # guesses were made for the first trees
            self._cost_model.pass_over(self._batch)
            return
        trees, nodes = len(self._drafted), self.lookahead + 1
        tokens = sum(len(kept[id]) for id in self._drafted)
        self._cost_model.note(
            StepCost(seconds, rows + trees * self.lookahead, self._batch, trees, nodes, tokens)
        )

    def forget(self, id: int) -> None:
        """The request left."""
        self._guessed.pop(id, None)
        self._guesser.forget(id)

    def speculates(self, batch: int) -> bool:
        """Whether trees are drafted for a step with so many requests."""
        return self._cost_model is None or self._cost_model.worth(batch)

    def verdict(self, batch: int) -> str:
        """One sentence on whether it speculates for so many requests, and why."""
        if self._cost_model is None:
            return "speculation is on; its cost was not measured"
        return self._cost_model.verdict(batch)

    def _note(self, work: Sequence[tuple[Chunk, RequestState]]) -> None:
        """A step begins: who says something in it."""
        self._states = {
            state.id: state for chunk, state in work if chunk.samples and state.guessable
        }
        self._batch, self._drafted, self._judged = len(self._states), frozenset(), None

    def _wanted(self, drafted: Sequence[Drafted], outcome: Outcome) -> list[int]:
        """The token that follows each row of the outcome: the likeliest, or the one that the
        request draws there."""
        draws = []
        for one in drafted:
            state, first = self._states[one.id], self.first.get(one.id, 0)
            if not state.rule.greedy:
                depths = (
                    self.depths[first : first + len(one.tokens)] if len(one.tokens) > 1 else (0,)
                )
                places = (state.said + depth for depth in depths)
                rows = range(one.rows.start, one.rows.stop)
                dice = zip(rows, places, strict=True)
                draws += [Draw(row, state.rule, uniform(state.seed, place)) for row, place in dice]
        return choose(outcome.logits, draws) if draws else outcome.likeliest()

    def _verify(
        self,
        trees: Sequence[Drafted],
        best: Sequence[int],
        runner: Runner,
        said: dict[int, list[int]],
        states: dict[int, int],
    ) -> None:
        """Let the part judge; fill in what was said and which row of the outcome said the last of
        it."""
        judged = _joined(
            [self._judge(tree, depth, alike, best) for tree, depth, alike in self._alike(trees)]
        )
        if judged.moves[0]:
            runner.move(*judged.moves)
        for one, walk, token in zip(judged.drafted, judged.walks, judged.following, strict=True):
            said[one.id] = [*(one.tokens[node] for node in walk[1:]), token]
            states[one.id] = one.rows.start + walk[-1]
        self._judged = judged

    def _alike(self, trees: Sequence[Drafted]) -> list[tuple[Tree, int, Sequence[Drafted]]]:
        """A tree, how deep it is, and who carries it: here all of them the same one."""
        return [(self.tree, max(self.depths), trees)]

    def _judge(
        self, tree: Tree, depth: int, alike: Sequence[Drafted], best: Sequence[int]
    ) -> _Judged:
        """What the part says of requests that carry this tree."""
        tokens = torch.tensor([one.tokens for one in alike])
        slots = torch.tensor([one.slots for one in alike])
        wanted = torch.tensor([best[one.rows] for one in alike])
        verdict = _call("verify_greedy", self._part.verify_greedy, tree, tokens, wanted)
        walks = self._walks(verdict, len(alike), depth)
        moves = _checked_moves(_call("compact", self._part.compact, verdict, slots), slots)
        following: list[int] = verdict.next.tolist()
        self._expect_tokens("verify_greedy", following)
        return _Judged(alike, walks, following, moves)

    def _parents(self, id: int) -> tuple[int, ...]:
        """Of each node of the tree that a request carried: the deepest other one that its row of
        the mask shows, -1 where it shows none."""
        first, size = self.first.get(id, 0), self.lookahead + 1
        depths, rows = self.depths[first : first + size], self.mask[first : first + size].tolist()
        seen = [[other for other, sees in enumerate(row) if sees] for row in rows]
        return tuple(
            max((other for other in others if other != node), key=depths.__getitem__, default=-1)
            for node, others in enumerate(seen)
        )

    def _expect_tokens(self, name: str, tokens: Sequence[int]) -> None:
        """PartError unless every one is in the vocabulary."""
        if not 0 <= min(tokens) <= max(tokens) < self._vocab:
            raise PartError(
                "medusa",
                f"{name}() returned tokens {list(tokens)}: the vocabulary has {self._vocab}",
            )

    def _walks(self, verdict: Verdict, rows: int, deep: int) -> list[list[int]]:
        """The accepted path of every row, node 0 first."""
        nodes = self.lookahead + 1
        for field, shape in (("count", (rows,)), ("nodes", (rows, deep + 1)), ("next", (rows,))):
            _expect("verify_greedy", getattr(verdict, field, None), shape)
        walks = []
        for count, path in zip(verdict.count.tolist(), verdict.nodes.tolist(), strict=True):
            walk = path[: count + 1]
            if (
                not 0 <= count <= deep
                or walk[0] != 0
                or not all(0 < node < nodes for node in walk[1:])
            ):
                raise PartError(
                    "medusa",
                    f"verify_greedy() returned count {count} and nodes {path}: no path of the tree",
                )
            walks.append(walk)
        return walks

    def _guess(
        self,
        going: Sequence[Drafted],
        said: Mapping[int, list[int]],
        states: Mapping[int, int],
        hidden: Tensor,
    ) -> None:
        """Guesses for the next step, if there is one in which they will be used."""
        if not going:
            self._guessed = {}
            return
        at = torch.tensor([states[one.id] for one in going], device=hidden.device)
        told = [RequestProgress(one.id, said[one.id]) for one in going]
        self._topk = self._guesser.guess(
            told, hidden.index_select(0, at), self.choice.guesses
        ).cpu()
        self._guessed = {one.id: row for row, one in enumerate(going)}


def _joined(parts: Sequence[_Judged]) -> _Judged:
    """All of them as one."""
    if len(parts) == 1:
        return parts[0]
    return _Judged(
        [one for part in parts for one in part.drafted],
        [walk for part in parts for walk in part.walks],
        [token for part in parts for token in part.following],
        (
            [slot for part in parts for slot in part.moves[0]],
            [slot for part in parts for slot in part.moves[1]],
        ),
    )


def _call(name: str, function: Any, *arguments: Any) -> Any:
    """What a function of the part returns; whatever it raises becomes a PartError."""
    try:
        return function(*arguments)
    except Exception as error:
        raise PartError("medusa", f"{name}() raised {type(error).__name__}: {error}") from error


def _expect(name: str, value: object, shape: tuple[int, ...]) -> None:
    """PartError unless `value` is a tensor of integers of that shape."""
    if not isinstance(value, Tensor) or value.is_floating_point() or tuple(value.shape) != shape:
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise PartError("medusa", f"{name}() returned {got} where integers {list(shape)} are due")


def _checked_tree(tree: object, choice: TreeChoice) -> tuple[Tensor, tuple[int, ...]]:
    """Mask and depths of the tree that the part built."""
    count = choice.nodes
    for field in ("parent", "depth", "rank"):
        _expect("build_tree", getattr(tree, field, None), (count,))
    mask = getattr(tree, "mask", None)
    if (
        not isinstance(mask, Tensor)
        or mask.dtype != torch.bool
        or tuple(mask.shape) != (count, count)
    ):
        raise PartError("medusa", f"build_tree() returned no bool mask [{count}, {count}]")
    depths = tuple(int(depth) for depth in tree.depth.tolist())  # type: ignore[attr-defined]
    if not all(0 <= depth < count for depth in depths):
        raise PartError(
            "medusa",
            f"build_tree() returned depths {depths}: a tree of {count} nodes is not that deep",
        )
    return mask.clone(), depths  # the part may do with its own tensor what it likes


def _checked_moves(moves: object, slots: Tensor) -> tuple[list[int], list[int]]:
    """Sources and destinations, all of them slots that hold trees of this step."""
    if (
        not isinstance(moves, tuple | list)
        or len(moves) != 2
        or not all(isinstance(end, Tensor) for end in moves)
    ):
        raise PartError("medusa", "compact() returned no pair of tensors")
    src, dst = (end.tolist() for end in moves)
    if len(src) != len(dst) or moves[0].dim() != 1 or moves[1].dim() != 1:
        raise PartError(
            "medusa",
            f"compact() returned {list(moves[0].shape)} sources, {list(moves[1].shape)} targets",
        )
    known = set(slots.flatten().tolist()) if src else set[int]()
    strange = next((slot for slot in (*src, *dst) if slot not in known), None)
    if strange is not None:
        raise PartError(
            "medusa", f"compact() names slot {strange}, which holds no node of this step"
        )
    return src, dst
