"""Right: every request is a generator that says how much it wants and is told what it got.

A prefill is a prefill until it has sampled, even when one token is left of it. A last piece that does not fit with its
lookahead waits for the next step, unless no step could hold it. Who is aborted offers nothing.
"""

from reference_engine.slots import Chunk, Plan

PREFILL, DECODE = 1, 0


class Guest:
    """computed is -1 while it waits."""

    def __init__(self, request, order, kv, settings):
        self.request, self.order, self.kv = request, order, kv
        self.ahead, self.cap, self.budget = settings
        self.computed, self.phase = -1, PREFILL
        self.life = self.live()
        next(self.life)

    def text(self):
        return list(self.request.prompt) + list(self.request.output)

    def wish(self, start, left):
        """(length, samples)"""
        gap = len(self.request.prompt) + len(self.request.output) - start
        length = min(gap, self.cap) if gap > 1 else 1
        if length < gap:
            return min(length, left), False
        if gap + self.ahead <= left:
            return gap, True
        if gap <= left and gap + self.ahead <= self.budget:
            return 0, False
        return min(gap - 1, left), False

    def live(self):
        """Takes the tokens of each of its chunks, None for those that do not sample; ends with the request."""
        answer = None
        while True:
            length, said = yield answer
            self.computed += length
            answer = False
            if said is None:
                continue
            self.phase = DECODE
            room = self.request.max_new - len(self.request.output)
            kept = list(said)[:room]
            if self.request.eos in kept:
                kept = kept[: kept.index(self.request.eos) + 1]
            self.request.output.extend(kept)
            self.computed += len(kept) - 1
            answer = len(kept) == room or kept[-1] == self.request.eos


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if token_budget < 1 + lookahead:
            raise ValueError("token_budget")
        if max_seqs < 1:
            raise ValueError("max_seqs")
        if chunk is not None and chunk < 1:
            raise ValueError("chunk")
        self.kv, self.max_seqs, self.policy = kv, max_seqs, policy
        self.settings = lookahead, chunk or token_budget, token_budget
        self.ahead, self.budget = lookahead, token_budget
        self.guests = {}
        self.arrivals = iter(range(1 << 60))

    @property
    def idle(self):
        return not self.guests

    def add(self, request):
        if request.id in self.guests:
            raise ValueError("this id is here")
        if len(request.prompt) < 1 or request.max_new < 1:
            raise ValueError("nothing to do")
        if len(request.prompt) + request.max_new + self.ahead > self.kv.capacity:
            raise ValueError("too long")
        rank = request.priority if self.policy == "priority" else 0
        self.guests[request.id] = Guest(request, (rank, next(self.arrivals)), self.kv, self.settings)

    def abort(self, id):
        guest = self.guests.pop(id)
        if guest.computed >= 0:
            self.kv.drop(id, [])

    def sorted(self, running):
        return sorted((g for g in self.guests.values() if (g.computed >= 0) is running), key=lambda guest: guest.order)

    def plan(self):
        chunks, copies, gone, left = {}, {}, [], self.budget
        running = self.sorted(True)
        for guest in sorted(running, key=lambda guest: (guest.phase, guest.order)):
            if guest.computed < 0:
                continue
            length, samples = guest.wish(guest.computed, left)
            if not length:
                continue
            id, cost = guest.request.id, length + self.ahead * samples
            while (moved := self.kv.extend(id, guest.computed + cost)) is None:
                victim = self.sorted(True)[-1]
                name = victim.request.id
                if name in chunks:
                    lost = chunks.pop(name)
                    copies.pop(name)
                    left += lost.length + self.ahead * lost.samples
                self.kv.drop(name, victim.text()[: victim.computed])
                victim.computed, victim.phase = -1, PREFILL
                gone.append(name)
                if victim is guest:
                    break
            else:
                chunks[id], copies[id] = Chunk(id, guest.computed, length, samples), moved
                left -= cost
        for guest in [] if gone else self.sorted(False)[: self.max_seqs - len(running)]:
            id, start = guest.request.id, self.kv.lookup(guest.text())
            length, samples = guest.wish(start, left)
            cost = length + self.ahead * samples
            if not length or self.kv.admit(id, guest.text(), start + cost) is None:
                break
            guest.computed, chunks[id], copies[id] = start, Chunk(id, start, length, samples), []
            left -= cost
        moved = tuple(copy for each in copies.values() for copy in each)
        return Plan(tuple(reversed(chunks.values())), tuple(gone), moved)

    def commit(self, plan, tokens):
        done = []
        for chunk in plan.chunks:
            guest = self.guests.get(chunk.id)
            if guest is None or guest.computed < 0:
                continue
            if guest.life.send((chunk.length, tokens[chunk.id] if chunk.samples else None)):
                self.kv.drop(chunk.id, guest.text()[: guest.computed])
                del self.guests[chunk.id]
                done.insert(0, chunk.id)
            elif chunk.samples:
                self.kv.truncate(chunk.id, guest.computed)
        return done
