"""Exercise 2: continuous batching, the conveyor belt of an inference engine.

Write the class below. It needs nothing but the standard library and the contracts in `reference_engine.slots`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reference_engine.slots import Chunk, Copy, KVManager, Plan, Policy, Request


### BEGIN SOLUTION
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


### END SOLUTION
class Scheduler:
    """Decides, step by step, which tokens of which request the model computes next.

    The picture. A conveyor belt with `max_seqs` seats. Nobody waits for a whole table to finish: the moment a guest
    leaves, the next one sits down, and every turn of the belt serves all who sit there. A guest who has much to read
    (a long prompt) reads a bit each turn while the others eat.

    One view of work. A request has tokens = prompt + output. `computed` of them have KV; the rest is the gap, and a
    step closes it, or a part of it, with one `Chunk`: tokens [start, start + length) with start == computed. A chunk
    `samples` exactly when it reaches the last token (start + length == len(tokens)): only then the model says what
    comes next. So prefill, a part of a prefill, decode (a gap of 1), and starting over after a preemption are all the
    same thing.

    Two calls make a step. `plan()` decides, `commit(plan, tokens)` learns what the model said:

    >>> from reference_engine.kv_manager import KVManager
    >>> from reference_engine.naive import BlockManager
    >>> kv = KVManager(BlockManager(9, 4), None, block_size=4, num_blocks=9)
    >>> scheduler = Scheduler(kv, max_seqs=2, token_budget=4)
    >>> scheduler.add(Request(id=1, prompt=[11, 12, 13, 14, 15, 16], max_new=2))
    >>> plan = scheduler.plan()                     # 4 of the 6 tokens: the budget
    >>> plan.chunks
    (Chunk(id=1, start=0, length=4, samples=False),)
    >>> scheduler.commit(plan, {})
    []
    >>> scheduler.plan().chunks                     # the rest, up to the last token
    (Chunk(id=1, start=4, length=2, samples=True),)

    What it is given and returns, from `reference_engine.slots` (`None` of kv: it does not fit, nothing changed):

        Request(id, prompt, max_new, priority=0, eos=None, output=[])     only `output` is yours to change
        Chunk(id, start, length, samples)     Plan(chunks, preempted, copies), three tuples     Copy(src, dst)
        kv.capacity                           tokens that one request can ever hold
        kv.lookup(tokens)                     length of the cached prefix, always < len(tokens)
        kv.admit(id, tokens, num_tokens)      blocks for num_tokens, the cached prefix borrowed: its length, or None
        kv.extend(id, num_tokens)             grow TO num_tokens: a list of copies for the plan, or None
        kv.truncate(id, num_tokens)           shrink TO num_tokens
        kv.drop(id, tokens)                   give everything back; `tokens`, whose KV is computed, go to the cache

    Budget. A step computes at most `token_budget` tokens. For speculation a sampling chunk also reserves `lookahead`
    further slots for guesses and costs length + lookahead. A chunk that could reach the last token but for the
    lookahead stops before it.

    Order. Requests are ordered by arrival; under the policy "priority" by (priority, arrival), lower first. A step
    serves the running decodes, then the running prefills, then it admits from the queue; each group in that order. Who
    runs and has one token left to compute decodes; if that is the last of the prompt, it may be served as a prefill
    too. A decode that the budget cannot pay, its lookahead included, waits for the next step; what is left of the
    budget may go to those behind it, or to nobody. `chunk` caps the length of a prefill chunk. An admission borrows the
    cached prefix and computes the rest. The queue is served from its head only: when the head does not fit, nobody
    overtakes it.

    Preemption. When blocks are lacking for a running request, the running request that comes last in the order is the
    victim, which may be the very one that lacks them, or one that has its chunk in this plan already. The victim's
    chunk (and its copies) leave the plan and its cost returns to the budget, its blocks are dropped, its computed
    tokens offered to the cache; it keeps its output and goes back to its place in the queue to recompute. A step that
    preempted admits nobody.

    Numbers. What you are given as a number is an int, and so is what you return as one: no bool, no integer of numpy.

    Promises. Costs of a plan sum up to at most token_budget; at most max_seqs run; one chunk a request; a plan is empty
    only when the scheduler is idle; if the head of the queue fits, a seat is free and budget is left, it is admitted;
    whoever finishes, is aborted or preempted gives everything back; tokens are computed twice only after a preemption.
    The tokens that come out never depend on pool size, budget, chunk, cache, lookahead or the order of arrival.

    From iteration-level scheduling (Orca, OSDI'22) and chunked prefill (Sarathi-Serve, OSDI'24).
    """

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
        ### BEGIN SOLUTION
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
        ### END SOLUTION

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        ### BEGIN SOLUTION
        return not self._entries
        ### END SOLUTION

    def add(self, request: Request) -> None:
        """Put a request into the queue, at its place in the order.

        The scheduler keeps the object: `commit` appends to `request.output`. Ids are any ints; that of a request that
        has finished or was aborted is free again.
        Raises ValueError for an empty prompt, max_new < 1, an id that waits or runs already, and for a request that
        could never fit: len(prompt) + max_new + lookahead > kv.capacity.
        """
        ### BEGIN SOLUTION
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
        ### END SOLUTION

    def abort(self, id: int) -> None:
        """Forget a request, waiting or running, between any two calls; its blocks are dropped.

        Also between `plan` and `commit`: what that plan computes for it does not count as computed, and the commit
        ignores it. Raises KeyError for an id that neither waits nor runs.
        """
        ### BEGIN SOLUTION
        entry = self._entries[id]
        if entry.running:
            self._leave(entry)
        else:
            del self._waiting[bisect_left(self._waiting, entry.order, key=_order)]
        del self._entries[id]
        ### END SOLUTION

    def plan(self) -> Plan:
        """Decide the next step. Runs no model; reserves the blocks that the step writes to.

        Plan.chunks in any order; Plan.preempted in the order of preemption; Plan.copies are those that kv.extend asked
        for, in any order. Each chunk holds blocks for tokens [0, start + length), and `lookahead` more if it samples;
        kv.extend is asked for no more. kv.admit and kv.extend return None when blocks are lacking; what they refuse
        with an exception (see `slots.KVManager`) is never asked of them. The plan is empty only when the scheduler is
        idle. Every plan is followed by its commit.
        """
        ### BEGIN SOLUTION
        step = _Step(self._token_budget)
        prefills = [entry for entry in self._running if entry.decode is None]
        self._plan_decodes(step)
        self._plan_prefills(step, prefills)
        if not step.preempted:
            self._plan_admissions(step)
        return step.plan()
        ### END SOLUTION

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
        """Take in what the model said to a plan; the ids that finished, in any order.

        `tokens` may be any mapping to any sequences; tokens[id] are the tokens for a sampling chunk, one at least: with
        k of them the first k - 1 are verified guesses whose KV is there, so computed grows by length + k - 1, and what
        was reserved beyond is truncated. Other chunks have no tokens: computed grows by length. The tokens are appended
        to the request's output. It finishes with its EOS, which is kept as the last token, or with max_new tokens
        exactly, be it in the middle of the k: what comes after is thrown away. Its blocks are dropped, and its computed
        tokens offered to the cache; its id is forgotten. A chunk whose request was aborted after the plan is ignored,
        even if the id has been added anew since. What is handed over and what is returned is the caller's, who may
        change it afterwards: keep neither list, and leave `tokens` as they are.
        """
        ### BEGIN SOLUTION
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
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _plan_decodes(self, step: _Step) -> None:
        """One token each, as long as the budget lasts."""
        cost = 1 + self._lookahead
        for entry in self._running.copy():
            if step.budget < cost:
                return
            if entry.decode and entry.running:
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


### END SOLUTION
