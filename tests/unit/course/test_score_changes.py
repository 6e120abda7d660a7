"""Whoever is killed while scores are entered leaves a whole class, and no score that the log does
not tell of."""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nbgrader")

from nbformat import v4
from nbgrader.api import Gradebook
from sample_rows import RIGHT
from traitlets.config import Config

from course.class_roster import door
from course.nbgrader_glue.autograding import CourseSave, forget
from course.nbgrader_glue.gradebook import commit
from course.nbgrader_glue.gradebook_writer import GradebookWriter
from course.nbgrader_glue.score_changes import FILE
from graders.registry.catalogue import catalogue


class Killed(BaseException):
    """The process ends here."""


class Book:
    """A gradebook of one grade, in which the first commit kills."""

    def __init__(self, **grade: Any) -> None:
        self.grade = SimpleNamespace(
            name="law-3-1", manual_score=None, needs_manual_grade=False, **grade
        )
        self.grades = [self.grade]
        self.db = self

    def find_grade(self, *_: str) -> Any:
        return self.grade

    def find_submission_notebook(self, *_: str) -> Any:
        return self

    def commit(self) -> None:
        raise Killed


def logged(home: Path) -> list[tuple[str, str, str]]:
    with (home / FILE).open(encoding="utf-8", newline="") as file:
        return [(row["student"], row["before"], row["after"]) for row in csv.DictReader(file)]


def test_autograde_logs_a_score_before_it_commits_it(tmp_path: Path) -> None:
    config = Config()
    config.CourseDirectory.root = str(tmp_path)
    save = CourseSave(config=config)
    save.gradebook = Book(auto_score=2.0)
    save.assignment_id = save.notebook_id = "ex3_prefix_cache"
    save.student_id = "ada"
    marks = {
        "grade_id": "law-3-1",
        "grade": True,
        "solution": False,
        "points": 5,
        "schema_version": 3,
    }
    marks |= {"locked": True, "task": False, "cell_type": "code"}
    cell = v4.new_code_cell("", metadata={"nbgrader": marks}, outputs=[])
    names = {"student": "ada", "assignment": "ex3_prefix_cache", "notebook": "ex3_prefix_cache"}
    with pytest.raises(Killed):
        save._add_score(cell, {"nbgrader": names})
    assert logged(tmp_path) == [("ada", "2.0", "5.0")]


def test_a_score_that_is_taken_back_is_logged_too(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        forget(
            Book(auto_score=5.0),
            tmp_path,
            "ex3_prefix_cache",
            "ex3_prefix_cache",
            "ada",
            "course grade",
        )
    assert logged(tmp_path) == [("ada", "5.0", "")]


def test_killed_while_scores_are_entered_the_whole_class_is_on_the_roster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradebook is the roster of the same command typed again."""
    # nbgrader calls alembic
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    (tmp_path / "nbgrader_config.py").touch()
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        gradebook.add_assignment(catalogue(RIGHT.exercise).slug)

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(GradebookWriter, "_known", killed)
    with pytest.raises(Killed):
        commit(tmp_path, [replace(RIGHT, student=name) for name in ("ada", "bob", "../eve")])
    assert door(None, tmp_path).roster.ids == ("ada", "bob")
