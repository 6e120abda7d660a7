"""A batch as `course grade` runs it: discovery, launcher, progress, reports, exit code."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from course.class_roster import Door, door, show
from course.errors import ExitCode, Problem
from course.regrading import Regrade, merge, prepare
from course.targets import known, solution_file, stub_of
from course.terminal import clean, console, shorten
from graders.batch import batch, ray_cluster, slurm
from graders.batch.batch import BatchResult
from graders.batch.discovery import DiscoveredJob, Discovery
from graders.batch.jobs import Options
from graders.batch.journal import BadJournal, BatchPlan, Journal
from graders.batch.regrade import journal_of
from graders.batch.worker_loop import work
from graders.registry.catalogue import exercises
from graders.registry.parts import Number
from graders.reports import html, similarity, words, writing
from graders.reports.row import Row
from graders.reports.similarity import Alike, Written
from graders.sandbox.isolation.levels import FOR_MARKS
from graders.submissions.class_folder import JOURNAL, is_of_class
from graders.throughput.bounds import BadBounds, read

if TYPE_CHECKING:
    from course.nbgrader_glue.gradebook import RefusedRow

SHOWN = 40  # rows that are printed; the rest is in the reports


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What was typed after `course grade`."""

    submissions: tuple[Path, ...]
    exercises: tuple[Number, ...] = ()
    jobs: int = 1
    journal: Path | None = None
    launcher: str = "local"
    extra: tuple[str, ...] = ()
    formats: tuple[tuple[str, Path | None], ...] = ()
    csv: Path | None = None
    html: Path | None = None
    similarity: Path | None = None
    nbgrader: Path | None = None
    require: str = FOR_MARKS
    laws_only: bool = False
    bounds: Path | None = None
    seed: int | None = None
    retry: bool = False
    one: bool = False
    check: bool = False
    roster: Path | None = None
    accept_new: bool = False
    dry_run: bool = False
    diff: bool = False
    regrade: tuple[str, ...] = ()
    why: str = ""

    def options(self) -> Options:
        """How everybody is judged. `Problem` when the bounds cannot be read."""
        try:
            if self.bounds is not None:
                read(self.bounds)
            bounds = os.fspath(self.bounds.resolve()) if self.bounds else ""
            return Options(self.laws_only, self.require, bounds, only=self.regrade)
        except BadBounds as bad:
            raise Problem(str(bad)) from None


def grade(request: BatchRequest) -> ExitCode:
    """Plan, launch, enter, report."""
    _expect(request)
    with _journal(request) as journal, _interruptible():
        if request.dry_run:
            return _dry_run(request, journal)
        again = prepare(request.regrade, journal) if request.regrade else None
        if again:
            request = replace(request, regrade=again.laws, exercises=again.exercises)
            journal = journal_of(journal)
        plan = _plan(request, journal)
        if request.retry:
            journal.retry()
        if request.launcher == "slurm":
            return _through_slurm(request, journal, plan)
        done = LAUNCHERS[request.launcher](request, journal, plan)
        if again:
            done = replace(done, rows=merge(again, done.rows))
        refused: tuple[RefusedRow, ...] = ()
        if request.nbgrader is not None and request.diff:
            _show_differences(request.nbgrader, done.rows, again)
        elif request.nbgrader is not None:
            refused = _into_gradebook(request.nbgrader, done.rows, request.why, again)
        _report(request, journal, plan, done)
        check = request.check or _is_one(request, done.rows)
        return exit_code(done.rows, check=check, trouble=done.trouble, refused=refused)


def claim(request: BatchRequest) -> ExitCode:
    """One worker for a batch that somebody has planned, or for the submissions that are named."""
    assert request.journal is not None
    journal = Journal(request.journal)
    with _interruptible():
        if request.submissions:
            _plan(request, journal)
        try:
            tally = work(journal)
        except BadJournal as bad:
            raise Problem(str(bad)) from None
    if tally.unsaved:
        raise Problem(
            f"{tally.unsaved} results were not stored: {tally.reason}.", ExitCode.UNGRADED
        )
    return ExitCode.PASS


