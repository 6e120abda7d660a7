"""`course generate`: exercises from solutions, tables from stored races; with --check: are they up
to date?"""

from __future__ import annotations

import click

from course.authoring import generate
from course.errors import ExitCode, Problem
from course.terminal import console
from course.workspace import installed_root


@click.command("generate")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 1 when a file is out of date."
)
def command(only_check: bool) -> ExitCode:
    """Write the exercises (stub, lesson) from the solutions, and the README's tables from stored
    races."""
    root = installed_root()
    if not (root / "pyproject.toml").is_file():
        raise Problem(
            "`course generate` works in a clone of the project only; this is an installed package."
        )
    screen = console()
    try:
        paths = generate.stale(root) if only_check else generate.write(root)
    except (
        ValueError,
        SyntaxError,
    ) as error:  # markers that do not pair up; a stored race that is none
        raise Problem(f"nothing was generated: {error}") from error
    for path in paths:
        screen.print(f"{'out of date' if only_check else 'written'}  {path}", soft_wrap=True)
    if not paths:
        screen.print("Everything is up to date.")
    return ExitCode.FAIL if paths and only_check else ExitCode.PASS
