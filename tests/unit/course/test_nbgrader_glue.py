"""Notebooks from the single source, submissions put in order, verdicts as outputs; all of it
without nbgrader."""

from __future__ import annotations

import ast
import copy
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Type

import graders.batch.grade_job
from course import nbgrader_glue
from course.errors import Problem
from course.exercise_text.lessons import EXPLAIN
from course.exercise_text.questions import questions
from course.nbgrader_glue import (
    answer_sheet,
    feedback,
    grade_cell,
    notebook,
    solution_cell,
    student_api,
    submission_metadata,
    write_outputs,
)
from course.nbgrader_glue.feedback import Ungraded
from course.nbgrader_glue.grade_cell import GradingTerms
from course.nbgrader_glue.gradebook import BadName, check_name, commit, expect
from course.nbgrader_glue.restore_cells import PUT_BACK, ReleasedCell, restore
from course.targets import solution_file, stub_of
from graders.registry.catalogue import catalogue, exercises
from graders.result import ExerciseResult, LawResult, Location, Outcome, Story
from graders.submissions.notebook import untouched, washed
from graders.submissions.submission_reader import Declared, take

Notebook = dict[str, Any]
EXERCISE = catalogue(3)
SOLVED = solution_file(EXERCISE).read_text(encoding="utf-8")
GRADE_ID = re.compile(r"[A-Za-z0-9_-]+")


def nbgrader_cells(sheet: Notebook) -> dict[str, Any]:
    return {
        write_outputs.grade_id(cell): cell
        for cell in sheet["cells"]
        if write_outputs.grade_id(cell)
    }


def released() -> list[ReleasedCell]:
    found = []
    for name, cell in nbgrader_cells(notebook.release(EXERCISE)).items():
        mark = cell["metadata"]["nbgrader"]
        points = mark.get("points")
        found.append(
            ReleasedCell(name, cell["cell_type"], cell["source"], "sum", mark["grade"], mark["solution"], points)
        )  # fmt: skip
    return found


