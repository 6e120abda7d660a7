"""The questions of an exercise: in the lesson, answered in the editor, packed with the part."""

from __future__ import annotations

import zipfile

import click
import pytest
from conftest import Type

from course.exercise_text.questions import ANSWERS, answers, questions, unanswered
from course.targets import learner_file, solution_file
from course.workspace import Workspace, installed_root
from graders.registry.catalogue import catalogue, exercises

EXERCISE = catalogue(1)
READY = [exercise for exercise in exercises() if exercise.laws]


def answer(place: Workspace, *words: str) -> None:
    sheet = learner_file(place, EXERCISE).with_name(ANSWERS)
    pieces = sheet.read_text(encoding="utf-8").split("### Your answer\n")
    for number, text in enumerate(words, 1):
        pieces[number] = f"\n{text}\n{pieces[number]}"
    sheet.write_text("### Your answer\n".join(pieces), encoding="utf-8")


def solve(place: Workspace) -> None:
    learner_file(place, EXERCISE).write_bytes(solution_file(EXERCISE).read_bytes())


@pytest.mark.parametrize("exercise", READY, ids=lambda exercise: exercise.slug)
def test_lesson_and_sheet_ask_every_question_and_give_no_answer_away(exercise: object) -> None:
    entry = catalogue(exercise.number)  # type: ignore[attr-defined]
    home = installed_root() / "exercises" / entry.slug
    sheet = (home / ANSWERS).read_text(encoding="utf-8")
    asked = questions(solution_file(entry).parent)
    assert asked
    for question in asked:
        assert question.text in sheet and question.text in (home / "README.md").read_text(
            encoding="utf-8"
        )
        assert question.answer[:40] not in sheet
    assert unanswered(sheet) == list(range(1, len(asked) + 1))


def test_without_a_terminal_the_file_to_answer_in_is_made_and_named(
    course: Type, place: Workspace
) -> None:
    shown = course("explain", "1")
    assert shown.code == 0
    assert f"exercises/{EXERCISE.slug}/explain.md: 0 of 2 questions answered." in shown.out
    assert f"Next: write into exercises/{EXERCISE.slug}/explain.md" in shown.out
    answer(place, "Sheets, not notebooks.")
    again = course("explain", "1")
    assert "1 of 2 questions answered" in again.out
    assert (
        answers(learner_file(place, EXERCISE).with_name(ANSWERS).read_text())[0]
        == "Sheets, not notebooks."
    )


def test_an_editor_that_does_not_start_is_a_sentence(
    course: Type, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise click.ClickException("vi: Editing failed")

    monkeypatch.setattr(click, "edit", fail)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = course("explain", "1")
    assert shown.code == 2
    assert "set $EDITOR" in shown.err


def test_submit_packs_the_answers_beside_the_part_and_says_what_is_missing(
    course: Type, place: Workspace
) -> None:
    solve(place)
    assert "No answers to the questions in it: course explain 1" in course("submit", "1").out
    course("explain", "1")
    assert "No answers" in course("submit", "1", "--force").out
    answer(place, "", "The first to write copies.")
    shown = course("submit", "1", "--force")
    assert "Not answered yet: question 1." in shown.out
    with zipfile.ZipFile(place.root / f"{EXERCISE.slug}.zip") as archive:
        names = [f"{EXERCISE.slug}/{name}" for name in (EXERCISE.file_name, ANSWERS)]
        assert archive.namelist() == names
        assert "The first to write copies." in archive.read(names[1]).decode()
