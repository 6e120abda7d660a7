"""Links and other files in submitted/: refused, or left where they are, before nbgrader opens or
copies anything."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hand_ins import OPEN, packed, sheet, tree

from course.nbgrader_glue.feedback import Ungraded
from course.nbgrader_glue.gradebook import BadName
from graders.registry.catalogue import catalogue
from graders.result import Outcome
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import LARGEST_PARCEL, items
from graders.submissions.submission_reader import explain, handed_in

pytest.importorskip("nbgrader")

from nbgrader.converters.base import BaseConverter
from nbgrader.coursedir import CourseDirectory

from course.nbgrader_glue import intake, submission_metadata
from course.nbgrader_glue.guarded_exporter import CourseExporter

EXERCISE = catalogue(3)
SLUG = EXERCISE.slug
SHEET = f"{SLUG}.ipynb"


class Converter(BaseConverter):  # type: ignore[misc]
    """nbgrader's own steps from submitted/ to autograded/, without its gradebook."""

    _input_directory = "submitted"
    _output_directory = "autograded"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A course with a submission of bob's, and a folder that holds what he would like to have."""
    for folder in (tmp_path / "submitted" / "bob" / SLUG, tmp_path / "secret" / SLUG):
        folder.mkdir(parents=True)
        for name in (
            SHEET,
            EXERCISE.file_name,
            "timestamp.txt",
            "submission_secret.txt",
            "notes.html",
        ):
            (folder / name).write_text(
                "secret" if "secret" in folder.parts else "2027-01-01 00:00:00 UTC"
            )
    return tmp_path


def converter(home: Path) -> Any:
    made = Converter(coursedir=CourseDirectory(root=str(home), assignment_id=SLUG))
    made.exporter = CourseExporter(parent=made)
    return made


def graded(home: Path, student: str = "bob") -> None:
    made = converter(home)
    if made.init_destination(SLUG, student):
        made.init_assignment(SLUG, student)


def relinked(path: Path, target: Path) -> None:
    """`path` becomes a link."""
    path.rename(path.with_name(f".{path.name}")) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_of_an_orderly_submission_nothing_is_copied_beside_its_notebook(home: Path) -> None:
    graded(home)
    assert not list((home / "autograded").rglob("*"))


@pytest.mark.parametrize(
    "name", [SHEET, EXERCISE.file_name, "timestamp.txt", "submission_secret.txt", "other.ipynb"]
)
def test_a_link_in_the_place_of_a_file_that_is_read_is_refused(home: Path, name: str) -> None:
    relinked(home / "submitted" / "bob" / SLUG / name, home / "secret" / SLUG / SHEET)
    with pytest.raises(UnusableSubmission, match=f"{name} is a symbolic link"):
        graded(home)
    assert not (home / "autograded").exists()


@pytest.mark.parametrize("folder", ["bob", f"bob/{SLUG}"])
def test_a_linked_folder_is_refused(home: Path, folder: str) -> None:
    relinked(
        home / "submitted" / folder, home / "secret" if folder == "bob" else home / "secret" / SLUG
    )
    with pytest.raises(UnusableSubmission, match="hand in the"):
        graded(home)
    assert not (home / "autograded").exists()


def test_a_dangling_link_is_refused_too(home: Path) -> None:
    relinked(home / "submitted" / "bob" / SLUG / "timestamp.txt", home / "nowhere")
    with pytest.raises(UnusableSubmission):
        graded(home)


@pytest.mark.parametrize("kind", ["link", "linked folder", "pipe", "page"])
def test_whatever_else_lies_there_stays_there(home: Path, kind: str) -> None:
    odd = home / "submitted" / "bob" / SLUG / "data"
    if kind == "link":
        odd.symlink_to(home / "secret" / SLUG / SHEET)
    elif kind == "linked folder":
        odd.symlink_to(home / "secret")
    elif kind == "pipe":
        os.mkfifo(odd)  # nbgrader would wait for a writer
    else:
        odd.with_suffix(".html").write_text("<script>")
    graded(home)
    assert not list((home / "autograded").rglob("*"))