def exit_code(
    rows: tuple[Row, ...], *, check: bool, trouble: str = "", refused: tuple[RefusedRow, ...] = ()
) -> ExitCode:
    """The worst news first: ungraded or not entered, then, where it was asked for, a failure,
    isolation too low."""
    # 0: no part of an exercise, nothing to enter
    lost = any(not row.advisory and row.exercise for row in refused)
    if trouble or lost or any(words.ungraded(row) for row in rows):
        return ExitCode.UNGRADED
    if check and not all(row.result.passed for row in rows):
        return ExitCode.FAIL
    advisory = any(row.result.advisory for row in rows) or any(row.advisory for row in refused)
    return ExitCode.ISOLATION if advisory else ExitCode.PASS


# ---------------------------------------------------------------- planning


@contextlib.contextmanager
def _journal(request: BatchRequest) -> Iterator[Journal]:
    """The folder of the batch: as named, beside a folder of submissions, or for a lone file one
    that is thrown away."""
    if request.journal is not None:
        yield Journal(request.journal)
    elif not request.one and is_of_class(request.submissions[0], _door(request).roster):
        path = request.submissions[0].resolve()
        place = path.with_name(f"{path.name}{JOURNAL}")
        console(stderr=True).print(f"The journal of this batch: {place}", soft_wrap=True)
        yield Journal(place)
    else:
        with tempfile.TemporaryDirectory(prefix="course-grade-") as folder:
            yield Journal(Path(folder))


def _door(request: BatchRequest) -> Door:
    return door(request.roster, request.nbgrader)


def _dry_run(request: BatchRequest, journal: Journal) -> ExitCode:
    """Who would get what; `Problem` when there is nobody, or somebody whom the roster does not
    know."""
    if not request.submissions:
        raise Problem("--dry-run reads what was handed in: name it.")
    handed, strangers = _discovered(request, request.options())
    return show(handed, _door(request), {} if request.accept_new else strangers, journal)


def _discovered(
    request: BatchRequest, options: Options
) -> tuple[list[DiscoveredJob], dict[str, str]]:
    for number in request.exercises:
        known(number)
    discovery = Discovery(request.exercises, options, one=request.one, roster=_door(request).roster)
    handed = discovery.all(request.submissions)
    if not handed:
        raise Problem(f"{request.submissions[0]} is empty: there is nobody to grade.")
    return handed, discovery.strangers


def _plan(request: BatchRequest, journal: Journal) -> BatchPlan:
    for number in request.exercises:
        known(number)
    if not request.submissions:
        try:
            return journal.plan()
        except BadJournal as bad:
            raise Problem(str(bad)) from None
    options = request.options()
    handed, strangers = _discovered(request, options)
    refused = _door(request).refuse(strangers)
    if refused and not request.accept_new:
        raise Problem(refused)
    try:
        return batch.plan(journal, handed, options, request.seed)
    except OSError as error:
        where = error.filename or journal.root
        reason = os.strerror(error.errno or 0)
        raise Problem(
            f"the journal cannot be written: {where}: {reason}.", ExitCode.UNGRADED
        ) from None


# ---------------------------------------------------------------- launching


def _locally(request: BatchRequest, journal: Journal, plan: BatchPlan) -> BatchResult:
    with _Bar(len(plan.jobs)) as bar:
        return batch.run_locally(journal, plan, request.jobs, bar.settled)


def _through_ray(request: BatchRequest, journal: Journal, plan: BatchPlan) -> BatchResult:
    with _Bar(len(plan.jobs)) as bar:

        def look() -> None:
            pending = {job.key for job in journal.pending(plan)}
            bar.settled(sum(job.key not in pending for job in plan.jobs))

        trouble = ""
        try:
            codes = ray_cluster.run(
                journal, request.jobs, request.extra[0] if request.extra else None, look
            )
        except ray_cluster.NoRay as without:
            trouble = str(without)
        else:
            look()
            if any(codes):
                trouble = f"Some workers on the cluster ended early; what they said is in {journal.root / 'logs'}."
    return batch.close(journal, plan, trouble, trouble)


