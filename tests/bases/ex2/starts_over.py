"""Right: nothing is undone in a plan. When somebody has to go, the whole plan is made anew without them.

Sizes first, blocks second; what was extended for a plan that came to nothing is used by the next one.
"""

from reference_engine.slots import Chunk, Plan


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if min(max_seqs, token_budget - lookahead, 1 if chunk is None else chunk) < 1:
            raise ValueError("nothing could ever be planned")
        self.kv, self.seats, self.most, self.ahead = kv, max_seqs, token_budget, lookahead
        self.cap = token_budget if chunk is None else chunk
        self.fair = policy == "fcfs"
        self.book = {}  # id -> [order, request, computed or None while waiting, reserved]
        self.count = 0
        self.copies = []

    @property
    def idle(self):
        return len(self.book) == 0

    def add(self, request):
        longest = len(request.prompt) + request.max_new + self.ahead
        if request.id in self.book or not request.prompt or request.max_new < 1 or longest > self.kv.capacity:
            raise ValueError(f"request {request.id} is refused")
        self.count += 1
        self.book[request.id] = [(0 if self.fair else request.priority, self.count), request, None, 0]

    def abort(self, id):
        _, request, computed, _ = self.book.pop(id)
        if computed is not None:
            self.kv.drop(id, self.tokens(request)[:computed])

    def tokens(self, request):
        return [*request.prompt, *request.output]

    def who(self, running):
        found = [page for page in self.book.values() if (page[2] is not None) == running]
        return sorted(found, key=lambda page: page[0])

    def plan(self):
        gone = []
        while True:
            sizes = self.sizes()
            if self.reserve(sizes):
                break
            victim = self.who(True)[-1]
            self.kv.drop(victim[1].id, self.tokens(victim[1])[: victim[2]])
            victim[2], victim[3] = None, 0
            gone.append(victim[1].id)
            self.copies = [(id, copy) for id, copy in self.copies if id != victim[1].id]
        chunks = [self.chunk(self.book[id], length) for id, length in sizes.items()]
        if not gone:
            chunks += self.admissions(self.most - sum(self.cost(chunk) for chunk in chunks))
        copies = tuple(copy for _, copy in self.copies)
        self.copies = []
        return Plan(tuple(chunks), tuple(gone), copies)

    def sizes(self):
        left, sizes = self.most, {}
        running = self.who(True)
        gaps = {page[1].id: len(page[1].prompt) + len(page[1].output) - page[2] for page in running}
        for page in sorted(running, key=lambda page: (gaps[page[1].id] > 1, page[0])):
            id = page[1].id
            length = self.length(gaps[id], left)
            if length:
                sizes[id] = length
                left -= length + self.ahead * (length == gaps[id])
        return sizes

    def length(self, gap, left):
        length = min(gap, self.cap)
        if length == gap and gap + self.ahead > left:
            length = gap - 1
        return min(length, left)

    def reserve(self, sizes):
        """Whether there are blocks for everybody."""
        for id, length in sizes.items():
            page = self.book[id]
            end = page[2] + length + self.ahead * self.chunk(page, length).samples
            if end > page[3]:
                copies = self.kv.extend(id, end)
                if copies is None:
                    return False
                page[3] = end
                self.copies += [(id, copy) for copy in copies]
        return True

    def chunk(self, page, length):
        _, request, computed, _ = page
        reaches = computed + length == len(request.prompt) + len(request.output)
        return Chunk(request.id, computed, length, reaches)

    def cost(self, chunk):
        return chunk.length + (self.ahead if chunk.samples else 0)

    def admissions(self, left):
        chunks = []
        seats = self.seats - len(self.who(True))
        for page in self.who(False)[:seats]:
            text = self.tokens(page[1])
            start = self.kv.lookup(text)
            length = self.length(len(text) - start, left)
            samples = start + length == len(text)
            end = start + length + self.ahead * samples
            if not length or self.kv.admit(page[1].id, text, end) is None:
                break
            page[2], page[3] = start, end
            chunks.append(Chunk(page[1].id, start, length, samples))
            left -= self.cost(chunks[-1])
        return chunks

    def commit(self, plan, tokens):
        done = []
        for chunk in plan.chunks:
            page = self.book.get(chunk.id)
            if page is None or page[2] is None:
                continue
            request = page[1]
            said = list(tokens[chunk.id]) if chunk.samples else []
            kept = 0
            for token in said:
                request.output.append(token)
                kept += 1
                if token == request.eos or len(request.output) >= request.max_new:
                    done.append(chunk.id)
                    break
            page[2] += chunk.length + max(kept - 1, 0)
            if chunk.id in done:
                del self.book[chunk.id]
                self.kv.drop(chunk.id, self.tokens(request)[: page[2]])
            elif page[3] > page[2] and chunk.samples:
                self.kv.truncate(chunk.id, page[2])
                page[3] = page[2]
        return done
