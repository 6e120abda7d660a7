"""`course grade SUBMISSIONS`: a class, or one submission, judged and reported in any form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from course.click_types import ExerciseNumber
from course.errors import ExitCode, Problem

if TYPE_CHECKING:
    from course.batch_grading import BatchRequest

LEVELS = ("L1", "L2", "L3", "L4")
FOR_MARKS = "L2"  # as in graders.sandbox.isolation.levels, which a help text need not import
FORMATS = ("json", "junit", "gradescope", "github", "check", "markdown")
LAUNCHERS = ("local", "slurm", "ray", "none")


class Report(click.ParamType[tuple[str, Path | None]]):
    """NAME or NAME=FILE."""

    name = "NAME[=FILE]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path | None]:
        kind, equals, file = str(value).partition("=")
        if kind not in FORMATS:
            self.fail(f"{kind!r} is no format; there are {', '.join(FORMATS)}.", param, ctx)
        if equals and not file:
            self.fail(f"{value!r} names no file after the equals sign.", param, ctx)
        return kind, Path(file) if file else None


FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("grade")
@click.argument("submissions", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--exercise",
    "exercises",
    type=ExerciseNumber(),
    multiple=True,
    help="Only this one; a row for everybody.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    help="Workers side by side.  [default: the cores of this machine]",
)
@click.option(
    "--journal",
    type=FOLDER,
    help="Where results are kept.  [default: SUBMISSIONS.journal, beside them]",
)
@click.option("--claim", is_flag=True, help="Be one worker for the batch in --journal.")
@click.option(
    "--launcher",
    type=click.Choice(LAUNCHERS),
    default="local",
    help="Who starts workers; none: only report what is judged so far.  [default: local]",
)
@click.option(
    "--launcher-option",
    "extra",
    multiple=True,
    metavar="TEXT",
    help="A line for #SBATCH, or Ray's address.",
)
@click.option(
    "--format",
    "formats",
    type=Report(),
    multiple=True,
    help=f"{', '.join(FORMATS)}; =FILE for a file.",
)
@click.option("--csv", type=FILE, help="One line a row for spreadsheets.")
@click.option("--html", type=FILE, help="An overview of the class in one file.")
@click.option(
    "--similarity", type=FILE, help="Which parts are alike: a table for a person, no verdict."
)
@click.option(
    "--nbgrader", type=FOLDER, help="Enter the scores in the gradebook of this nbgrader course."
)
@click.option(
    "--roster", type=FILE, help="Who is in the class, a CSV.  [default: students.csv of --nbgrader]"
)
@click.option("--accept-new", is_flag=True, help="Take in whoever is not on the roster.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print who gets what, and who is missing; judge and write nothing.",
)
@click.option(
    "--diff",
    is_flag=True,
    help="With --nbgrader: print which scores would change, and enter nothing.",
)
@click.option(
    "--regrade",
    multiple=True,
    metavar="LAW",
    help="Judge this law again and what needs it, such as 1.10.",
)
@click.option(
    "--why",
    default="",
    metavar="TEXT",
    help="A reason, for the gradebook's log of scores that changed.",
)
@click.option(
    "--require-isolation",
    "require",
    type=click.Choice(LEVELS),
    default=FOR_MARKS,
    help="Less is exit 4.  [default: L2]",
)
@click.option("--laws-only", is_flag=True, help="Leave the timed laws out.")
@click.option(
    "--bounds",
    type=FILE,
    envvar="COURSE_BOUNDS",
    help="Your own bounds of the timed laws, a TOML file.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), help="Draw the same stories as another batch."
)
@click.option("--retry", is_flag=True, help="Let quarantined submissions out and try them again.")
@click.option(
    "--one", is_flag=True, help="Each of SUBMISSIONS is one student's, whatever is in it."
)
@click.option("--check", is_flag=True, help="Exit 1 if any submission fails, as for a single one.")
def command(claim: bool, jobs: int | None, **typed: Any) -> ExitCode:
    """Judge SUBMISSIONS: a folder with an entry for each student, zip files, notebooks, or one
    file.

    Whoever is killed or interrupted goes on where it stopped when the same command is typed again.
    What is judged already is not judged again until the part, the grader or its bounds change.

    \b
    Exit codes: 0 all judged (for one submission: it passed), 1 it failed,
    2 bad input, 3 some could not be judged or entered in the gradebook,
    4 isolation too low,
    130 interrupted: type the command again to go on.
    """
    from course import batch_grading
    from graders.throughput.hardware import usable_cores

    request = batch_grading.BatchRequest(jobs=jobs or usable_cores(), **typed)
    _refuse_nonsense(request, claim)
    return batch_grading.claim(request) if claim else batch_grading.grade(request)


def _refuse_nonsense(request: BatchRequest, claim: bool) -> None:
    """Problems that can be seen before anything is read."""
    if not request.submissions and not request.journal:
        raise Problem(
            "nothing to grade was named; type a folder of submissions, or --journal DIR to go on with one."
        )
    if request.diff and request.nbgrader is None:
        raise Problem("--diff compares with a gradebook: name it with --nbgrader DIR.")
    if request.regrade and (request.launcher == "slurm" or claim or request.dry_run):
        raise Problem(
            "--regrade waits for its verdicts: leave --claim, --dry-run and the launcher slurm out."
        )
    if claim and not request.journal:
        raise Problem("--claim needs --journal DIR, the batch to help with.")
    for path in request.submissions:
        if not os.path.lexists(path):
            raise Problem(
                f"there is no {path}; name a folder of submissions, zip files or one file."
            )
    spoken = [kind for kind, file in request.formats if file is None]
    if len(spoken) > 1:
        raise Problem(
            f"{' and '.join(spoken)} cannot share stdout; give one a file, such as {spoken[-1]}=report.txt."
        )
