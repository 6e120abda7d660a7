"""What tests of the `course` command share: a workspace of their own and a way to type a command."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from course import cli
from course.targets import stub_of
from course.workspace import Workspace
from graders.registry.catalogue import exercises


@dataclass(frozen=True)
class Typed:
    """What a typed command ended with."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]
STEERING = ("COURSE_", "TTY_", "FORCE_COLOR", "NO_COLOR", "HYPOTHESIS_")  # how variables begin


@pytest.fixture(scope="session", autouse=True)
def plain_terminal() -> Iterator[None]:
    """Whoever types `pytest`, and wherever: 80 columns, no colours forced, none of the course's own
    variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        for name in [name for name in os.environ if name.startswith(STEERING)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell's background jobs ignore Ctrl-C, and so would the commands that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with the untouched stubs of every exercise there is; the current folder is in it."""
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
