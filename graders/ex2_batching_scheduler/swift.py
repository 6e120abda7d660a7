"""The last law: what a step costs the scheduler must grow with the number of those who run, not with its square.

Measured as CPU time of the worker process, read from outside of it: many steps with 64 running requests that decode,
and with 512. Work for each costs 8 times as much then; looking through all of them for each costs up to 64 times as
much. Only the ratio decides, never a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from graders.bench import Bench
from graders.replies import Raised, shown
from graders.result import Figure
from graders.stage import Stage
from graders.symbolic.company import company
from graders.symbolic.engine import sent, written
from graders.symbolic.scheduler_rules import Setting

FEW, SHOWN, MANY = 64, 256, 512
LIMIT = 32.0  # times dearer with 8 times as many
ROUNDS = 3
STEPS = {FEW: 160, SHOWN: 40, MANY: 20}
PROMPT, ANSWER = 24, 400
TOKEN = 1


def swift_plan(bench: Bench) -> None:
    """Raise Broken when a step with MANY costs more than LIMIT times a step with FEW, in each of ROUNDS."""
    with company(replace(bench, others="solutions")) as joined:  # other block managers have costs of their own
        _compare(joined)


def _compare(bench: Bench) -> None:
    few = many = float("inf")
    for _ in range(ROUNDS):
        few = min(few, Hall(bench, FEW).cost())
        crowd = Hall(bench, MANY)
        many = min(many, crowd.cost())
        bench.cases += 2
        if many <= LIMIT * few:
            break
    else:
        crowd.too_slow(few, many)
    cost = Hall(bench, SHOWN).cost() * 1e6
    bench.figures.append(Figure("plan and commit for 256 decodes", round(cost), "µs", note="CPU time, driver included"))


class Hall:
    """A scheduler with so many requests that decode."""

    def __init__(self, bench: Bench, guests: int) -> None:
        self._bench = bench
        self._guests = guests
        self._stage = Stage(bench, "scheduler", "scheduler")
        room = guests * -(-(PROMPT + ANSWER) // 16) + 1
        setting = Setting(num_blocks=room, block_size=16, max_seqs=guests, token_budget=guests * PROMPT)
        raised = self._stage.new([sent(setting)], {}, written(setting))
        if raised:
            self._stage.unexpected(raised, "a scheduler")
        self._call("crowd", [guests, PROMPT, ANSWER], f"add(…)  # {guests} requests of {PROMPT} tokens")
        self._spin(1, "step  # all of them prefill")

    def cost(self) -> float:
        """Seconds of CPU time of one step."""
        steps = STEPS[self._guests]
        before = self._bench.worker.cpu_seconds()
        self._spin(steps, f"step  # {steps} times; all of them decode")
        return (self._bench.worker.cpu_seconds() - before) / steps

    def too_slow(self, few: float, many: float) -> NoReturn:
        times = many / few
        message = f"A step with {MANY} running requests costs {times:.0f} times as much as one with {FEW}: "
        message += "is each of them looked up among all of them?"
        self._stage.broken(message, got=f"{times:.0f} times", expected=f"about {MANY // FEW} times", method="plan")

    def _spin(self, steps: int, words: str) -> None:
        """Steps in which everybody is told a token."""
        told, due = self._call("spin", [steps, TOKEN], words), steps * self._guests
        if type(told) is not int or told != due:
            message = f"In {steps} steps {self._guests} requests, who all have room, got {shown(told)} tokens together."
            self._stage.broken(message, got=shown(told), expected=f"{due}", method="plan")

    def _call(self, method: str, args: list[int], words: str) -> Any:
        reply, _ = self._stage.call(method, args, words)
        if isinstance(reply, Raised):
            self._stage.method = "plan"
            self._stage.unexpected(reply, "no exception")
        return reply.value
