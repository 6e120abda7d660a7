"""`course lab N`: measure on this machine what a lab predicts, and draw both."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from course import workspace
from course.errors import ExitCode, Problem
from course.labs.files import LabFiles, folder
from course.sigterm import interruptible
from course.terminal import console, teller
from graders.engines.catalogue import KINDS, unknown
from graders.experiments.lab_names import LABS
from graders.experiments.results import LabResults


@click.command("lab")
@click.argument("number", metavar="N")
@click.option("--quick", is_flag=True, help="Fewer points and rounds: a minute on two cores.")
@click.option(
    "--engines",
    default="",
    help="Others beside ours, such as vllm,llama.cpp (see `course engines`).",
)
@click.option(
    "--model", "models", multiple=True, help="What is measured: random:SHAPE, waiter, waiter@SHAPE."
)
@click.option(
    "--threads", type=click.IntRange(0, 1024), default=0, help="For every engine; 0: every core."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--fresh", is_flag=True, help="Begin anew, whatever was measured before.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print everything measured as one JSON object."
)
@click.option("--folder", "where", type=click.Path(path_type=Path), help="Keep the results there.")
def command(
    number: str,
    quick: bool,
    engines: str,
    models: tuple[str, ...],
    threads: int,
    seed: int,
    fresh: bool,
    as_json: bool,
    where: Path | None,
) -> ExitCode:
    """Measure what lab N predicts, 1 to 4, and draw prediction and measurement in one figure.

    \b
    course lab 1 --quick                  a minute, with our engine alone
    course lab 1 --engines vllm,llama.cpp ours and these, side by side
    course claims                         what the results say of nine popular claims

    Results, SVG and PNG lie in .course/labs/. Ctrl-C loses the task in hand only; the same command
    goes on. What cannot be measured is named, and the rest is measured. Exits 3 when something is
    missing.
    """
    lab = _lab(number)
    names = _engines(engines, lab)
    place = workspace.find_or_none()
    if where is None and place is None:
        workspace.find()  # which says what is missing
    home = where or folder(place) if place else where
    assert home is not None
    _refuse_unknown(models)
    results = _run(
        LabFiles(home, lab, quick), names, models or LABS[lab].models, threads, seed, fresh, place
    )
    if as_json:
        sys.stdout.write(results.as_json())
    else:
        _print(results, place)
    return ExitCode.UNGRADED if results.failures else ExitCode.PASS


def _refuse_unknown(models: tuple[str, ...]) -> None:
    """Raises Problem for a model that nobody can load, however much memory there is."""
    if not models:
        return
    from reference_engine.model import ModelError
    from reference_engine.model_loader import config_of

    for name in models:
        try:
            config_of(name)
        except ModelError as error:
            raise Problem(f"{error}.") from error


def _run(
    files: LabFiles,
    engines: tuple[str, ...],
    models: tuple[str, ...],
    threads: int,
    seed: int,
    fresh: bool,
    place: workspace.Workspace | None,
) -> LabResults:
    from course.labs.running import LabRun
    from graders.experiments.workbench import LabPlan

    tell = teller()
    run = LabRun(files, tell, lambda line: tell(line, "yellow"))
    plan = LabPlan(
        files.lab, files.quick, tuple(dict.fromkeys(models)), engines, threads, seed, tell
    )
    try:
        with interruptible():
            results = run.run(plan, fresh=fresh)
    except KeyboardInterrupt:
        told = "\nInterrupted. What was finished is kept; the same command goes on with the rest."
        raise Problem(told, ExitCode.INTERRUPTED) from None
    for path in run.draw(results, place):
        tell(f"drawn: {path}")
    return results


def _print(results: LabResults, place: workspace.Workspace | None) -> None:
    from course.labs.tables import render

    screen = console()
    for block in render(results, place):
        screen.print(block, soft_wrap=isinstance(block, str))


def _lab(typed: str) -> int:
    """Reads 1, or lab1. Problem for anything else."""
    text = typed.lower().removeprefix("lab")
    if not text.isdecimal() or int(text) not in LABS:
        listed = ", ".join(f"{number} ({name.title})" for number, name in LABS.items())
        raise Problem(f"there is no lab {typed!r}; there are {listed}.")
    return int(text)


def _engines(text: str, lab: int) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in KINDS:
            raise Problem(f"{unknown(name)}.")
    if names and not LABS[lab].raced:
        raise Problem(
            f"lab {lab} measures our engine alone: the others are not driven with guesses here."
        )
    return names