def put_in_order(sheet: Notebook) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The known cells after restoring, and the notices."""
    page = [washed(cell) for cell in notebook.release(EXERCISE)["cells"]]
    found = restore(sheet["cells"], released(), (EXERCISE.class_name,), page)
    names = [write_outputs.grade_id(cell) for cell in found.cells if write_outputs.grade_id(cell)]
    assert names == sorted(names, key=[known.grade_id for known in released()].index), (
        "the order as released"
    )
    return nbgrader_cells({"cells": found.cells}), found.notices


def submission(code: str = SOLVED) -> Notebook:
    sheet = notebook.release(EXERCISE)
    nbgrader_cells(sheet)[EXERCISE.slot]["source"] = code
    return sheet


def law(number: int, outcome: Outcome, **fields: Any) -> LawResult:
    entry = EXERCISE.laws[number - 1]
    points = entry.points if outcome is Outcome.PASS else 0.0
    given = LawResult(entry.number, entry.name, entry.statement, outcome, points, entry.points)
    return replace(given, **fields)


def result(*outcomes: Outcome) -> ExerciseResult:
    padded = [*outcomes, *[Outcome.PASS] * (len(EXERCISE.laws) - len(outcomes))]
    laws = tuple(law(number, outcome, message="why") for number, outcome in enumerate(padded, 1))
    return ExerciseResult(EXERCISE.number, EXERCISE.name, "x.py", laws)


# ---------------------------------------------------------------- notebooks


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.slug)
@pytest.mark.parametrize("make", [notebook.source, notebook.release])
def test_a_notebook_has_one_solution_cell_a_locked_cell_a_law_and_questions_for_a_person(
    exercise: Any, make: Any
) -> None:
    sheet = make(exercise)
    marks = {name: cell["metadata"]["nbgrader"] for name, cell in nbgrader_cells(sheet).items()}
    laws = {notebook.law_id(entry.number): entry for entry in exercise.laws}
    assert [name for name, mark in marks.items() if mark["solution"] and not mark["grade"]] == [
        exercise.slot
    ]
    assert {name for name, mark in marks.items() if mark["grade"] and mark["locked"]} == set(laws)
    assert all(marks[name]["points"] == entry.points for name, entry in laws.items())
    asked = [mark for mark in marks.values() if mark["grade"] and mark["solution"]]
    assert len(asked) == 2 and all(mark["cell_type"] == "markdown" for mark in asked)
    assert all(
        mark["schema_version"] == 3 and GRADE_ID.fullmatch(name) for name, mark in marks.items()
    )
    assert len({cell["id"] for cell in sheet["cells"]}) == len(sheet["cells"])


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.slug)
def test_the_students_cell_is_the_stub_and_gives_nothing_away(exercise: Any) -> None:
    text = notebook.text(notebook.release(exercise))
    cell = nbgrader_cells(json.loads(text))[exercise.slot]["source"]
    assert cell == stub_of(exercise).partition("\n")[2].rstrip("\n")
    assert untouched(cell) and untouched(stub_of(exercise)) and not untouched(SOLVED)
    assert "SOLUTION" not in text
    for answer in [question.answer for question in questions(solution_file(exercise).parent)]:
        assert answer[:40] not in text


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.slug)
def test_every_code_cell_is_python_and_a_law_cell_checks_its_own_law(exercise: Any) -> None:
    for name, cell in nbgrader_cells(notebook.source(exercise)).items():
        if cell["cell_type"] == "code":
            calls = [
                node for node in ast.walk(ast.parse(cell["source"])) if isinstance(node, ast.Call)
            ]
            if name.startswith("law-"):
                assert [ast.unparse(call) for call in calls] == [
                    f"check('{name[4:].replace('-', '.')}')"
                ]


def test_the_same_input_gives_the_same_bytes() -> None:
    assert notebook.text(notebook.source(EXERCISE)) == notebook.text(notebook.source(EXERCISE))


def test_the_lesson_is_there_word_for_word() -> None:
    text = solution_file(EXERCISE).with_name("README.md").read_text(encoding="utf-8")
    lesson, asked, _ = text.partition("## Explain it back")  # the questions have cells of their own
    assert asked
    said = "\n\n".join(cell["source"] for cell in notebook.release(EXERCISE)["cells"])
    lesson = lesson.partition(EXPLAIN)[0]  # the questions have cells of their own
    assert all(line in said for line in lesson.splitlines() if line and not line.startswith("<!--"))


# ---------------------------------------------------------------- putting a submission in order


def test_an_orderly_submission_stays_as_it_is() -> None:
    cells, notices = put_in_order(submission())
    assert notices == ()
    assert cells[EXERCISE.slot]["source"] == SOLVED
    assert set(cells) == {known.grade_id for known in released()}


def test_deleted_law_cells_come_back_in_their_places() -> None:
    sheet = submission()
    sheet["cells"] = [
        cell for cell in sheet["cells"] if not write_outputs.grade_id(cell).startswith("law-3-")
    ]
    cells, notices = put_in_order(sheet)
    assert len(notices) == len(EXERCISE.laws)
    assert (
        cells["law-3-1"]["source"]
        == nbgrader_cells(notebook.release(EXERCISE))["law-3-1"]["source"]
    )


def test_changes_to_locked_cells_and_marks_are_undone() -> None:
    sheet = submission()
    cell = nbgrader_cells(sheet)["law-3-1"]
    cell["source"] = "12.0"
    cell["metadata"]["nbgrader"] |= {
        "points": 1000,
        "schema_version": 99,
        "solution": True,
        "locked": False,
    }
    cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "12.0"}}]
    mended = put_in_order(sheet)[0]["law-3-1"]
    assert mended["metadata"]["nbgrader"]["points"] == EXERCISE.laws[0].points
    assert mended["metadata"]["nbgrader"]["schema_version"] == 3 and "check(" in mended["source"]
    assert mended["outputs"] == []


def test_of_copies_the_last_one_that_was_written_in_counts() -> None:
    sheet = submission()
    stub = nbgrader_cells(notebook.release(EXERCISE))[EXERCISE.slot]
    first = copy.deepcopy(nbgrader_cells(sheet)[EXERCISE.slot]) | {
        "source": "class PrefixCache: first = 1"
    }
    sheet["cells"] = [first, *sheet["cells"], stub]
    cells, notices = put_in_order(sheet)
    assert cells[EXERCISE.slot]["source"] == SOLVED
    assert notices == (
        "the cell prefix_cache was there 3 times; the last one that was written in counts.",
    )


def test_a_renamed_cell_is_known_again() -> None:
    sheet = submission()
    for name in (EXERCISE.slot, "explain-3-2"):
        nbgrader_cells(sheet)[name]["metadata"]["nbgrader"]["grade_id"] = f"my-{name}"
    for cell in sheet["cells"]:
        if write_outputs.grade_id(cell) == "my-explain-3-2":
            cell["source"] = "Because."
    cells, notices = put_in_order(sheet)
    assert cells[EXERCISE.slot]["source"] == SOLVED and cells["explain-3-2"]["source"] == "Because."
    assert len(notices) == 2


def test_a_solution_whose_marks_were_lost_is_found_by_what_it_defines() -> None:
    sheet = submission()
    nbgrader_cells(sheet)[EXERCISE.slot]["metadata"] = {}
    cells, notices = put_in_order(sheet)
    assert cells[EXERCISE.slot]["source"] == SOLVED
    assert notices == (
        "the cell prefix_cache was gone; the last cell that defines the part counts.",
    )


def test_a_deleted_solution_becomes_the_stub_again() -> None:
    sheet = submission()
    sheet["cells"] = [
        cell for cell in sheet["cells"] if write_outputs.grade_id(cell) != EXERCISE.slot
    ]
    cells, notices = put_in_order(sheet)
    assert untouched(cells[EXERCISE.slot]["source"])
    assert notices == ("the cell prefix_cache was missing; it was put back as it was released.",)


@pytest.mark.parametrize(
    "junk",
    [
        7,
        {},
        {"cell_type": "code"},
        {"cell_type": ["code"], "metadata": 3, "source": {"a": 1}},
        {"cell_type": "code", "metadata": {"nbgrader": "yes"}, "source": ["a", "b"], "outputs": 1},
        {
            "cell_type": "markdown",
            "metadata": {"nbgrader": {"grade_id": ["prefix_cache"]}},
            "source": "",
            "outputs": [],
        },
    ],
)
def test_cells_that_are_none_stop_nothing(junk: Any) -> None:
    sheet = submission()
    sheet["cells"].insert(0, junk)
    cells, notices = put_in_order(sheet)
    assert cells[EXERCISE.slot]["source"] == SOLVED
    assert not [notice for notice in notices if "not released" not in notice]


def test_half_a_character_in_an_answer_stops_nothing() -> None:
    sheet = submission()
    nbgrader_cells(sheet)["explain-3-1"]["source"] = json.loads('"so \\ud800 it is"')
    assert put_in_order(sheet)[0]["explain-3-1"]["source"] == "so ? it is"


def test_an_answer_whose_mark_was_lost_is_known_by_its_place() -> None:
    sheet = submission()
    for name in ("explain-3-1", "explain-3-2"):
        answer = nbgrader_cells(sheet)[name]
        answer["source"], answer["id"] = f"My answer to {name}.", "x"
    for cell in sheet["cells"]:
        cell["metadata"].pop("nbgrader", None)
    cells, notices = put_in_order(sheet)
    assert [cells[f"explain-3-{number}"]["source"] for number in (1, 2)] == [
        "My answer to explain-3-1.",
        "My answer to explain-3-2.",
    ]
    assert any("had lost its mark" in notice for notice in notices)


def test_an_answer_that_is_gone_is_marked_for_a_person() -> None:
    sheet = submission()
    sheet["cells"] = [cell for cell in sheet["cells"] if "explain-3-1" not in cell["id"]]
    cells, _ = put_in_order(sheet)
    assert cells["explain-3-1"]["metadata"][PUT_BACK]
    assert PUT_BACK not in cells["explain-3-2"]["metadata"]


def test_answers_handed_in_as_a_sheet_go_into_cells_in_which_nothing_was_answered(
    tmp_path: Path,
) -> None:
    text = "## Question 1 (10 points)\n\nWhy?\n\n### Your answer\n\nBecause.\n\n## Question 2 (10 points)\n\nHow?\n"
    (tmp_path / "explain.md").write_text(f"{text}\n### Your answer\n\nSo.\n")
    cells = nbgrader_cells(notebook.release(EXERCISE))
    cells["explain-3-2"]["source"] = "In the notebook."
    answer_sheet.fill_in(cells.values(), EXERCISE, answer_sheet.text(tmp_path / "explain.md", ""))
    assert [cells[f"explain-3-{number}"]["source"] for number in (1, 2)] == [
        "Because.",
        "In the notebook.",
    ]


def test_an_empty_notebook_gets_every_cell() -> None:
    cells, _ = put_in_order({"cells": []})
    assert set(cells) == {known.grade_id for known in released()}


# ---------------------------------------------------------------- which text is the part


def _renamed(sheet: Notebook) -> None:
    nbgrader_cells(sheet)[EXERCISE.slot]["metadata"]["nbgrader"]["grade_id"] = "mine"


def _unmarked(sheet: Notebook) -> None:
    del nbgrader_cells(sheet)[EXERCISE.slot]["metadata"]["nbgrader"]


def _copied(sheet: Notebook) -> None:
    mine = nbgrader_cells(sheet)[EXERCISE.slot]
    stub = nbgrader_cells(notebook.release(EXERCISE))[EXERCISE.slot]["source"]
    older = {
        **json.loads(json.dumps(mine)),
        "source": "class PrefixCache:\n    def match(self): return 1",
    }
    sheet["cells"] = [
        older,
        *sheet["cells"],
        {**json.loads(json.dumps(mine)), "source": f"{stub}\n# a note"},
    ]


def _written_elsewhere(sheet: Notebook) -> None:
    nbgrader_cells(sheet)["law-3-1"]["source"] = SOLVED.replace("def match", "def mismatch")
    mine = {"cell_type": "code", "metadata": {}, "source": SOLVED.splitlines(keepends=True)}
    sheet["cells"][sheet["cells"].index(nbgrader_cells(sheet)[EXERCISE.slot])] = mine


def _of_another_type(sheet: Notebook) -> None:
    nbgrader_cells(sheet)[EXERCISE.slot]["cell_type"] = "markdown"


def _with_magic(sheet: Notebook) -> None:
    mine = nbgrader_cells(sheet)[EXERCISE.slot]
    mine["source"] = f"%%time\n{mine['source']}"


@pytest.mark.parametrize(
    "disturb",
    [
        lambda sheet: None,
        _renamed,
        _unmarked,
        _copied,
        _written_elsewhere,
        _of_another_type,
        _with_magic,
    ],
)
def test_a_batch_reads_the_same_part_as_nbgrader(
    disturb: Callable[[Notebook], None], tmp_path: Path
) -> None:
    sheet = submission()
    disturb(sheet)
    (tmp_path / "any.ipynb").write_text(notebook.text(sheet), encoding="utf-8")
    taken = take(tmp_path / "any.ipynb", Declared.of(EXERCISE)).data.decode()
    cells, _ = put_in_order(sheet)
    assert solution_cell.choose(EXERCISE, cells[EXERCISE.slot]["source"], None).text == taken
    assert taken.removeprefix("# %%time\n").strip() == SOLVED.strip()


def test_the_cell_counts_unless_only_the_file_beside_it_was_written() -> None:
    stub = nbgrader_cells(notebook.release(EXERCISE))[EXERCISE.slot]["source"]
    assert solution_cell.choose(EXERCISE, SOLVED, "x = 1").found == "the solution cell"
    assert solution_cell.choose(EXERCISE, stub, SOLVED).text == SOLVED
    assert solution_cell.choose(EXERCISE, stub, stub_of(EXERCISE)).found == "the solution cell"
    assert solution_cell.choose(EXERCISE, stub, None).text == stub
    assert solution_cell.choose(EXERCISE, "def broken(:", SOLVED).text == "def broken(:"


def test_a_magic_in_the_first_line_moves_no_line_number() -> None:
    assert solution_cell.choose(EXERCISE, "%%time\nx = 1", None).text == "# %%time\nx = 1"


def test_the_newest_input_that_defines_the_part_is_the_one() -> None:
    inputs = [
        "class PrefixCache: a = 1",
        "class PrefixCache: b = 1",
        "cache = PrefixCache(4)",
        "1/0",
        "def f(:",
    ]
    assert solution_cell.newest(EXERCISE, inputs) == inputs[1]
    assert solution_cell.newest(EXERCISE, inputs[2:]) is None
    assert (
        solution_cell.newest(catalogue(4), ["def compact(verdict, slots): ...", "x = 1"])
        == "def compact(verdict, slots): ..."
    )


# ---------------------------------------------------------------- outputs


def test_a_law_that_holds_ends_in_exactly_one_number() -> None:
    said = feedback.outputs(law(1, Outcome.PASS))
    assert [output["output_type"] for output in said] == ["stream", "execute_result"]
    assert float(said[1]["data"]["text/plain"]) == EXERCISE.laws[0].points
    assert said[0]["name"] == "stdout", "anything on stderr is a zero for nbgrader"


@pytest.mark.parametrize(
    "outcome", [Outcome.FAIL, Outcome.SKIPPED, Outcome.TIMEOUT, Outcome.CRASH, Outcome.INVALID]
)
def test_no_points_is_an_error_that_names_the_law(outcome: Outcome) -> None:
    said = feedback.outputs(law(2, outcome, message="first\nsecond"))
    assert [output["output_type"] for output in said] == ["stream", "error"]
    assert said[1]["traceback"] == [
        f"{said[1]['ename']}: law 3.2, {EXERCISE.laws[1].name}: first second"
    ]
    assert (said[1]["ename"] == feedback.INVALID) is (outcome is Outcome.INVALID)


def test_feedback_tells_the_story_and_carries_no_escape_sequence() -> None:
    story = Story(
        ("insert([1], [2])", "match([1]) -> \x1b[31mred"),
        "2",
        "1",
        location=Location("prefix_cache.py", 7, "match"),
    )
    text = feedback.told(
        law(1, Outcome.FAIL, message="wrong \x1b]0;title\x07", story=story, output="\x1b[2J")
    )
    assert (
        "insert([1], [2])" in text
        and "prefix_cache.py:7 (match)" in text
        and "course hint 3.1" in text
    )
    assert "\x1b" not in text


@pytest.mark.parametrize("points", [math.nan, math.inf, -1.0, 1000.0])
def test_a_score_out_of_range_is_never_written(points: float) -> None:
    with pytest.raises(Ungraded):
        feedback.outputs(law(1, Outcome.PASS, points=points))


def test_a_verdict_is_marked_into_all_law_cells_or_none() -> None:
    sheet = submission()
    write_outputs.mark(
        sheet["cells"], result(Outcome.FAIL), "the solution cell", ["something was odd."]
    )
    cells = nbgrader_cells(sheet)
    assert cells["law-3-1"]["outputs"][-1]["output_type"] == "error"
    others = [cell for name, cell in cells.items() if name.startswith("law-") and name != "law-3-1"]
    assert all(cell["outputs"][-1]["output_type"] == "execute_result" for cell in others) and others
    assert "something was odd." in cells[EXERCISE.slot]["outputs"][0]["text"]


@pytest.mark.parametrize("change", ["points", "missing", "ungraded"])
def test_a_verdict_that_does_not_fit_the_notebook_changes_nothing(change: str) -> None:
    sheet, judged = submission(), result()
    if change == "points":
        nbgrader_cells(sheet)["law-3-2"]["metadata"]["nbgrader"]["points"] = 3
    elif change == "missing":
        judged = replace(judged, laws=judged.laws[1:])
    else:
        judged = result(Outcome.PASS, Outcome.UNGRADED)
    before = copy.deepcopy(sheet)
    with pytest.raises(Ungraded):
        write_outputs.mark(sheet["cells"], judged, "the solution cell")
    assert sheet == before


# ---------------------------------------------------------------- verdicts


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Results to be given, the last one for ever; afterwards the keyword arguments it was asked
    with."""
    plan: list[Any] = []

    def decide(exercise: int, path: Path, seed: int | None, **asked: Any) -> ExerciseResult:
        plan.append(asked | {"seed": seed})
        given = [entry for entry in plan if isinstance(entry, ExerciseResult)]
        if len(given) > 1:
            plan.remove(given[0])
        return given[0]

    monkeypatch.setattr(graders.batch.grade_job, "decide", decide)
    return plan


