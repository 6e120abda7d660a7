"""Right: in the manner of vLLM's scheduler: one loop over all who run, what each gets in a dictionary of numbers.

Nobody is a prefill or a decode: whoever runs catches up with the tokens that it has. Chunks are written in the end.
"""

from collections import deque

from reference_engine.slots import Chunk, Plan


class ServedRequest:
    def __init__(self, request, key):
        self.request = request
        self.key = key
        self.num_computed_tokens = 0
        self.in_flight = False

    @property
    def request_id(self):
        return self.request.id

    @property
    def num_tokens(self):
        return len(self.request.prompt) + len(self.request.output)

    @property
    def all_token_ids(self):
        return [*self.request.prompt, *self.request.output]


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if max_seqs < 1 or token_budget < 1 + lookahead or (chunk is not None and chunk < 1):
            raise ValueError("a scheduler that serves nobody")
        self.kv_cache_manager = kv
        self.max_num_running_reqs = max_seqs
        self.max_num_scheduled_tokens = token_budget
        self.long_prefill_token_threshold = chunk
        self.num_lookahead_tokens = lookahead
        self.by_priority = policy == "priority"
        self.requests = {}
        self.waiting = deque()
        self.running = []
        self.arrivals = 0

    @property
    def idle(self):
        return not (self.waiting or self.running)

    def add(self, request):
        if not request.prompt or request.max_new < 1 or request.id in self.requests:
            raise ValueError(f"request {request.id}")
        if len(request.prompt) + request.max_new + self.num_lookahead_tokens > self.kv_cache_manager.capacity:
            raise ValueError(f"request {request.id} never fits")
        served = ServedRequest(request, (request.priority if self.by_priority else 0, self.arrivals))
        self.arrivals += 1
        self.requests[request.id] = served
        self.enqueue(served)

    def enqueue(self, served):
        """To its place; behind all or before all as a rule."""
        later = []
        while self.waiting and self.waiting[-1].key > served.key:
            later.append(self.waiting.pop())
        self.waiting.append(served)
        self.waiting.extend(reversed(later))

    def abort(self, id):
        served = self.requests.pop(id)
        if served in self.running:
            self.running.remove(served)
            self.free(served)
        else:
            self.waiting.remove(served)

    def free(self, served):
        self.kv_cache_manager.drop(served.request_id, served.all_token_ids[: served.num_computed_tokens])

    def new_tokens(self, served, token_budget):
        """How many, and what they cost."""
        left = served.num_tokens - served.num_computed_tokens
        num_new_tokens = min(left, token_budget, self.long_prefill_token_threshold or left)
        if num_new_tokens < left:
            return num_new_tokens, num_new_tokens
        if left + self.num_lookahead_tokens <= token_budget:
            return left, left + self.num_lookahead_tokens
        return left - 1, left - 1

    def plan(self):
        token_budget = self.max_num_scheduled_tokens
        scheduled, copies, preempted, gone = {}, {}, [], set()
        for served in sorted(self.running, key=lambda one: one.num_tokens - one.num_computed_tokens > 1):
            if served in gone:
                continue
            num_new_tokens, cost = self.new_tokens(served, token_budget)
            while num_new_tokens:
                made = self.kv_cache_manager.extend(served.request_id, served.num_computed_tokens + cost)
                if made is not None:
                    scheduled[served] = num_new_tokens, cost
                    copies[served] = made
                    token_budget -= cost
                    break
                victim = max(self.running, key=lambda one: one.key)
                self.running.remove(victim)
                gone.add(victim)
                token_budget += scheduled.pop(victim, (0, 0))[1]
                copies.pop(victim, None)
                self.free(victim)
                victim.num_computed_tokens = 0
                preempted.append(victim.request_id)
                self.enqueue(victim)
                if victim is served:
                    break
        while self.waiting and not preempted and len(self.running) < self.max_num_running_reqs:
            served = self.waiting[0]
            token_ids = served.all_token_ids
            served.num_computed_tokens = self.kv_cache_manager.lookup(token_ids)
            num_new_tokens, cost = self.new_tokens(served, token_budget)
            reach = served.num_computed_tokens + cost
            if not num_new_tokens or self.kv_cache_manager.admit(served.request_id, token_ids, reach) is None:
                served.num_computed_tokens = 0
                break
            self.waiting.popleft()
            self.running.append(served)
            scheduled[served] = num_new_tokens, cost
            token_budget -= cost
        self.running.sort(key=lambda one: one.key)
        return Plan(
            tuple(self.chunk_of(served, count) for served, (count, _) in scheduled.items()),
            tuple(preempted),
            tuple(copy for made in copies.values() for copy in made),
        )

    def chunk_of(self, served, count):
        served.in_flight = True
        start = served.num_computed_tokens
        return Chunk(served.request_id, start, count, start + count == served.num_tokens)

    def commit(self, plan, tokens):
        finished, stopped = [], set()
        for chunk in plan.chunks:
            served = self.requests.get(chunk.id)
            if served is None or not served.in_flight:
                continue
            served.in_flight = False
            served.num_computed_tokens += chunk.length
            if chunk.samples and self.stopped(served, tokens[chunk.id]):
                stopped.add(served)
                self.free(served)
                del self.requests[chunk.id]
                finished.append(chunk.id)
        self.running = [served for served in self.running if served not in stopped]
        return finished[::-1]

    def stopped(self, served, token_ids):
        """Whether it has ended with these tokens, which are kept up to there."""
        request = served.request
        for number, token in enumerate(token_ids):
            request.output.append(token)
            if token == request.eos or len(request.output) == request.max_new:
                served.num_computed_tokens += number
                return True
        served.num_computed_tokens += len(token_ids) - 1
        if self.num_lookahead_tokens:
            self.kv_cache_manager.truncate(request.id, served.num_computed_tokens)
        return False
