"""What is decided about a part is decided by records; no wording of a part, a file or a folder can
change it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from local_worker import LocalWorker
from rich.console import Console

import graders.checking.random_cases
import graders.checking.workers
import solutions
from course import rendering
from course.nbgrader_glue.student_api import law_of
from course.syntax_pointer import offence
from graders.batch.discovery import Discovery
from graders.batch.grade_job import pack, unpack
from graders.grading import grade
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, LawResult, Location, Outcome, Reason, Story


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.0)


def part(folder: Path, old: str, new: str) -> Path:
    entry = catalogue(1)
    text = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / entry.file_name
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def shown(law: LawResult) -> str:
    screen = Console(file=io.StringIO(), width=200)
    for line in rendering.failure(law, "next"):
        screen.print(line)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


# ---------------------------------------------------------------- what is not written yet


def test_a_part_that_says_that_something_is_not_written_yet_keeps_its_story(tmp_path: Path) -> None:
    raising = (
        "    def num_free(self) -> int:\n        raise RuntimeError('slot 3 is not written yet')\n"
    )
    path = part(tmp_path, "    def num_free(self) -> int:\n", raising)
    (law,) = grade(1, path, seed=1, only=["1.1"]).laws
    assert law.message.endswith("raised RuntimeError: slot 3 is not written yet.")
    assert law.reason is Reason.LAW
    assert rendering.law_line(law).plain.endswith("broken")
    told = shown(law)
    assert "The shortest story that breaks it:" in told
    assert "RuntimeError: slot 3 is not written yet" in told.split("expected")[1], "the traceback"
    assert "course check 1.1 --seed 1" in told


def test_what_raises_not_implemented_is_not_written_yet_whatever_it_says(tmp_path: Path) -> None:
    raising = "    def num_free(self) -> int:\n        raise NotImplementedError('done!')\n"
    (law,) = grade(
        1, part(tmp_path, "    def num_free(self) -> int:\n", raising), seed=1, only=["1.1"]
    ).laws
    assert law.reason is Reason.UNWRITTEN
    assert rendering.law_line(law).plain.endswith("not written yet")


def test_what_was_returned_is_told_whole_whatever_is_in_it(tmp_path: Path) -> None:
    entry = catalogue(2)
    path = tmp_path / entry.file_name
    text = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text(encoding="utf-8")
    signature = "    def plan(self) -> Plan:\n"
    assert signature in text
    path.write_text(
        text.replace(signature, f"{signature}        return 'one; two'\n", 1), encoding="utf-8"
    )
    (law,) = grade(2, path, seed=1, only=["2.1"]).laws
    assert law.story is not None
    assert law.story.got == "returned a str ('one; two')"
    assert (
        law.message
        == "`plan` returned a str ('one; two'); a Plan(chunks, preempted, copies) is due."
    )


# ---------------------------------------------------------------- where a problem lies


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\nreturn x\n", 2),  # the parser takes it, the compiler does not
        ("x = 1\n\nexec('y = = 1')\n", 3),  # the sentence names line 1, of another text
        ("x = 1\nimport graders\n", 2),
        ("x = 1\nraise ValueError('see handout, line 9')\n", 2),
        ("def f(:\n", 1),
    ],
)
def test_the_line_of_a_problem_is_the_parts_own(text: str, line: int, tmp_path: Path) -> None:
    entry = catalogue(1)
    path = tmp_path / entry.file_name
    path.write_text(text + "class BlockManager:\n    pass\n", encoding="utf-8")
    result = grade(1, path, seed=1)
    assert result.problem
    assert result.location == Location(entry.file_name, line)
    found = offence(path.read_text(encoding="utf-8"), result.location.line)
    assert found is not None and found.line == line


def test_a_problem_of_no_line_names_none(tmp_path: Path) -> None:
    path = tmp_path / "in line 1"
    path.mkdir()
    result = grade(1, path, seed=1)
    assert result.problem and not result.location


# ---------------------------------------------------------------- stored results


def result(story: Story | None = None) -> ExerciseResult:
    law = LawResult("1.1", "sizes", "…", Outcome.FAIL, 0.0, 5.0, "wrong", story)
    return ExerciseResult(1, "paged allocation", "x.py", (law,))


@pytest.mark.parametrize(
    ("where", "location"),
    [
        ("block_manager.py:57 (extend)", Location("block_manager.py", 57, "extend")),
        ("block_manager.py:57", Location("block_manager.py", 57)),
        ("extend", Location(function="extend")),
        ("", Location()),
    ],
)
def test_results_stored_before_there_were_locations_keep_theirs(
    where: str, location: Location
) -> None:
    stored = json.loads(pack(result(Story(("free(1)",), "1", "2"))))
    story = stored["laws"][0]["story"]
    del story["location"], stored["laws"][0]["reason"], stored["location"]
    story["where"] = where
    law = unpack(json.dumps(stored).encode()).laws[0]
    assert law.story is not None
    assert (law.story.location, law.story.where, law.reason) == (location, where, Reason.LAW)
    assert law_of(stored["laws"][0]) == law


def test_a_result_is_the_same_when_it_was_stored_and_tells_where_in_words_too() -> None:
    whole = result(Story(("free(1)",), "1", "2", Location("a.py", 3, "free"), "again", ("frame",)))
    assert unpack(pack(whole)) == whole
    assert json.loads(pack(whole))["laws"][0]["story"]["where"] == "a.py:3 (free)"
    assert unpack(pack(result())) == result()


# ---------------------------------------------------------------- what was handed in


@pytest.mark.parametrize("name", ["missing.zip", "no cell.zip", "No part.zip", "broken.zip"])
@pytest.mark.parametrize("wanted", [(), (3,)])
def test_what_cannot_be_read_is_called_so_whatever_its_name(
    name: str, wanted: tuple[int, ...], tmp_path: Path
) -> None:
    home = tmp_path / "class" / "ada"
    home.mkdir(parents=True)
    (home / name).write_bytes(b"no archive")
    (handed,) = Discovery(wanted).all([home.parent])
    assert handed.job.problem.startswith(f"{name} is no readable zip archive")
