"""Right: in the manner of vLLM's first scheduler: a budget that is asked, a method for each phase, groups in deques.

Whoever is preempted goes back by insertion, as `_preempt_by_recompute` does, to where the order wants it.
"""

from collections import deque
from dataclasses import dataclass, field

from reference_engine.slots import Chunk, Plan


@dataclass
class SchedulingBudget:
    token_budget: int
    num_batched_tokens: int = 0
    batched: dict = field(default_factory=dict)

    def remaining(self):
        return self.token_budget - self.num_batched_tokens

    def add(self, id, num_tokens):
        self.batched[id] = num_tokens
        self.num_batched_tokens += num_tokens

    def subtract(self, id):
        self.num_batched_tokens -= self.batched.pop(id, 0)


@dataclass
class Group:
    request: object
    rank: tuple
    computed: int = 0
    planned: object = None

    def size(self):
        return len(self.request.prompt) + len(self.request.output)

    def text(self, end):
        return (self.request.prompt + self.request.output)[:end]


class Scheduler:
    def __init__(self, kv, *, max_seqs, token_budget, chunk=None, lookahead=0, policy="fcfs"):
        if min(max_seqs, token_budget - lookahead, 1 if chunk is None else chunk) < 1:
            raise ValueError("SchedulerConfig")
        self.block_manager = kv
        self.max_num_seqs, self.max_num_batched_tokens = max_seqs, token_budget
        self.chunk, self.lookahead = chunk, lookahead
        self.policy = policy
        self.waiting, self.running = deque(), deque()
        self.groups, self.seen = {}, 0

    @property
    def idle(self):
        return not self.groups

    def add(self, request):
        needed = len(request.prompt) + request.max_new + self.lookahead
        refused = request.id in self.groups or needed > self.block_manager.capacity
        if refused or len(request.prompt) < 1 or request.max_new < 1:
            raise ValueError("add_seq_group")
        rank = (request.priority, self.seen) if self.policy == "priority" else (self.seen,)
        self.seen += 1
        self.groups[request.id] = Group(request, rank)
        self._insert(self.waiting, self.groups[request.id])

    @staticmethod
    def _insert(queue, group):
        at = len(queue)
        while at and queue[at - 1].rank > group.rank:
            at -= 1
        queue.insert(at, group)

    def abort(self, id):
        group = self.groups.pop(id)
        for queue in (self.waiting, self.running):
            if any(each is group for each in queue):
                kept = [each for each in queue if each is not group]
                queue.clear()
                queue.extend(kept)
                if queue is self.running:
                    self.block_manager.drop(id, group.text(group.computed))

    def plan(self):
        budget, chunks, copies, preempted = SchedulingBudget(self.max_num_batched_tokens), {}, {}, []
        decodes = [group for group in self.running if group.size() - group.computed == 1]
        prefills = [group for group in self.running if group.size() - group.computed != 1]
        for group in (*decodes, *prefills):
            self._schedule_running(group, budget, chunks, copies, preempted)
        if not preempted:
            self._schedule_prefills(budget, chunks)
        for id, chunk in chunks.items():
            self.groups[id].planned = chunk
        listed = tuple(copy for each in copies.values() for copy in each)
        return Plan(tuple(chunks.values()), tuple(preempted), listed)

    def _get_num_new_tokens(self, group, budget):
        """How many tokens, and the slots that they take."""
        gap, left = group.size() - group.computed, budget.remaining()
        new = min(gap, left, self.chunk or gap)
        if new == gap and new + self.lookahead > left:
            new -= 1
        return new, new + (self.lookahead if new == gap else 0)

    def _schedule_running(self, group, budget, chunks, copies, preempted):
        if group.request.id in preempted:
            return
        new, slots = self._get_num_new_tokens(group, budget)
        while new:
            moved = self.block_manager.extend(group.request.id, group.computed + slots)
            if moved is not None:
                chunks[group.request.id] = Chunk(
                    group.request.id, group.computed, new, new == group.size() - group.computed
                )
                copies[group.request.id] = moved
                budget.add(group.request.id, slots)
                return
            victim = self.running.pop()
            for planned in (chunks, copies):
                planned.pop(victim.request.id, None)
            budget.subtract(victim.request.id)
            self.block_manager.drop(victim.request.id, victim.text(victim.computed))
            victim.computed = 0
            preempted.append(victim.request.id)
            self._insert(self.waiting, victim)
            if victim is group:
                return

    def _schedule_prefills(self, budget, chunks):
        while self.waiting and len(self.running) < self.max_num_seqs:
            group = self.waiting[0]
            tokens = group.text(None)
            group.computed = self.block_manager.lookup(tokens)
            new, slots = self._get_num_new_tokens(group, budget)
            if not new or self.block_manager.admit(group.request.id, tokens, group.computed + slots) is None:
                group.computed = 0
                return
            self.waiting.popleft()
            self._insert(self.running, group)
            chunks[group.request.id] = Chunk(group.request.id, group.computed, new, group.computed + new == len(tokens))
            budget.add(group.request.id, slots)

    def commit(self, plan, tokens):
        ended = []
        for chunk in plan.chunks:
            group = self.groups.get(chunk.id)
            if group is None or group.planned is not chunk:
                continue
            group.planned, group.computed = None, group.computed + chunk.length
            if chunk.samples:
                self._append(group, list(tokens[chunk.id]), ended)
        return ended

    def _append(self, group, said, ended):
        request = group.request
        room = request.max_new - len(request.output)
        stop = said.index(request.eos) + 1 if request.eos is not None and request.eos in said else len(said)
        said = said[: min(room, stop)]
        request.output += said
        group.computed += len(said) - 1
        if len(said) == room or said[-1] == request.eos:
            self.running.remove(group)
            self.block_manager.drop(request.id, group.text(group.computed))
            ended.append(request.id)
            del self.groups[request.id]
        elif self.lookahead:
            self.block_manager.truncate(request.id, group.computed)