def _nobody(request: BatchRequest, journal: Journal, plan: BatchPlan) -> BatchResult:
    """What is judged so far; others are at work, or will be."""
    return batch.close(journal, plan)


LAUNCHERS: dict[str, Callable[[BatchRequest, Journal, BatchPlan], BatchResult]] = {
    "local": _locally,
    "ray": _through_ray,
    "none": _nobody,
}


def _through_slurm(request: BatchRequest, journal: Journal, plan: BatchPlan) -> ExitCode:
    """Hand the array in and leave: a cluster may take days."""
    pending = journal.pending(plan)
    stdout = console()
    if pending:
        try:
            number = slurm.submit(journal, min(request.jobs, len(pending)), request.extra)
        except slurm.NotSubmitted as trouble:
            raise Problem(str(trouble), ExitCode.UNGRADED) from None
        stdout.print(f"Slurm job {number}: {len(pending)} submissions to judge.", soft_wrap=True)
    else:
        stdout.print("Everything is judged already.", soft_wrap=True)
    again = f"course grade --journal {shlex.quote(os.fspath(journal.root))} --launcher none"
    stdout.print(f"For the reports, now or when it is done: {again}", soft_wrap=True)
    return ExitCode.PASS


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM, as schedulers and CI runners send it, is an interruption like Ctrl-C: things are put
    away."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise Problem(
            "\nInterrupted. What is judged is kept; type the same command again to go on.",
            ExitCode.INTERRUPTED,
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


class _Bar:
    """Progress with the time left, on a terminal; elsewhere a line for every tenth."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._screen = console(stderr=True)
        self._told = -1
        self._progress = _progress(self._screen) if self._screen.is_terminal else None
        self._task = self._progress.add_task("grading", total=total) if self._progress else None

    def __enter__(self) -> _Bar:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def settled(self, count: int) -> None:
        """Told how many jobs are done."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=count)
            return
        tenth = 10 * count // max(1, self._total)
        if tenth > self._told and self._total > 1:
            self._told = tenth
            self._screen.print(f"{count} of {self._total} judged", soft_wrap=True)


def _progress(screen: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=screen, transient=True)


# ---------------------------------------------------------------- reporting


def _report(request: BatchRequest, journal: Journal, plan: BatchPlan, done: BatchResult) -> None:
    """Every report that was asked for; the table for people when none goes to stdout."""
    for kind, file in request.formats:
        text = _rendered(kind, done.rows)
        if file is None:
            click.echo(text, nl=False)
        else:
            _write(file, text)
        if kind == "github":
            _summarize(done.rows)
    if request.csv is not None:
        _write(request.csv, writing.render("csv", done.rows))
    pairs = _who_wrote_alike(journal, plan) if request.html or request.similarity else []
    if request.html is not None:
        there = {row.student for row in done.rows}
        absent = [who for who in _door(request).roster.ids if who not in there]
        flagged = [pair for pair in pairs if pair.flagged]
        _write(request.html, html.render(done.rows, absent, _late(request), flagged))
    if request.similarity is not None:
        _write(request.similarity, similarity.render(pairs))
    if all(file is not None for _, file in request.formats):
        _print(done)
    elif done.trouble:
        click.echo(clean(done.trouble), err=True)


def _late(request: BatchRequest) -> dict[tuple[str, Number], float]:
    """By student and exercise the days, as the gradebook knows them; none without one."""
    if request.nbgrader is None:
        return {}
    from course.nbgrader_glue.gradebook import late

    return late(request.nbgrader)


