"""Right: a deque for each priority that waits, a dictionary in order of seating for those who run.

A waiting guest is planned as cautiously as possible: the budget always keeps room for the lookahead.
"""

from collections import deque
from types import SimpleNamespace

from reference_engine.slots import Chunk, Plan


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        for name, value, least in (("max_seqs", max_seqs, 1), ("token_budget", token_budget, 1 + lookahead)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}")
        if chunk is not None and chunk < 1:
            raise ValueError("chunk must be at least 1")
        self.kv, self.max_seqs, self.token_budget = kv, max_seqs, token_budget
        self.cap, self.lookahead = chunk or token_budget, lookahead
        self.by_priority = policy == "priority"
        self.lines = {}
        self.seated = {}
        self.known = {}
        self.arrival = 0
        self.step = 0

    @property
    def idle(self):
        return not self.known

    def add(self, request):
        if request.id in self.known:
            raise ValueError("twice")
        if not request.prompt or request.max_new < 1:
            raise ValueError("nothing to do")
        if len(request.prompt) + request.max_new + self.lookahead > self.kv.capacity:
            raise ValueError("never fits")
        guest = SimpleNamespace(
            request=request, line=request.priority if self.by_priority else 0, arrival=self.arrival, done=0, step=-1
        )
        self.arrival += 1
        self.known[request.id] = guest
        self.lines.setdefault(guest.line, deque()).append(guest)

    def abort(self, id):
        guest = self.known.pop(id)
        if id in self.seated:
            self.up(guest)
        else:
            self.lines[guest.line].remove(guest)

    def up(self, guest):
        request = guest.request
        self.kv.drop(request.id, (request.prompt + request.output)[: guest.done])
        del self.seated[request.id]
        guest.done, guest.step = 0, -1

    def order(self):
        return sorted(self.seated.values(), key=lambda guest: (guest.line, guest.arrival))

    def length(self, guest):
        return len(guest.request.prompt) + len(guest.request.output)

    def take(self, gap, budget):
        """(tokens, cost) of the next chunk for a gap."""
        if gap <= self.cap and gap + self.lookahead <= budget:
            return gap, gap + self.lookahead
        tokens = min(gap - 1, self.cap, budget)
        return tokens, tokens

    def plan(self):
        self.step += 1
        budget, chosen, preempted = self.token_budget, {}, []
        order = self.order()
        order.sort(key=lambda guest: self.length(guest) - guest.done > 1)
        for guest in order:
            if guest.request.id not in self.seated:
                continue
            tokens, cost = self.take(self.length(guest) - guest.done, budget)
            if tokens < 1:
                continue
            copies = self.kv.extend(guest.request.id, guest.done + cost)
            while copies is None and guest.request.id in self.seated:
                victim = self.order()[-1]
                _, refund, _ = chosen.pop(victim.request.id, (None, 0, None))
                budget += refund
                self.up(victim)
                preempted.append(victim.request.id)
                line = self.lines.setdefault(victim.line, deque())
                line.insert(sum(other.arrival < victim.arrival for other in line), victim)
                if guest.request.id in self.seated:
                    copies = self.kv.extend(guest.request.id, guest.done + cost)
            if copies is not None:
                samples = guest.done + tokens == self.length(guest)
                chosen[guest.request.id] = (Chunk(guest.request.id, guest.done, tokens, samples), cost, copies)
                budget -= cost
                guest.step = self.step
        while not preempted and budget > 0 and len(self.seated) < self.max_seqs:
            line = next((self.lines[name] for name in sorted(self.lines) if self.lines[name]), None)
            if line is None:
                break
            guest = line[0]
            text = guest.request.prompt + guest.request.output
            start = self.kv.lookup(text)
            tokens, cost = self.take(len(text) - start, budget)
            if tokens < 1 or self.kv.admit(guest.request.id, text, start + cost) is None:
                break
            line.popleft()
            self.seated[guest.request.id] = guest
            guest.done, guest.step = start, self.step
            chosen[guest.request.id] = (Chunk(guest.request.id, start, tokens, start + tokens == len(text)), cost, [])
            budget -= cost
        copies = tuple(copy for _, _, some in chosen.values() for copy in some)
        return Plan(tuple(chunk for chunk, _, _ in chosen.values()), tuple(preempted), copies)

    def commit(self, plan, tokens):
        finished = []
        for chunk in plan.chunks:
            guest = self.known.get(chunk.id)
            if guest is None or guest.step != self.step:
                continue
            request = guest.request
            guest.done += chunk.length
            if not chunk.samples:
                continue
            ended = False
            kept = []
            for token in tokens[chunk.id]:
                kept.append(token)
                if token == request.eos or len(request.output) + len(kept) >= request.max_new:
                    ended = True
                    break
            request.output += kept
            guest.done += len(kept) - 1
            if ended:
                del self.known[chunk.id]
                self.up(guest)
                finished.append(chunk.id)
            elif self.lookahead:
                self.kv.truncate(chunk.id, guest.done)
        return finished
