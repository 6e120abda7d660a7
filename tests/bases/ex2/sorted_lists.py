"""Right: two sorted lists of ids, and dictionaries for everything else."""

from reference_engine.slots import Chunk, Plan


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if max_seqs < 1 or token_budget < 1 + lookahead or (chunk is not None and chunk < 1):
            raise ValueError("nobody could be served")
        self.kv = kv
        self.max_seqs = max_seqs
        self.token_budget = token_budget
        self.chunk = chunk
        self.lookahead = lookahead
        self.policy = policy
        self.arrivals = 0
        self.requests = {}
        self.keys = {}
        self.computed = {}
        self.waiting = []
        self.running = []
        self.planned = {}

    @property
    def idle(self):
        return not self.waiting and not self.running

    def add(self, request):
        if not request.prompt or request.max_new < 1:
            raise ValueError("an empty request")
        if request.id in self.requests:
            raise ValueError("a known id")
        if len(request.prompt) + request.max_new + self.lookahead > self.kv.capacity:
            raise ValueError("too long for the pool")
        self.requests[request.id] = request
        priority = request.priority if self.policy == "priority" else 0
        self.keys[request.id] = (priority, self.arrivals)
        self.arrivals += 1
        self.queue(request.id)

    def abort(self, id):
        if id not in self.requests:
            raise KeyError(id)
        if id in self.running:
            self.leave(id)
        else:
            self.waiting.remove(id)
        self.planned.pop(id, None)
        self.forget(id)

    def plan(self):
        self.budget = self.token_budget
        self.planned = {}
        self.copies = {}
        self.preempted = []
        decodes = [id for id in self.running if self.gap(id) == 1]
        prefills = [id for id in self.running if self.gap(id) > 1]
        for id in decodes + prefills:
            if id in self.computed:
                self.serve(id)
        if not self.preempted:
            self.admit()
        copies = tuple(copy for copies in self.copies.values() for copy in copies)
        return Plan(tuple(self.planned.values()), tuple(self.preempted), copies)

    def commit(self, plan, tokens):
        finished = []
        for chunk in plan.chunks:
            if chunk.id not in self.planned:
                continue
            request = self.requests[chunk.id]
            self.computed[chunk.id] += chunk.length
            if not chunk.samples:
                continue
            ended = self.append(request, tokens[chunk.id])
            if ended:
                self.leave(chunk.id)
                self.forget(chunk.id)
                finished.append(chunk.id)
            elif self.lookahead:
                self.kv.truncate(chunk.id, self.computed[chunk.id])
        self.planned = {}
        return finished

    def size(self, id):
        return len(self.requests[id].prompt) + len(self.requests[id].output)

    def gap(self, id):
        return self.size(id) - self.computed[id]

    def queue(self, id):
        self.waiting.append(id)
        self.waiting.sort(key=self.keys.get)

    def piece(self, id, start):
        """The chunk that budget and cap allow from `start` on, and its cost; None when there is none."""
        gap = self.size(id) - start
        cap = min(gap, self.chunk or gap)
        if cap == gap and gap + self.lookahead <= self.budget:
            return Chunk(id, start, gap, True), gap + self.lookahead
        length = min(cap, gap - 1, self.budget)
        return (Chunk(id, start, length, False), length) if length > 0 else None

    def serve(self, id):
        piece = self.piece(id, self.computed[id])
        if piece is None:
            return
        chunk, cost = piece
        copies = self.kv.extend(id, chunk.start + cost)
        while copies is None:
            victim = self.running[-1]
            self.preempt(victim)
            if victim == id:
                return
            copies = self.kv.extend(id, chunk.start + cost)
        self.put(chunk, cost, copies)

    def put(self, chunk, cost, copies):
        self.planned[chunk.id] = chunk
        self.copies[chunk.id] = copies
        self.budget -= cost

    def preempt(self, id):
        chunk = self.planned.pop(id, None)
        if chunk is not None:
            self.budget += chunk.length + self.lookahead * chunk.samples
            del self.copies[id]
        self.leave(id)
        self.preempted.append(id)
        self.queue(id)

    def admit(self):
        while self.waiting and len(self.running) < self.max_seqs:
            id = self.waiting[0]
            tokens = self.requests[id].prompt + self.requests[id].output
            start = self.kv.lookup(tokens)
            piece = self.piece(id, start)
            if piece is None:
                return
            chunk, cost = piece
            if self.kv.admit(id, tokens, start + cost) is None:
                return
            self.waiting.pop(0)
            self.running.append(id)
            self.running.sort(key=self.keys.get)
            self.computed[id] = start
            self.put(chunk, cost, [])

    def append(self, request, tokens):
        """Keep the tokens up to the end of the request; whether it has ended."""
        for count, token in enumerate(tokens):
            request.output.append(token)
            if token == request.eos or len(request.output) == request.max_new:
                self.computed[request.id] += count
                return True
        self.computed[request.id] += len(tokens) - 1
        return False

    def leave(self, id):
        request = self.requests[id]
        tokens = request.prompt + request.output
        self.kv.drop(id, tokens[: self.computed.pop(id)])
        self.running.remove(id)

    def forget(self, id):
        del self.requests[id]
        del self.keys[id]
