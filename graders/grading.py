"""Grade one submission for one exercise: read it, try its laws in order, give back one result
object."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from graders.checking.allowance import Allowance
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.checking.workers import NONE, Source, Workers
from graders.registry.catalogue import Exercise, catalogue
from graders.registry.law import Law, choose, unmet
from graders.registry.parts import Number, part_of
from graders.result import ExerciseResult, Figure, LawResult, Location, Outcome, Reason, Story
from graders.sandbox.isolation import HIGHEST, Limits, MachineFault, WorkerLost, below
from graders.sandbox.worker import Tampered, Worker, WorkerDied, WorkerHung
from graders.sandbox.worker_prestart import ASK_LIMITS, LIMITS, TIMED, Prestarted
from graders.submissions.source import Submission, UnusableSubmission, digest, read
from graders.submissions.submission_reader import Declared

OnLaw = Callable[[LawResult], None]
OnProgress = Callable[[str], None]
Alone = Callable[[], contextlib.AbstractContextManager[object]]
LONGEST = 200  # characters of a fault of our own
# that a part may take for one law, and for one that is timed
SECONDS = {False: 600.0, True: 1200.0}
ALL_SECONDS = 2400.0  # for all laws together
TRIES = 3  # of what ends without a word from the part


def grade(
    exercise: Number,
    submission: Path,
    *,
    seed: int | None = None,
    only: Iterable[str] | None = None,
    laws_only: bool = False,
    others: str = "solutions",
    on_law: OnLaw | None = None,
    source: str = "",
    isolation: str = HIGHEST,
    require: str = "L1",
    progress: OnProgress | None = None,
    beside: Path | None = None,
    live: bool = False,
    ready: Prestarted | None = None,
    until_broken: bool = False,
    alone: Alone = contextlib.nullcontext,
) -> ExerciseResult:
    """Grade the file at `submission`.

    seed: replays a run; None draws one. only: numbers of laws ("1.4"); KeyError for an unknown one.
    laws_only: leave the timed laws out. others: which parts fill the other slots of the engine:
    "solutions", "naive" or a folder. on_law: told of every law as soon as it is decided. source:
    what the result calls the submission; its file name if empty. isolation: the level to run at,
    "L3", or the highest that the machine allows. require: a result reached at a lower level is
    advisory. progress: told in a few words what takes so long. beside: the folder of the workspace,
    which may hold an instructor's bounds.toml and baseline cards. live: engines that are installed
    are timed instead of looked up on cards. ready: the first worker, started before by `prestart`,
    at the same level; nobody else has used it. until_broken: laws after the first that is broken
    are not tried and not in the result. alone: entered while a law takes samples of time; nothing
    of the part runs when it is entered or left. Never raises for what a submission does; what
    `on_law` raises ends the run and passes through.
    """
    entry = catalogue(exercise)
    laws = choose(entry.laws, only, laws_only=laws_only)
    start = time.monotonic()
    seed = secrets.randbits(63) if seed is None else seed
    run = _Run(entry, others, seed, on_law or (lambda _: None), isolation)
    run.progress, run.beside, run.live = progress or run.progress, beside, live
    run.laws_only, run.ready, run.until_broken, run.alone = laws_only, ready, until_broken, alone
    problem = run.all(submission, laws)
    return ExerciseResult(
        exercise=entry.number,
        name=entry.name,
        source=source or submission.name,
        laws=tuple(run.results),
        figures=tuple(run.figures),
        isolation=run.level,
        advisory=run.level != NONE and below(run.level, require),
        seed=run.seed,
        seconds=time.monotonic() - start,
        grader=_version(),
        problem=problem,
        location=run.location,
        digest=run.digest,
    )


def prestart(exercise: Number) -> Prestarted:
    """A worker for the next `grade` of this exercise, started now; it has met no submission. To be
    ended if unused."""
    entry = catalogue(exercise)
    return Prestarted(entry.slot, HIGHEST, limits=_limits(entry))


def _limits(exercise: Exercise) -> Limits:
    """Of the worker that tries its laws."""
    return Limits(packages=exercise.torch, contracts=bool(exercise.functions))


class _Run:
    """One submission's way through the laws."""

    def __init__(
        self, exercise: Exercise, others: str, seed: int, on_law: OnLaw, isolation: str
    ) -> None:
        self.exercise = exercise
        self.others = others
        self.seed = seed
        self.level = NONE
        self.location = Location()
        self.digest = ""
        self._isolation = isolation
        self.results: list[LawResult] = []
        self.figures: list[Figure] = []
        self.progress: OnProgress = lambda _: None
        self.beside: Path | None = None
        self.live = self.laws_only = False
        self.ready: Prestarted | None = None
        self.until_broken = False
        self.alone: Alone = contextlib.nullcontext
        self._on_law = on_law
        self._aheads: dict[str, Prestarted] = {}
        self._imports: list[threading.Thread] = []
        self._left = ALL_SECONDS

    def all(self, path: Path, laws: tuple[Law, ...]) -> str:
        """Try the laws; returns the problem if nothing could be graded."""
        needed = part_of(self.exercise.number).needs
        if needed and importlib.util.find_spec(needed) is None:
            told = f"Not graded: {needed} is not installed here (pip install {needed}); nothing else depends on it."
            return self._none(laws, told, Outcome.UNGRADED)
        try:
            submission = read(path, self.exercise.class_name, Declared.of(self.exercise))
            self.digest = digest(submission.source)
            _refuse_stub(submission)
        except UnusableSubmission as unusable:
            self.location = unusable.location
            why = Reason.PERSON if unusable.outcome is Outcome.UNGRADED else Reason.LAW
            return self._none(laws, unusable.problem, unusable.outcome, reason=why)
        source = Source.of(self.exercise.slot, submission)
        limits, first = _limits(self.exercise), None
        with contextlib.suppress(MachineFault):  # one that was not to be had is started now
            first = self.ready.take() if self.ready else None
        workers = Workers(
            [source],
            level=self._isolation,
            limits=limits,
            first=first,
            allowance=Allowance(self._left),
        )
        self._import_ahead(laws)
        try:
            self._outlived(workers, workers.get)
            self._left = workers.allowance.left
            for tried, law in enumerate(laws):
                self._start_ahead(laws, tried)
                self._one(law, submission, workers)
                if self.until_broken and self.results[-1].outcome.failed:
                    break
        except Broken as broken:
            self.location = broken.location
            return self._none(laws, broken.message, broken.outcome, workers.take_output())
        except MachineFault as trouble:
            return self._none(laws, f"Not graded: {trouble}. Try again.", Outcome.UNGRADED)
        finally:
            workers.end()
            for ahead in self._aheads.values():
                ahead.end()
            for started in self._imports:
                started.join()
            self.level = workers.level
        return ""

    def _import_ahead(self, laws: tuple[Law, ...]) -> None:
        """Import what the grader itself will want for laws to come, beside the worker that starts
        now."""
        for module in sorted({law.imports for law in laws} - {"", *sys.modules}):
            self._imports.append(threading.Thread(target=_imported, args=(module,)))
            self._imports[-1].start()

    def _start_ahead(self, laws: tuple[Law, ...], tried: int) -> None:
        """Start the workers that laws to come will want: at once, or, for a timed law, halfway and
        if all went well."""
        fine = all(result.outcome is Outcome.PASS for result in self.results)
        for law in laws:
            due = law.kind != "throughput" or (fine and 2 * tried >= len(laws) - 1)
            if law.ahead and due and law.number not in self._aheads:
                limits = TIMED if law.kind == "throughput" else LIMITS
                self._aheads[law.number] = Prestarted(law.ahead, self._isolation, law.crew, limits)

    def _one(self, law: Law, submission: Submission, workers: Workers) -> None:
        start = time.monotonic()
        outcomes = {result.number: result.outcome for result in self.results}
        missing = unmet(law, outcomes)
        if missing:
            self._decide(law, Outcome.SKIPPED, f"needs {', '.join(missing)} first")
            return
        contexts: list[CheckContext] = []
        workers.allowance = allowance = self._allowance(law)

        def check() -> None:
            ahead = None if contexts else self._aheads.get(law.number)
            contexts.append(self._context(law, submission, workers, ahead))
            contexts[-1].allowance = allowance
            law.check(contexts[-1])

        outcome, message, story, reason, output = Outcome.PASS, "", None, Reason.LAW, ""
        try:
            self._outlived(workers, check)
        except Broken as broken:
            output = _printed(broken, workers)
            outcome, story, reason = broken.outcome, broken.story, broken.reason
            message = " ".join(filter(None, (broken.message, law.elsewhere.get(broken.habit))))
            if reason is Reason.UNWRITTEN:
                message += _called_too(submission, contexts[-1].called - {broken.method})
        except MachineFault:
            raise
        except (
            Exception
        ) as fault:  # ours, whatever the submission did to provoke it: nobody is judged by it
            workers.end()
            outcome, message = Outcome.UNGRADED, _own_fault(fault)
        self._left -= allowance.whole - allowance.left
        context = contexts[-1]
        self.figures += context.figures
        seconds = time.monotonic() - start
        output = output or workers.take_output()
        self._decide(
            law, outcome, message, story, seconds, context.cases, output, context.score, reason
        )

    def _allowance(self, law: Law) -> Allowance:
        usual = SECONDS[law.kind == "throughput"]
        if usual < self._left:
            return Allowance(
                usual, f"All that one law asks of a part may take {usual:.0f} s, and took longer."
            )
        told = f"All that the laws of a submission ask of a part may take {ALL_SECONDS:.0f} s, and took longer."
        return Allowance(self._left, told)

    def _context(
        self, law: Law, submission: Submission, workers: Workers, ahead: Prestarted | None
    ) -> CheckContext:
        context = CheckContext(
            self.exercise, law.number, submission, workers, self.seed, self.others, ahead, law.crew
        )
        context.progress, context.beside, context.live = self.progress, self.beside, self.live
        context.laws_only, context.alone = self.laws_only, self._alone
        return context

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """For samples of time: whatever starts or is imported in the background has done so before."""
        for started in self._imports:
            started.join()
        for ahead in self._aheads.values():
            ahead.settle()
        with self.alone():
            yield

    def _outlived(self, workers: Workers, call: Callable[[], object]) -> None:
        """Call it, again if a worker is lost meanwhile; lost each time, and not without the part,
        it is the part's."""
        for tried in range(TRIES):
            try:
                call()
            except WorkerLost as lost:
                workers.end()
                if tried < TRIES - 1:
                    continue
                self._start_without_a_part()
                raise Broken(
                    f"{TRIES} times {lost}, each time with this part.", outcome=Outcome.CRASH
                ) from None
            return

    def _start_without_a_part(self) -> None:
        """MachineFault if that is not to be had either."""
        try:
            with Worker(self._isolation) as worker:
                worker.ask("driver", slot=self.exercise.slot, **ASK_LIMITS)
        except (WorkerDied, WorkerHung, Tampered) as failure:
            raise MachineFault(f"a worker without any part {failure}") from None

    def _none(
        self,
        laws: tuple[Law, ...],
        problem: str,
        outcome: Outcome,
        output: str = "",
        reason: Reason = Reason.LAW,
    ) -> str:
        """Nothing could be tried: the first open law carries the reason, the others are skipped."""
        tried = {result.number for result in self.results}
        for law in laws:
            if law.number not in tried:
                said = problem if outcome is not Outcome.SKIPPED else "not tried"
                self._decide(law, outcome, said, output=output, reason=reason)
                outcome, output = (
                    Outcome.SKIPPED if outcome is not Outcome.UNGRADED else outcome,
                    "",
                )
        return problem

    def _decide(
        self,
        law: Law,
        outcome: Outcome,
        message: str,
        story: Story | None = None,
        seconds: float = 0.0,
        cases: int = 0,
        output: str = "",
        score: float = 0.0,
        reason: Reason = Reason.LAW,
    ) -> None:
        result = LawResult(
            number=law.number,
            name=law.name,
            statement=law.statement,
            outcome=outcome,
            points=law.points if outcome is Outcome.PASS else _part(law, outcome, score),
            max_points=law.points,
            message=message,
            story=story,
            seconds=seconds,
            cases=cases,
            output=output,
            reason=reason,
        )
        self.results.append(result)
        self._on_law(result)


