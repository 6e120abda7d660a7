"""The last law: what a step costs the scheduler must grow with the number of those who run, not
with its square.

Steps in which everybody decodes, on KV memory that has room for all and costs nothing to ask. First
the bytecode instructions of a step are counted, with some fifty running requests and with eight
times as many: looking through all of them for each, in Python, shows exactly. Loops in C (`sum`,
`in` on a list, a copied dictionary) show in the CPU time of the worker process, read from outside
of it, with thousands of running requests: what a step costs for each of them must stay about the
same. Only ratios decide, never a time. All sizes are drawn from the seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.complexity import Cost, Growth, cheapest
from graders.checking.replies import Raised, shown
from graders.result import Figure
from graders.simulation.engine import sent, written
from graders.simulation.scheduler_rules import EngineSetting

COUNTED, TIMED = 2.0, 4.0  # times more than in proportion allowed: n log n, and caches
BEYOND = 1.75  # so many times more than allowed is believed at once
ROUNDS = 4
SAMPLES = 4  # of the time of a step with many, twice as many with few
SPAN = 2000  # decodes that one sample takes at least
COUNTED_STEPS = 2
COUNTED_AT_MOST = 1 << 20  # instructions
SHOWN = 256
ANSWER = 4000  # tokens that a request may still say: nobody finishes
TOKEN = 1
ASK_LIMITS = {
    "cpu": 30.0,
    "wall": 120.0,
}  # for one question: all of them at once are added, and admitted


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn from the seed. few, more: how many run while instructions are counted; sizes:
    while time is taken, rising. prompts: lengths in turn."""

    few: int
    more: int
    sizes: tuple[int, ...]
    prompts: tuple[int, ...]
    lookahead: int
    policy: str

    @classmethod
    def of(cls, seed: int) -> Draw:
        chance = random.Random(seed)
        few, crowd = chance.randrange(40, 60), chance.randrange(70, 110)
        more = int(few * chance.uniform(7, 9))
        sizes = crowd, int(crowd * chance.uniform(7, 10)), int(crowd * chance.uniform(88, 95))
        prompts = tuple(chance.randrange(3, 30) for _ in range(chance.randrange(5, 12)))
        return cls(
            few, more, sizes, prompts, chance.randrange(3), chance.choice(("fcfs", "priority"))
        )


def swift_plan(context: CheckContext) -> None:
    """Raise Broken when a step costs more for each of many running requests than for each of a few."""
    draw = Draw.of(context.seed)
    context.ask_limits = dict(ASK_LIMITS)
    try:
        with CallRecorder(context, "scheduler", "scheduler").still():
            _count(context, draw)
            for running in draw.sizes[1:]:
                _compare(context, draw, running)
            cost = cheapest([RunningBatch(context, draw, SHOWN).cost() for _ in range(2)])
    finally:
        context.ask_limits = {}
    context.figures.append(
        Figure(
            f"plan and commit for {SHOWN} decodes",
            round(cost.amount),
            "µs",
            note="CPU time, driver included",
        )
    )


def _count(context: CheckContext, draw: Draw) -> None:
    few = RunningBatch(
        context, draw, draw.few
    ).counted()  # before there is another one: a worker holds one scheduler
    more = RunningBatch(context, draw, draw.more)
    growth = Growth("step", few, more.counted(), linear=True)
    context.cases += 1
    if growth.exceeds(COUNTED):
        more.too_slow(growth)


def _compare(context: CheckContext, draw: Draw, running: int) -> None:
    """Times are taken again before they are believed."""
    small: Cost | None = None
    for number in range(ROUNDS):
        again = RunningBatch(context, draw, draw.sizes[0]).cost()
        small = cheapest((again, small or again))
        crowd = RunningBatch(context, draw, running)
        growth = Growth("step", small, crowd.cost(), linear=True)
        context.cases += 1
        if not growth.exceeds(TIMED):
            return
        if number == ROUNDS - 1 or growth.exceeds(BEYOND * TIMED):
            crowd.too_slow(growth)


class RunningBatch:
    """A scheduler with so many requests that decode."""

    def __init__(self, context: CheckContext, draw: Draw, running: int) -> None:
        self._context = context
        self._running = running
        self._recorder = CallRecorder(context, "scheduler", "scheduler")
        budget = running * max(draw.prompts) + draw.lookahead * running
        setting = EngineSetting(
            max_seqs=running, token_budget=budget, lookahead=draw.lookahead, policy=draw.policy
        )
        raised = self._recorder.new([sent(setting) | {"ample": True}], {}, written(setting))
        if raised:
            self._recorder.unexpected(raised, "a scheduler")
        self._call("crowd", [running, draw.prompts, ANSWER], f"add(…)  # {running} requests")
        self._spin(1, "step  # all of them prefill")
        self._spin(1, "step  # all of them decode")

    def counted(self) -> Cost:
        """Instructions of one step."""
        calls = [("spin", [1, TOKEN])] * COUNTED_STEPS
        return Cost(self._running, min(self._recorder.tally(calls, COUNTED_AT_MOST)))

    def cost(self) -> Cost:
        """CPU time of one step."""
        steps = max(1, SPAN // self._running)
        spent = []
        for _ in range(SAMPLES if steps == 1 else 2 * SAMPLES):
            before = self._context.worker.cpu_seconds()
            self._spin(steps, f"step  # {steps} times; all of them decode")
            spent.append((self._context.worker.cpu_seconds() - before) / steps)
        return Cost(self._running, min(spent) * 1e6, "µs")

    def too_slow(self, growth: Growth) -> NoReturn:
        each = [cost.amount / cost.size for cost in (growth.small, growth.large)]
        message = (
            f"A step costs {growth.dearer} as much with {growth.larger} as many running requests"
        )
        message += (
            f" ({growth.small} with {growth.small.size}, {growth.large} with {growth.large.size}; "
        )
        message += f"{each[0]:,.1f} and {each[1]:,.1f} {growth.small.unit} for each of them): "
        message += "is each of them looked up among all of them?"
        self._recorder.broken(
            message, got=f"{growth.dearer} as much", expected=growth.due, method="plan"
        )

    def _spin(self, steps: int, words: str) -> None:
        """Steps in which everybody is told a token."""
        told, due = self._call("spin", [steps, TOKEN], words), steps * self._running
        if type(told) is not int or told != due:
            message = (
                f"In {steps} steps {self._running} requests, who all have room, got "
                f"{shown(told)} tokens together."
            )
            self._recorder.broken(message, got=shown(told), expected=f"{due}", method="plan")

    def _call(self, method: str, args: list[Any], words: str) -> Any:
        reply, _ = self._recorder.call(method, args, words)
        if isinstance(reply, Raised):
            self._recorder.method = "plan"
            self._recorder.unexpected(reply, "no exception")
        return reply.value
