"""Whose is it, which exercise is it for, and what when it is neither: everything handed in becomes
a row."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import sample_class

from course.targets import solution_file, stub_of
from graders.batch.discovery import Discovery
from graders.batch.jobs import UNKNOWN, GradeJob, Options
from graders.registry.catalogue import catalogue
from graders.result import Outcome

STUB = stub_of(catalogue(3))


def jobs(*paths: Path, wanted: tuple[int, ...] = ()) -> dict[tuple[str, int], GradeJob]:
    return {handed.job.who: handed.job for handed in Discovery(wanted).all(paths)}


def put(path: Path, text: str = STUB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "place",
    [
        "ada/prefix_cache.py",
        "ada/exercises/ex3_prefix_cache/prefix_cache.py",
        "ada/ex3_prefix_cache/prefix_cache.py",
        "ada/my_prefix_cache.py",
        "ada/work.py",
        "ada.py",
        "ada_prefix_cache.py",
        "prefix_cache-ada.py",
    ],
)
def test_a_part_is_found_where_people_put_it(tmp_path: Path, place: str) -> None:
    put(tmp_path / "class" / place)
    put(tmp_path / "class" / "bob" / "prefix_cache.py")
    found = jobs(tmp_path / "class")
    assert set(found) == {("ada", 3), ("bob", 3)}
    assert not found["ada", 3].problem


def test_a_folder_that_holds_a_part_is_one_student(tmp_path: Path) -> None:
    put(tmp_path / "ada" / "prefix_cache.py")
    put(tmp_path / "ada" / "notes.txt")
    assert set(jobs(tmp_path / "ada")) == {("ada", 3)}


def test_every_exercise_that_is_there_is_a_job(tmp_path: Path) -> None:
    put(tmp_path / "class" / "ada" / "prefix_cache.py")
    put(tmp_path / "class" / "ada" / "block_manager.py", stub_of(catalogue(1)))
    assert set(jobs(tmp_path / "class")) == {("ada", 1), ("ada", 3)}


def test_with_an_exercise_named_everybody_has_a_row(tmp_path: Path) -> None:
    put(tmp_path / "class" / "ada" / "prefix_cache.py")
    put(tmp_path / "class" / "bob" / "block_manager.py", stub_of(catalogue(1)))
    found = jobs(tmp_path / "class", wanted=(3,))
    assert set(found) == {("ada", 3), ("bob", 3)}
    assert found["bob", 3].problem == "prefix_cache.py is missing: there is none in bob."


def test_archives_and_notebooks_are_read_as_data(tmp_path: Path) -> None:
    expected = sample_class.enrol(
        tmp_path / "class",
        [
            sample_class.archive(3, "ada", STUB, "fail"),
            sample_class.notebook(3, "bob", STUB, "fail"),
        ],
    )
    handed = {each.job.who: each for each in Discovery().all([tmp_path / "class"])}
    assert set(handed) == set(expected)
    assert {each.data.decode() for each in handed.values()} == {STUB}


def sheet(path: Path, text: str, name: str = "prefix_cache") -> Path:
    """A notebook with a law's cell and one cell to write in."""
    law = {
        "cell_type": "code",
        "metadata": {"nbgrader": {"grade_id": "law-3-1", "grade": True}},
        "source": "check()",
    }
    mine = {
        "cell_type": "code",
        "metadata": {"nbgrader": {"grade_id": name, "solution": True}},
        "source": text,
    }
    return put(path, json.dumps({"nbformat": 4, "metadata": {}, "cells": [mine, law]}))


WRITTEN = "class PrefixCache:\n    def match(self, tokens):\n        return ()\n"
OTHER = f"{WRITTEN}    size = 1\n"


@pytest.mark.parametrize(
    ("file", "cell", "counts"),
    [
        (STUB, STUB, STUB),
        (WRITTEN, STUB, WRITTEN),
        (STUB, WRITTEN, WRITTEN),
        (OTHER, WRITTEN, WRITTEN),
    ],
)
@pytest.mark.parametrize("home", ["ada", "ada/ex3_prefix_cache", "ada/exercises/ex3_prefix_cache"])
def test_what_was_written_counts_and_not_the_stub_beside_it(
    tmp_path: Path, home: str, file: str, cell: str, counts: str
) -> None:
    """As in nbgrader: the notebook's cell if anything is written in it, else the file."""
    put(tmp_path / "class" / home / "prefix_cache.py", file)
    sheet(tmp_path / "class" / home / "ex3_prefix_cache.ipynb", cell)
    put(tmp_path / "class" / "bob" / "prefix_cache.py")
    found = {each.job.student: each for each in Discovery((3,)).all([tmp_path / "class"])}
    assert found["ada"].data.decode() == counts


