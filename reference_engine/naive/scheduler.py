"""The scheduler before continuous batching: a table is laid, all eat, and it is cleared when the
last is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reference_engine.slots import Chunk, Copy, KVManager, Plan, Policy, Request


class Scheduler:
    """Static batching. A batch is filled from the queue, its prompts are read, then all decode
    until the last is done.

    Nobody joins a batch that decodes, so the seats of guests who have finished stay empty, and
    guests who have read their prompt wait for those who still read. The tokens are right, budget
    and pool are respected and a preempted request keeps its output; the promise that is not kept is
    to conserve work.
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
        if max_seqs < 1 or token_budget < 1 + lookahead or (chunk is not None and chunk < 1):
            raise ValueError(f"{max_seqs=}, {token_budget=}, {chunk=}, {lookahead=}")
        self._kv = kv
        self._max_seqs = max_seqs
        self._token_budget = token_budget
        self._chunk = chunk or token_budget
        self._lookahead = lookahead
        self._by_priority = policy == "priority"
        self._arrivals = 0
        self._order: dict[int, tuple[int, int]] = {}
        self._requests: dict[int, Request] = {}
        self._computed: dict[int, int] = {}  # of the batch, in the order of admission
        self._planned: dict[int, tuple[Chunk, list[Copy]]] = {}
        self._filling = True

    @property
    def idle(self) -> bool:
        return not self._requests

    def add(self, request: Request) -> None:
        if not request.prompt or request.max_new < 1 or request.id in self._requests:
            raise ValueError(f"request {request.id} is empty or here already")
        if len(request.prompt) + request.max_new + self._lookahead > self._kv.capacity:
            raise ValueError(f"request {request.id} can never fit")
        self._requests[request.id] = request
        self._order[request.id] = (request.priority if self._by_priority else 0, self._arrivals)
        self._arrivals += 1

    def abort(self, id: int) -> None:
        request = self._requests[id]
        self._leave(request)
        self._forget(request)

    def plan(self) -> Plan:
        """While the batch is being filled: prefills and admissions. After that: a chunk for
        everyone who is left."""
        self._planned = {}
        preempted: list[int] = []
        self._filling = self._filling or not self._computed
        if self._filling:
            self._serve([id for id in self._computed if self._gap(id) > 1], preempted)
            if not preempted:
                self._admit()
            self._filling = bool(self._planned)
        if not self._filling:
            self._serve(list(self._computed), preempted)
        chunks = tuple(chunk for chunk, _ in self._planned.values())
        return Plan(
            chunks,
            tuple(preempted),
            tuple(copy for _, copies in self._planned.values() for copy in copies),
        )

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
        finished = []
        for chunk in plan.chunks:
            if chunk.id not in self._planned:
                continue
            request = self._requests[chunk.id]
            self._computed[chunk.id] += chunk.length
            if chunk.samples and self._append(request, tokens[chunk.id]):
                self._leave(request)
                self._forget(request)
                finished.append(chunk.id)
        return finished

    def _gap(self, id: int) -> int:
        request = self._requests[id]
        return len(request.prompt) + len(request.output) - self._computed.get(id, 0)

    def _budget(self) -> int:
        return self._token_budget - sum(self._cost(chunk) for chunk, _ in self._planned.values())

    def _cost(self, chunk: Chunk) -> int:
        return chunk.length + self._lookahead * chunk.samples

    def _chunk_of(self, id: int, start: int, gap: int) -> Chunk:
        """The longest chunk that cap and budget allow; of length 0 when there is none."""
        budget = self._budget()
        if gap <= self._chunk and gap + self._lookahead <= budget:
            return Chunk(id, start, gap, True)
        return Chunk(id, start, min(gap - 1, self._chunk, budget), False)

    def _serve(self, ids: list[int], preempted: list[int]) -> None:
        """A chunk for each of `ids` that is still in the batch, whoever is last making room."""
        for id in sorted(ids, key=self._order.__getitem__):
            if id not in self._computed:
                continue
            chunk = self._chunk_of(id, self._computed[id], self._gap(id))
            while chunk.length and id in self._computed:
                copies = self._kv.extend(id, chunk.start + self._cost(chunk))
                if copies is not None:
                    self._planned[id] = chunk, copies
                    break
                victim = max(self._computed, key=self._order.__getitem__)
                self._leave(self._requests[victim])
                preempted.append(victim)

    def _admit(self) -> None:
        """Fill the batch from the queue, in order, until somebody does not fit."""
        waiting = [id for id in self._requests if id not in self._computed]
        for id in sorted(waiting, key=self._order.__getitem__):
            if len(self._computed) >= self._max_seqs:
                return
            tokens = self._requests[id].prompt + self._requests[id].output
            start = self._kv.lookup(tokens)
            chunk = self._chunk_of(id, start, len(tokens) - start)
            if not chunk.length or self._kv.admit(id, tokens, start + self._cost(chunk)) is None:
                return
            self._computed[id] = start
            self._planned[id] = chunk, []

    def _append(self, request: Request, tokens: Sequence[int]) -> bool:
        """Append tokens up to the end of the request, and count the KV they have; whether it ended."""
        for count, token in enumerate(tokens, 1):
            request.output.append(token)
            if token == request.eos or len(request.output) == request.max_new:
                self._computed[request.id] += count - 1
                return True
        self._computed[request.id] += len(tokens) - 1
        if self._lookahead:
            self._kv.truncate(request.id, self._computed[request.id])
        return False

    def _leave(self, request: Request) -> None:
        """Out of the batch, if it is in it, with all its blocks."""
        if request.id in self._computed:
            computed = self._computed.pop(request.id)
            self._kv.drop(request.id, (request.prompt + request.output)[:computed])
            self._planned.pop(request.id, None)

    def _forget(self, request: Request) -> None:
        del self._requests[request.id]
        del self._order[request.id]