def test_what_could_not_be_judged_is_tried_again(graded: list[Any]) -> None:
    graded += [result(Outcome.FAIL, Outcome.UNGRADED), result(Outcome.UNGRADED), result()]
    assert grade_cell.judge(EXERCISE, SOLVED.encode(), GradingTerms(salt=1)).passed
    seeds = [asked["seed"] for asked in graded if isinstance(asked, dict)]
    assert len(seeds) == 3 and len(set(seeds)) == 1


def test_what_can_never_be_judged_raises_with_the_reason(graded: list[Any]) -> None:
    graded.append(result(Outcome.PASS, Outcome.UNGRADED))
    with pytest.raises(Ungraded, match="exercise 3 could not be judged: why"):
        grade_cell.judge(EXERCISE, SOLVED.encode(), GradingTerms(retries=1))
    assert sum(isinstance(asked, dict) for asked in graded) == 2


def test_isolation_below_what_the_course_requires_is_no_verdict(graded: list[Any]) -> None:
    graded.append(replace(result(), advisory=True, isolation="L1"))
    with pytest.raises(
        Ungraded, match=r"isolation L1 is below L3, which .*; no score. `course doctor"
    ):
        grade_cell.judge(EXERCISE, SOLVED.encode(), GradingTerms(require="L3"))


