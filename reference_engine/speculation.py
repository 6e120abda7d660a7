"""Where guesses enter the engine. The engine knows a tree of drafted tokens and what was accepted,
nothing of heads.

A sampling chunk of a request may carry a draft: node 0 is its last known token, the other
nodes guess what follows. The nodes take the slots after its KV in node order (`lookahead` of them
beyond node 0), see their ancestors only, and each gets logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from reference_engine.metrics import VerifiedTree
from reference_engine.model import Model
from reference_engine.request_state import RequestState
from reference_engine.runner import Outcome, Runner
from reference_engine.slots import Chunk, Copy


@dataclass(frozen=True, slots=True)
class Room:
    """The sizes of an engine's KV pool, its seats, and the blocks that one table may hold."""

    num_blocks: int
    block_size: int
    seats: int
    width: int


@dataclass(frozen=True, slots=True)
class Drafted:
    """One request's share of a step's outcome.

    rows: its rows of the outcome, one a node; without a draft it is one row, the last token's.
    tokens: of its nodes. slots: where their KV lies. remaining: how many tokens it may still say.
    """

    id: int
    rows: slice
    tokens: Sequence[int]
    slots: Sequence[int]
    remaining: int


class Speculator(Protocol):
    """Drafts and judges. `lookahead`: nodes besides node 0. `depths`, `mask`: the trees, as in
    `batch.StepBatch`, and `first`: where in them the tree of a request begins, by id; 0 where it is
    not named. `resting`: in the step drafted last nobody guesses or is to; every request says one
    token, and none is settled. `passes`: the trees that were verified in it. `watches`: it is shown
    what the model makes of every token.
    """

    lookahead: int
    resting: bool
    depths: tuple[int, ...]
    mask: Tensor
    first: Mapping[int, int]
    watches: bool

    @property
    def passes(self) -> tuple[VerifiedTree, ...]: ...

    def attach(self, runner: Runner, model: Model, room: Room) -> None:
        """The engine that it drafts for was made. Raises ValueError when it cannot."""

    def takes(self, state: RequestState) -> bool:
        """Whether this request, while it is so, is the speculator's to settle."""

    def draft(
        self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy]
    ) -> Mapping[int, Sequence[int]]:
        """Tokens of nodes 0..N-1 for those of the requests that are worth it in this step, by id.

        work: the chunks of the step and whose they are, seats and tables as they will be; copies:
        of blocks, which are run before anything is written. All drafts have N tokens. A request
        that is not in the answer is served without a draft.
        """

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """The step was computed: the rows of `hidden` in which each chunk's own tokens lie, guesses
        left out."""

    def settle(
        self, drafted: Sequence[Drafted], outcome: Outcome, runner: Runner
    ) -> dict[int, list[int]]:
        """The tokens that each request it takes says in the step: accepted guesses, then the
        model's own next token.

        Moves the KV of accepted nodes to where their positions belong (`runner.move`), and keeps
        what it needs to draft next time.
        """

    def spent(self, seconds: float, rows: int, kept: Mapping[int, Sequence[int]]) -> None:
        """The step that was settled last took so long for `rows` known tokens; kept: what each
        request was given."""

    def forget(self, id: int) -> None:
        """The request left; it may be unknown."""

    def verdict(self, batch: int) -> str:
        """One sentence on whether it guesses for so many requests, and why."""
