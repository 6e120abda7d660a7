"""What leaves the house: the student's kit without answers, and the autograder's bundle with
everything."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest
from sample_rows import Gradescope
from wrong_parts import wrong_parts

from course.authoring import bundle, kit
from course.authoring.obfuscate import obfuscate
from course.errors import Problem
from course.exercise_text.stubs import BEGIN, END, stub
from course.targets import solution_file
from graders.registry.catalogue import catalogue, exercises

CHOSEN = [catalogue(1), catalogue(3)]


def typed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`course` of the kit itself, as its student types it."""
    command = [sys.executable, "-m", "course.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "100"}
    environment.pop("COURSE_HOME", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit") / "kit"
    kit.export(folder, CHOSEN)
    return folder


def answers(text: str) -> list[str]:
    """Every three lines in a row between the marks of a solution."""
    found: list[str] = []
    for region in text.split(BEGIN)[1:]:
        lines = region.partition(END)[0].splitlines()[1:-1]
        found += ["\n".join(lines[start : start + 3]) for start in range(len(lines) - 2)]
    return [each for each in found if len(each) > 60]


# ---------------------------------------------------------------- the kit


def test_nothing_of_any_solution_is_in_the_kit(made: Path) -> None:
    files = [
        path
        for path in made.rglob("*")
        if path.is_file() and path.suffix in (".py", ".md", ".ipynb", ".txt")
    ]
    whole = "\n".join(path.read_text(encoding="utf-8") for path in files)
    # the "before"
    naive = "".join(path.read_text() for path in (made / "reference_engine" / "naive").glob("*.py"))
    assert len(files) > 100
    for exercise in exercises():
        telling = answers(solution_file(exercise).read_text(encoding="utf-8"))
        assert len(telling) > 4
        assert [lines for lines in telling if lines in whole and lines not in naive] == []


def test_the_kit_holds_the_chosen_exercises_and_its_own_readme(made: Path) -> None:
    assert {path.name for path in (made / "exercises").iterdir() if path.is_dir()} == {
        each.slug for each in CHOSEN
    }
    readme = (made / "README.md").read_text()
    for each in CHOSEN:
        assert f"exercises/{each.slug}/{each.file_name}" in readme
        assert all(law.name in readme for law in each.laws)
    assert catalogue(2).slug not in readme
    version = ".".join(map(str, sys.version_info[:2]))
    assert f'requires-python = "=={version}.*"' in (made / "pyproject.toml").read_text()
    assert not [path for path in made.rglob("*") if path.name in ("tests", ".git", "__pycache__")]


def test_the_kit_holds_notebooks_that_give_nothing_away_and_check_the_learners_cell(
    made: Path,
) -> None:
    found = sorted(path.name for path in made.glob("exercises/*/*.ipynb"))
    assert found == [f"{each.slug}.ipynb" for each in CHOSEN]
    for each in CHOSEN:
        path = made / "exercises" / each.slug / f"{each.slug}.ipynb"
        cells = {
            cell["id"]: cell["source"]
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        }
        solved = solution_file(each).read_text(encoding="utf-8")
        assert cells[each.slot] == stub(solved, "the solution").partition("\n")[2].rstrip("\n")
        whole = "\n".join(cells.values())
        assert [lines for lines in answers(solved) if lines in whole] == []
    law = cells["law-3-1"].replace('check("3.1")', 'check("3.1", ["class PrefixCache: pass"])')
    environment = {**os.environ, "PYTHONPATH": str(made)}
    run = [sys.executable, "-c", law]
    done = subprocess.run(
        run, cwd=path.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert "Law 3.1" in done.stdout and "LawBroken: law 3.1" in done.stderr


def test_a_student_of_the_kit_can_check_reset_and_submit(made: Path) -> None:
    first = typed(made, "check", "3")
    assert first.returncode == 1
    assert "untouched stub" in first.stdout
    part = made / "exercises/ex3_prefix_cache/prefix_cache.py"
    before = part.read_text()
    part.write_text("class PrefixCache: pass\n")
    assert typed(made, "submit", "3").returncode == 0
    assert typed(made, "reset", "3").returncode == 0
    assert part.read_text() == before


def test_the_sealed_parts_run_in_the_engine(made: Path) -> None:
    done = typed(made, "check", "3", "--using", "solutions", "--laws-only")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_seal_shows_the_stub_and_nothing_else(number: int) -> None:
    path = solution_file(catalogue(number))
    text = path.read_text(encoding="utf-8")
    sealed = obfuscate(text, path.name)
    assert stub(sealed, path.name) == stub(text, path.name)
    assert max(map(len, sealed.splitlines())) <= 120


def test_a_seal_says_which_python_it_is_for() -> None:
    text = obfuscate("class A:\n    pass\n", "a.py")
    foreign = re.sub(
        r"MAGIC_NUMBER != b.*:$", "MAGIC_NUMBER != b'other':", text, flags=re.MULTILINE
    )
    with pytest.raises(ImportError, match=r"made for Python 3\.\d+"):
        exec(compile(foreign, "a.py", "exec"), {})


def test_a_kit_is_not_written_over_anything(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Problem, match="not an empty folder"):
        kit.export(tmp_path, CHOSEN)


# ---------------------------------------------------------------- the bundle


@pytest.fixture(scope="module")
def autograder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/autograder as Gradescope lays it out, set up but for the installation."""
    home = tmp_path_factory.mktemp("autograder")
    archive = bundle.gradescope(home / "bundle", catalogue(3), laws_only=True)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(home / "source")
    (home / "submission").mkdir()
    return home


def judged(home: Path, command: str) -> Gradescope:
    script = home / "source" / "run_autograder"
    environment = {**os.environ, "AUTOGRADER": str(home), "COURSE": command}
    done = subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode((home / "results" / "results.json").read_bytes(), type=Gradescope)


@pytest.fixture
def course_command(tmp_path: Path) -> str:
    path = tmp_path / "course"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m course.cli "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_the_bundle_is_what_gradescope_asks_for(autograder: Path) -> None:
    with zipfile.ZipFile(autograder / "bundle" / "autograder.zip") as archive:
        assert set(archive.namelist()) == {"setup.sh", "run_autograder", "course.tar.gz"}
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        with tarfile.open(fileobj=io.BytesIO(archive.read("course.tar.gz"))) as course:
            names = course.getnames()
    assert {"pyproject.toml", "constraints.txt", "graders/grading.py", "course/cli.py"} <= set(
        names
    )
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]
    for script in ("setup.sh", "run_autograder"):
        assert (
            subprocess.run(["bash", "-n", autograder / "source" / script], check=False).returncode
            == 0
        )


def test_a_submission_is_judged_as_gradescope_runs_it(
    autograder: Path, course_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    (autograder / "submission" / "prefix_cache.py").write_text(wrong_parts(3)[0].text)
    result = judged(autograder, course_command)
    assert result.score is not None
    assert 0 <= result.score < catalogue(3).points
    assert {test.status for test in result.tests} >= {"failed"}
    (autograder / "submission" / "prefix_cache.py").unlink()


def test_nothing_handed_in_is_a_zero_with_a_reason(
    autograder: Path, course_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    result = judged(autograder, course_command)
    assert result.score == 0
    assert "nothing was handed in" in result.output


def test_when_the_grader_itself_dies_there_is_no_score(autograder: Path) -> None:
    result = judged(autograder, "/bin/false")
    assert result.score is None
    assert "not your part's fault" in result.output
    assert json.loads((autograder / "results" / "results.json").read_text())["tests"] == []
