"""The story of a failure as a script that a learner runs, steps through and changes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from course.terminal import clean
from graders.registry.law import Law

ANSWER = re.compile(r"\banswer\b")


def story_script(
    law: Law,
    message: str,
    steps: Sequence[str],
    code: Sequence[str],
    expected: str,
    name: str,
    python: str = "python",
) -> str:
    """A Python file that makes the calls of a story and prints what comes of each.

    steps: the lines of the story. code: the Python of each, "" where there is none (see
    `graders.result.Story`); what line 3 came to is called line_3. expected: of the last line. name:
    of the file. python: what runs it, in a shell.
    """
    lines = [
        f'"""Law {law.number}, {law.name}: the shortest story that breaks it. Yours to change.',
        "",
        f"    {python} {name}             makes these calls and prints what comes of each",
        f"    {python} -m pdb {name}      step by step; breakpoints in your part count",
        '"""',
        "",
        *_comment(clean(message)),
        "",
    ]
    for number, (step, python) in enumerate(zip(steps, code, strict=True), 1):
        lines.append(f"# {number}")
        lines += _calls(number, step, python)
    return "\n".join([*lines, *_comment(f"expected: {clean(expected)}")]) + "\n"


def _calls(number: int, step: str, python: str) -> list[str]:
    """One line of the story: its calls, and its answer printed beside the one that was told."""
    if not python:
        return _comment(clean(step))
    named = ANSWER.sub(f"line_{number}", python)
    shown = [f"print({number}, {clean(step)!r}, sep='  ')"]
    if named != python:
        shown.append(f'print("   now:", line_{number})')
    return [*named.split("\n"), *shown, ""]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in text.split("\n")]
