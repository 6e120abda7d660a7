"""The restaurant is the story for learners: in `course/`, names and help texts are the field's
words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from course.cli import cli

ROOT = Path(__file__).parents[3] / "course"
STORY = {"commands/chat.py", "playground/chat.py"}  # where a guest talks to the waiter
WORDS = re.compile(
    r"evening|guest|desk|clerk|papers|mending|patience|standings|swap.?board|sealed|heat$",
    re.IGNORECASE,
)


def names(tree: ast.AST) -> Iterator[str]:
    """What a module names itself: functions, classes, parameters, variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize(
    "file", sorted(ROOT.rglob("*.py")), ids=lambda file: file.relative_to(ROOT).as_posix()
)
def test_names_are_the_fields(file: Path) -> None:
    if file.relative_to(ROOT).as_posix() not in STORY:
        assert [
            name
            for name in names(ast.parse(file.read_text(encoding="utf-8")))
            if WORDS.search(name)
        ] == []


def helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """The help of a command and of those below it, without the options' names."""
    told = [
        command.help or "",
        *(option.help or "" for option in command.params if isinstance(option, click.Option)),
    ]
    yield path, "\n".join(told)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from helps(below, f"{path} {name}")


def test_help_speaks_of_requests() -> None:
    told = dict(helps(cli, "course"))
    assert len(told) > 20
    assert {path: found[0] for path, text in told.items() if (found := WORDS.search(text))} == {}