def test_a_link_that_the_instructor_made_is_nobodys_fault(home: Path) -> None:
    (home / "submitted").rename(home / "elsewhere")
    (home / "submitted").symlink_to(home / "elsewhere")
    graded(home)


def test_what_nbgrader_ignores_elsewhere_is_as_before(home: Path) -> None:
    made = converter(home)
    before = list(made.coursedir.ignore)
    made.init_assignment(SLUG, "bob")
    assert made.coursedir.ignore == before


def test_a_name_that_is_markup_is_refused_before_anything_is_opened(home: Path) -> None:
    (home / "submitted" / "bob").rename(home / "submitted" / "<img src=x onerror=alert(1)>")
    with pytest.raises(BadName):
        graded(home, "<img src=x onerror=alert(1)>")


@pytest.mark.parametrize("folder", ["bob", f"bob/{SLUG}"])
def test_the_papers_of_a_submission_are_not_read_through_a_link(home: Path, folder: str) -> None:
    submitted, autograded = home / "submitted" / "bob" / SLUG, home / "autograded"
    autograded.mkdir()
    (home / "secret" / SLUG / "timestamp.txt").write_text("2020-01-01 00:00:00 UTC")
    relinked(
        home / "submitted" / folder, home / "secret" if folder == "bob" else home / "secret" / SLUG
    )
    assert submission_metadata.time(submitted) is None
    submission_metadata.copy(submitted, autograded)
    assert not list(autograded.iterdir())


# ---------------------------------------------------------------- which notebook nbgrader is given

WORK = "class PrefixCache:\n    def match(self, tokens):\n        return 0\n"


def given(home: Path, files: dict[str, str | bytes]) -> str:
    """The cell to write in of the notebook that nbgrader goes on with, when bob handed in these
    files."""
    folder = home / "submitted" / "bob" / SLUG
    shutil.rmtree(folder)
    tree(files)(folder)
    intake.put_in_place(folder, EXERCISE)
    made, sheet = converter(home), str(folder / SHEET)
    text, _ = made.exporter.from_filename(
        sheet, resources=made.init_single_notebook_resources(sheet)
    )
    found = {
        cell["metadata"].get("nbgrader", {}).get("grade_id"): cell["source"]
        for cell in json.loads(text)["cells"]
    }
    return "".join(found[EXERCISE.slot])


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({SHEET: sheet(WORK)}, WORK),
        ({SHEET: sheet(None), "work.zip": packed({SHEET: sheet(WORK)})}, WORK),
        ({f"{SLUG} (1).ipynb": sheet(WORK)}, WORK),
        ({SHEET: "no json", EXERCISE.file_name: WORK}, OPEN),
        ({EXERCISE.file_name: WORK}, OPEN),
        ({"paper.docx": "x"}, OPEN),
    ],
)
def test_nbgrader_is_given_the_notebook_that_counts_or_the_released_one(
    home: Path, files: dict[str, str | bytes], source: str
) -> None:
    assert given(home, files).strip() == source.strip()


def test_what_was_put_in_place_is_nobodys_hand_in(home: Path) -> None:
    given(home, {"photo.png": b"x"})
    folder = home / "submitted" / "bob" / SLUG
    assert (folder / SHEET).exists() and handed_in(items(folder), EXERCISE, "bob") is None
    assert explain(items(folder), EXERCISE, "bob").outcome is Outcome.UNGRADED


def test_a_notebook_that_is_none_or_too_large_is_an_error_that_says_so(home: Path) -> None:
    with pytest.raises(Ungraded, match="too large for a notebook"):
        given(home, {SHEET: " " * (LARGEST_PARCEL + 1)})
    with pytest.raises(ValueError):
        given(home, {SHEET: "no json"})
