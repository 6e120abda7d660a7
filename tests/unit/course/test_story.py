"""The story of a failure is numbered, and is a script that makes the same calls on the part as it
is now."""

from __future__ import annotations

import contextlib
import io
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from conftest import Type

from course.commands import story
from course.targets import learner_file, solution_file
from course.workspace import Workspace
from graders.registry.catalogue import catalogue

WRONG = {  # exercise -> (law, what is right, what is written instead)
    1: ("1.5", "return new, [Copy(shared, new[0])]", "return new, [Copy(new[0], shared)]"),
    2: ("2.3", "entry.computed, step.budget)", "entry.computed, step.budget + 1)"),
    3: ("3.6", 'raise ValueError("this handle is not locked")', "return"),
}


def break_it(place: Workspace, number: int, right: str, wrong: str) -> Path:
    file = learner_file(place, catalogue(number))
    text = solution_file(catalogue(number)).read_text(encoding="utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    return file


def run(script: Path) -> str:
    """What it prints; its modules are forgotten afterwards."""
    known, path, out = set(sys.modules), list(sys.path), io.StringIO()
    sys.path.insert(0, str(script.parent))
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            del sys.modules[name]
    return out.getvalue()


def test_the_script_makes_the_calls_of_the_story_in_its_numbers(
    course: Type, place: Workspace
) -> None:
    file = break_it(place, 1, *WRONG[1][1:])
    told = course("check", "1.5", "--seed", "1").out
    assert "   1  bm = BlockManager(" in told
    shown = course("story", "1.5")
    assert shown.code == 0
    script = file.with_name("story_1_5.py")
    out = run(script)
    steps = [
        line.strip()
        for line in told.splitlines()
        if line.strip()[:2].strip().isdigit() and "bm" in line
    ]
    for step in steps:
        number, _, call = step.partition("  ")
        assert f"{number}  {call.strip()[:40]}" in out
    assert "Copy(src=" in out.splitlines()[-1] or "Copy(src=" in out
    file.write_text(solution_file(catalogue(1)).read_text(encoding="utf-8"), encoding="utf-8")
    assert "Your part has changed since" in " ".join(course("story", "1.5").out.split())


def test_a_story_is_run_by_the_python_of_the_course(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`python` was another one, or none: ModuleNotFoundError."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert story.interpreter() == shlex.quote(sys.executable)
    (tmp_path / "python").write_text("")
    (tmp_path / "python").chmod(0o755)
    assert story.interpreter() == shlex.quote(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert story.interpreter() == "python"


@pytest.mark.parametrize("number", [2, 3])
def test_stories_of_engines_and_caches_are_scripts_too(
    course: Type, place: Workspace, number: int
) -> None:
    law, right, wrong = WRONG[number]
    file = break_it(place, number, right, wrong)
    told = course("check", law, "--seed", "1")
    assert told.code == 1, told.out
    assert course("story", law).code == 0
    script = file.with_name(f"story_{law.replace('.', '_')}.py")
    text = script.read_text(encoding="utf-8")
    assert "line_2" in text
    with contextlib.suppress(ValueError):  # where the part itself raises
        assert "now:" in run(script)


def test_what_raised_as_it_should_does_not_end_the_script(course: Type, place: Workspace) -> None:
    file = break_it(place, 1, "if times > self._retained.get(block, 0):", "if False:")
    assert course("check", "1.9", "--seed", "1").code == 1
    assert course("story", "1.9").code == 0
    with contextlib.suppress(KeyError):
        run(file.with_name("story_1_9.py"))


def test_a_law_that_was_not_broken_has_no_story_and_an_exercise_is_no_law(course: Type) -> None:
    shown = course("story", "1.5")
    assert shown.code == 1
    assert shown.err.strip() == "no broken story of law 1.5 is kept: course check 1.5"
    assert "course story 1.1" in course("story", "1").err
