"""What `course reset` keeps, `course restore` puts back."""

from __future__ import annotations

from conftest import Type

from course.targets import learner_file, stub_of
from course.workspace import Workspace
from graders.registry.catalogue import catalogue

EXERCISE = catalogue(1)


def test_reset_says_how_to_get_the_file_back_and_restore_does(
    course: Type, place: Workspace
) -> None:
    mine = learner_file(place, EXERCISE)
    mine.write_text("mine = 1\n")
    assert "course restore 1 puts it back" in " ".join(course("reset", "1").out.split())
    assert mine.read_text() == stub_of(EXERCISE)
    shown = course("restore", "1")
    assert shown.code == 0
    assert mine.read_text() == "mine = 1\n"
    assert "kept as .course/backups/" in shown.out  # the stub that was there
    assert course("restore", "1", "--backup", "2").code == 0
    assert mine.read_text() == stub_of(EXERCISE)


def test_a_backup_that_is_not_there_is_a_sentence(course: Type, place: Workspace) -> None:
    assert "there are no backups" in course("restore", "1").err
    learner_file(place, EXERCISE).write_text("mine = 1\n")
    course("reset", "1")
    shown = course("restore", "1", "--backup", "7")
    assert shown.code == 2
    assert "there is no backup 7; there are 1." in shown.err
