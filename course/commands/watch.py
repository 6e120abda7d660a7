"""`course watch [N[.k]]`: the part is judged whenever it is saved, the law in work first."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import click
from rich.console import Console
from rich.text import Text

from course import next_steps, progress, rendering, save_events, workspace
from course.active_file import notebook_beside
from course.check_request import CheckRequest, judge, submission
from course.commands import check, hint
from course.errors import ExitCode, Problem
from course.progress import Progress
from course.targets import asked, learner_file
from course.terminal import console
from graders.registry.catalogue import Exercise, catalogue
from graders.registry.law import Law
from graders.result import ExerciseResult, LawResult, Outcome

KEYS = "h hint   s show   n next law   r again   t all, timed too   q quit"


class _Superseded(Exception):
    """The part was saved again while it was judged."""


@click.command("watch")
@click.argument("what", required=False)
def command(what: str | None) -> ExitCode:
    """Judge your part of an exercise whenever you save it; WHAT is an exercise (1) or the law in
    work (1.4).

    Without WHAT it is the exercise that you are writing, else the first that is not solved.

    The law in work comes first and alone. When it holds, the laws that were broken follow, then
    those that held; the first that breaks is told and becomes the law in work. The timed law waits
    for the key t. Each run has a fresh worker, isolated as in `course check`.
    """
    place = workspace.find()
    memory = progress.load(place.memory)
    begun = next_steps.exercise_in_work(place, memory) or catalogue(1)
    chosen = asked([what or str(begun.number)])
    session = WatchSession(
        console(), place, chosen.exercise, chosen.laws[0] if chosen.laws else None
    )
    file = learner_file(place, chosen.exercise)
    names = (file.name, notebook_beside(file, chosen.exercise).name)
    try:
        with save_events.single_keys():
            session.saved()
            for event in save_events.events(file.parent, names):
                if event == save_events.SAVED:
                    session.saved()
                elif not session.key(event):
                    break
    finally:
        session.end()
    return ExitCode.PASS


@dataclass
class WatchSession:
    """One part being worked on. law: the one in work; None: the first that does not hold."""

    screen: Console
    place: workspace.Workspace
    exercise: Exercise
    law: Law | None = None

    def __post_init__(self) -> None:
        from graders.grading import prestart

        threading.Thread(target=importlib.import_module, args=("hypothesis",), daemon=True).start()
        self._prestart = prestart
        self._ready = prestart(self.exercise.number)

    def end(self) -> None:
        """End the worker that waits."""
        self._ready.end()

    def saved(self) -> None:
        """Judge the part as it is now; a part that is saved meanwhile is judged again."""
        while True:
            try:
                self._run(self._request())
            except _Superseded:
                continue
            except Problem as trouble:  # an editor may put the file away for a moment
                self.screen.print(str(trouble), style="yellow", soft_wrap=True)
            return

    def key(self, key: str) -> bool:
        """Do what a key stands for; False when it is the one that ends the session."""
        memory = self._memory()
        law = self.law or next_steps.open_law(self.exercise, memory, self.place)
        if key == "h" and law:
            hint.show(law, memory)
        elif key == "s":
            subprocess.run(
                [sys.executable, "-m", "course", "show", str(self.exercise.number)], check=False
            )
        elif key == "n":
            self.law = self._after(law, memory)
            self.saved()
        elif key == "r":
            self.saved()
        elif key == "t":
            self._whole()
        elif key != "q":
            return True
        if key in "hs":
            self._foot()
        return key != "q"

    # ------------------------------------------------------------ one run

    def _run(self, request: CheckRequest) -> None:
        """The law in work, then what was broken, then what held; until one breaks."""
        self.screen.print()
        self.screen.rule(
            Text(f"{time.strftime('%H:%M:%S')}  {request.source}", style="dim"), align="left"
        )
        for laws in self._groups(self._memory()):
            result = self._judge(request, laws)
            check.remember(self._memory(), request, result)
            broken = rendering.first_broken(result)
            if result.problem:
                check.tell_problem(self.screen, request, result)
                break
            if broken is not None:
                self.law = self.exercise.law(broken.number)
                rendering.print_block(
                    self.screen, rendering.failure(broken, "save again, or h for a hint")
                )
                break
            if result.outcome is Outcome.UNGRADED:
                check.tell_ungraded(self.screen, result)
                break
            self.law = None
        self._foot()

    def _request(self, *, timed: bool = False) -> CheckRequest:
        path, source, own = submission(self.exercise, "mine", self.place)
        return CheckRequest(
            self.exercise, (), path, source, own, laws_only=not timed, beside=self.place.root
        )

    def _judge(self, request: CheckRequest, laws: Sequence[Law]) -> ExerciseResult:
        """The laws in order, until one is broken, with the worker that waits; another begins to
        wait."""
        stamp, told = request.submission.stat().st_mtime_ns, set[str]()

        def on_law(law: LawResult) -> None:
            told.add(law.number)
            if law.seconds:  # else nothing could be tried, which is told in a sentence
                self.screen.print(rendering.law_line(law), soft_wrap=True)
            with suppress(OSError):
                if request.submission.stat().st_mtime_ns != stamp:
                    raise _Superseded

        def note(words: str) -> None:
            self.screen.print(
                Text(f"  … {laws[len(told)].number} {words}", style="dim"), soft_wrap=True
            )

        ready, request = self._ready, request.only(laws)
        try:
            return judge(request, on_law, note, ready=ready, until_broken=True)
        finally:
            ready.end()
            self._ready = self._prestart(self.exercise.number)

    def _groups(self, memory: Progress) -> Iterator[list[Law]]:
        """The laws that need no clock: the one in work, those that do not hold, those that do."""
        laws = [law for law in self.exercise.laws if law.kind != "throughput"]
        held = next_steps.held_laws(self.exercise, memory, self.place)
        red = [law for law in laws if law not in held]
        work = self.law or (red or laws)[0]
        yield [work]
        for group in (
            [law for law in red if law != work],
            [law for law in laws if law not in red and law != work],
        ):
            if group:
                yield group

    def _whole(self) -> None:
        """Every law, the timed one too, as `course check` does; this is what counts as passed."""
        memory, request = self._memory(), self._request(timed=True)
        with check.ProgressPrinter(self.screen, request) as ticker:
            result = judge(request, ticker.law, ticker.note)
            ticker.flush()
        check.tell(self.screen, request, result, memory)
        check.remember(memory, request, result)
        self._foot()

    # ------------------------------------------------------------ between two runs

    def _memory(self) -> Progress:
        return progress.load(self.place.memory)

    def _after(self, law: Law | None, memory: Progress) -> Law | None:
        """The next law that does not hold, going round; without one, the next that does."""
        laws = [each for each in self.exercise.laws if each.kind != "throughput"]
        at = laws.index(law) + 1 if law in laws else 0
        others = [*laws[at:], *laws[: max(at - 1, 0)]]
        held = next_steps.held_laws(self.exercise, memory, self.place)
        red = [each for each in others if each not in held]
        return next(iter(red or others), None)

    def _foot(self) -> None:
        """One line: what holds, which law is in work, what the keys do."""
        memory, laws = self._memory(), self.exercise.laws
        held = len(next_steps.held_laws(self.exercise, memory, self.place))
        law = self.law or next_steps.open_law(self.exercise, memory, self.place)
        timed = any(each.kind == "throughput" for each in laws)
        held_all = "everything holds" + (", the timed law when it was last tried" if timed else "")
        work = f"{law.number} {law.name}" if law else held_all
        work += ", with the key t" if law and law.kind == "throughput" else ""
        line = Text.assemble(f"\n{held} of {len(laws)} laws hold · ", (work, "bold"))
        if sys.stdin.isatty():
            line.append(f" · {KEYS}", style="dim")
        self.screen.print(line, soft_wrap=True)
