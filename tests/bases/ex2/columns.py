"""Right: no object for a request. Columns side by side, one row each in order of arrival; rows are never moved.

Sampling is decided last: the plan is written as starts and ends first, chunks are made of them in the end. The order in
which they are written down is none in particular.
"""

from reference_engine.slots import Chunk, Plan

WAITS, RUNS, GONE = range(3)


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if chunk is not None and chunk < 1:
            raise ValueError("chunk")
        if token_budget <= lookahead or max_seqs <= 0:
            raise ValueError("token_budget or max_seqs")
        self.kv, self.max_seqs, self.token_budget = kv, max_seqs, token_budget
        self.limit, self.lookahead, self.policy = chunk or token_budget, lookahead, policy
        self.requests, self.states, self.computed = [], [], []
        self.row = {}

    @property
    def idle(self):
        return all(state == GONE for state in self.states)

    def add(self, request):
        length = len(request.prompt)
        if self.kv.capacity < length + request.max_new + self.lookahead:
            raise ValueError("capacity")
        if request.id in self.row or not length or request.max_new <= 0:
            raise ValueError("request")
        self.row[request.id] = len(self.requests)
        self.requests.append(request)
        self.states.append(WAITS)
        self.computed.append(0)

    def abort(self, id):
        if id not in self.row:
            raise KeyError(f"no request {id}")
        row = self.row.pop(id)
        if self.states[row] == RUNS:
            self._give_back(row)
        self.states[row] = GONE

    def _give_back(self, row):
        self.kv.drop(self.requests[row].id, self._text(row)[: self.computed[row]])
        self.computed[row] = 0

    def _text(self, row):
        return self.requests[row].prompt + self.requests[row].output

    def _rows(self, state):
        rows = [row for row in self.row.values() if self.states[row] == state]
        return sorted(rows, key=lambda row: (self.requests[row].priority if self.policy == "priority" else 0, row))

    def _size(self, row):
        return len(self.requests[row].prompt) + len(self.requests[row].output)

    def plan(self):
        spans, copies, preempted = {}, {}, []
        self.left = self.token_budget
        rows = self._rows(RUNS)
        decodes = [row for row in rows if self._size(row) - self.computed[row] == 1]
        for row in [*decodes, *(row for row in rows if self._size(row) - self.computed[row] > 1)]:
            if self.states[row] == RUNS:
                self._serve(row, spans, copies, preempted)
        if not preempted:
            self._admit(spans)
        names = {row: self.requests[row].id for row in spans}
        chunks = [Chunk(names[row], a, b - a, b == self._size(row)) for row, (a, b) in spans.items()]
        chunks.sort(key=lambda chunk: chunk.id * 7919 % 31)
        moved = tuple(copy for found in copies.values() for copy in found)
        return Plan(tuple(chunks), tuple(self.requests[row].id for row in preempted), moved)

    def _cost(self, row, span):
        return span[1] - span[0] + self.lookahead * (span[1] == self._size(row))

    def _end(self, row, start):
        left = self.left
        size = self._size(row)
        end = min(size, start + self.limit)
        if end == size and size - start + self.lookahead > left:
            end = size - 1
        return min(end, start + left)

    def _serve(self, row, spans, copies, preempted):
        start = self.computed[row]
        end = self._end(row, start)
        if end <= start:
            return
        ahead = self.lookahead if end == self._size(row) else 0
        found = self.kv.extend(self.requests[row].id, end + ahead)
        while found is None:
            victim = self._rows(RUNS)[-1]
            self._give_back(victim)
            self.states[victim] = WAITS
            preempted.append(victim)
            self.left += self._cost(victim, spans.pop(victim, (0, 0)))
            copies.pop(victim, None)
            if victim == row:
                return
            found = self.kv.extend(self.requests[row].id, end + ahead)
        spans[row], copies[row] = (start, end), list(found)
        self.left -= self._cost(row, spans[row])

    def _admit(self, spans):
        free = self.max_seqs - sum(state == RUNS for state in self.states)
        for row in self._rows(WAITS)[:free]:
            text = self._text(row)
            start = self.kv.lookup(text)
            end = self._end(row, start)
            ahead = self.lookahead if end == len(text) else 0
            if end <= start or self.kv.admit(self.requests[row].id, text, end + ahead) is None:
                return
            self.states[row], self.computed[row], spans[row] = RUNS, start, (start, end)
            self.left -= self._cost(row, spans[row])

    def commit(self, plan, tokens):
        finished = []
        for chunk in plan.chunks:
            row = self.row.get(chunk.id)
            if row is None or self.states[row] != RUNS:
                continue
            request = self.requests[row]
            told = list(tokens.get(chunk.id, ()))
            if request.eos in told:
                del told[told.index(request.eos) + 1 :]
            del told[request.max_new - len(request.output) :]
            request.output += told
            self.computed[row] += chunk.length + max(0, len(told) - 1)
            if told and (told[-1] == request.eos or len(request.output) == request.max_new):
                self._give_back(row)
                self.states[self.row.pop(chunk.id)] = GONE
                finished.append(chunk.id)
            elif told and self.lookahead:
                self.kv.truncate(chunk.id, self.computed[row])
        return finished
