"""Where the exercises are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from course import workspace
from course.errors import Problem


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    (tmp_path / "kitchen" / "exercises" / "ex1_paged_allocation").mkdir(parents=True)
    return tmp_path / "kitchen"


def test_the_current_folder_and_those_above_it_come_first(
    kitchen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_HOME", "/nowhere")
    monkeypatch.chdir(kitchen / "exercises" / "ex1_paged_allocation")
    assert workspace.find().root == kitchen
    assert not workspace.find().elsewhere


def test_a_folder_named_exercises_that_is_not_ours_is_passed_by(
    kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gym" / "exercises" / "push-ups").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "gym")
    monkeypatch.setenv("COURSE_HOME", str(kitchen))
    assert workspace.find().root == kitchen


def test_a_course_home_without_exercises_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "gone"))
    with pytest.raises(Problem, match=r"course init .*gone"):
        workspace.find()


def test_elsewhere_the_clone_that_the_course_runs_from_is_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_HOME", raising=False)
    assert workspace.find().root == workspace.installed_root()
    assert workspace.find().elsewhere


def test_an_installed_package_is_no_workspace(
    kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_HOME", raising=False)
    monkeypatch.setattr(workspace, "installed_root", lambda: kitchen)
    with pytest.raises(Problem, match="course init kitchen"):
        workspace.find()
    assert workspace.find_or_none() is None


def test_paths_are_shown_relative_to_the_current_folder(
    kitchen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace.Workspace(kitchen)
    monkeypatch.chdir(kitchen)
    assert place.shown(kitchen / "exercises" / "a.py") == "exercises/a.py"
    monkeypatch.chdir("/")
    assert place.shown(Path("/elsewhere/a.py").resolve()) == "elsewhere/a.py"
