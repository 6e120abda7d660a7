"""The `course` command as a person types it: what it prints, what it ends with, what it never does."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Type
from rich.cells import cell_len
from rich.console import Console

import graders.grading
from course import cli, progress
from course.commands import check, lesson
from course.targets import solution_file, stub_of
from course.terminal import tolerate
from course.workspace import Workspace, installed_root
from graders.registry.catalogue import catalogue, exercises
from graders.result import ExerciseResult, LawResult, Location, Outcome, Story
from graders.sandbox.isolation import LEVELS
from graders.sandbox.isolation.inside import process_tree

EXERCISE = catalogue(1)
LAWS = EXERCISE.laws
FILE = "exercises/ex1_paged_allocation/block_manager.py"


def law_result(number: int, outcome: Outcome, **fields: object) -> LawResult:
    law = LAWS[number - 1]
    points = law.points if outcome is Outcome.PASS else 0.0
    return LawResult(
        law.number, law.name, law.statement, outcome, points, law.points, seconds=0.1, **fields
    )  # type: ignore[arg-type]


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Put a result into "laws" (and "advisory") to be the grader's; "asked" holds what it was asked
    for."""
    plan: dict[str, object] = {
        "laws": tuple(law_result(n + 1, Outcome.PASS) for n in range(len(LAWS)))
    }

    def grade(exercise: int, submission: Path, **asked: object) -> ExerciseResult:
        plan["asked"] = {"submission": submission, **asked}
        laws = plan["laws"]
        assert isinstance(laws, tuple)
        told = asked["on_law"]
        for law in laws:
            if callable(told):
                told(law)
        return ExerciseResult(
            exercise,
            EXERCISE.name,
            str(asked["source"]),
            laws,
            advisory=bool(plan.get("advisory", False)),
        )

    monkeypatch.setattr(graders.grading, "grade", grade)
    return plan


