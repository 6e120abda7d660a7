"""The engine: it lets a scheduler decide, runs the model, chooses tokens, and tells everybody what
happened.

Any part may be a learner's. The engine therefore keeps its own view of every request (`running`),
holds each plan against it (`inspection`), and reports the first broken promise as a `PartError`
that names the part and the step.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from reference_engine.arithmetic import Arithmetic
from reference_engine.backends import make_runner
from reference_engine.kv_dtype import KVDtype
from reference_engine.kv_manager import HeldPrompt
from reference_engine.metrics import Load, Metrics, RequestInStep, StepRecord
from reference_engine.model import Model
from reference_engine.naive import parts as naive_parts
from reference_engine.parts import PartError, Parts
from reference_engine.plan_checks import SchedulerLimits, check_output, check_plan
from reference_engine.recording_kv import RecordingKV
from reference_engine.request_state import RequestState, RunningRequests
from reference_engine.sampler import GREEDY, Sampling, TokenScores, request_seed
from reference_engine.slots import Copy, Plan, Policy, Request
from reference_engine.speculation import Room, Speculator
from reference_engine.step_executor import Decoder


@dataclass(frozen=True, slots=True)
class Event:
    """What one request said in a step. `finished`: these were its last tokens. scores: of its one
    token, if asked."""

    id: int
    tokens: tuple[int, ...]
    finished: bool
    scores: TokenScores | None = None


class RequestLike(Protocol):
    """What `Engine.generate` reads of a request; `slots.Request` has it."""

    @property
    def prompt(self) -> Sequence[int]: ...
    @property
    def max_new(self) -> int: ...
    @property
    def eos(self) -> int | None: ...
    @property
    def priority(self) -> int: ...


class Engine:
    """Serves requests with a model and four parts. One thread at a time may use it.

    num_blocks: of the KV pool, block 0 included, which is scratch. watermark: blocks that
    admissions leave free. max_seqs, token_budget, chunk, policy: the scheduler's. seed: of the
    requests that bring none. keep_trace: record every step in `trace`; may be changed between
    steps. speculator: drafts tokens (see `speculation`); None: no speculation. arithmetic: of
    products, on CPUs. kv_dtype: of the KV pool, on CPUs; what guesses keeps KV of its own.

    `metrics` counts what was done; `trace` is the list of `StepRecord`s; `kv` is what the scheduler
    sees. After a PartError the engine is spent: every further step raises it again.
    """

    decoder_type: type[Decoder] = Decoder

    def __init__(
        self,
        model: Model,
        parts: Parts | None = None,
        *,
        num_blocks: int,
        block_size: int = 16,
        watermark: int = 0,
        max_seqs: int = 64,
        token_budget: int = 512,
        chunk: int | None = None,
        policy: Policy = "fcfs",
        seed: int = 0,
        keep_trace: bool = False,
        speculator: Speculator | None = None,
        arithmetic: Arithmetic = Arithmetic.FP32,
        kv_dtype: KVDtype = KVDtype.FP32,
    ) -> None:
        """Raises ValueError for sizes that cannot work, PartError when a part cannot be made."""
        self.model, self.parts = model, parts or naive_parts()
        self.metrics, self.trace = Metrics(), list[StepRecord]()
        self._seed, self.keep_trace, self._speculator = seed, keep_trace, speculator
        lookahead = speculator.lookahead if speculator else 0
        _check_sizes(num_blocks, block_size, watermark, max_seqs, token_budget, chunk, lookahead)
        self._limits = SchedulerLimits(max_seqs, token_budget, lookahead, num_blocks, block_size)
        self._requests: dict[int, RequestState] = {}
        self._mail, self._aborted = dict[int, list[int]](), list[int]()
        # by the sample that computes the prompt the others wait for
        self._samples: dict[int, HeldPrompt] = {}
        self._next_id = self._silent = 0
        self._failure: PartError | None = None
        width = min(num_blocks - 1, -(-(model.config.positions + lookahead) // block_size))
        sizes = {"num_blocks": num_blocks, "block_size": block_size}
        self.runner = make_runner(
            model, **sizes, seats=max_seqs, width=width, arithmetic=arithmetic, kv_dtype=kv_dtype
        )
        if speculator is not None:
            speculator.attach(self.runner, model, Room(num_blocks, block_size, max_seqs, width))
        running = RunningRequests(self.runner.tables, seats=max_seqs, **sizes)
        with self._blaming("block_manager"):
            self._blocks = self.parts.block_manager(num_blocks, block_size, watermark=watermark)
        with self._blaming("prefix_cache"):
            cache = self.parts.prefix_cache(block_size) if self.parts.prefix_cache else None
        sizes |= {"watermark": watermark}
        self.kv = RecordingKV(
            self._blocks, cache, requests=self._requests, running=running, **sizes
        )
        self._decoder = self.decoder_type(
            self.runner, self._requests, running, self.kv.table, speculator, block_size
        )
        with self._blaming("scheduler"):
            self._scheduler = self.parts.scheduler(
                self.kv,
                max_seqs=max_seqs,
                token_budget=token_budget,
                chunk=chunk,
                lookahead=lookahead,
                policy=policy,
            )

    @property
    def idle(self) -> bool:
        """Every request has finished or was aborted."""
        return not self._requests

    def load(self) -> Load:
        """How busy it is, between two steps. Raises PartError when a part cannot say."""
        with self._blaming("prefix_cache"):
            evictable = self.kv.evictable
        with self._blaming("block_manager"):
            free = self._free_blocks()
        running, total = self.kv.running, self._limits.num_blocks - 1
        return Load(running, len(self._requests) - running, 1 - (free + evictable) / total)

    @property
    def token_budget(self) -> int:
        """Tokens that a step computes at most."""
        return self._limits.token_budget

    @property
    def capacity(self) -> int:
        """Tokens, prompt and output together, that one request may have."""
        return min(self.kv.capacity - self._limits.lookahead, self.model.config.positions)

    def add(
        self,
        prompt: Sequence[int],
        max_new: int,
        sampling: Sampling | None = None,
        *,
        eos: int | None = None,
        priority: int = 0,
        n: int = 1,
    ) -> int:
        """Queue a request; its id. Raises ValueError, in one sentence, for one that could never be
        served.

        n: so many samples of one prompt, which is computed once. They are requests with ids of
        their own, the first is returned and the others follow; sample i has the seed of `sampling`,
        if there is one, + i.
        """
        tokens, rule = [int(token) for token in prompt], sampling or GREEDY
        self._check_request(tokens, max_new)
        if n < 1:
            raise ValueError(f"n is {n}: ask for one sample at least")
        first = self._next_id
        for id in range(first, first + n):
            seed = request_seed(self._seed, id) if rule.seed is None else rule.seed + id - first
            request = Request(id, list(tokens), max_new, priority, eos)
            self._requests[id] = RequestState(
                request, tokens.copy(), len(tokens), max_new, eos, rule, seed
            )
        self._next_id += n
        if n > 1:  # the sequence that will hold their prompt needs an id as well
            self._samples[first] = HeldPrompt(
                first + n, tuple(tokens[:-1]), set(range(first + 1, first + n))
            )
            self._next_id += 1
        self._submit(first)
        return first

    def _submit(self, id: int) -> None:
        with self._blaming("scheduler"):
            self._scheduler.add(self._requests[id].request)

    def abort(self, id: int) -> None:
        """Forget a request, whatever it is doing. Raises KeyError for an id that is unknown or has
        finished."""
        if id not in self._requests:
            raise KeyError(f"request {id} is unknown or has finished")
        if not any(id in later.heirs for later in self._samples.values()):
            with self._blaming("scheduler"):
                self._scheduler.abort(id)
        self._leave(id)
        self._aborted.append(id)
        self._silent = 0  # what was computed for it counts for nobody else
        self.metrics.aborted += 1

    def step(self) -> list[Event]:
        """Run one step; what was said, in the order of the plan. Nothing when idle. Raises
        PartError."""
        if self._failure is not None:
            raise self._failure
        if not self._requests:
            return []
        began = time.perf_counter()
        with self._blaming("scheduler"):
            self.kv.open_step()
            plan = check_plan(self._scheduler.plan(), self._requests, self.kv, self._limits)
            cached = self._note_plan(plan)
            copies = plan.copies + tuple(
                copy for forked in self.kv.forked.values() for copy in forked
            )
            self._decoder.prepare(plan, copies)
        self.metrics.copies += len(copies)
        kept, said = self._settle(plan, self._decoder.run(plan, copies))
        complete = self._hold_prompts(plan) if self._samples else ()
        seats = self._seats(plan) if self.keep_trace else ()
        prompts = self._prompts(cached) if self.keep_trace else ()
        self.kv.open_step()
        with self._blaming("scheduler"):
            finished = self._commit(plan, kept, said)
            free = self._note_blocks()
        for held in complete:
            for id in sorted(held.heirs):
                self._submit(id)
        scores = self._decoder.scores
        events = [
            Event(id, tuple(tokens), id in finished, scores.get(id)) for id, tokens in kept.items()
        ]
        self._deliver(events)
        if self.keep_trace:
            self._record(plan, copies, seats, cached, prompts, events, free)
        self._aborted.clear()
        self.kv.changes.clear()
        self.metrics.steps += 1
        if self._speculator is not None:
            self._speculator.spent(
                time.perf_counter() - began, sum(chunk.length for chunk in plan.chunks), kept
            )
        return events

    def generate(
        self, requests: Iterable[RequestLike], sampling: Sampling | None = None
    ) -> list[list[int]]:
        """Serve all of them to the end; their outputs, in order."""
        outputs: dict[int, list[int]] = {}
        for asked in requests:
            outputs[
                self.add(
                    asked.prompt, asked.max_new, sampling, eos=asked.eos, priority=asked.priority
                )
            ] = []
        unfinished = set(outputs)
        while unfinished:
            for event in self.step():
                if event.id in outputs:
                    outputs[event.id] += event.tokens
                    unfinished -= {event.id} if event.finished else set()
        return list(outputs.values())

    def stream(
        self,
        prompt: Sequence[int],
        max_new: int,
        sampling: Sampling | None = None,
        *,
        eos: int | None = None,
        priority: int = 0,
    ) -> Iterator[int]:
        """The tokens of one request as they are said. It is queued at once; closing the iterator
        aborts it.

        Several streams may be read in turn: a step serves all of them.
        """
        id = self.add(prompt, max_new, sampling, eos=eos, priority=priority)
        self._mail[id] = []
        return self._read_mail(id)

    def _read_mail(self, id: int) -> Iterator[int]:
        mail = self._mail[id]
        try:
            while mail or self._is_coming(id):
                if mail:
                    yield mail.pop(0)
                else:
                    self.step()
        finally:
            del self._mail[id]
            if id in self._requests and self._failure is None:
                self.abort(id)

    def _is_coming(self, id: int) -> bool:
        """Whether a step may still tell tokens of the request."""
        return id in self._requests

    # ---------------------------------------------------------------- one step

    def _note_plan(self, plan: Plan) -> tuple[tuple[int, int], ...]:
        """Take note of admissions, of (id, tokens borrowed) each."""
        for id, cached in self.kv.admitted.items():
            self._requests[id].computed = cached
            self.metrics.cached += cached
        self.metrics.preemptions += len(plan.preempted)
        self.metrics.peak_running = max(self.metrics.peak_running, self.kv.running)
        return tuple(self.kv.admitted.items())

    def _settle(
        self, plan: Plan, said: Mapping[int, list[int]]
    ) -> tuple[dict[int, list[int]], Mapping[int, list[int]]]:
        """Bring the engine's own view up to date; what each sampling request keeps of what was
        said, and all of it."""
        metrics, kept = self.metrics, dict[int, list[int]]()
        for chunk in plan.chunks:
            state, end = self._requests[chunk.id], chunk.start + chunk.length
            if state.reached > chunk.start:
                metrics.recomputed += min(state.reached, end) - chunk.start
            state.computed = end
            if chunk.samples:
                kept[chunk.id] = tokens = state.kept(said[chunk.id])
                state.tokens += tokens
                state.computed += len(tokens) - 1
                metrics.emitted += len(tokens)
                metrics.accepted += len(tokens) - 1
            metrics.computed += chunk.length
            metrics.filled += state.computed
            if state.computed > state.reached:
                state.reached = state.computed
        metrics.chunks += len(plan.chunks)
        metrics.guessed += self._decoder.guessed
        return kept, said

    def _hold_prompts(self, plan: Plan) -> list[HeldPrompt]:
        """Hold the prompts that this step completed for the samples that wait for them; those
        samples' prompts."""
        complete = []
        for chunk in plan.chunks:
            if chunk.samples and chunk.id in self._samples:
                held, state = self._samples.pop(chunk.id), self._requests[chunk.id]
                with self._blaming("block_manager"):
                    self.kv.offer(chunk.id, state.tokens[: state.prompt])
                    state.offered = True
                    if held.tokens:
                        self.kv.hold(replace(held, heirs=set(held.heirs)), chunk.id)
                complete.append(held)
        return complete

    def _commit(
        self, plan: Plan, kept: Mapping[int, Sequence[int]], said: Mapping[int, list[int]]
    ) -> set[int]:
        """Tell the scheduler, and hold what it makes of it against what is true; the ids that
        finished."""
        ended = {id for id in kept if self._requests[id].ended}
        answer = self._scheduler.commit(plan, said)
        if not isinstance(answer, list) or sorted(answer) != sorted(ended):
            raise PartError(
                "scheduler", f"commit() returned {answer!r}, but {sorted(ended)} have finished"
            )
        for chunk in plan.chunks:
            state = self._requests[chunk.id]
            check_output(state, whole=chunk.id in ended)
            if chunk.id in ended:
                self._leave(chunk.id)
            elif chunk.id not in self.kv:
                raise PartError(
                    "scheduler",
                    f"it dropped the blocks of request {chunk.id}, which has not finished",
                )
            elif chunk.length > 1 and not state.offered and state.computed >= state.prompt:
                self.kv.offer(chunk.id, state.tokens[: state.prompt])
                state.offered = True
        self.metrics.finished += len(ended)
        self._check_progress(bool(kept))
        return ended

    def _leave(self, id: int) -> None:
        """The request is over: whatever the engine holds of it goes."""
        if id in self.kv:
            self._failure = PartError(
                "scheduler", f"request {id} is over, but keeps its blocks", self.metrics.steps
            )
            raise self._failure
        if self._speculator is not None:
            self._speculator.forget(id)
        del self._requests[id]
        self.kv.disinherit(id)
        for later in self._samples.values():
            later.heirs.discard(id)
        # aborted before its prompt was complete: the next sample goes first
        if id in self._samples:
            later = self._samples.pop(id)
            if later.heirs:
                heir = min(later.heirs)
                later.heirs.remove(heir)
                self._samples[heir] = later
                self._submit(heir)

    def _deliver(self, events: Sequence[Event]) -> None:
        if self._mail:
            for event in events:
                if event.id in self._mail:
                    self._mail[event.id] += event.tokens

    # ---------------------------------------------------------------- what is true

    def _check_request(self, tokens: Sequence[int], max_new: int) -> None:
        if not tokens:
            raise ValueError("the prompt is empty: it needs one token at least")
        if max_new < 1:
            raise ValueError(f"max_new is {max_new}: ask for one token at least")
        strange = next(
            (token for token in tokens if not 0 <= token < self.model.config.vocab), None
        )
        if strange is not None:
            raise ValueError(
                f"token {strange} is not in the vocabulary of {self.model.config.vocab}"
            )
        wanted = f"a prompt of {len(tokens)} tokens and {max_new} new ones"
        if len(tokens) + max_new > self.model.config.positions:
            raise ValueError(
                f"{wanted} exceed the model's context of {self.model.config.positions}"
            )
        if len(tokens) + max_new > self.capacity:
            raise ValueError(
                f"{wanted} exceed the {self.capacity} tokens that the KV pool can hold for one request"
            )

    def _check_progress(self, spoke: bool) -> None:
        """Every step computes a token at least, so somebody must speak before everything known is
        computed."""
        self._silent = 0 if spoke else self._silent + 1
        if self._silent and self._silent > sum(
            len(state.tokens) for state in self._requests.values()
        ):
            raise PartError("scheduler", f"{self._silent} steps went by and nobody has got a token")

    @contextmanager
    def _blaming(self, slot: str) -> Iterator[None]:
        """Whatever a part raises inside becomes a PartError that names it and the step."""
        try:
            yield
        except PartError as error:
            self._failure = PartError(error.slot, error.sentence, self.metrics.steps)
            raise self._failure from error.__cause__
        except Exception as error:
            self._failure = PartError(
                slot, f"raised {type(error).__name__}: {error}", self.metrics.steps
            )
            raise self._failure from error

    # ---------------------------------------------------------------- records

    def _free_blocks(self) -> int:
        free, total = self._blocks.num_free, self._limits.num_blocks - 1
        if type(free) is not int or not 0 <= free <= total:
            raise PartError("block_manager", f"num_free is {free!r} in a pool of {total} blocks")
        return free

    def _note_blocks(self) -> int:
        """Take note of the blocks in use; how many are free."""
        free, total = self._free_blocks(), self._limits.num_blocks - 1
        self.metrics.peak_blocks = max(self.metrics.peak_blocks, total - free)
        self.metrics.reserved += (total - free) * self._limits.block_size
        return free

    def _seats(self, plan: Plan) -> tuple[RequestInStep, ...]:
        states = [self._requests[chunk.id] for chunk in plan.chunks]
        return tuple(
            RequestInStep(state.id, state.computed, len(state.tokens), state.table)
            for state in states
        )

    def _prompts(
        self, admitted: Iterable[tuple[int, int]]
    ) -> tuple[tuple[int, tuple[int, ...]], ...]:
        states = [self._requests[id] for id, _ in admitted]
        return tuple((state.id, tuple(state.tokens[: state.prompt])) for state in states)

    def _record(
        self,
        plan: Plan,
        copies: tuple[Copy, ...],
        seats: tuple[RequestInStep, ...],
        cached: tuple[tuple[int, int], ...],
        prompts: tuple[tuple[int, tuple[int, ...]], ...],
        events: Sequence[Event],
        free: int,
    ) -> None:
        self.trace.append(
            StepRecord(
                number=self.metrics.steps,
                plan=plan,
                seats=seats,
                copies=copies,
                preempted=plan.preempted,
                finished=tuple(event.id for event in events if event.finished),
                aborted=tuple(self._aborted),
                emitted=tuple((event.id, event.tokens) for event in events),
                cached=cached,
                running=self.kv.running,
                waiting=len(self._requests) - self.kv.running,
                free_blocks=free,
                prompts=prompts,
                changes=tuple(self.kv.changes),
                trees=self._speculator.passes if self._speculator is not None else (),
                shrunk=self._shrunk(seats),
            )
        )

    def _shrunk(self, seats: Sequence[RequestInStep]) -> tuple[tuple[int, int], ...]:
        kept = {
            seat.id: len(self._requests[seat.id].table)
            for seat in seats
            if seat.id in self._requests
        }
        return tuple(
            (seat.id, kept[seat.id])
            for seat in seats
            if kept.get(seat.id, len(seat.table)) < len(seat.table)
        )


def _check_sizes(
    num_blocks: int,
    block_size: int,
    watermark: int,
    max_seqs: int,
    budget: int,
    chunk: int | None,
    lookahead: int,
) -> None:
    if block_size < 1 or num_blocks < 2 or not 0 <= watermark < num_blocks - 1:
        raise ValueError(
            f"a pool of {num_blocks} blocks of {block_size} with a watermark of {watermark} holds nothing"
        )
    if max_seqs < 1 or (chunk is not None and chunk < 1):
        raise ValueError(f"max_seqs ({max_seqs}) and chunk ({chunk}) must be at least 1")
    if budget < 1 + lookahead:
        raise ValueError(
            f"a token_budget of {budget} is less than one token and its lookahead of {lookahead}"
        )
