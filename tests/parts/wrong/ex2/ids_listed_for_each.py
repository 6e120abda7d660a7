"""Wrong: a list of the running ids is made anew for every chunk.

Law: swift plan.
Says: times as much
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reference_engine.slots import Chunk, Copy, KVManager, Plan, Policy, Request


@dataclass(eq=False, slots=True)
class _Entry:
    """A request at the scheduler: waiting (computed is 0) or running.

    order: its place among all others. size: how many tokens it has, len(prompt) + len(output). computed: how many of
    them have KV. decode: its next chunk, when only the last token is left; `commit` writes it down once, so that a plan
    of many decodes need not. planned: it has a chunk in the last plan, which is not committed yet.
    """

    request: Request
    order: tuple[int, int]
    size: int
    computed: int = 0
    running: bool = False
    planned: bool = False
    decode: Chunk | None = None

    @property
    def tokens(self) -> list[int]:
        return self.request.prompt + self.request.output


def _order(entry: _Entry) -> tuple[int, int]:
    return entry.order


class Scheduler:
    def __init__(
        self,
        kv: KVManager,
        *,
        max_seqs: int,
        token_budget: int,
        chunk: int | None = None,
        lookahead: int = 0,
        policy: Policy = "fcfs",
    ) -> None:
        """A scheduler without requests.

        kv: where blocks come from. max_seqs: seats, how many requests may run at once. token_budget: cost of a step at
        most. chunk: prefill tokens of one request in one step at most, None for no such cap. lookahead: slots that a
        sampling chunk reserves for guesses. policy: "fcfs" (arrival) or "priority".
        Raises ValueError when token_budget < 1 + lookahead, max_seqs < 1 or chunk < 1.
        """
        if max_seqs < 1 or token_budget < 1 + lookahead or (chunk is not None and chunk < 1):
            raise ValueError(f"{max_seqs=}, {token_budget=}, {chunk=} and {lookahead=} leave nobody to be served")
        self._kv = kv
        self._max_seqs = max_seqs
        self._token_budget = token_budget
        self._chunk = chunk or token_budget
        self._lookahead = lookahead
        self._by_priority = policy == "priority"
        self._arrivals = 0
        self._entries: dict[int, _Entry] = {}
        self._waiting: list[_Entry] = []
        self._running: list[_Entry] = []

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._entries

    def add(self, request: Request) -> None:
        """Put a request into the queue, at its place in the order.

        The scheduler keeps the object: `commit` appends to `request.output`.
        Raises ValueError for an empty prompt, max_new < 1, an id that waits or runs already, and for a request that
        could never fit: len(prompt) + max_new + lookahead > kv.capacity.
        """
        size = len(request.prompt)
        if not size or request.max_new < 1:
            raise ValueError(f"request {request.id}: {size} prompt tokens, max_new {request.max_new}: both at least 1")
        if request.id in self._entries:
            raise ValueError(f"request {request.id} is here already")
        if size + request.max_new + self._lookahead > self._kv.capacity:
            raise ValueError(f"request {request.id} can never fit: {self._kv.capacity} tokens is the most")
        order = (request.priority if self._by_priority else 0, self._arrivals)
        self._arrivals += 1
        entry = _Entry(request, order, size + len(request.output))
        self._entries[request.id] = entry
        insort(self._waiting, entry, key=_order)

    def abort(self, id: int) -> None:
        """Forget a request, waiting or running, between any two calls; its blocks are dropped.

        Also between `plan` and `commit`: what that plan computes for it does not count as computed, and the commit
        ignores it. Raises KeyError for an id that neither waits nor runs.
        """
        entry = self._entries[id]
        if entry.running:
            self._leave(entry)
        else:
            del self._waiting[bisect_left(self._waiting, entry.order, key=_order)]
        del self._entries[id]

    def plan(self) -> Plan:
        """Decide the next step. Runs no model; reserves the blocks that the step writes to.

        Plan.chunks in the order decodes, prefills, admissions; Plan.preempted in the order of preemption; Plan.copies
        are those that kv.extend asked for. Each chunk holds blocks for tokens [0, start + length), and `lookahead` more
        if it samples. The plan is empty only when the scheduler is idle. Every plan is followed by its commit.
        """
        step = _Step(self._token_budget)
        prefills = [entry for entry in self._running if entry.decode is None]
        self._plan_decodes(step)
        self._plan_prefills(step, prefills)
        if not step.preempted:
            self._plan_admissions(step)
        return step.plan()

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
        """Take in what the model said to a plan; the ids that finished, in the order of the plan.

        tokens[id] are the tokens for a sampling chunk, one at least: with k of them the first k - 1 are verified
        guesses whose KV is there, so computed grows by length + k - 1, and what was reserved beyond is truncated. Other
        chunks have no tokens: computed grows by length. The tokens are appended to the request's output. It finishes
        with its EOS, which is kept as the last token, or with max_new tokens exactly, be it in the middle of the k:
        what comes after is thrown away. Its blocks are dropped, and its computed tokens offered to the cache; its id is
        forgotten. A chunk whose request was aborted after the plan is ignored.
        """
        finished = []
        for chunk in plan.chunks:
            entry = self._entries.get(chunk.id)
            if entry is None or not entry.planned:
                continue
            entry.planned = False
            entry.computed += chunk.length
            if chunk.samples and self._append(entry, tokens[chunk.id]):
                self._leave(entry)
                del self._entries[chunk.id]
                finished.append(chunk.id)
            elif entry.size - entry.computed == 1:
                entry.decode = Chunk(chunk.id, entry.computed, 1, True)
        return finished

    def _plan_decodes(self, step: _Step) -> None:
        """One token each, as long as the budget lasts."""
        cost = 1 + self._lookahead
        for entry in self._running.copy():
            if step.budget < cost:
                return
            ids = [each.request.id for each in self._running]
            if entry.decode and entry.request.id in ids:
                self._plan_running(step, entry, entry.decode, cost)

    def _plan_prefills(self, step: _Step, prefills: list[_Entry]) -> None:
        for entry in prefills:
            length, cost = self._affordable(entry.size - entry.computed, step.budget)
            if entry.running and length:
                chunk = Chunk(entry.request.id, entry.computed, length, entry.computed + length == entry.size)
                self._plan_running(step, entry, chunk, cost)

    def _plan_running(self, step: _Step, entry: _Entry, chunk: Chunk, cost: int) -> None:
        """Reserve the blocks for a chunk and put it into the plan, preempting others, or itself, for room."""
        copies = self._kv.extend(chunk.id, chunk.start + cost)
        while copies is None:
            victim = self._running[-1]
            self._preempt(step, victim)
            if victim is entry:
                return
            copies = self._kv.extend(chunk.id, chunk.start + cost)
        entry.planned = True
        step.put(chunk, cost, copies)

    def _plan_admissions(self, step: _Step) -> None:
        """Seat the head of the queue while there are a seat, budget and blocks for it."""
        while self._waiting and len(self._running) < self._max_seqs and step.budget:
            entry = self._waiting[0]
            tokens = entry.tokens
            start = self._kv.lookup(tokens)
            length, cost = self._affordable(entry.size - start, step.budget)
            if not length or self._kv.admit(entry.request.id, tokens, start + cost) is None:
                return
            del self._waiting[0]
            insort(self._running, entry, key=_order)
            entry.running, entry.planned, entry.computed = True, True, start
            step.put(Chunk(entry.request.id, start, length, start + length == entry.size), cost, [])

    def _affordable(self, gap: int, budget: int) -> tuple[int, int]:
        """How much of a gap one chunk may compute, and what that costs; (0, 0) when nothing."""
        if gap <= self._chunk and gap + self._lookahead <= budget:
            return gap, gap + self._lookahead
        length = min(gap - 1, self._chunk, budget)
        return length, length

    def _preempt(self, step: _Step, entry: _Entry) -> None:
        self._leave(entry)
        step.preempt(entry.request.id)
        entry.running, entry.planned, entry.computed, entry.decode = False, False, 0, None
        insort(self._waiting, entry, key=_order)

    def _leave(self, entry: _Entry) -> None:
        """Give up seat and blocks."""
        del self._running[bisect_left(self._running, entry.order, key=_order)]
        self._kv.drop(entry.request.id, entry.tokens[: entry.computed])

    def _append(self, entry: _Entry, tokens: Sequence[int]) -> bool:
        """Append tokens up to the end of the request, and count the KV they have; whether it ended."""
        request = entry.request
        kept = list(tokens[: request.max_new - len(request.output)])
        ended = len(request.output) + len(kept) == request.max_new
        if request.eos in kept:
            ended = True
            del kept[kept.index(request.eos) + 1 :]
        request.output += kept
        entry.size += len(kept)
        entry.computed += len(kept) - 1
        if self._lookahead and not ended:
            self._kv.truncate(request.id, entry.computed)
        return ended


class _Step:
    """A plan in the making."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.preempted: list[int] = []
        self._chunks: dict[int, Chunk] = {}
        self._costs: dict[int, int] = {}
        self._copies: dict[int, list[Copy]] = {}

    def put(self, chunk: Chunk, cost: int, copies: list[Copy]) -> None:
        self._chunks[chunk.id] = chunk
        self._costs[chunk.id] = cost
        self.budget -= cost
        if copies:
            self._copies[chunk.id] = copies

    def preempt(self, id: int) -> None:
        """Take the request's chunk, if it has one, and its copies out again: its cost returns."""
        self.preempted.append(id)
        self._chunks.pop(id, None)
        self._copies.pop(id, None)
        self.budget += self._costs.pop(id, 0)

    def plan(self) -> Plan:
        copies = tuple(copy for copies in self._copies.values() for copy in copies)
        return Plan(tuple(self._chunks.values()), tuple(self.preempted), copies)