def test_a_file_that_cannot_be_read_is_named_and_not_hidden_by_a_stub(tmp_path: Path) -> None:
    (tmp_path / "class" / "ada").mkdir(parents=True)
    (tmp_path / "class" / "ada" / "prefix_cache.py").symlink_to("/etc/hostname")
    sheet(tmp_path / "class" / "ada" / "ex3_prefix_cache.ipynb", STUB)
    assert "is a symbolic link" in jobs(tmp_path / "class", wanted=(3,))["ada", 3].problem
    sheet(tmp_path / "class" / "ada" / "ex3_prefix_cache.ipynb", WRITTEN)
    assert not jobs(tmp_path / "class", wanted=(3,))["ada", 3].problem


def test_a_notebook_with_another_name_and_a_renamed_cell_is_found(tmp_path: Path) -> None:
    sheet(tmp_path / "class" / "ada" / "final version (2).ipynb", WRITTEN, "mine")
    put(tmp_path / "class" / "bob" / "prefix_cache.py")
    found = {each.job.who: each for each in Discovery().all([tmp_path / "class"])}
    assert found["ada", 3].data.decode() == WRITTEN


def test_loose_archives_are_named_for_their_students(tmp_path: Path) -> None:
    paths = []
    for name in ("ada", "bob_ex3_prefix_cache"):
        paths.append(tmp_path / f"{name}.zip")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            archive.writestr("prefix_cache.py", STUB)
    assert set(jobs(*paths)) == {("ada", 3), ("bob", 3)}


def test_nothing_that_can_be_wrong_stops_the_others(tmp_path: Path) -> None:
    pupils = list(sample_class.broken_inputs(3))
    sample_class.enrol(tmp_path / "class", pupils)
    found = jobs(tmp_path / "class", wanted=(3,))
    assert {name for name, _ in found} == {pupil.name for pupil in pupils}
    silent = {pupil.name for pupil in pupils if pupil.says not in found[pupil.name, 3].problem}
    odd = {'qu"ote', "=1+1", "new\nline", "Ωмега 你好", "no\udcffutf8"}
    assert silent == {"old notebook", "cell twice"} | odd
    # read by the judge, who says what is wrong
    assert all(not found[name, 3].problem for name in silent)


def test_what_belongs_to_no_exercise_is_a_row_too(tmp_path: Path) -> None:
    put(tmp_path / "class" / "ada" / "prefix_cache.py")
    put(tmp_path / "class" / "bob" / "essay.docx")
    put(tmp_path / "class" / "cyd" / "README.md")
    found = jobs(tmp_path / "class")
    looked = "No part of any exercise was found in bob, but essay.docx; a person has to look."
    assert (found["bob", UNKNOWN].problem, found["bob", UNKNOWN].blame) == (looked, "ungraded")
    assert found["cyd", UNKNOWN].problem == "No part of any exercise was found in cyd."
    assert found["cyd", UNKNOWN].blame == "fail"


def test_two_different_parts_of_one_student_are_not_chosen_between(tmp_path: Path) -> None:
    put(tmp_path / "class" / "ada" / "prefix_cache.py", WRITTEN)
    put(tmp_path / "class" / "ada.py", solution_file(catalogue(3)).read_text())
    put(tmp_path / "class" / "bob" / "prefix_cache.py")
    found = jobs(tmp_path / "class")["ada", 3]
    assert not found.problem
    assert found.notices == ("ada.py was not judged; prefix_cache.py was.",)
    put(tmp_path / "class" / "ada" / "hw" / "prefix_cache.py", OTHER)
    assert "are different parts" in jobs(tmp_path / "class")["ada", 3].problem