def test_the_same_text_gets_the_same_stories_and_another_text_others() -> None:
    seeds = [
        grade_cell.seed_of(EXERCISE, data, salt)
        for data, salt in ((b"a", 1), (b"a", 1), (b"b", 1), (b"a", 2))
    ]
    assert seeds[0] == seeds[1] and len(set(seeds)) == 3


# ---------------------------------------------------------------- what the student runs


def test_the_students_check_judges_the_newest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    student_api.check("3.1", ["class PrefixCache: pass", SOLVED, "print(1)"])
    assert capsys.readouterr().out.startswith("✓ 3.1")


def test_the_students_check_of_a_broken_part_tells_the_story_and_raises_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(student_api.LawBroken) as caught:
        student_api.check("3.1", ["class PrefixCache:\n    def __init__(self, block_size): pass"])
    assert str(caught.value).startswith("law 3.1, longest prefix: ")
    assert caught.value._render_traceback_() == [f"LawBroken: {caught.value}"]
    assert "Law 3.1" in capsys.readouterr().out


def test_the_students_check_of_a_law_whose_needs_are_broken_shows_no_points(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in grading: the cell of 3.2 alone once showed full points where grading gives none."""
    monkeypatch.chdir(tmp_path)
    needs = EXERCISE.laws[1].needs
    assert needs == ("3.1",)
    with pytest.raises(student_api.NotJudged, match=r"has no points yet: it needs 3\.1 first"):
        student_api.check("3.2", ["class PrefixCache:\n    def __init__(self, block_size): pass"])


def test_the_students_check_without_a_cell_says_what_to_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(student_api.NotJudged, match="run the cell with your code first"):
        student_api.check("3.1", ["print(1)"])


def test_a_law_comes_back_from_json_as_it_was() -> None:
    told = law(1, Outcome.FAIL, story=Story(("a", "b"), "1", "2", traceback=("f",)))
    data = json.loads(json.dumps(replace(result(), laws=(told,)).to_json()))["laws"][0]
    assert student_api.law_of(data) == told


# ---------------------------------------------------------------- course instructor


def test_init_makes_a_complete_course_and_leaves_what_is_there(
    course: Type, tmp_path: Path
) -> None:
    home = tmp_path / "class of 'ü'"
    assert course("instructor", "init", str(home), "-e", "1", "-e", "3").code == 0
    files = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    slugs = (catalogue(1).slug, catalogue(3).slug)
    assert {f"source/{slug}/{slug}.ipynb" for slug in slugs} < files
    assert (home / "source" / slugs[0] / "block_manager.py").read_text(encoding="utf-8") == stub_of(
        catalogue(1)
    )
    assert {"nbgrader_config.py", "students.csv", "README.md"} < files and (
        home / "exchange"
    ).is_dir()
    config = (home / "nbgrader_config.py").read_text(encoding="utf-8")
    compile(config, "nbgrader_config.py", "exec")
    assert 'require_isolation = "L2"' in config
    assert int(re.findall(r"salt = (\d+)", config)[0]).bit_length() > 100
    (home / "students.csv").write_text("mine", encoding="utf-8")
    (home / f"source/{slugs[0]}/{slugs[0]}.ipynb").write_text("old", encoding="utf-8")
    assert "5 were there already" in course("instructor", "init", str(home), "-e", "1").out
    assert course("instructor", "init", str(home), "-e", "1", "--renew").code == 0
    assert (home / "students.csv").read_text(encoding="utf-8") == "mine"
    renewed = (home / f"source/{slugs[0]}/{slugs[0]}.ipynb").read_text(encoding="utf-8")
    assert renewed == notebook.text(notebook.source(catalogue(1)))
    assert (home / "nbgrader_config.py").read_text(encoding="utf-8") == config


def test_every_class_that_the_configuration_names_is_known(course: Type, tmp_path: Path) -> None:
    course("instructor", "init", str(tmp_path))
    named = set(
        re.findall(
            r"course\.nbgrader_glue\.(\w+)", (tmp_path / "nbgrader_config.py").read_text("utf-8")
        )
    )
    assert named == set(nbgrader_glue.PLUGINS)


@pytest.mark.parametrize("typed", [("-e", "9"), ("--course-id", "a b")])
def test_init_says_what_is_wrong_in_one_sentence(
    course: Type, tmp_path: Path, typed: tuple[str, ...]
) -> None:
    said = course("instructor", "init", str(tmp_path / "x"), *typed)
    assert (
        said.code == 2 and len(said.err.strip().splitlines()) == 1 and not (tmp_path / "x").exists()
    )


def test_init_beside_a_foreign_configuration_is_refused_before_anything_is_written(
    course: Type, tmp_path: Path
) -> None:
    """nbgrader would run what is handed in, in a kernel, with nothing around it."""
    pytest.importorskip("nbgrader")
    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'mine'\n"
    )
    said = course("instructor", "init", str(tmp_path), "-e", "3")
    assert said.code == 2
    assert "nbgrader_config.py" in said.err and "isolation" in said.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "kitchen"] == [
        "nbgrader_config.py"
    ]


def test_init_in_a_place_that_cannot_be_written_says_so(course: Type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = course("instructor", "init", str(tmp_path / "file" / "x"))
    assert said.code == 2 and "cannot be written" in said.err


def test_kit_hands_the_chosen_exercises_to_the_export(
    course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from course.authoring import kit

    asked: list[Any] = []

    def export(folder: Path, chosen: Sequence[Any]) -> list[Path]:
        asked.append((folder, [exercise.number for exercise in chosen]))
        return [folder / "README.md"]

    monkeypatch.setattr(kit, "export", export)
    assert course("instructor", "kit", str(tmp_path / "kit"), "-e", "2").code == 0
    assert asked == [(tmp_path / "kit", [2])]


def test_bundle_hands_the_exercise_to_the_packer(
    course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from course.authoring import bundle

    asked: list[Any] = []

    def gradescope(folder: Path, exercise: Any, **options: Any) -> Path:
        asked.append((folder, exercise.number, options))
        return folder / "autograder.zip"

    monkeypatch.setattr(bundle, "gradescope", gradescope)
    said = course(
        "instructor", "bundle", "gradescope", str(tmp_path / "b"), "-e", "2", "--laws-only"
    )
    assert said.code == 0 and "autograder.zip" in said.out
    assert asked == [(tmp_path / "b", 2, {"require": "L2", "laws_only": True})]


def test_a_part_in_the_folder_in_which_somebody_types_has_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert submission_metadata.time(Path("ada.py").parent) is None


def test_without_nbgrader_the_gradebook_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    monkeypatch.delitem(sys.modules, "nbgrader.api", raising=False)
    for refuse in (lambda: commit(tmp_path, []), lambda: expect(tmp_path)):
        with pytest.raises(Problem, match="pip install"):
            refuse()


def test_a_folder_that_is_no_course_is_refused_before_anything_is_graded(
    course: Type, tmp_path: Path
) -> None:
    pytest.importorskip("nbgrader")
    (tmp_path / "class" / "ada").mkdir(parents=True)
    (tmp_path / "class" / "ada" / EXERCISE.file_name).write_text(SOLVED, encoding="utf-8")
    said = course("grade", str(tmp_path / "class"), "--nbgrader", str(tmp_path / "no-course"))
    assert said.code == 2 and "is no nbgrader course" in said.err
    assert "judged" not in said.err and not list((tmp_path / "class.journal").glob("results/*"))


@pytest.mark.parametrize(
    "name", ["", " ada", "../ada", "a/b", "a\0b", "a\nb", ".", "..", "*", "x" * 300, "\udcff"]
)
def test_names_that_no_folder_can_have_are_refused(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)


@pytest.mark.parametrize("name", ["ada", "O'Brien", '=1+1"', "Ωμέγα", "-x", "ada lovelace"])
def test_odd_names_that_are_fine_are_accepted(name: str) -> None:
    check_name(name)