def _who_wrote_alike(journal: Journal, plan: BatchPlan) -> list[Alike]:
    """Everybody's parts beside each other and beside the solutions, for a person to look at."""
    jobs = [job for job in plan.jobs if not job.problem]
    parts = [Written(job.student, job.exercise, journal.text(job, plan.options)) for job in jobs]
    entries = [
        exercise for exercise in exercises() if exercise.number in {job.exercise for job in jobs}
    ]
    solved = ((each.number, solution_file(each).read_text(encoding="utf-8")) for each in entries)
    parts += [Written("the solution", number, text, ours=True) for number, text in solved]
    return similarity.alike(parts, {each.number: stub_of(each) for each in entries})


def _rendered(kind: str, rows: tuple[Row, ...]) -> str:
    try:
        return writing.render(kind, rows)
    except ValueError as wrong:
        raise Problem(str(wrong)) from None


def _summarize(rows: tuple[Row, ...]) -> None:
    try:
        writing.append_summary(rows)
    except OSError as error:
        raise Problem(f"the job summary cannot be written: {error.strerror}.") from None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", errors="replace", newline="")
    except OSError as error:
        raise Problem(
            f"{file} cannot be written: {error.strerror}. The results are kept in the journal."
        ) from None


def _print(done: BatchResult) -> None:
    screen = console()
    states = Counter(words.state(row) for row in done.rows)
    for row in done.rows[:SHOWN]:
        name = shorten(clean(row.shown), 32)
        score = "" if words.ungraded(row) else words.score(row)
        line = f"{name:32} {row.exercise}  {words.state(row):14} {score:>9}  {words.verdict(row)}"
        screen.print(line, soft_wrap=True)
    if len(done.rows) > SHOWN:
        screen.print(
            f"… {len(done.rows) - SHOWN} more; --csv FILE and --html FILE show all", soft_wrap=True
        )
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    screen.print(f"\n{len(done.rows)} rows: {counted}.", soft_wrap=True)
    if done.trouble:
        console(stderr=True).print(clean(done.trouble), soft_wrap=True)


def _expect(request: BatchRequest) -> None:
    """Better now than after hours of grading: `Problem` when something cannot be written in the
    end."""
    for path in (
        request.csv,
        request.html,
        request.similarity,
        *(file for _, file in request.formats),
    ):
        if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
            reason = (
                "it may not be written"
                if path.parent.is_dir()
                else f"there is no folder {path.parent}"
            )
            raise Problem(f"{path} cannot be written: {reason}.")
    if request.nbgrader is not None:
        from course.nbgrader_glue.gradebook import expect

        expect(request.nbgrader)


def _show_differences(folder: Path, rows: tuple[Row, ...], again: Regrade | None) -> None:
    """Print which scores of the gradebook would change; nothing is entered."""
    from course.nbgrader_glue.gradebook import differences

    stdout, found = console(), differences(folder, rows, again.cells if again else frozenset())
    for row, cell, now, then in found:
        words = " -> ".join("none" if score is None else f"{score:g}" for score in (now, then))
        stdout.print(clean(f"{row.student}  {cell}  {words}"), soft_wrap=True)
    students = len({row.student for row, *_ in found})
    advice = "Nothing was entered; the same command without --diff enters them."
    stdout.print(
        f"{len(found)} scores of {students} students would change. {advice}", soft_wrap=True
    )


def _into_gradebook(
    folder: Path, rows: tuple[Row, ...], why: str, again: Regrade | None
) -> tuple[RefusedRow, ...]:
    """Enter the rows and say how many; those that were refused."""
    from course.nbgrader_glue.gradebook import commit

    judged = f"course grade --regrade {' '.join(again.laws)}" if again else "course grade"
    done = commit(
        folder, rows, ": ".join(filter(None, (judged, why))), again.cells if again else frozenset()
    )
    stderr = console(stderr=True)
    stderr.print(
        f"{done.written} rows entered in the gradebook of {folder.resolve()}.", soft_wrap=True
    )
    for refused in done.refused:
        stderr.print(
            clean(f"  not entered: {refused.student}, {refused.exercise}: {refused.reason}"),
            soft_wrap=True,
        )
    return done.refused


def _is_one(request: BatchRequest, rows: tuple[Row, ...]) -> bool:
    return len(request.submissions) == 1 and len({row.student for row in rows}) == 1
