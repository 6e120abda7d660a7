"""`course certificate`: a page of the exercises that were passed, and the same judged again."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from course import certificate, workspace
from course.errors import ExitCode, Problem
from course.progress import replace_file
from course.terminal import clean, console
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Outcome


@click.command("certificate")
@click.option("--name", default="", help="Whose it is, for the head of the page.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("certificate.html")
)
@click.option(
    "--verify",
    type=click.Path(path_type=Path),
    help="Judge the parts on this page again, here and now.",
)
@click.option("--timed", is_flag=True, help="With --verify: the timed laws too.")
def command(name: str, output: Path, verify: Path | None, timed: bool) -> ExitCode:
    """Write a page of the exercises you have passed: verdicts, machine, date, and the texts they
    are about.

    The page was made on your machine, so by itself it proves nothing. Whoever wants to know types
    `course certificate --verify FILE`: the texts on it are judged again, in isolation, from a fresh
    seed.
    """
    if verify is not None:
        return _verify(verify, timed=timed)
    place = workspace.find()
    verdicts = certificate.kept(place.memory)
    if not verdicts:
        raise Problem(
            "no exercise was passed yet with all its laws, the timed one included: course check 1",
            ExitCode.FAIL,
        )
    try:
        replace_file(output, certificate.page(verdicts, name))
    except OSError as error:
        raise Problem(f"{output} cannot be written: {error.strerror}.") from error
    screen, numbers = console(), ", ".join(each.title for each in verdicts)
    screen.print(f"{output}, of {numbers}.", soft_wrap=True)
    screen.print(
        f"Whoever wants to know: course certificate --verify {shlex.quote(str(output))}",
        soft_wrap=True,
    )
    return ExitCode.PASS


def _verify(path: Path, *, timed: bool) -> ExitCode:
    try:
        claimed = certificate.read_page(path)
    except certificate.NoCertificate as trouble:
        raise Problem(str(trouble)) from None
    if not claimed:
        raise Problem(
            f"there is no verdict in the data of {path}, whatever the page shows.", ExitCode.FAIL
        )
    screen, codes = console(), [ExitCode.PASS]
    if not certificate.as_written(path, claimed):
        screen.print(
            "What the page shows is not what this version of the course writes; its data count, and say:",
            style="yellow",
            soft_wrap=True,
        )
    for one in claimed:
        if not one.sound:
            screen.print(
                f"✗ {one.title}: the verdict on the page is about another text.", soft_wrap=True
            )
            codes.append(ExitCode.FAIL)
    for one, result in certificate.judged_again([one for one in claimed if one.sound], timed=timed):
        sign, code = _outcome(result)
        held = sum(law.outcome is Outcome.PASS for law in result.laws)
        left_out = "" if timed or not _has_timed(one) else ", the timed one left out"
        screen.print(
            f"{sign} {one.title}: {held} of {len(result.laws)} laws hold here{left_out}; the page says "
            f"{len(one.result.laws)}, {clean(one.date)}, {clean(one.machine)}",
            soft_wrap=True,
        )
        screen.print(
            f"  sha256 {result.digest} · seed {result.seed} · isolation {result.isolation}",
            soft_wrap=True,
        )
        codes.append(code)
    return max(codes)


def _has_timed(one: certificate.Passed) -> bool:
    return any(law.kind == "throughput" for law in catalogue(one.exercise).laws)


def _outcome(result: ExerciseResult) -> tuple[str, ExitCode]:
    if result.outcome is Outcome.UNGRADED:
        return "?", ExitCode.UNGRADED
    return ("✓", ExitCode.PASS) if result.passed else ("✗", ExitCode.FAIL)
