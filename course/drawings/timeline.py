"""Exercise 2 drawn: who prefills, decodes, waits or is preempted, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from course.targets import solution_file
from course.watchdog import NoAnswerInTime
from course.window.page import EngineRun, Window, call_record
from graders.registry.catalogue import catalogue
from graders.registry.parts import part_in
from reference_engine.kv_manager import KVManager
from reference_engine.metrics import RequestInStep, StepRecord
from reference_engine.parts import load_part
from reference_engine.slots import BlockManager, Plan, Request, Scheduler

SEATS, BUDGET, POOL, BLOCK_SIZE = 4, 9, 18, 4
LONGEST = 400  # steps after which a run is called endless
INK = {"P": "black on yellow", "D": "black on green", "x": "bold white on red", ".": "dim", " ": ""}
LEGEND = (("P", "prefill"), ("D", "decode"), (".", "waits"), ("x", "preempted"))


@dataclass(frozen=True, slots=True)
class DrawnRequest:
    """A request that arrives before step `arrives` with `prompt` tokens and wants `max_new`."""

    name: str
    arrives: int
    prompt: int
    max_new: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run: one letter a request and step, and the tokens that each step computed."""

    requests: tuple[DrawnRequest, ...]
    rows: tuple[str, ...]
    tokens: tuple[int, ...]

    @property
    def steps(self) -> int:
        return len(self.tokens)


class NeverIdle(NoAnswerInTime):
    """The scheduler still had work after `LONGEST` steps, or planned nothing while it had some."""


REQUESTS = (
    DrawnRequest("Ada", 0, 20, 9),
    DrawnRequest("Bob", 0, 6, 28),
    DrawnRequest("Cem", 0, 5, 4),
    DrawnRequest("Dov", 1, 7, 10),
    DrawnRequest("Eve", 3, 14, 6),
    DrawnRequest("Fay", 5, 4, 12),
    DrawnRequest("Gus", 7, 8, 5),
)


def show(part: Any) -> list[Text]:
    """What `course show` draws of a scheduler's class, with static batching below it."""
    from reference_engine import naive

    blocks = _blocks()
    lines = draw(play(scheduler(part, blocks)), "this scheduler")
    before = draw(play(scheduler(naive.Scheduler, blocks)), "static batching, for comparison")
    return [*lines, Text(), *before, Text(), legend()]


def window(part: Any, title: str) -> Window:
    """The same run as a film, static batching beside it."""
    from reference_engine import naive

    runs = [_filmed("this scheduler", part), _filmed("static batching", naive.Scheduler)]
    said = {
        token
        for run in runs
        for record in run.trace
        for _, tokens in record.emitted
        for token in tokens
    }
    return Window(title, tuple(runs), {token: f" word-of-step-{token}" for token in said})


def _filmed(name: str, part: Callable[..., Scheduler]) -> EngineRun:
    blocks = _blocks()(POOL, BLOCK_SIZE)
    kv = _kv(blocks)
    watched = WatchedScheduler(part(kv, max_seqs=SEATS, token_budget=BUDGET), kv, blocks)
    play(watched)
    names = {number: request.name for number, request in enumerate(REQUESTS)}
    return EngineRun(name, POOL, BLOCK_SIZE, BUDGET, watched.records, names=names)


class WatchedScheduler:
    """A scheduler, and a record of each of its steps, as an engine would keep it."""

    def __init__(self, scheduler: Scheduler, kv: KVManager, blocks: BlockManager) -> None:
        self.records: list[StepRecord] = []
        self._scheduler, self._kv, self._blocks = scheduler, kv, blocks
        self._running, self._waiting = set[int](), set[int]()
        self._seats: tuple[RequestInStep, ...] = ()

    @property
    def idle(self) -> bool:
        return self._scheduler.idle

    def add(self, request: Request) -> None:
        self._waiting.add(request.id)
        self._scheduler.add(request)

    def abort(self, id: int) -> None:
        self._scheduler.abort(id)

    def plan(self) -> Plan:
        plan = self._scheduler.plan()
        ends = {chunk.id: chunk.start + chunk.length for chunk in plan.chunks}
        self._seats = tuple(
            RequestInStep(id, end, end, tuple(self._kv.table(id))) for id, end in ends.items()
        )
        self._running = (self._running | set(ends)) - set(plan.preempted)
        self._waiting = (self._waiting | set(plan.preempted)) - self._running
        return plan

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]:
        ended = self._scheduler.commit(plan, tokens)
        self._running -= set(ended)
        told: dict[str, Any] = {
            "plan": plan,
            "preempted": plan.preempted,
            "finished": tuple(ended),
            "copies": plan.copies,
        }
        told |= {"seats": self._seats, "running": len(self._running), "waiting": len(self._waiting)}
        told["emitted"] = tuple((id, tuple(each)) for id, each in tokens.items())
        self.records.append(call_record(len(self.records), {}, self._blocks.num_free, told))
        return ended