def test_a_link_to_another_students_folder_is_no_submission(tmp_path: Path) -> None:
    put(tmp_path / "class" / "ada" / "prefix_cache.py")
    (tmp_path / "class" / "bob").symlink_to(tmp_path / "class" / "ada")
    job = jobs(tmp_path / "class")["bob", UNKNOWN]
    assert "is a symbolic link" in job.problem
    assert job.blame == Outcome.INVALID


@pytest.mark.parametrize("link", ["exercises", "ex3_prefix_cache", "exercises/ex3_prefix_cache"])
@pytest.mark.parametrize("one", [True, False])
def test_a_folder_that_is_a_link_is_tampering_wherever_it_stands(
    tmp_path: Path, link: str, one: bool
) -> None:
    """At the top of Gradescope's layout (`one`) as deep in a class."""
    target = tmp_path / "elsewhere" / ("ex3_prefix_cache" if link == "exercises" else "")
    put(target / "prefix_cache.py", solution_file(catalogue(3)).read_text())
    put(target / "ex3_prefix_cache" / "prefix_cache.py", solution_file(catalogue(3)).read_text())
    student = tmp_path / "class" / "bob"
    (student / link).parent.mkdir(parents=True)
    (student / link).symlink_to(target)
    place = student if one else tmp_path / "class"
    (handed,) = Discovery((3,), one=one).all([place])
    assert (
        handed.job.blame == Outcome.INVALID
        and "is a symbolic link" in handed.job.problem
        and not handed.data
    )


@pytest.mark.parametrize(
    "file",
    [
        "bob_block_manager.py",
        "bob-prefix_cache.zip",
        "ex3_prefix_cache bob.py",
        "block_manager_bob.py",
    ],
)
def test_a_file_that_is_named_for_somebody_costs_them_nothing(tmp_path: Path, file: str) -> None:
    put(tmp_path / "class" / "bob" / "block_manager.py", solution_file(catalogue(1)).read_text())
    put(tmp_path / "class" / "ada" / "block_manager.py", stub_of(catalogue(1)))
    put(tmp_path / "class" / file)
    found = jobs(tmp_path / "class")
    assert not found["bob", 1].problem
    assert {student for student, _ in found} == {"ada", "bob", file}
    assert all(
        "whose is it?" in job.problem for (student, _), job in found.items() if student == file
    )


@pytest.mark.parametrize(
    "entry",
    [
        "block_manager.py",
        "ex1_paged_allocation/block_manager.py",
        "exercises/x/y.py",
        "ex2_batching_scheduler/notes",
    ],
)
def test_an_entry_that_is_named_like_an_exercise_makes_nobody_vanish(
    tmp_path: Path, entry: str
) -> None:
    for student in ("ada", "bob", "cyd"):
        put(tmp_path / "class" / student / "prefix_cache.py", f"# {student}\n{STUB}")
    put(tmp_path / "class" / entry)
    assert {("ada", 3), ("bob", 3), ("cyd", 3)} < set(jobs(tmp_path / "class"))


def test_a_clone_of_the_course_is_one_students(tmp_path: Path) -> None:
    for folder in ("exercises", "solutions"):
        put(tmp_path / "ada" / folder / "ex3_prefix_cache" / "prefix_cache.py")
    assert set(jobs(tmp_path / "ada")) == {("ada", 3)}


def test_a_journal_beside_the_students_is_no_student(tmp_path: Path) -> None:
    put(tmp_path / "class" / "ada" / "prefix_cache.py")
    put(tmp_path / "class" / "ada.journal" / "plan.json", "{}")
    put(tmp_path / "class" / ".DS_Store", "")
    assert set(jobs(tmp_path / "class")) == {("ada", 3)}


def test_the_key_names_the_part_and_how_it_is_judged(tmp_path: Path) -> None:
    def key(text: str, options: Options | None = None) -> str:
        put(tmp_path / "class" / "ada" / "prefix_cache.py", text)
        (handed,) = Discovery((), options or Options()).all([tmp_path / "class"])
        return handed.job.key

    same = key("x = 1\n")
    assert key("\N{BYTE ORDER MARK}x = 1\r\n") == same
    (tmp_path / "bounds.toml").write_text("measure = []")
    others = (
        Options(laws_only=True),
        Options(require="L3"),
        Options(bounds=str(tmp_path / "bounds.toml")),
    )
    assert len({same, key("x = 2\n"), *(key("x = 1\n", options) for options in others)}) == 5