def _imported(module: str) -> None:
    """Whatever is wrong with it is told by the law that imports it again."""
    with contextlib.suppress(Exception):
        importlib.import_module(module)


def _called_too(submission: Submission, called: Collection[str]) -> str:
    """What else the law's calls use of the part that is not written yet, each with its line."""
    others = [
        f"`{name}` (line {submission.lines[name]})"
        for name in submission.unwritten
        if name in called
    ]
    return f" This law also calls {', '.join(others)}: not written either." if others else ""


def _printed(broken: Broken, workers: Workers) -> str:
    """What the part prints in the story that is told, and not in all that were tried; "" if it
    cannot be told again."""
    printed = workers.take_output()
    if not printed or broken.trace is None or broken.outcome is not Outcome.FAIL:
        return printed
    workers.end()
    workers.take_output()
    try:
        broken.trace.replay()
    except (Broken, MachineFault):
        return printed
    return workers.take_output() or printed


def _part(law: Law, outcome: Outcome, score: float) -> float:
    """Points for a law that was not met, in halves, rounded down; only a failure can be worth some."""
    return int(2 * law.points * score + 1e-6) / 2 if outcome is Outcome.FAIL else 0.0


def _own_fault(fault: Exception) -> str:
    """One sentence about an exception that no law raises, for whoever mends the grader."""
    place = traceback.extract_tb(fault.__traceback__)[-1]
    what = "".join(traceback.format_exception_only(fault)).strip().splitlines()[-1][:LONGEST]
    return f"Not graded: the grader itself failed ({what}, {Path(place.filename).name}:{place.lineno}). Report it."


def _refuse_stub(submission: Submission) -> None:
    """Unusable when nothing has been written yet; says what to write first."""
    if submission.lines and len(submission.unwritten) == len(submission.lines):
        first = submission.unwritten[0]
        line = submission.lines[first]
        raise UnusableSubmission(
            f"{submission.name} is the untouched stub: write `{first}` (line {line}) first."
        )


def _version() -> str:
    from importlib import metadata  # 20 ms, wanted only at the end

    try:
        return metadata.version("inference-kitchen")
    except metadata.PackageNotFoundError:
        return "0.1.0"
