"""`course check N[.k …]`: the verdict on a part, law by law, and what to do next."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from course import next_steps, progress, rendering, workspace
from course.active_file import set_aside, text_of
from course.check_request import (
    CheckRequest,
    companions_home,
    companions_to_blame,
    judge,
    submission,
)
from course.errors import ExitCode, Problem
from course.syntax_pointer import offence
from course.targets import Asked, asked
from course.terminal import clean, console
from graders.registry.catalogue import catalogue
from graders.registry.law import with_needs
from graders.result import ExerciseResult, LawResult, Outcome

LEVELS = ("L1", "L2", "L3", "L4")


@click.command("check")
@click.argument("what", nargs=-1)
@click.option("--using", metavar="PART", help="Judge this part: solutions, naive or a FILE.")
@click.option(
    "--with",
    "others",
    type=click.Choice(["solutions", "mine", "naive"]),
    default="solutions",
    help="Whose parts fill the other slots of the engine.  [default: solutions]",
)
@click.option(
    "--live", is_flag=True, help="Time installed engines themselves instead of using cards."
)
@click.option("--laws-only", is_flag=True, help="Leave the timed part out.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Draw the same stories again.")
@click.option(
    "--require-isolation",
    "require",
    type=click.Choice(LEVELS),
    default="L1",
    help="Less is advisory: exit 4.",
)
@click.option(
    "--needs",
    is_flag=True,
    help="With one law: try the laws that it needs before it, as grading does.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write the story of the first broken law as a film.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="One result object on stdout and nothing else."
)
def command(
    what: tuple[str, ...],
    using: str | None,
    others: str,
    live: bool,
    laws_only: bool,
    seed: int | None,
    require: str,
    needs: bool,
    html: Path | None,
    as_json: bool,
) -> ExitCode:
    """Judge your part of an exercise (such as 1), some laws of it (1.4 1.6), or the file that is
    named.

    Without any of them: the first exercise that you have not solved yet.

    \b
    Exit codes: 0 every law passed, 1 some law failed, 2 bad input,
    3 could not be graded, 4 isolation too low, 130 interrupted.
    """
    place = workspace.find_or_none()
    memory = progress.load(place.memory if place else None)
    chosen = _chosen(what, memory)
    if chosen.file and using:
        raise Problem(f"two parts are named, {chosen.file} and {using}; name one.")
    using = using or (str(chosen.file) if chosen.file else "mine")
    exercise = chosen.exercise
    try:
        path, source, own = submission(exercise, using, place)
        home = companions_home(others, exercise, place)
    except Problem as trouble:
        if as_json:
            _print_json(
                ExerciseResult(exercise.number, exercise.name, using, (), problem=str(trouble))
            )
        raise
    beside = place.root if place else None
    laws = chosen.laws
    if needs:
        laws = tuple(
            exercise.law(number) for law in laws for number in with_needs(law.number, exercise.laws)
        )
    request = CheckRequest(
        exercise, laws, path, source, own, others, home, laws_only, seed, require, beside, live
    )
    result = _judge_silently(request) if as_json else _judge_aloud(request, memory)
    if own:
        remember(memory, request, result)
    if html is not None:
        _write_film(html, result)
    return exit_code(result)


def _write_film(path: Path, result: ExerciseResult) -> None:
    from course.window.story_film import film

    broken = rendering.first_broken(result)
    window = film(broken) if broken is not None else None
    if window is not None:
        window.write(path)
    told = (
        f"Written: {path}"
        if window
        else f"No law was broken by a story, so there is no film of one in {path}."
    )
    console(stderr=True).print(told, soft_wrap=True)


def _chosen(what: tuple[str, ...], memory: progress.Progress) -> Asked:
    """What was typed; without it, the first exercise that is not solved yet."""
    return asked(what or [str((next_steps.open_exercise(memory) or catalogue(1)).number)])


def exit_code(result: ExerciseResult) -> ExitCode:
    """0 only when every law that was asked for passed; an advisory verdict, good or bad, has a code
    of its own."""
    if result.outcome is Outcome.UNGRADED:
        # what cannot be read is the part's fault
        return ExitCode.FAIL if result.needs_person else ExitCode.UNGRADED
    if result.advisory:
        return ExitCode.ISOLATION
    return ExitCode.PASS if result.passed else ExitCode.FAIL


def _judge_silently(request: CheckRequest) -> ExerciseResult:
    result = judge(request, None)
    _print_json(result)
    return result


def _judge_aloud(request: CheckRequest, memory: progress.Progress) -> ExerciseResult:
    screen = console()
    screen.print()
    if request.own and request.beside and (place := workspace.Workspace(request.beside)).elsewhere:
        screen.print(
            f"No exercises/ here: judging {place.shown(request.submission)}", soft_wrap=True
        )
        screen.print("`course init kitchen` makes a folder of your own here.", soft_wrap=True)
    screen.print(
        rendering.header(request.exercise.title, request.exercise.name, request.source),
        soft_wrap=True,
    )
    if request.own and (other := set_aside(request.submission, request.exercise)):
        screen.print(
            f"{other.name} beside it holds another text, which is not judged: --using it does.",
            style="yellow",
        )
    with ProgressPrinter(screen, request) as ticker:
        result = judge(request, ticker.law, ticker.note)
        if not result.problem:
            ticker.flush()
    tell(screen, request, result, memory)
    return result


class ProgressPrinter:
    """Prints every law's line as soon as it is known; on a terminal a last line says what is being
    tried.

    Lines of laws that were not tried wait: they are dropped when it turns out that nothing could be
    tried at all, because then one sentence says more than a list.
    """

    def __init__(self, screen: Console, request: CheckRequest) -> None:
        self._screen = screen
        self._ahead = [f"{law.number} {law.name} …" for law in request.tried]
        self._held: list[LawResult] = []
        self._begun = False
        self._status = screen.status(self._waiting()) if screen.is_terminal else None

    def __enter__(self) -> ProgressPrinter:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def law(self, law: LawResult) -> None:
        """Told of each law in turn."""
        self._ahead = self._ahead[1:]
        self._held.append(law)
        if law.cases or law.seconds:
            self.flush()
        if self._status:
            self._status.update(self._waiting())

    def note(self, words: str) -> None:
        """Told what takes so long."""
        if self._status and self._ahead:
            self._status.update(Text(f"{self._ahead[0]} {words}", style="dim"))

    def flush(self) -> None:
        if self._held and not self._begun:
            self._screen.print()
            self._begun = True
        for law in self._held:
            self._screen.print(rendering.law_line(law), soft_wrap=True)
        self._held = []

    def _waiting(self) -> Text:
        return Text(self._ahead[0] if self._ahead else "…", style="dim")


def tell(
    screen: Console, request: CheckRequest, result: ExerciseResult, memory: progress.Progress
) -> None:
    """What a check came to, below the lines of its laws, and what to do next."""
    if result.problem:
        tell_problem(screen, request, result)
        return
    screen.print()
    screen.print(rendering.summary(result), soft_wrap=True)
    for line in rendering.figure_lines(result.figures, rendering.columns(screen)):
        screen.print(line, soft_wrap=True)
    if chatter := rendering.chatter(result):
        screen.print(chatter, style="yellow", soft_wrap=True)
    broken = rendering.first_broken(result)
    if broken is not None:
        lines = rendering.failure(broken, _after_failure(request, broken))
        if companions_to_blame(request, broken, result.seed):
            lines += [
                Text(),
                Text(
                    "Among the solutions this law holds: the part to blame is one of the other slots."
                ),
            ]
        rendering.print_block(screen, lines)
    elif result.passed:
        rendering.print_next(screen, _after_pass(request, result, memory))
    else:
        tell_ungraded(screen, result)


def tell_problem(screen: Console, request: CheckRequest, result: ExerciseResult) -> None:
    """What nothing could be made of: the line to fix, or how to begin."""
    found = offence(text_of(request.submission, request.exercise), result.location.line)
    if found is None:
        rendering.print_block(
            screen, rendering.problem(result.problem, _first_steps(request)), "yellow"
        )
        return
    lines = [
        *rendering.problem(result.problem, ()),
        Text(),
        *map(Text, clean(found.shown).split("\n")),
        Text(),
    ]
    lines.append(
        Text(
            f"next  fix line {found.line}, then: {request.again(str(request.exercise.number))}",
            style="bold",
        )
    )
    rendering.print_block(screen, lines, "yellow")


def tell_ungraded(screen: Console, result: ExerciseResult) -> None:
    reasons = [
        law.message for law in result.laws if law.outcome is Outcome.UNGRADED and law.message
    ]
    sentence = "\n".join(
        ["Some laws could not be judged; your part is not to blame.", *dict.fromkeys(reasons)]
    )
    rendering.print_block(screen, rendering.problem(sentence, ()), "yellow")


def _first_steps(request: CheckRequest) -> list[str]:
    if not request.own:
        return []
    number = request.exercise.number
    first = request.exercise.laws[0]
    lesson = request.submission.with_name("README.md").is_file()
    return [
        *(
            [f"read {request.source.removesuffix(request.exercise.file_name)}README.md, the lesson"]
            if lesson
            else []
        ),
        f"write in {request.source}: its docstrings hold the whole contract",
        f"begin with law {first.number}, {first.name}: course hint {first.number}",
        f"judge what you have: course check {number}",
    ]


def _after_failure(request: CheckRequest, law: LawResult) -> str:
    if not request.own:
        return request.again(law.number)
    story = f"   or   course story {law.number}" if law.story and law.story.script else ""
    return f"course hint {law.number}   then   {request.again(law.number)}{story}"


def _after_pass(
    request: CheckRequest, result: ExerciseResult, memory: progress.Progress
) -> list[str]:
    exercise = request.exercise
    if len(result.laws) < len(exercise.laws):
        return [request.again(str(exercise.number))]
    if not request.own:
        written = f"write your own in exercises/{exercise.slug}/{exercise.file_name}"
        return [f"{written}, then course check {exercise.number}"]
    memory.record(result)
    return next_steps.after_pass(exercise, memory)


def remember(memory: progress.Progress, request: CheckRequest, result: ExerciseResult) -> None:
    """Keep the marks of a check of the learner's own part, and the part itself when every law of it
    held."""
    from course import certificate

    memory.record(result)
    stderr = console(stderr=True)
    if memory.notice:
        stderr.print(memory.notice, style="yellow", soft_wrap=True)
    if memory.path:
        with suppress(OSError):  # what cannot be kept can be judged again
            certificate.keep(
                memory.path.parent, result, text_of(request.submission, request.exercise)
            )
    try:
        memory.save()
    except progress.NotSaved as trouble:
        stderr.print(f"{trouble} The verdict above stands.", style="yellow", soft_wrap=True)


def _print_json(result: ExerciseResult) -> None:
    # JSON has no word for NaN and infinity: null stands for them
    finite = json.loads(json.dumps(result.to_json()), parse_constant=lambda _: None)
    click.echo(json.dumps(finite, allow_nan=False))
