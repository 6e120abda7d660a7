"""What a scheduler has to be like: a list of requests, and rules that a plan keeps or breaks.

The specification plans nothing. It is told what the scheduler planned and what it asked the KV
manager, checks that the contract allows it, and follows. Where the contract leaves a choice (how a
list is kept, in which order chunks are written down, how a chunk is shortened when budget or blocks
are short), every choice is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from graders.checking.failure import Deviation, Refusals, plural

LOOKUP, ADMIT, EXTEND, TRUNCATE, DROP = range(5)


@dataclass(frozen=True, slots=True)
class EngineSetting:
    """One engine: its KV memory and the keywords of its scheduler.

    offer: prompts enter the cache once computed. brief: keywords with their usual values are left
    out when the scheduler is made.
    """

    num_blocks: int = 64
    block_size: int = 4
    watermark: int = 0
    max_seqs: int = 8
    token_budget: int = 64
    chunk: int | None = None
    lookahead: int = 0
    policy: str = "fcfs"
    cache: bool = False
    offer: bool = False
    brief: bool = False

    @property
    def capacity(self) -> int:
        return (self.num_blocks - 1 - self.watermark) * self.block_size

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)


@dataclass(slots=True)
class RequestSpec:
    """A request as the contract has it.

    computed: tokens with KV; running: it has a seat and blocks; sampled: it has emitted something
    since it sat down; preempted: it has lost its seat before.
    """

    id: int
    prompt: list[int]
    max_new: int
    priority: int
    eos: int | None
    order: tuple[int, int]
    output: list[int] = field(default_factory=list)
    computed: int = 0
    running: bool = False
    sampled: bool = False
    preempted: bool = False

    @property
    def tokens(self) -> list[int]:
        return self.prompt + self.output

    @property
    def size(self) -> int:
        return len(self.prompt) + len(self.output)

    @property
    def gap(self) -> int:
        return self.size - self.computed


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """One chunk of a plan."""

    id: int
    start: int
    length: int
    samples: bool

    @property
    def end(self) -> int:
        return self.start + self.length

    def __str__(self) -> str:
        return f"{self.id}[{self.start}:{self.end}]" + "*" * self.samples


@dataclass(frozen=True, slots=True)
class KVCall:
    """One call of the KV manager and its answer (see `graders.sandbox.guest.scheduler`).

    answer: None when it did not fit. offered: the tokens of a drop or an admission. copies: those that an extension
    asked for.
    """

    what: int
    id: int
    number: int
    answer: int | None
    offered: tuple[int, ...] = ()
    copies: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Seen:
    """What a scheduler has been seen to do, which rules out that it goes by the habits of some
    engine.

    pieces: it admitted a prompt of which the budget held a part. tight: it admitted somebody
    without room to the end of the answer. bare: it extended a running prefill by its chunk alone,
    although others may have guesses.
    """

    pieces: bool = False
    tight: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what was asked of the KV manager for it, and what stood there afterwards."""

    chunks: tuple[PlannedChunk, ...]
    preempted: tuple[int, ...]
    copies: tuple[tuple[int, int], ...]
    asked: tuple[KVCall, ...]
    held: Mapping[int, int]
    tables: Mapping[int, Sequence[int]]
    available: int  # blocks that are free or could be evicted
    idle: bool = False

    def __str__(self) -> str:
        text = " ".join(map(str, self.chunks)) or "nothing"
        return text + (f", preempted {list(self.preempted)}" if self.preempted else "")


