"""Right: the queue is a heap in which the gone stay until they are met; the running are a set, sorted when needed.

Guesses have KV, so a guest who ends in the middle of several tokens is dropped with the last one too.
"""

import heapq
from dataclasses import dataclass, field

from reference_engine.slots import Chunk, Plan


@dataclass(order=True)
class Ticket:
    key: tuple
    request: object = field(compare=False)
    computed: int = field(default=0, compare=False)
    state: str = field(default="waiting", compare=False)
    chunk: object = field(default=None, compare=False)

    @property
    def tokens(self):
        return [*self.request.prompt, *self.request.output]

    @property
    def gap(self):
        return len(self.request.prompt) + len(self.request.output) - self.computed


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if max_seqs < 1:
            raise ValueError("max_seqs")
        if token_budget <= lookahead:
            raise ValueError("token_budget")
        if chunk is not None and chunk < 1:
            raise ValueError("chunk")
        self._kv, self._seats, self._budget = kv, max_seqs, token_budget
        self._cap, self._ahead, self._ranked = chunk, lookahead, policy == "priority"
        self._count = 0
        self._tickets = {}
        self._heap = []
        self._seated = set()

    @property
    def idle(self):
        return len(self._tickets) == 0

    def add(self, request):
        longest = len(request.prompt) + request.max_new + self._ahead
        if (
            len(request.prompt) == 0
            or request.max_new <= 0
            or request.id in self._tickets
            or longest > self._kv.capacity
        ):
            raise ValueError(f"request {request.id} cannot be served")
        key = (request.priority, self._count) if self._ranked else (self._count,)
        self._count += 1
        self._tickets[request.id] = Ticket(key, request)
        heapq.heappush(self._heap, self._tickets[request.id])

    def abort(self, id):
        ticket = self._tickets.pop(id)
        if ticket.state == "running":
            self._stand_up(ticket)
        ticket.state = "gone"

    def plan(self):
        for ticket in self._tickets.values():
            ticket.chunk = None
        left, preempted, copies = self._budget, [], {}
        for id in sorted(self._seated, key=self._turn):
            ticket = self._tickets[id]
            if ticket.state != "running":
                continue
            length = self._length(ticket.gap, left)
            if not length:
                continue
            ticket.chunk = Chunk(id, ticket.computed, length, length == ticket.gap)
            while (asked := self._kv.extend(id, ticket.computed + self._cost(ticket.chunk))) is None:
                last = max((self._tickets[seated] for seated in self._seated), key=lambda other: other.key)
                if last is not ticket and last.chunk is not None and last.request.id in copies:
                    left += self._cost(last.chunk)
                    del copies[last.request.id]
                last.chunk = None
                self._stand_up(last)
                last.computed, last.state = 0, "waiting"
                heapq.heappush(self._heap, last)
                preempted.append(last.request.id)
                if last is ticket:
                    break
            if ticket.chunk is not None:
                left -= self._cost(ticket.chunk)
                copies[id] = asked
        if not preempted:
            self._seat(left)
        chunks = [ticket.chunk for ticket in self._tickets.values() if ticket.chunk is not None]
        return Plan(tuple(chunks), tuple(preempted), tuple(copy for some in copies.values() for copy in some))

    def commit(self, plan, tokens):
        finished = []
        for chunk in plan.chunks:
            ticket = self._tickets.get(chunk.id)
            if ticket is None or ticket.chunk is not chunk:
                continue
            ticket.chunk = None
            ticket.computed += chunk.length
            if not chunk.samples:
                continue
            request = ticket.request
            said = list(tokens[chunk.id])
            ticket.computed += len(said) - 1
            room = request.max_new - len(request.output)
            stop = said.index(request.eos) + 1 if request.eos in said else len(said)
            request.output.extend(said[: min(room, stop)])
            if room <= len(said) or request.eos in said[:room]:
                ticket.computed = min(ticket.computed, len(request.prompt) + len(request.output))
                self._stand_up(ticket)
                del self._tickets[chunk.id]
                ticket.state = "gone"
                finished.append(chunk.id)
            elif self._ahead > 0:
                self._kv.truncate(chunk.id, ticket.computed)
        return finished

    def _turn(self, id):
        ticket = self._tickets[id]
        return ticket.gap != 1, ticket.key

    def _cost(self, chunk):
        return chunk.length + (self._ahead if chunk.samples else 0)

    def _length(self, gap, left):
        length = gap if self._cap is None else min(gap, self._cap)
        if length == gap and gap + self._ahead > left:
            length = gap - 1
        return max(0, min(length, left))

    def _seat(self, left):
        while self._heap and len(self._seated) < self._seats and left > 0:
            ticket = self._heap[0]
            if ticket.state != "waiting":
                heapq.heappop(self._heap)
                continue
            request = ticket.request
            start = self._kv.lookup(ticket.tokens)
            length = self._length(len(ticket.tokens) - start, left)
            if length == 0:
                break
            chunk = Chunk(request.id, start, length, start + length == len(ticket.tokens))
            if self._kv.admit(request.id, ticket.tokens, start + self._cost(chunk)) is None:
                break
            heapq.heappop(self._heap)
            ticket.computed, ticket.state, ticket.chunk = start, "running", chunk
            self._seated.add(request.id)
            left -= self._cost(chunk)

    def _stand_up(self, ticket):
        self._kv.drop(ticket.request.id, ticket.tokens[: ticket.computed])
        self._seated.discard(ticket.request.id)