def _blocks() -> Callable[[int, int], BlockManager]:
    slot = "block_manager"
    part: Callable[[int, int], BlockManager] = load_part(
        solution_file(catalogue(part_in(slot).number)), slot
    )
    return part


def _kv(blocks: BlockManager) -> KVManager:
    return KVManager(blocks, None, block_size=BLOCK_SIZE, num_blocks=POOL)


def scheduler(
    part: Callable[..., Scheduler], block_manager: Callable[[int, int], BlockManager]
) -> Scheduler:
    """One made by `part`, with few seats, a small budget and a pool that gets tight, so that
    everything happens."""
    return part(_kv(block_manager(POOL, BLOCK_SIZE)), max_seqs=SEATS, token_budget=BUDGET)


def play(scheduler: Scheduler, requests: Sequence[DrawnRequest] = REQUESTS) -> Timeline:
    """Run `requests` to the end. The model is a counter: which token comes out changes nothing in
    the picture."""
    rows: list[list[str]] = [[] for _ in requests]
    tokens: list[int] = []
    known: dict[int, Request] = {}
    left: set[int] = set()
    for step in itertools.count():
        for number, request in enumerate(requests):
            if request.arrives == step or (
                request.arrives > step and scheduler.idle and len(left) == len(known)
            ):
                _arrive(scheduler, known, number, request)
        if len(left) == len(requests):
            return Timeline(tuple(requests), tuple("".join(row) for row in rows), tuple(tokens))
        plan = scheduler.plan()
        if step >= LONGEST or not (plan.chunks or scheduler.idle):
            waiting = f"{len(requests) - len(left)} requests are not served to the end"
            what = "`plan` is empty" if step < LONGEST else "there is no end"
            raise NeverIdle(f"{what} after {step} steps, and {waiting}.")
        for number, row in enumerate(rows):
            row.append(_letter(plan, number, known.get(number), number in left))
        tokens.append(sum(chunk.length for chunk in plan.chunks))
        left |= set(
            scheduler.commit(plan, {chunk.id: [step] for chunk in plan.chunks if chunk.samples})
        )
    raise AssertionError("unreachable: the count is endless")


def draw(timeline: Timeline, title: str) -> list[Text]:
    """The run as a grid: a row a request, a column a step."""
    lines = [Text.assemble((title, "bold"), f"   {timeline.steps} steps"), _ruler(timeline.steps)]
    for request, row in zip(timeline.requests, timeline.rows, strict=True):
        line = Text(f"  {request.name:<4}{request.prompt:>3} in {request.max_new:>3} out  ")
        for letter, run in itertools.groupby(row.rstrip()):
            line.append("".join(run), style=INK[letter])
        lines.append(line)
    return [*lines, *_load(timeline)]


def legend() -> Text:
    """What the letters mean."""
    line = Text("  ")
    for letter, meaning in LEGEND:
        line.append(letter, style=INK[letter]).append(f" {meaning}   ")
    return line


def _arrive(
    scheduler: Scheduler, known: dict[int, Request], number: int, request: DrawnRequest
) -> None:
    if number not in known:
        known[number] = Request(
            number, list(range(number * 1000, number * 1000 + request.prompt)), request.max_new
        )
        scheduler.add(known[number])


def _letter(plan: Plan, number: int, request: Request | None, left: bool) -> str:
    if request is None or left:
        return " "
    if number in plan.preempted:
        return "x"
    chunk = next((chunk for chunk in plan.chunks if chunk.id == number), None)
    if chunk is None:
        return "."
    return "D" if chunk.length == 1 and chunk.start >= len(request.prompt) else "P"


def _ruler(steps: int) -> Text:
    marks = "".join(f"{step:<10}" for step in range(0, steps, 10))
    return Text(f"{'step':>20}  {marks}"[: 22 + max(steps, 2)].rstrip(), style="dim")


def _load(timeline: Timeline) -> Iterable[Text]:
    """How many tokens each step computed, as digits read downwards."""
    digits = max(len(str(count)) for count in timeline.tokens) if timeline.tokens else 1
    for place in range(digits):
        row = "".join(f"{count:>{digits}}"[place] for count in timeline.tokens)
        yield Text(f"{'tokens a step' if place == 0 else '':>20}  {row}".rstrip(), style="dim")
