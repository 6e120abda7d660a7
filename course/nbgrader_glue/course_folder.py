"""A complete nbgrader course, made from nothing: sources, configuration, roster, and a page of
instructions."""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.nbgrader_glue import notebook
from course.nbgrader_glue.settings import CONFIG, settings
from course.progress import replace_file
from course.targets import stub_of
from graders.registry.catalogue import Exercise

ROSTER = "students.csv"
PAGE = "README.md"
EXCHANGE = "exchange"

CONFIGURATION = '''\
"""nbgrader's configuration of this course. Made by `course instructor init`; yours to change."""

from pathlib import Path

from course.nbgrader_glue import intake

intake.install()  # `nbgrader autograde` takes .py files, archives and renamed notebooks too

c = get_config()  # noqa: F821

HERE = Path(__file__).resolve().parent

c.CourseDirectory.course_id = "{course_id}"
c.CourseDirectory.root = str(HERE)

# Where assignments are released to and handed in. Students and you need write access: on a shared machine name a folder
# there, such as /srv/nbgrader/exchange. Without a shared machine copy what is handed in to
# submitted/<student>/<assignment>/ and leave `collect` out.
c.Exchange.root = str(HERE / "{exchange}")

# nbgrader's own list, except that the student's cell becomes the same stub that `course init` hands out.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.InstantiateTests",
    "nbgrader.preprocessors.LockCells",
    "course.nbgrader_glue.CourseStub",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Submissions are graded in isolated processes of the course. No notebook is executed, no link is followed, no other
# file is copied, and what students say stays text when you open it.
c.Autograde.exporter_class = "course.nbgrader_glue.CourseExporter"
c.Autograde.sanitize_preprocessors = [
    "course.nbgrader_glue.CourseRestore",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "course.nbgrader_glue.CourseGrade",
    "nbgrader.preprocessors.LimitOutput",
    "course.nbgrader_glue.CourseSave",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Keep this number secret: the stories that a part is tried with are drawn from it and from the part's text, so grading
# the same text again gives the same verdict, and nobody knows the stories of a text not yet handed in.
c.CourseGrade.salt = {salt}
c.CourseGrade.retries = 2
c.CourseGrade.laws_only = False  # True: the timed laws wait for `course grade --nbgrader` on a quiet machine
c.CourseGrade.require_isolation = "L2"  # less is not fit for marks: nothing is graded then; `course doctor` says why

# What a day late costs: 0.1 takes 10 % of the score for every day begun, as the score stands at `nbgrader export`. Due
# dates: `nbgrader db assignment add NAME --duedate="2027-01-31 23:59 UTC"`; more time for one student: extensions.csv,
# with the columns id,assignment,days.
c.AssignLatePenalties.plugin_class = "course.nbgrader_glue.LateByDay"
c.LateByDay.per_day = 0.0
c.LateByDay.grace_minutes = 15

# `nbgrader export` writes a quoted table whose texts no spreadsheet takes for formulas.
c.ExportApp.plugin_class = "course.nbgrader_glue.SafeCsv"
'''

STUDENTS = """\
id,first_name,last_name,email
ada,Ada,Example,ada@example.org
bob,Bob,Example,bob@example.org
"""

INSTRUCTIONS = """\
# {course_id}: an nbgrader course

Made by `course instructor init`. Everything here is yours to change; `source/` can be written anew at any time with
`course instructor init . --renew`. Commands are typed in this folder.

```
nbgrader db student import {roster}              the class; edit the file first
nbgrader generate_assignment {slug}     source/ becomes release/, solutions cleared
nbgrader release_assignment {slug}      students fetch it, or copy release/ yourself
nbgrader collect {slug}                 or put files at submitted/<student>/{slug}/
nbgrader autograde {slug}               graded in isolation, no kernel starts
course instructor read .                             a person reads the answers, question by question, without names
jupyter lab                                          or in its menu Nbgrader, Formgrader
nbgrader generate_feedback {slug}
nbgrader release_feedback {slug}
nbgrader export                                      grades.csv
```

Students fetch and hand in with a file `nbgrader_config.py` in their own folder that says where:

```
c = get_config()
c.Exchange.root = {place!r}
c.CourseDirectory.course_id = {course_id!r}
```

{roster} may have columns `canvas`, `moodle`, `gradescope` and `github` with what other systems call a student;
`extensions.csv` (`id,assignment,days`) gives single students more time; `score_changes.csv` says which scores changed,
when and why. `course grade submitted --nbgrader . --dry-run` prints who handed in what. A submission that could not be
judged, through no fault of its
own, has no score and stands as an error in the log: type `nbgrader autograde` again. To grade again what has a score,
add `--force`; scores given by a person stay.
"""


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """Which files were written, and which were there already and left alone."""

    new: tuple[Path, ...]
    kept: tuple[Path, ...]


def make(
    folder: Path, chosen: Sequence[Exercise], course_id: str, *, renew: bool = False
) -> WrittenFiles:
    """Write the course into `folder`. What is there stays; renew: except for the sources. Raises
    OSError."""
    new, kept = [], []
    for path, text in _texts(folder, chosen, course_id):
        if path.exists() and not (renew and "source" in path.relative_to(folder).parts):
            kept.append(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
            new.append(path)
    exchange = folder / EXCHANGE
    if not exchange.exists():
        exchange.mkdir(parents=True)
        os.chmod(exchange, 0o777)  # students hand in there; nbgrader makes the folders below it
    return WrittenFiles(tuple(new), tuple(kept))


def is_ours(folder: Path) -> bool:
    """Whether the folder's configuration, if there is one, grades with the course. `Problem` when
    it cannot be read."""
    if not (folder / CONFIG).exists():
        return True
    if importlib.util.find_spec("nbgrader") is None:
        return "course.nbgrader_glue.CourseGrade" in (folder / CONFIG).read_text(
            encoding="utf-8", errors="replace"
        )
    grading = settings(folder).config.Autograde
    steps = [
        *grading.get("sanitize_preprocessors", ()),
        *grading.get("autograde_preprocessors", ()),
    ]
    return all(
        any(str(step).endswith(name) for step in steps)
        for name in ("CourseRestore", "CourseGrade", "CourseSave")
    )


def _texts(folder: Path, chosen: Sequence[Exercise], course_id: str) -> Iterator[tuple[Path, str]]:
    words = {"course_id": course_id, "exchange": EXCHANGE, "salt": secrets.randbits(128)}
    yield folder / CONFIG, CONFIGURATION.format(**words)
    yield folder / ROSTER, STUDENTS
    place = str(folder.resolve() / EXCHANGE)
    yield (
        folder / PAGE,
        INSTRUCTIONS.format(course_id=course_id, roster=ROSTER, slug=chosen[0].slug, place=place),
    )
    for exercise in chosen:
        home = folder / "source" / exercise.slug
        yield home / f"{exercise.slug}.ipynb", notebook.text(notebook.source(exercise))
        yield home / exercise.file_name, stub_of(exercise)
