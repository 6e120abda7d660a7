"""What tests of the `course` command share: a workspace of their own and a way to type a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from course import cli
from course.targets import stub_of
from course.workspace import Workspace
from graders.catalogue import exercises


@dataclass(frozen=True)
class Typed:
    """What a typed command ended with."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with the untouched stubs of every exercise there is; the current folder is in it."""
    monkeypatch.delenv("COURSE_HOME", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    workspace = Workspace(tmp_path / "kitchen")
    for exercise in exercises():
        if exercise.laws:
            folder = workspace.exercises / exercise.slug
            folder.mkdir(parents=True)
            (folder / exercise.file_name).write_text(stub_of(exercise), encoding="utf-8")
    monkeypatch.chdir(workspace.root)
    return workspace


@pytest.fixture
def course(place: Workspace, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a `course` command in the workspace: `course("check", "1")`."""

    def typed(*arguments: str) -> Typed:
        capsys.readouterr()
        code = cli.run(arguments)
        out, err = capsys.readouterr()
        return Typed(code, out, err)

    return typed