class SchedulerSpec:
    """Who waits and who runs, and the rules. Every method raises Deviation for what the contract
    does not allow."""

    def __init__(self, setting: EngineSetting, *, conserving: bool = True) -> None:
        """conserving: work has to be conserved; the naive parts keep every rule but those about
        that."""
        self.setting = setting
        self.conserving = conserving
        self.requests: dict[int, RequestSpec] = {}
        self.plan: dict[int, PlannedChunk] = {}
        self.sampled: set[int] = set()  # who was told something in the last commit
        self.beset = False  # somebody else holds blocks, so that there may be none for anybody
        self.seen = Seen()
        self._arrivals = 0

    # ------------------------------------------------------------ who is there

    @property
    def waiting(self) -> list[RequestSpec]:
        """In the order of the queue."""
        return sorted(
            (request for request in self.requests.values() if not request.running),
            key=lambda request: request.order,
        )

    @property
    def running(self) -> list[RequestSpec]:
        """In order: the last is the victim."""
        return sorted(
            (request for request in self.requests.values() if request.running),
            key=lambda request: request.order,
        )

    def cost(self, work: PlannedChunk) -> int:
        return work.length + self.setting.lookahead * work.samples

    # ------------------------------------------------------------ add and abort

    def refuse_add(self, id: int, prompt: Sequence[int], max_new: int) -> Refusals:
        longest = len(prompt) + max_new + self.setting.lookahead
        if not prompt:
            return {"ValueError": "the prompt is empty"}
        if max_new < 1:
            return {"ValueError": f"max_new is {max_new}"}
        if id in self.requests:
            return {"ValueError": f"request {id} is here already"}
        if longest > self.setting.capacity:
            beside = f" + {self.setting.lookahead} (lookahead)" if self.setting.lookahead else ""
            total = f"{len(prompt)} (prompt) + {max_new} (max_new){beside} > {self.setting.capacity} (capacity)"
            return {"ValueError": f"it could never fit: {total}"}
        return {}

    def added(
        self, id: int, prompt: Sequence[int], max_new: int, priority: int, eos: int | None
    ) -> None:
        order = (priority if self.setting.policy == "priority" else 0, self._arrivals)
        self._arrivals += 1
        self.requests[id] = RequestSpec(id, list(prompt), max_new, priority, eos, order)

    def refuse_abort(self, id: int) -> Refusals:
        return {} if id in self.requests else {"KeyError": f"there is no request {id}"}

    def aborted(self, id: int, asked: Sequence[KVCall], held: Mapping[int, int]) -> None:
        request = self.requests.pop(id)
        self.plan.pop(id, None)
        if request.running:
            self._dropped("abort", request, asked, range(request.computed + 1))
        self._given_back("abort", held)

    # ------------------------------------------------------------ a plan

    def planned(self, plan: Planned) -> None:
        """Check a plan against every rule, then follow it."""
        self._known(plan)
        self._preemptions(plan)
        if not plan.chunks and self.requests and not self.beset:
            here = f"{len(self.running)} run and {len(self.waiting)} wait"
            raise Deviation(f"The plan is empty although {here}.", f"{plan}", "work for somebody")
        for work in plan.chunks:
            self._chunk(work, plan)
        self._copies(plan)
        self._sums(plan)
        self._admissions(plan)
        self._note(plan)
        if self.conserving:
            self._turns(plan)
            self._conserved(plan)
        self._follow(plan)
        self._given_back("plan", plan.held)
        self._reserved(plan)

    def _known(self, plan: Planned) -> None:
        ids = [work.id for work in plan.chunks]
        for id in (*ids, *plan.preempted):
            if id not in self.requests:
                raise Deviation(
                    f"The plan names request {id}, which is not here.",
                    f"{plan}",
                    "requests that are here",
                )
        twice = [id for id in ids if ids.count(id) > 1]
        if twice:
            raise Deviation(
                f"Request {twice[0]} has two chunks in one plan.", f"{plan}", "one chunk a request"
            )

    def _preemptions(self, plan: Planned) -> None:
        for ask in plan.asked:
            if ask.what == EXTEND and ask.answer is None and ask.id in self.requests:
                self._asked_too_much(self.requests[ask.id], ask.number)
        running = [request.id for request in self.running]
        for count, id in enumerate(plan.preempted):
            if id not in running:
                message = f"Request {id} is preempted but does not run."
                raise Deviation(message, f"{plan}", f"one of {running}")
            if id != running[-1]:
                message = (
                    f"Request {id} is preempted, but {running[-1]} comes after it: the victim "
                    "is the last in order."
                )
                said = [len(request.output) for request in self.running]
                own, last = (len(self.requests[each].output) for each in (id, running[-1]))
                raise Deviation(
                    message,
                    f"{id}",
                    f"{running[-1]}",
                    "victim by output" if own == min(said) < last else "",
                )
            running.pop()
            if any(work.id == id for work in plan.chunks):
                self._readmitted(id, plan)
                message = f"Request {id} was preempted and still has a chunk in the plan."
                raise Deviation(message, f"{plan}", f"no chunk for {id}")
            lacking = sum(ask.what == EXTEND and not ask.answer for ask in plan.asked)
            if lacking <= count:
                message = f"Request {id} was preempted although no block was lacking."
                raise Deviation(
                    message, f"{plan}", "a preemption only when kv.extend returned None"
                )
            self._dropped("plan", self.requests[id], plan.asked, [self.requests[id].computed])
        lost = [id for id in running if id not in plan.held]
        if lost:
            message = f"Request {lost[0]} has lost its blocks, and Plan.preempted does not name it."
            raise Deviation(message, f"preempted={list(plan.preempted)}", f"{lost[0]} among them")
        extended = {ask.id: ask.answer for ask in plan.asked if ask.what == EXTEND}
        stuck = [id for id in running if id in extended and extended[id] is None]
        if stuck:
            message = f"Request {stuck[0]} lacked blocks (kv.extend returned None the last time), and nobody made room."
            raise Deviation(
                message,
                f"{plan}",
                "a victim, and the same again, until it is extended or preempted itself",
            )

    def _asked_too_much(self, request: RequestSpec, number: int) -> None:
        """Blocks were lacking: not for more than any chunk of this request could write to."""
        length = min(request.gap, self.setting.chunk or request.gap)
        ahead = self.setting.lookahead if length == request.gap else 0
        most = request.computed + length + ahead
        if request.running and number > most:
            asked = plural(number, "token")
            message = (
                f"Request {request.id} lacked blocks when kv.extend was asked for {asked}, more "
                "than its chunk could "
            )
            message += f"write to: {most}."
            guesses = not ahead and number <= most + self.setting.lookahead
            message += " A chunk that does not sample has no guesses." if guesses else ""
            habit = "guesses of prefills" if guesses and not self.seen.bare else ""
            raise Deviation(message, f"{number}", f"{most} at most", habit)

    def _readmitted(self, id: int, plan: Planned) -> None:
        if any(ask.what == ADMIT and ask.id == id and ask.answer is not None for ask in plan.asked):
            message = f"Request {id} is preempted and admitted again in the same step."
            raise Deviation(message, f"{plan}", "nobody is admitted in a step that preempted")

    def _chunk(self, work: PlannedChunk, plan: Planned) -> None:
        request = self.requests[work.id]
        start = request.computed if request.running else self._cached(request, plan)
        if work.start != start:
            known = "with KV" if request.running else "in the cache"
            message = f"Request {work.id} has {plural(start, 'token')} {known}, and its chunk starts at {work.start}."
            raise Deviation(message, f"{work}", f"start == {start}")
        if work.length < 1 or work.end > request.size:
            message = f"Request {work.id} has {plural(request.size, 'token')}; its chunk is [{work.start}, {work.end})."
            raise Deviation(
                message, f"{work}", f"1 to {plural(request.size - start, 'token')} from {start} on"
            )
        if work.samples != (work.end == request.size):
            reach = (
                "reaches the last token"
                if work.end == request.size
                else f"stops before token {request.size - 1}, the last"
            )
            message = f"The chunk of request {work.id} {reach}, and samples is {work.samples}."
            if work.samples and work.end == len(request.prompt):
                message += f" It has said {plural(len(request.output), 'token')} already: are they forgotten?"
            raise Deviation(message, f"samples={work.samples}", f"samples={not work.samples}")
        cap = self.setting.chunk
        if cap is not None and work.length > cap and request.size - start > 1:
            message = f"The chunk of request {work.id} has {plural(work.length, 'token')}; at most {cap} are allowed."
            raise Deviation(message, f"{work}", f"at most {cap} prefill tokens of one request")

    def _cached(self, request: RequestSpec, plan: Planned) -> int:
        """What kv.admit borrowed for an admission."""
        for ask in plan.asked:
            if ask.what == ADMIT and ask.id == request.id and ask.answer is not None:
                self._looked_up(request, ask, plan)
                return ask.answer
        message = f"Request {request.id} has a chunk, but kv.admit was not asked for its blocks."
        raise Deviation(message, f"{plan}", f"kv.admit({request.id}, ...) before its chunk")

    def _looked_up(self, request: RequestSpec, ask: KVCall, plan: Planned) -> None:
        """What the cache is asked for are the request's own tokens, as far as the step computes."""
        given, end = list(ask.offered), next(w.end for w in plan.chunks if w.id == request.id)
        own = given == request.tokens[: len(given)]
        if own and len(given) >= min(end, request.size):
            return
        message = f"kv.admit was given {plural(len(given), 'token')} "
        if own:
            message += f"of request {request.id}, which has {request.size}"
        else:
            message += f"for request {request.id}, which are not its own"
        raise Deviation(
            f"{message}: of what it is given it borrows what the cache holds.",
            f"kv.admit({request.id}, {given}, …)",
            f"kv.admit({request.id}, {request.tokens}, …)",
        )

    def _copies(self, plan: Planned) -> None:
        """The copies that kv.extend asked for, of those who have a chunk in the plan; none of a
        victim's."""
        asked = {copy: ask.id for ask in plan.asked for copy in ask.copies}
        works = {work.id for work in plan.chunks}
        for copy, id in asked.items():
            written = f"Copy(src={copy[0]}, dst={copy[1]})"
            if id in works and copy not in plan.copies:
                message = f"kv.extend asked for {written} for request {id}, and the plan's copies lack it: "
                message += f"block {copy[1]} would be read without having been written."
                raise Deviation(message, f"copies={list(plan.copies)}", written)
            if id in plan.preempted and copy in plan.copies:
                message = f"{written} is still in the plan, for request {id}, which was preempted: "
                message += f"block {copy[1]} has been given back."
                raise Deviation(
                    message, f"copies={list(plan.copies)}", "the victim's copies leave the plan too"
                )
        strange = [copy for copy in plan.copies if copy not in asked or plan.copies.count(copy) > 1]
        if strange:
            message = f"The plan has Copy(src={strange[0][0]}, dst={strange[0][1]}), which kv.extend did not ask for."
            raise Deviation(message, f"copies={list(plan.copies)}", f"{list(asked)}")

    def _sums(self, plan: Planned) -> None:
        spent, budget = sum(map(self.cost, plan.chunks)), self.setting.token_budget
        if spent > budget:
            ahead = (
                f" (lookahead {self.setting.lookahead} a sampling chunk)"
                if self.setting.lookahead
                else ""
            )
            raise Deviation(
                f"The plan costs {spent}{ahead}; the budget is {budget}.",
                f"{plan}",
                f"at most {budget}",
            )
        after = {request.id for request in self.running} - set(plan.preempted) | {
            work.id for work in plan.chunks
        }
        if len(after) > self.setting.max_seqs:
            message = f"{len(after)} requests run; max_seqs is {self.setting.max_seqs}."
            raise Deviation(message, f"{sorted(after)}", f"at most {self.setting.max_seqs}")

    def _admissions(self, plan: Planned) -> None:
        admitted = [work.id for work in plan.chunks if not self.requests[work.id].running]
        if admitted and plan.preempted:
            message = f"Request {admitted[0]} is admitted in a step that preempted."
            raise Deviation(message, f"{plan}", "nobody is admitted in such a step")
        queue = [request.id for request in self.waiting]
        if sorted(admitted) != sorted(queue[: len(admitted)]):
            head = next(id for id in queue if id not in admitted)
            early = next(id for id in admitted if id not in queue[: len(admitted)])
            message = f"Request {early} is admitted, but "
            message += f"request {head} is before it in the queue: nobody overtakes the head."
            habit = "longest prefix first" if self._finds_more(early, head, plan) else ""
            raise Deviation(message, f"admitted {admitted}", f"in the order {queue}", habit)

    def _finds_more(self, early: int, head: int, plan: Planned) -> bool:
        """Whether more of `early` is in the cache than of `head`, and the scheduler has looked at
        both."""
        found = [
            ask.answer
            for ask in plan.asked
            if ask.what == ADMIT and ask.id == early and ask.answer is not None
        ]
        size = self.requests[head].size
        known = [ask.answer for ask in plan.asked if ask.what == LOOKUP and ask.number == size]
        return any(own > (other or 0) for own in found[-1:] for other in known)

    def _note(self, plan: Planned) -> None:
        """What the plan shows of how the scheduler does not do it."""
        admitted = [work for work in plan.chunks if not self.requests[work.id].running]
        room = plan.available - self.setting.watermark
        room += sum(self.setting.blocks_for(plan.held.get(work.id, 0)) for work in admitted)
        for work in plan.chunks:
            request = self.requests[work.id]
            whole = len(request.prompt) + request.max_new + self.setting.lookahead
            if not request.running:
                self.seen.pieces |= work.end < request.size and work.length != self.setting.chunk
                self.seen.tight |= room < self.setting.blocks_for(whole)
            elif not work.samples and self.setting.lookahead:
                self.seen.bare |= plan.held.get(work.id) == work.end

    # ------------------------------------------------------------ whose turn it is

    def _turns(self, plan: Planned) -> None:
        """Nobody is left out, or cut short, for want of budget that somebody further back got, or
        that is left.

        Whoever has one token left of a prefill may be served as the decode that it looks like, or
        as the prefill that it still is.
        """
        try:
            self._served_in_turn(plan, by_gap=True)
        except Deviation:
            if not any(request.gap == 1 and not request.sampled for request in self.running):
                raise
            self._served_in_turn(plan, by_gap=False)

    def _rank(self, request: RequestSpec, by_gap: bool) -> tuple[int, ...]:
        """The order of a step: running decodes, running prefills, admissions."""
        group = (
            2
            if not request.running
            else 0
            if request.gap == 1 and (by_gap or request.sampled)
            else 1
        )
        return group, *request.order

    def _served_in_turn(self, plan: Planned, by_gap: bool) -> None:
        """In a step that preempted, this holds for those behind the last one that lacked blocks:
        for whoever was planned before, the victim's budget may have returned too late.
        """
        works = {work.id: work for work in plan.chunks}
        left = self.setting.token_budget - sum(map(self.cost, plan.chunks))
        stayed = [request for request in self.running if request.id not in plan.preempted]
        served = stayed + [self.requests[id] for id in works if not self.requests[id].running]
        first = max(
            (self._rank(self.requests[id], by_gap) for id in self._lacking(plan)), default=(-1,)
        )
        for request in sorted(
            served, key=lambda request: self._rank(request, by_gap), reverse=True
        ):
            if self._rank(request, by_gap) <= first:
                return
            work = works.get(request.id)
            blocked = not request.running and plan.available <= self.setting.watermark
            if left >= self._next_token(request, work, left) and not blocked:
                self._cut_short(request, work, left, plan)
            left += self.cost(work) if work else 0

    def _lacking(self, plan: Planned) -> list[int]:
        """Who lacked blocks last, in a step that preempted."""
        lacking = [ask.id for ask in plan.asked if ask.what == EXTEND and not ask.answer]
        return lacking[-1:] if plan.preempted else []

    def _next_token(self, request: RequestSpec, work: PlannedChunk | None, left: int) -> int:
        """What one more token for this request would cost; more than any budget when it need not
        have one."""
        done = work.length if work else 0
        gap = request.size - (work.start if work else request.computed)
        room = left + (self.cost(work) if work else 0)
        if done in (gap, self.setting.chunk) or self._may_wait(gap, room):
            return self.setting.token_budget + 1
        return 1 + (self.setting.lookahead if done + 1 == gap else 0)

    def _may_wait(self, gap: int, room: int) -> bool:
        """The budget ends between a last chunk and its lookahead: shorten it or wait for the next
        step, both is right.

        Not when no step at all could hold it: then waiting would never end.
        """
        cap, whole = self.setting.chunk or gap, gap + self.setting.lookahead
        return gap <= cap and gap <= room < whole <= self.setting.token_budget

    def _cut_short(
        self, request: RequestSpec, work: PlannedChunk | None, left: int, plan: Planned
    ) -> NoReturn:
        kind = (
            "is admitted" if not request.running else "decodes" if request.gap == 1 else "prefills"
        )
        got = f"only {plural(work.length, 'token')}" if work else "no chunk"
        message = f"Request {request.id}, which {kind}, gets {got}, while {left} of the budget "
        behind = [other.id for other in plan.chunks if self._later(other, request)]
        if plan.preempted:
            message += f"{'is' if left == 1 else 'are'} left: what the victim's chunk cost returns to the budget."
        elif behind:
            message += f"went to requests behind it ({', '.join(map(str, behind))}) or to nobody."
            if not request.running:
                message += self._place(request)
        else:
            message += f"{'is' if left == 1 else 'are'} left over."
        due = "decodes first, then prefills, each in order, then admissions"
        first = request.running and request.gap == 1 and any(map(self._reads, behind))
        raise Deviation(
            message,
            got,
            due,
            "prefills first" if first and self._decodes_last(request, plan) else "",
        )

    def _decodes_last(self, request: RequestSpec, plan: Planned) -> bool:
        """Whether the decodes got, in order, what the prefills had left of the budget, and
        `request` none of it."""
        works = [work.id for work in plan.chunks if not self._reads(work.id)]
        left = self.setting.token_budget - sum(map(self.cost, plan.chunks))
        paid = left <= self.setting.lookahead and all(
            self.requests[id].order < request.order for id in works
        )
        return not works or paid

    def _place(self, request: RequestSpec) -> str:
        """What decides where somebody stands in the queue, in a sentence."""
        by = "of (priority, arrival)" if self.setting.policy == "priority" else "of the arrival"
        return f" The place in the queue is that {by}{', after a preemption too' if request.preempted else ''}."

    def _reads(self, id: int) -> bool:
        """Whether a request still reads its prompt, or waits to."""
        return self.requests[id].gap > 1 or not self.requests[id].running

    def _later(self, work: PlannedChunk, request: RequestSpec) -> bool:
        return self._rank(self.requests[work.id], True) > self._rank(request, True)

    def _conserved(self, plan: Planned) -> None:
        """If the head of the queue fits, and a seat and budget are left, it is admitted."""
        admitted = {work.id for work in plan.chunks if not self.requests[work.id].running}
        queue = [request for request in self.waiting if request.id not in admitted]
        seats = self.setting.max_seqs - len(self.running) - len(admitted)
        if plan.preempted or not queue or not seats:
            return
        head = queue[0]
        left = self.setting.token_budget - sum(map(self.cost, plan.chunks))
        whole = self.setting.blocks_for(head.size + self.setting.lookahead)
        if any(self._may_wait(head.size - start, left) for start in self._known_prefixes(plan)):
            return
        if left > self.setting.lookahead and whole <= plan.available - self.setting.watermark:
            message = (
                f"Request {head.id}, the head of the queue, is not admitted although it fits: "
            )
            message += f"{plural(seats, 'seat')}, a budget of {left} and {plural(plan.available)} are left."
            raise Deviation(
                message, f"{plan}", f"a chunk for {head.id}", self._held_back(head, left, plan)
            )

    def _held_back(self, head: RequestSpec, left: int, plan: Planned) -> str:
        """Whose way it looks like that the head waits."""
        to_the_end = self.setting.blocks_for(
            len(head.prompt) + head.max_new + self.setting.lookahead
        )
        if head.size > left and not self.seen.pieces:
            return "whole prompts only"
        tight = to_the_end > plan.available - self.setting.watermark
        return "room to the end" if tight and not self.seen.tight else ""

    def _known_prefixes(self, plan: Planned) -> set[int]:
        """What the cache may hold of somebody who was looked up and not admitted."""
        return {
            0,
            *(ask.answer for ask in plan.asked if ask.what == LOOKUP and ask.answer is not None),
        }

    # ------------------------------------------------------------ blocks

    def _dropped(
        self, method: str, request: RequestSpec, asked: Sequence[KVCall], lengths: Sequence[int]
    ) -> None:
        """The request's blocks were dropped, and of its tokens one of `lengths` offered to the
        cache."""
        drops = [ask for ask in asked if ask.what == DROP and ask.id == request.id]
        if not drops:
            message = f"`{method}` did not give back the blocks of request {request.id}: kv.drop was not called."
            raise Deviation(message, "no kv.drop", f"kv.drop({request.id}, its computed tokens)")
        offered = list(drops[0].offered)
        if offered != request.tokens[: len(offered)]:
            message = f"Request {request.id} was dropped with tokens that are not its own first {len(offered)}."
            raise Deviation(message, f"{offered}", f"{request.tokens[: len(offered)]}")
        if len(offered) not in lengths:
            most = lengths[-1]
            told = f"`{method}` dropped request {request.id} with "
            if len(offered) > most:
                message = f"{told}more tokens than have KV: {len(offered)}, {most} are computed."
            else:
                message = f"{told}not all its computed tokens: {len(offered)} of {most} "
                message += "(a chunk of n tokens adds n, and k - 1 more when commit is told k)."
            raise Deviation(message, f"{plural(len(offered), 'token')} offered", f"{most}")

    def _given_back(self, method: str, held: Mapping[int, int]) -> None:
        running = {request.id for request in self.running}
        for id in sorted(set(held) - running):
            message = f"Request {id} still holds blocks after `{method}` although it does not run."
            raise Deviation(
                message, f"{plural(held[id], 'token')} reserved", "everything is given back"
            )
        for id in sorted(running - set(held)):
            message = f"Request {id} runs and holds no blocks after `{method}`."
            raise Deviation(message, "nothing reserved", "blocks until it finishes")

    def _reserved(self, plan: Planned) -> None:
        for work in plan.chunks:
            due = work.start + self.cost(work)
            if plan.held[work.id] < due:
                ahead = (
                    f" and {self.setting.lookahead} of lookahead"
                    if self.setting.lookahead and work.samples
                    else ""
                )
                message = (
                    f"Request {work.id} writes up to token {work.end - 1}{ahead}, but has only "
                )
                message += f"{plural(plan.held[work.id], 'token')} reserved."
                raise Deviation(message, f"{plan.held[work.id]} reserved", f"{due}")

    def _follow(self, plan: Planned) -> None:
        for id in plan.preempted:
            request = self.requests[id]
            request.running, request.sampled, request.computed, request.preempted = (
                False,
                False,
                0,
                True,
            )
        for work in plan.chunks:
            request = self.requests[work.id]
            request.running, request.computed = True, work.start
        self.plan = {work.id: work for work in plan.chunks}

    # ------------------------------------------------------------ what the model said

    def ending(self, request: RequestSpec, said: Sequence[int]) -> tuple[list[int], bool]:
        """Which of the tokens said are kept, and whether the request then has finished."""
        kept: list[int] = []
        for token in said:
            kept.append(token)
            if token == request.eos or len(request.output) + len(kept) == request.max_new:
                return kept, True
        return kept, False

    def committed(
        self,
        said: Mapping[int, Sequence[int]],
        finished: Sequence[int],
        asked: Sequence[KVCall],
        held: Mapping[int, int],
    ) -> list[RequestSpec]:
        """The last plan was committed with these tokens; those who have finished, in the order that
        was returned."""
        self.sampled = {work.id for work in self.plan.values() if work.samples}
        done: dict[int, RequestSpec] = {}
        offers: dict[int, list[int]] = {}
        for work in self.plan.values():
            request = self.requests[work.id]
            request.computed += work.length
            if work.samples:
                kept, ended = self.ending(request, said[work.id])
                request.output += kept
                request.sampled = True
                request.computed += len(kept) - 1
                if ended:
                    done[work.id] = self.requests.pop(work.id)
                    # then the last token kept was a guess too, and has KV
                    guessed = len(kept) < len(said[work.id])
                    offers[work.id] = (
                        [request.computed, request.computed + 1] if guessed else [request.computed]
                    )
        self._finished(done, finished)
        for request in done.values():
            self._dropped("commit", request, asked, offers[request.id])
        self._given_back("commit", held)
        self._truncated(held)
        self.plan = {}
        return [done[id] for id in finished]

    def _finished(self, done: Mapping[int, RequestSpec], finished: Sequence[int]) -> None:
        for id in finished:
            if id not in done:
                raise Deviation(
                    f"`commit` says that request {id} has finished.",
                    f"{list(finished)}",
                    f"{list(done)}",
                )
        for id, request in done.items():
            if id not in finished:
                why = (
                    f"its EOS {request.eos}"
                    if request.output[-1] == request.eos
                    else f"max_new {request.max_new}"
                )
                message = (
                    f"Request {id} has finished (it reached {why}), and `commit` does not say so."
                )
                raise Deviation(message, f"{list(finished)}", f"{list(done)}")
        if len(set(finished)) < len(finished):
            raise Deviation("`commit` names a request twice.", f"{list(finished)}", f"{list(done)}")

    def _truncated(self, held: Mapping[int, int]) -> None:
        for work in self.plan.values():
            request = self.requests.get(work.id)
            if request and work.samples and held[work.id] != request.computed:
                computed = plural(request.computed, "token")
                message = f"Request {work.id} has {computed} with KV and {held[work.id]} reserved: what was "
                message += "reserved for guesses is truncated by `commit`."
                kept = held[work.id] == work.start + self.cost(work)
                habit = "keeps guesses" if kept else ""
                raise Deviation(message, f"{held[work.id]} reserved", f"{request.computed}", habit)
