"""Right: dictionaries by id and no order at all; who waits and who runs is sorted anew in every plan.

Chunks are kept by id until the plan is complete, so that a victim takes its own back with it.
"""

from reference_engine.slots import Chunk, Plan


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if token_budget < 1 + lookahead:
            raise ValueError("token_budget")
        if max_seqs < 1:
            raise ValueError("max_seqs")
        if chunk is not None and chunk < 1:
            raise ValueError("chunk")
        self.kv, self.max_seqs, self.budget, self.chunk, self.look, self.policy = (
            kv,
            max_seqs,
            token_budget,
            chunk,
            lookahead,
            policy,
        )
        self.reqs, self.arr, self.comp, self.state = {}, {}, {}, {}
        self.clock = 0
        self.seen = set()

    @property
    def idle(self):
        return not self.reqs

    def key(self, i):
        return (self.reqs[i].priority if self.policy == "priority" else 0, self.arr[i])

    def toks(self, i):
        return list(self.reqs[i].prompt) + list(self.reqs[i].output)

    def add(self, r):
        if not r.prompt or r.max_new < 1 or r.id in self.reqs:
            raise ValueError("bad request")
        if len(r.prompt) + r.max_new + self.look > self.kv.capacity:
            raise ValueError("too long")
        self.reqs[r.id] = r
        self.arr[r.id] = self.clock
        self.clock += 1
        self.state[r.id] = "w"

    def _forget(self, i):
        for d in (self.reqs, self.arr, self.state):
            del d[i]
        self.comp.pop(i, None)

    def abort(self, i):
        if i not in self.reqs:
            raise KeyError(i)
        if self.state[i] == "r":
            self.kv.drop(i, self.toks(i)[: self.comp[i]])
        self._forget(i)

    def plan(self):
        run = sorted((i for i in self.reqs if self.state[i] == "r"), key=self.key)
        dec = [i for i in run if self.comp[i] == len(self.toks(i)) - 1]
        decoding = set(dec)
        pre = dict.fromkeys(i for i in run if i not in decoding)
        chunks, copies, preempted = {}, {}, []
        left = self.budget
        for i in (*dec, *pre):
            if self.state[i] != "r":
                continue
            rem = len(self.toks(i)) - self.comp[i]
            n, samples = self._size(rem, left, i in pre)
            if n == 0:
                continue
            upto = self.comp[i] + n + (self.look if samples else 0)
            while True:
                c = self.kv.extend(i, upto)
                if c is not None:
                    chunks[i] = Chunk(i, self.comp[i], n, samples)
                    copies[i] = c
                    left -= n + (self.look if samples else 0)
                    break
                v = max((j for j in self.reqs if self.state[j] == "r"), key=self.key)
                if v in chunks:
                    ch = chunks.pop(v)
                    copies.pop(v)
                    left += ch.length + (self.look if ch.samples else 0)
                self.kv.drop(v, self.toks(v)[: self.comp[v]])
                self.state[v] = "w"
                preempted.append(v)
                if v == i:
                    break
        if not preempted:
            seats = self.max_seqs - len(run)
            for i in sorted((i for i in self.reqs if self.state[i] == "w"), key=self.key):
                if seats < 1 or left < 1:
                    break
                t = self.toks(i)
                hit = self.kv.lookup(t)
                n, samples = self._size(len(t) - hit, left, True)
                if n == 0:
                    break
                got = self.kv.admit(i, t, hit + n + (self.look if samples else 0))
                if got is None:
                    break
                assert got == hit
                self.state[i] = "r"
                seats -= 1
                self.comp[i] = got
                chunks[i] = Chunk(i, got, n, samples)
                copies[i] = []
                left -= n + (self.look if samples else 0)
        return Plan(tuple(chunks.values()), tuple(preempted), tuple(c for cs in copies.values() for c in cs))

    def _size(self, rem, left, prefill):
        n = min(rem, left)
        if prefill and self.chunk is not None:
            n = min(n, self.chunk)
        if n == rem and n + self.look > left:
            n = max(0, min(rem - 1, left))
        return n, n == rem and n > 0

    def commit(self, plan, tokens):
        done = []
        for ch in plan.chunks:
            i = ch.id
            if i not in self.reqs or self.state[i] != "r":
                continue
            r = self.reqs[i]
            if not ch.samples:
                self.comp[i] += ch.length
                continue
            fin = False
            k = 0
            for t in tokens[i]:
                r.output.append(t)
                k += 1
                if t == r.eos or len(r.output) == r.max_new:
                    fin = True
                    break
            self.comp[i] += ch.length + k - 1
            if fin:
                self.kv.drop(i, self.toks(i)[: self.comp[i]])
                self._forget(i)
                done.append(i)
            elif self.look:
                self.kv.truncate(i, self.comp[i])
        return done
