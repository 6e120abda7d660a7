"""Right: in the manner of mini-sglang: a manager for prefills and one for decodes, and an adder that fills a batch.

A prompt's last single token is a prefill here, and decodes that cannot be paid leave the rest to the prefills.
"""

from bisect import insort

from reference_engine.slots import Chunk, Plan


class Req:
    def __init__(self, given, order):
        self.given = given
        self.order = order
        self.cached_len = 0
        self.uid = given.id
        self.decodes = False

    def __lt__(self, other):
        return self.order < other.order

    @property
    def device_len(self):
        return len(self.given.prompt) + len(self.given.output)

    @property
    def extend_len(self):
        return self.device_len - self.cached_len

    def ids(self, end=None):
        return (self.given.prompt + self.given.output)[:end]


class Batch:
    """What a step is to compute. left: of the budget."""

    def __init__(self, kv, left, chunk, lookahead):
        self.kv = kv
        self.left = left
        self.chunk = chunk
        self.lookahead = lookahead
        self.parts = {}
        self.retracted = []

    def piece(self, req):
        length = min(req.extend_len, self.left, self.chunk if self.chunk and not req.decodes else req.extend_len)
        if length == req.extend_len and length + self.lookahead > self.left:
            length -= 1
        return length, length + self.lookahead * (length == req.extend_len)

    def put(self, req, length, cost, copies):
        self.parts[req.uid] = Chunk(req.uid, req.cached_len, length, length == req.extend_len), cost, copies
        self.left -= cost

    def retract(self, req):
        self.retracted.append(req.uid)
        if req.uid in self.parts:
            self.left += self.parts.pop(req.uid)[1]
        self.kv.drop(req.uid, req.ids(req.cached_len))
        req.cached_len, req.decodes = 0, False

    def plan(self):
        chunks = tuple(chunk for chunk, _, _ in reversed(self.parts.values()))
        return Plan(chunks, tuple(self.retracted), tuple(c for _, _, copies in self.parts.values() for c in copies))


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if max_seqs < 1 or token_budget < 1 + lookahead or (chunk is not None and chunk < 1):
            raise ValueError("sizes")
        self.kv, self.max_seqs, self.sizes = kv, max_seqs, (token_budget, chunk, lookahead)
        self.lookahead = lookahead
        self.priorities = policy == "priority"
        self.count = 0
        self.here = {}
        self.pending = []
        self.running = []
        self.batch = {}

    @property
    def idle(self):
        return len(self.here) == 0

    def add(self, request):
        longest = len(request.prompt) + request.max_new + self.lookahead
        if not request.prompt or request.max_new < 1 or request.id in self.here or longest > self.kv.capacity:
            raise ValueError(request.id)
        req = Req(request, (request.priority * self.priorities, self.count))
        self.count += 1
        self.here[request.id] = req
        insort(self.pending, req)

    def abort(self, id):
        req = self.here.pop(id)
        self.batch.pop(id, None)
        if req in self.pending:
            self.pending.remove(req)
        else:
            self.running.remove(req)
            self.kv.drop(id, req.ids(req.cached_len))

    def plan(self):
        batch = Batch(self.kv, *self.sizes)
        for decodes in (True, False):
            for req in [req for req in self.running if req.decodes is decodes]:
                self.serve(batch, req)
        if not batch.retracted:
            self.prefill(batch)
        self.batch = {uid: self.here[uid] for uid in batch.parts}
        return batch.plan()

    def serve(self, batch, req):
        length, cost = batch.piece(req)
        while length and req.uid not in batch.retracted:
            copies = self.kv.extend(req.uid, req.cached_len + cost)
            if copies is not None:
                return batch.put(req, length, cost, copies)
            last = self.running.pop()
            batch.retract(last)
            insort(self.pending, last)
        return None

    def prefill(self, batch):
        while self.pending and batch.left and len(self.running) < self.max_seqs:
            req = self.pending[0]
            req.cached_len = self.kv.lookup(req.ids())
            length, cost = batch.piece(req)
            if not length or self.kv.admit(req.uid, req.ids(), req.cached_len + cost) is None:
                req.cached_len = 0
                return
            insort(self.running, self.pending.pop(0))
            batch.put(req, length, cost, ())

    def commit(self, plan, tokens):
        done = set()
        for chunk in plan.chunks:
            req = self.batch.pop(chunk.id, None)
            if req is None:
                continue
            req.cached_len += chunk.length
            if chunk.samples:
                req.decodes = True
                if self.append(req, tokens[chunk.id]):
                    self.running.remove(req)
                    self.kv.drop(req.uid, req.ids(req.cached_len))
                    del self.here[req.uid]
                    done.add(req.uid)
        return list(done)

    def append(self, req, tokens):
        given = req.given
        kept = list(tokens)[: given.max_new - len(given.output)]
        if given.eos in kept:
            kept = kept[: kept.index(given.eos) + 1]
        given.output.extend(kept)
        req.cached_len += len(kept) - 1
        ended = len(given.output) == given.max_new or kept[-1] == given.eos
        if not ended and self.lookahead:
            self.kv.truncate(req.uid, req.cached_len)
        return ended
