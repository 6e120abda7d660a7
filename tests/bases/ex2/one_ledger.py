"""Exercise 2 from the contract: one ledger of all requests, the scheduler is a dictionary of them; a step is a sort.

What a cut commit verified beyond the cut is not kept; what is kept of the verified guesses has KV, the last one too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from reference_engine.slots import Chunk, Copy, KVManager, Plan, Policy, Request


class _Line:
    __slots__ = ("chunk", "copies", "cost", "done", "key", "request", "seated")

    def __init__(self, request: Request, key: tuple[int, int]) -> None:
        self.request, self.key = request, key
        self.seated, self.done = False, 0
        self.chunk: Chunk | None = None
        self.copies: list[Copy] = []
        self.cost = 0

    @property
    def words(self) -> list[int]:
        return [*self.request.prompt, *self.request.output]

    @property
    def gap(self) -> int:
        return len(self.request.prompt) + len(self.request.output) - self.done

    def __lt__(self, other: _Line) -> bool:
        return self.key < other.key


class Scheduler(dict):
    def __init__(
        self,
        kv: KVManager,
        *,
        max_seqs: int,
        token_budget: int,
        chunk: int | None = None,
        lookahead: int = 0,
        policy: Policy = "fcfs",
    ) -> None:
        super().__init__()
        for number, least in ((token_budget, 1 + lookahead), (max_seqs, 1), (1 if chunk is None else chunk, 1)):
            if number < least:
                raise ValueError(f"{number} is below {least}")
        self.kv, self.seats, self.budget, self.cap, self.ahead = kv, max_seqs, token_budget, chunk, lookahead
        self.ranks = {"fcfs": lambda request: 0, "priority": lambda request: request.priority}[policy]
        self.clock = count()

    @property
    def idle(self) -> bool:
        return len(self) == 0

    def add(self, request: Request) -> None:
        if request.id in self or min(len(request.prompt), request.max_new) < 1:
            raise ValueError("known, empty or for nothing")
        if len(request.prompt) + request.max_new + self.ahead > self.kv.capacity:
            raise ValueError("too long for ever")
        self[request.id] = _Line(request, (self.ranks(request), next(self.clock)))

    def abort(self, id: int) -> None:
        line = self[id]
        if line.seated:
            self._unseat(line)
        del self[id]

    def plan(self) -> Plan:
        lines = sorted(self.values())
        seated = [line for line in lines if line.seated]
        victims: list[int] = []
        left = self.budget
        for line in [*(it for it in seated if it.gap == 1), *(it for it in seated if it.gap > 1)]:
            length, cost = self._share(line.gap, left) if line.seated else (0, 0)
            if length:
                left -= self._serve(line, length, cost, seated, victims)
        if not victims:
            for line in lines:
                if not line.seated and not self._seat(line, seated, left):
                    break
                left -= line.cost if line not in seated else 0
                if line not in seated:
                    seated.append(line)
        served = [line for line in reversed(seated) if line.chunk]
        return Plan(
            tuple(line.chunk for line in served), tuple(victims), tuple(copy for line in served for copy in line.copies)
        )

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
        over = []
        for chunk in plan.chunks:
            line = self.get(chunk.id)
            if line is None or line.chunk is None:
                continue
            line.chunk, line.copies = None, []
            line.done += chunk.length
            if chunk.samples and self._say(line, tokens[chunk.id]):
                self._unseat(line)
                del self[chunk.id]
                over.insert(0, chunk.id)
        return over

    def _say(self, line: _Line, said: Sequence[int]) -> bool:
        request, known = line.request, len(said) - 1
        for word in said:
            request.output.append(word)
            if known:
                line.done += 1
                known -= 1
            if word == request.eos or len(request.output) == request.max_new:
                return True
        self.kv.truncate(request.id, line.done)
        return False

    def _share(self, gap: int, left: int) -> tuple[int, int]:
        cap = gap if self.cap is None or gap == 1 else min(gap, self.cap)
        if cap == gap and gap + self.ahead <= left:
            return gap, gap + self.ahead
        length = max(0, min(cap, gap - 1, left))
        return length, length

    def _serve(self, line: _Line, length: int, cost: int, seated: list[_Line], victims: list[int]) -> int:
        """The cost of its chunk, less what those gave back that had to go for it."""
        back = 0
        while (copies := self.kv.extend(line.request.id, line.done + cost)) is None:
            victim = max(seated)
            back += victim.cost if victim.chunk else 0
            seated.remove(victim)
            victims.append(victim.request.id)
            self._unseat(victim)
            if victim is line:
                return -back
        line.chunk = Chunk(line.request.id, line.done, length, length == line.gap)
        line.copies, line.cost = copies, cost
        return cost - back

    def _seat(self, line: _Line, seated: list[_Line], left: int) -> bool:
        if len(seated) >= self.seats or left < 1:
            return False
        words = line.words
        found = self.kv.lookup(words)
        length, cost = self._share(len(words) - found, left)
        if not length or self.kv.admit(line.request.id, words, found + cost) is None:
            return False
        line.seated, line.done, line.cost, line.copies = True, found, cost, []
        line.chunk = Chunk(line.request.id, found, length, length == line.gap)
        return True

    def _unseat(self, line: _Line) -> None:
        self.kv.drop(line.request.id, line.words[: line.done])
        line.seated, line.done, line.chunk, line.copies = False, 0, None, []
