"""What a check has in hand: the submission, a worker that has loaded it, a seed, and a place for
figures."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graders.checking.allowance import Allowance
from graders.checking.workers import Workers
from graders.registry.parts import Part, part_in
from graders.result import Figure
from graders.sandbox.worker import Worker
from graders.sandbox.worker_prestart import Prestarted
from graders.submissions.source import Submission


@dataclass
class CheckContext:
    """Handed to a law's check.

    law_number: "1.4". seed: of this law, derived from the run's seed, the same whether the law runs
    alone or with others. ahead: workers that have imported the driver named by the law, started
    when the run began; `crew` of them. figures: append what was measured; shown beside the verdict.
    cases: count what was tried. score: the share of the points that a law which is not met is
    worth. progress: tell in a few words what takes so long. beside: the folder that may hold an
    instructor's bounds and cards. live: engines that are installed are timed, not looked up on
    cards. laws_only: timed laws are left out, and so are figures that only a clock gives. alone:
    entered while samples of time are taken, with nothing of the part running before and after;
    others wait meanwhile. others: Parts that fill the other slots in engine checks: "solutions",
    "naive", or a folder of exN_*/ with parts.
    """

    exercise: Part
    law_number: str
    submission: Submission
    workers: Workers
    run_seed: int
    others: str = "solutions"
    ahead: Prestarted | None = None
    crew: int = 1
    figures: list[Figure] = field(default_factory=list)
    cases: int = 0
    score: float = 0.0
    progress: Callable[[str], None] = lambda _: None
    beside: Path | None = None
    live: bool = False
    laws_only: bool = False
    # names of the part that the law's calls so far have used
    called: set[str] = field(default_factory=set)
    # overrides of Worker.ask's cpu and wall
    ask_limits: dict[str, float] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=lambda: Allowance(math.inf))
    told: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # see Worker.ask
    alone: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext

    @property
    def seed(self) -> int:
        return random.Random(f"{self.run_seed}/{self.law_number}").getrandbits(48)

    @property
    def worker(self) -> Worker:
        return self.workers.get()

    @property
    def replay(self) -> str:
        return f"course check {self.law_number} --seed {self.run_seed}"

    def solution(self, slot: str) -> Path:
        """The part for another slot: the course's own, or the one in the folder that `others`
        names."""
        import solutions

        part = part_in(slot)
        home = solutions.__path__[0] if self.others in ("solutions", "naive") else self.others
        return Path(home, part.slug, part.file_name)
