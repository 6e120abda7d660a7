"""What happened in each step, as frozen records: for drawings, laws and lessons. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from reference_engine.slots import Block, Copy, Plan


@dataclass(frozen=True, slots=True)
class RequestInStep:
    """One request in one step, after the step's KV was written.

    computed: tokens with KV. length: tokens known, the ones emitted in this step included. table:
    its blocks.
    """

    id: int
    computed: int
    length: int
    table: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class CacheChange:
    """Blocks that the prefix cache began to hold, or gave back.

    id: the request whose text they hold, None where they were evicted. first: the place of the
    first in that text, in blocks.
    """

    blocks: tuple[Block, ...]
    id: int | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class VerifiedTree:
    """The guesses that one request carried through a step.

    parents: of each node, -1 for node 0, which was certain. tokens, slots: of each node, and where
    its KV was written. walk: the nodes that stood, node 0 first. next: the token that the model
    says after them. moves: (from, to), the slots between which their KV was moved.
    """

    id: int
    parents: tuple[int, ...]
    tokens: tuple[int, ...]
    slots: tuple[int, ...]
    walk: tuple[int, ...]
    next: int
    moves: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of the engine.

    number: counted from 0. plan: the scheduler's. seats: the requests of the plan, in its order.
    copies: block copies run before the writes. preempted, finished, aborted: ids (aborted since the
    step before). emitted: (id, tokens). cached: (id, tokens borrowed from the prefix cache) for
    each admission. running, waiting: requests with and without blocks after the step. free_blocks:
    after it. prompts: (id, tokens) for each admission. changes: of the prefix cache, in order, from
    the last step's end to this one's. trees: of guesses that were verified. shrunk: (id, blocks
    left) of each table that gave up its end after the step, which guesses had needed.
    """

    number: int
    plan: Plan
    seats: tuple[RequestInStep, ...]
    copies: tuple[Copy, ...]
    preempted: tuple[int, ...]
    finished: tuple[int, ...]
    aborted: tuple[int, ...]
    emitted: tuple[tuple[int, tuple[int, ...]], ...]
    cached: tuple[tuple[int, int], ...]
    running: int
    waiting: int
    free_blocks: int
    prompts: tuple[tuple[int, tuple[int, ...]], ...] = ()
    changes: tuple[CacheChange, ...] = ()
    trees: tuple[VerifiedTree, ...] = ()
    shrunk: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is: requests with and without blocks; share of its blocks that can be had
    by nobody else."""

    running: int
    waiting: int
    kv_usage: float


@dataclass(slots=True)
class Metrics:
    """Counters of an engine since it was made; none depends on the clock.

    steps: runs of the model. chunks: parts of requests in them. computed: tokens given KV;
    recomputed: those of them that had KV before a preemption. cached: tokens whose KV was borrowed
    instead, from the prefix cache or from another sample of the same prompt. emitted: tokens said.
    preemptions, finished, aborted: of requests. peak_running: the most requests that held blocks at
    once. peak_blocks: the most blocks in use at once. filled, reserved: sums over the steps of the
    tokens with KV of running requests, and of the slots of the blocks in use. guessed, accepted:
    tokens drafted and found right. copies: blocks that were copied, so that a request could write
    to its own.
    """

    steps: int = 0
    chunks: int = 0
    computed: int = 0
    recomputed: int = 0
    cached: int = 0
    emitted: int = 0
    preemptions: int = 0
    finished: int = 0
    aborted: int = 0
    peak_running: int = 0
    peak_blocks: int = 0
    filled: int = 0
    reserved: int = 0
    guessed: int = 0
    accepted: int = 0
    copies: int = 0

    @property
    def utilisation(self) -> float:
        """Tokens with KV over slots in use, on average; above 1 where requests share blocks."""
        return self.filled / self.reserved if self.reserved else 0.0