def shell(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as from a shell without a terminal."""
    environment = {**os.environ, "PYTHONPATH": str(installed_root()), "COLUMNS": "80", **variables}
    command = [sys.executable, "-m", "course", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


# ---------------------------------------------------------------- light and quick


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["hint", "1.1"],
        ["check", "--help"],
        ["reset", "1"],
        ["lesson", "1"],
        ["next"],
    ],
)
def test_what_a_learner_waits_for_imports_neither_torch_nor_hypothesis(
    place: Workspace, arguments: list[str]
) -> None:
    code = (
        "import sys; from course import cli; cli.run(sys.argv[1:]);"
        "print([name for name in ('torch', 'hypothesis', 'numpy', 'tokenizers') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed_root())}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command,
        cwd=place.root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_first_line_of_a_check_is_out_before_the_grader_is_imported(
    course: Type, verdict: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ""

    def judge(*_: object) -> ExerciseResult:
        nonlocal written
        sys.stdout.flush()
        written = "reached"
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "judge", judge)
    shown = course("check", "1")
    assert written == "reached"
    assert "Exercise 1 · paged allocation" in shown.out


# ---------------------------------------------------------------- list, help, mistakes


def test_help_documents_every_command_and_exit_code(course: Type) -> None:
    shown = course("--help")
    assert shown.code == 0
    for word in (*cli.COMMANDS, "0 ", "1 ", "2 ", "3 ", "4 ", "130"):
        assert word in shown.out
    assert course().out == shown.out


def test_every_command_of_the_table_can_be_asked_for_help(course: Type) -> None:
    for name in cli.COMMANDS:
        shown = course(name, "--help")
        assert shown.code == 0
        assert f"course {name}" in shown.out


def test_list_shows_progress_and_what_to_type_next(
    course: Type, verdict: dict[str, object]
) -> None:
    assert "Next: course check 1" in course("list").out
    course("check", "1")
    shown = course("list")
    assert f"{len(LAWS)} of {len(LAWS)} laws  solved" in shown.out
    assert "Next: course check 1" not in shown.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chek"], "there is no command 'chek'; did you mean `course check`?"),
        (["check", "9"], "there is no exercise 9; there are 1, 2, 3, "),
        (["check", "0"], "there is no exercise 0; there are 1, 2, 3, "),
        (["check", "1.99"], f"exercise 1 has no law 99; it has 1 to {len(LAWS)}."),
        (["check", "one"], "'one' is not an exercise; did you mean 1?"),
        (["check", "lab9"], "there is no lab 9; there are 1, 2, 3, "),
        (["check", "lab1.99"], "lab 1 has no law 99"),
        (["check", "Lab_1"], "'Lab_1' is not an exercise; did you mean lab1?"),
        (["check", "ex3"], "'ex3' is not an exercise; did you mean 3?"),
        (["check", "soup"], "'soup' is not an exercise; type 1"),
        (["lesson", "9"], "there is no exercise 9; there are 1, 2, 3, "),
        (["check", "1."], "'1.' is not an exercise"),
        (["hint", "1.0"], "exercise 1 has no law 0"),
        (["check", "1", "--seed", "-1"], "--seed"),
        (["check", "1", "--using", "gone.py"], "there is no file gone.py"),
        (["check", "1", "--using", "exercises"], "exercises is a folder, not a file"),
        (["show", "1", "--using", "gone.py"], "there is no file gone.py"),
        (["run", "--use", "mine"], "'mine' names no parts"),
        (["run", "--use", "mine:7"], "'mine:7' names no parts"),
        (["chat", "--guest", "Xerxes"], "never heard the name 'Xerxes'"),
    ],
)
def test_a_mistake_ends_in_one_sentence_and_exit_code_2(
    course: Type, arguments: list[str], sentence: str
) -> None:
    shown = course(*arguments)
    assert shown.code == 2
    assert sentence in shown.err
    assert "Traceback" not in shown.err


# ---------------------------------------------------------------- check


def test_passing_every_law_ends_in_0_is_remembered_and_says_what_comes_next(
    course: Type, place: Workspace, verdict: dict[str, object]
) -> None:
    shown = course("check", "1")
    assert shown.code == 0
    for command in (
        "Next: course lesson 2",
        "course run --use mine:1",
        "course solution 1",
        "course explain 1",
    ):
        assert command in shown.out
    assert f"{len(LAWS)} of {len(LAWS)} laws hold" in shown.out
    assert progress.load(place.memory).passed(1)


def test_a_failure_ends_in_1_with_story_and_next_step(
    course: Type, verdict: dict[str, object]
) -> None:
    story = Story(
        ("admit(1, 6) -> [1, 2]",),
        "three",
        "two",
        Location("block_manager.py", 57),
        "course check 1.2 --seed 7",
    )
    broken = law_result(2, Outcome.FAIL, message="took a block too many", story=story)
    verdict["laws"] = (
        law_result(1, Outcome.PASS),
        broken,
        law_result(3, Outcome.SKIPPED, message="needs 1.2"),
    )
    shown = course("check", "1")
    assert shown.code == 1
    for piece in (
        "took a block too many",
        "admit(1, 6) -> [1, 2]",
        "got       three",
        "expected  two",
        "course hint 1.2",
    ):
        assert piece in shown.out


def test_the_replay_of_another_file_names_that_file(
    course: Type, place: Workspace, verdict: dict[str, object]
) -> None:
    (place.root / "other part.py").write_text("")
    story = Story((), "1", "2", replay="course check 1.2 --seed 7")
    verdict["laws"] = (law_result(2, Outcome.FAIL, story=story),)
    shown = course("check", "1", "--using", "other part.py")
    assert "course check 1.2 --seed 7 --using 'other part.py'" in shown.out
    assert not place.memory.exists()


def test_a_check_of_one_law_asks_for_it_alone(course: Type, verdict: dict[str, object]) -> None:
    course(
        "check", "1.3", "--seed", "5", "--laws-only", "--with", "naive", "--require-isolation", "L2"
    )
    asked = verdict["asked"]
    assert isinstance(asked, dict)
    assert (asked["only"], asked["seed"], asked["laws_only"], asked["others"]) == (
        ["1.3"],
        5,
        True,
        "naive",
    )
    assert asked["require"] == "L2"


def test_several_laws_of_an_exercise_are_checked_in_one_go(
    course: Type, verdict: dict[str, object]
) -> None:
    course("check", "1.5", "1.3")
    asked = verdict["asked"]
    assert isinstance(asked, dict)
    assert asked["only"] == ["1.5", "1.3"]
    shown = course("check", "1.3", "2.1")
    assert shown.code == 2
    assert "one exercise at a time" in shown.err


@pytest.mark.parametrize(
    "path", [FILE, "exercises/ex1_paged_allocation", "exercises/ex1_paged_allocation/"]
)
def test_a_path_says_which_exercise_is_meant(
    course: Type, place: Workspace, verdict: dict[str, object], path: str
) -> None:
    shown = course("check", path, "1.3")
    asked = verdict["asked"]
    assert isinstance(asked, dict)
    assert (shown.code, asked["only"]) == (0, ["1.3"])
    assert asked["submission"] == Path(path if path.endswith(".py") else FILE)
    # it is the learner's own
    assert progress.load(place.memory).outcome("1.3", LAWS[2].name) is not None


def test_a_path_of_no_part_is_told_how_to_be_named(course: Type, place: Workspace) -> None:
    (place.root / "mine.py").write_text("")
    shown = course("check", "mine.py")
    assert shown.code == 2
    assert "course check 1 --using mine.py" in shown.err


def test_with_mine_the_learners_other_parts_are_the_company(
    course: Type, place: Workspace, verdict: dict[str, object]
) -> None:
    course("check", "1", "--with", "mine")
    asked = verdict["asked"]
    assert isinstance(asked, dict)
    assert asked["others"] == str(place.exercises)


def test_with_mine_a_missing_companion_is_named(course: Type, place: Workspace) -> None:
    missing = catalogue(2)
    (place.exercises / missing.slug / missing.file_name).unlink()
    shown = course("check", "1", "--with", "mine")
    assert shown.code == 2
    assert f"there is no file exercises/{missing.slug}/{missing.file_name}" in shown.err


def test_a_law_that_breaks_in_company_and_holds_among_solutions_is_the_companys_fault(
    course: Type, verdict: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = next(number for number, law in enumerate(LAWS, 1) if law.kind != "unit")
    alike = graders.grading.grade

    def grade(exercise: int, submission: Path, **asked: object) -> ExerciseResult:
        good = asked["others"] == "solutions"
        verdict["laws"] = (law_result(engine, Outcome.PASS if good else Outcome.FAIL),)
        return alike(exercise, submission, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(graders.grading, "grade", grade)
    shown = course("check", "1", "--with", "mine")
    assert shown.code == 1
    assert "the part to blame is one of the other slots" in " ".join(shown.out.split())


def test_without_an_exercise_the_first_unsolved_one_is_checked(
    course: Type, verdict: dict[str, object]
) -> None:
    assert "Exercise 1" in course("check").out
    assert "Exercise 1" not in course("check").out


def test_json_is_one_object_and_nothing_else(course: Type, verdict: dict[str, object]) -> None:
    shown = course("check", "1", "--json")
    data = json.loads(shown.out)
    assert shown.code == 0
    assert shown.err == ""
    assert data["passed"] is True
    assert [law["number"] for law in data["laws"]] == [law.number for law in LAWS]


def test_json_has_no_word_for_infinity_and_no_raw_control_characters(
    course: Type, verdict: dict[str, object]
) -> None:
    broken = law_result(1, Outcome.FAIL, message="\x1b[31mx\u202e", output="\ud800")
    verdict["laws"] = (replace(broken, seconds=float("inf")),)
    shown = course("check", "1", "--json")
    assert shown.code == 1
    assert shown.out.isascii()
    assert "\x1b" not in shown.out
    assert json.loads(shown.out)["laws"][0]["seconds"] is None


def test_json_of_a_missing_file_is_a_result_too(course: Type, place: Workspace) -> None:
    (place.root / FILE).unlink()
    shown = course("check", "1", "--json")
    assert shown.code == 2
    assert "there is no file" in json.loads(shown.out)["problem"]


def test_a_missing_file_says_how_to_get_the_stub_back(course: Type, place: Workspace) -> None:
    (place.root / FILE).unlink()
    shown = course("check", "1")
    assert shown.code == 2
    assert f"there is no file {FILE}; `course reset 1` puts the stub there." in shown.err


def test_an_unreadable_file_is_named(
    course: Type, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    shown = course("check", "1")
    assert shown.code == 2
    assert f"{FILE} cannot be read (Permission denied)" in shown.err


def test_the_untouched_stub_says_what_to_do_first(course: Type) -> None:
    shown = course("check", "1")
    assert shown.code == 1
    for piece in ("untouched stub", "course hint 1.1", "course check 1", "1. "):
        assert piece in shown.out
    assert "✗" not in shown.out


def test_a_part_that_could_not_be_judged_is_nobodys_zero(
    course: Type, verdict: dict[str, object]
) -> None:
    verdict["laws"] = (law_result(1, Outcome.UNGRADED, message="The machine is out of memory."),)
    shown = course("check", "1")
    assert shown.code == 3
    assert "your part is not to blame" in shown.out
    assert "out of memory" in shown.out


def test_too_little_isolation_ends_in_4(course: Type, verdict: dict[str, object]) -> None:
    verdict["advisory"] = True
    shown = course("check", "1")
    assert shown.code == 4
    assert "advisory" in shown.out


def test_the_levels_to_require_are_those_there_are() -> None:
    assert check.LEVELS == LEVELS


def test_a_full_disk_loses_the_marks_and_nothing_else(
    course: Type, place: Workspace, verdict: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    course("hint", "1.2")
    before = (place.memory / "progress.json").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    shown = course("check", "1")
    assert shown.code == 0
    assert "laws hold" in shown.out
    assert "No space left on device. The verdict above stands." in " ".join(shown.err.split())
    assert (place.memory / "progress.json").read_bytes() == before


def test_a_damaged_progress_file_does_not_stop_a_check(
    course: Type, place: Workspace, verdict: dict[str, object]
) -> None:
    place.memory.mkdir()
    (place.memory / "progress.json").write_text("{")
    shown = course("check", "1")
    assert shown.code == 0
    assert "was damaged; it was moved to" in shown.err


# ---------------------------------------------------------------- what goes wrong inside


def test_ctrl_c_ends_in_130(course: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "judge", interrupt)
    shown = course("check", "1")
    assert shown.code == 130
    assert "Interrupted" in shown.err


def test_a_real_ctrl_c_leaves_no_traceback(place: Workspace) -> None:
    (place.root / FILE).write_text(
        "class BlockManager:\n    def __init__(self, *_, **__):\n        while True: pass\n"
    )
    command = [sys.executable, "-m", "course.cli", "check", "1"]
    environment = {**os.environ, "PYTHONPATH": str(installed_root()), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=place.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("Exercise 1" in line for line in process.stdout)
        # an import that is interrupted may swallow what interrupts it
        while not process_tree.descendants(process.pid):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_our_own_faults_are_confessed_in_a_sentence_and_logged(
    course: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError("\x1b[31mred")

    monkeypatch.setattr(check, "judge", stumble)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shown = course("check", "1")
    assert shown.code == 3
    assert "RuntimeError: red" in shown.err
    assert "Traceback" not in shown.err
    (log,) = tmp_path.glob("course-*.log")
    assert str(log) in shown.err
    assert "RuntimeError" in log.read_text()


def test_a_reader_who_leaves_early_is_no_fault(place: Workspace) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed_root())}
    line = f"{sys.executable} -m course.cli solution 1 --give-up | head -n 1"
    done = subprocess.run(
        line,
        shell=True,
        cwd=place.root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stderr == ""


def test_output_without_a_terminal_is_plain_and_fits(place: Workspace) -> None:
    done = shell("check", "1", cwd=place.root)
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_terminal_that_knows_no_unicode_gets_the_nearest_it_has(place: Workspace) -> None:
    done = shell("list", cwd=place.root, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert re.search(r"paged allocation +\.{10} +0 of 12 laws", done.stdout)


def test_signs_and_lines_of_drawings_stay_apart_in_ascii() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    tolerate(out)
    out.write("✓ ✗ · … → █░ │├└─ µs é ☃ \ud800")
    out.seek(0)
    assert out.read() == "+ x - ... -> #. |++- us e ? ?"


# ---------------------------------------------------------------- hint, reset, solution, init


def test_each_hint_says_one_thing_more_and_the_level_is_remembered(course: Type) -> None:
    for level in (1, 2, 3, 3):
        shown = " ".join(course("hint", "1.5").out.split())
        for number, hint in enumerate(LAWS[4].hints, 1):
            assert (" ".join(hint.split()) in shown) == (number <= level)
    assert "Hint 3 of 3" in course("hint", "1.5", "--level", "3").out
    assert "Hint 2 of 3" not in course("hint", "1.5", "--level", "1").out


def test_a_hint_for_an_exercise_is_for_its_first_open_law(
    course: Type, verdict: dict[str, object]
) -> None:
    assert "Law 1.1" in course("hint", "1").out
    verdict["laws"] = (law_result(1, Outcome.PASS), law_result(2, Outcome.FAIL))
    course("check", "1")
    assert "Law 1.2" in course("hint", "1").out


def test_a_hint_after_every_law_holds_says_what_comes_next(
    course: Type, verdict: dict[str, object]
) -> None:
    course("check", "1")
    shown = course("hint", "1")
    assert shown.code == 0
    assert "Every law of exercise 1 holds" in shown.out
    assert "course lesson 2" in shown.out
    assert "Hint 1 of 3" not in shown.out


def test_reset_brings_the_stub_back_and_keeps_every_backup(course: Type, place: Workspace) -> None:
    for text in ("mine, first", "mine, second"):
        (place.root / FILE).write_text(text)
        assert course("reset", "1").code == 0
        assert (place.root / FILE).read_text() == stub_of(EXERCISE)
    backups = sorted((place.memory / "backups" / EXERCISE.slug).iterdir())
    assert [path.read_text() for path in backups] == ["mine, first", "mine, second"]
    assert "untouched stub already" in course("reset", "1").out


def test_a_reset_that_cannot_keep_a_backup_changes_nothing(course: Type, place: Workspace) -> None:
    (place.root / FILE).write_text("mine")
    place.memory.write_text("a file where the folder should be")
    shown = course("reset", "1")
    assert shown.code == 2
    assert "nothing was reset" in shown.err
    assert (place.root / FILE).read_text() == "mine"


def test_the_solution_is_shown_after_passing_or_giving_up_only(
    course: Type, verdict: dict[str, object]
) -> None:
    refused = course("solution", "1")
    assert refused.code == 1
    assert refused.out == ""
    assert "--give-up" in refused.err
    course("check", "1")
    assert course("solution", "1").out == solution_file(EXERCISE).read_text(encoding="utf-8")


def test_giving_up_is_remembered(course: Type, place: Workspace) -> None:
    assert course("solution", "1", "--give-up").code == 0
    assert course("solution", "1").code == 0
    assert progress.load(place.memory).gave_up(1)
    assert not progress.load(place.memory).passed(1)


def test_init_copies_the_exercises_and_leaves_work_alone(course: Type, tmp_path: Path) -> None:
    desk = tmp_path / "my desk"
    assert f"cd '{desk}' && course lesson 1" in course("init", str(desk)).out
    assert "Next: course lesson 1" in course("init", ".").out
    assert (desk / FILE).read_text() == stub_of(EXERCISE)
    (desk / FILE).write_text("mine")
    assert "Nothing to add" in course("init", str(desk)).out
    assert (desk / FILE).read_text() == "mine"


def test_init_where_nothing_can_be_written_says_so(course: Type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = course("init", str(tmp_path / "file" / "desk"))
    assert shown.code == 2
    assert "cannot be written" in shown.err


# ---------------------------------------------------------------- the real grader


def test_the_solution_passes_through_the_real_grader(course: Type) -> None:
    shown = course("check", "1.1", "--using", "solutions", "--json")
    data = json.loads(shown.out)
    assert (shown.code, data["source"], data["passed"]) == (0, "solutions", True)


def test_a_syntax_error_is_one_sentence_with_its_line(course: Type, place: Workspace) -> None:
    (place.root / FILE).write_text("class BlockManager:\n    def (\n")
    shown = course("check", "1")
    assert shown.code == 1
    assert "syntax error in line 2" in " ".join(shown.out.split())
    assert "2 |     def (\n" in shown.out
    assert "next  fix line 2, then: course check 1" in shown.out
    assert "1. " not in shown.out  # where to begin, for somebody who has not


def test_a_folder_without_exercises_is_told_what_is_judged_instead(
    course: Type,
    place: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdict: dict[str, object],
) -> None:
    assert "No exercises/ here" not in course("check", "1").out
    monkeypatch.setenv("COURSE_HOME", str(place.root))
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    shown = course("check", "1").out.split("\n")
    assert shown[1].startswith(f"No exercises/ here: judging {place.root}")
    assert "`course init kitchen`" in shown[2]
    assert "course init kitchen" in course("list").out


def test_a_lesson_is_the_learners_own_copy_or_the_one_of_the_course(
    course: Type, place: Workspace
) -> None:
    assert "The prefix cache" in course("lesson", "3").out
    (place.exercises / catalogue(3).slug / "README.md").write_text(
        "# My notes\n\nA *tree* of blocks.\n"
    )
    shown = course("lesson", "3")
    assert (shown.code, shown.err) == (0, "")
    assert "My notes" in shown.out
    assert "A tree of blocks." in shown.out


def test_the_lines_of_drawings_in_lessons_are_not_broken_in_two() -> None:
    most = lesson.WIDEST - 2  # a column on either side is the renderer's
    for exercise in exercises():
        text = (installed_root() / "solutions" / exercise.slug / "README.md").read_text(
            encoding="utf-8"
        )
        blocks = [line for block in text.split("```")[1::2] for line in block.split("\n")]
        assert [line for line in blocks if cell_len(line) > most] == [], exercise.slug


def test_a_lesson_is_read_page_by_page_where_a_person_looks(
    course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    monkeypatch.setattr(
        lesson, "console", lambda: Console(file=io.StringIO(), force_terminal=True, width=80)
    )
    monkeypatch.setattr("pydoc.pager", pages.append)
    assert course("lesson", "1").code == 0
    assert "Paged allocation" in pages[0]
