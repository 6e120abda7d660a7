"""Right: one heap for those who wait, with entries that have grown stale; those who run are sorted when it matters.

Who has been preempted goes back into the heap; who has left is only struck off the register. An admission reserves its
whole text at once, not only its first chunk.
"""

import heapq
from itertools import count

from reference_engine.slots import Chunk, Plan


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        for value in (max_seqs, token_budget - lookahead, chunk if chunk is not None else 1):
            if value <= 0:
                raise ValueError("max_seqs, token_budget and chunk must leave room for one token")
        self.kv = kv
        self.max_seqs, self.token_budget, self.chunk, self.lookahead = max_seqs, token_budget, chunk, lookahead
        self.key = (lambda request: request.priority) if policy == "priority" else (lambda request: 0)
        self.tickets = count()
        self.heap = []
        self.register = {}  # ticket -> request
        self.by_id = {}  # id -> (rank, ticket)
        self.kvs = {}  # id -> tokens with KV; only of those who run
        self.kept = {}  # id -> tokens reserved

    @property
    def idle(self):
        return not self.by_id

    def add(self, request):
        if request.id in self.by_id:
            raise ValueError(f"{request.id} again")
        if not request.prompt:
            raise ValueError("empty")
        if request.max_new < 1 or len(request.prompt) + request.max_new + self.lookahead > self.kv.capacity:
            raise ValueError("max_new")
        entry = self.key(request), next(self.tickets)
        self.by_id[request.id] = entry
        self.register[entry[1]] = request
        heapq.heappush(self.heap, entry)

    def abort(self, id):
        _, ticket = self.by_id.pop(id)
        request = self.register.pop(ticket)
        if id in self.kvs:
            self._leave(id, request)

    def _leave(self, id, request):
        del self.kept[id]
        self.kv.drop(id, (request.prompt + request.output)[: self.kvs.pop(id)])

    def plan(self):
        self.left, chunks, moves, out = self.token_budget, {}, {}, []
        running = sorted(self.kvs, key=self.by_id.get)
        size = {id: self._size(id) for id in running}
        for decode in (True, False):
            for id in list(running):
                if id not in self.kvs or (size[id] - self.kvs[id] == 1) is not decode:
                    continue
                chunk = self._cut(id, self.kvs[id], size[id])
                if chunk is None:
                    continue
                if self._room(id, chunk, running, chunks, moves, out):
                    chunks[id] = chunk
                    self.left -= self._cost(chunk)
        if not out:
            self._admissions(chunks)
        return Plan(tuple(chunks.values()), tuple(out), tuple(copy for id in moves for copy in moves[id]))

    def _room(self, id, chunk, running, chunks, moves, out):
        end = max(chunk.start + self._cost(chunk), self.kept[id])
        while True:
            copies = self.kv.extend(id, end)
            if copies is not None:
                moves[id] = copies
                self.kept[id] = end
                return True
            last = running.pop()
            if last in chunks:
                self.left += self._cost(chunks.pop(last))
                del moves[last]
            entry = self.by_id[last]
            self._leave(last, self.register[entry[1]])
            heapq.heappush(self.heap, entry)
            out.append(last)
            if last == id:
                return False

    def _admissions(self, chunks):
        while self.heap and len(self.kvs) < self.max_seqs and self.left > 0:
            request = self.register.get(self.heap[0][1])
            if request is None:
                heapq.heappop(self.heap)
                continue
            text = request.prompt + request.output
            start = self.kv.lookup(text)
            chunk = self._cut(request.id, start, len(text))
            if chunk is None or self.kv.admit(request.id, text, len(text) + self.lookahead) is None:
                return
            heapq.heappop(self.heap)
            self.kvs[request.id], self.kept[request.id] = start, len(text) + self.lookahead
            chunks[request.id] = chunk
            self.left -= self._cost(chunk)

    def _size(self, id):
        request = self.register[self.by_id[id][1]]
        return len(request.prompt) + len(request.output)

    def _cut(self, id, start, size):
        gap = size - start
        most = gap if self.chunk is None else min(gap, max(1, self.chunk))
        if most == gap and gap + self.lookahead <= self.left:
            return Chunk(id, start, gap, True)
        length = min(most, gap - 1, self.left)
        return Chunk(id, start, length, False) if length > 0 else None

    def _cost(self, chunk):
        return chunk.length + self.lookahead * chunk.samples

    def commit(self, plan, tokens):
        finished = []
        for chunk in plan.chunks:
            if chunk.id not in self.kvs:
                continue
            request = self.register[self.by_id[chunk.id][1]]
            self.kvs[chunk.id] += chunk.length
            if not chunk.samples:
                continue
            for number, token in enumerate(tokens[chunk.id]):
                self.kvs[chunk.id] += number > 0
                request.output.append(token)
                if token == request.eos or len(request.output) == request.max_new:
                    finished.append(chunk.id)
                    self._leave(chunk.id, request)
                    del self.register[self.by_id.pop(chunk.id)[1]]
                    break
            else:
                self.kept[chunk.id] = self.kvs[chunk.id]
                self.kv.truncate(chunk.id, self.kvs[chunk.id])
        return finished
