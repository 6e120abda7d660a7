"""The `course` command: a table of commands that are imported when typed, and a guard that lets no
traceback out."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import click

from course.errors import EXIT_CODES, ExitCode, Problem
from course.output_stream import prepare

COMMANDS = {
    "list": "The exercises, how far you are, what to do next.",
    "lesson": "Read the lesson of an exercise.",
    "check": "Judge your part against the laws of an exercise.",
    "watch": "Judge your part whenever you save it.",
    "story": "The story of a failure as a script, for your debugger.",
    "next": "The law to work on now, and where.",
    "hint": "A hint for a law; ask again and it says more.",
    "reset": "Put the untouched stub back (your file is kept as a backup).",
    "restore": "Put a file back that `reset` has kept.",
    "explain": "Answer the questions of an exercise in plain words.",
    "solution": "Show the solution, once you have passed or given up.",
    "chat": "Talk to the waiter, the small model inside the course.",
    "run": "Serve requests with any mix of parts.",
    "serve": "Serve the model over HTTP, to any client that speaks OpenAI's API.",
    "show": "Draw what a part does: block table, timeline, radix tree.",
    "engines": "The engines beside ours: which work here, how to get one.",
    "lab": "Measure what a lab predicts, on this machine, and draw both.",
    "claims": "Nine popular claims, and what the labs measured here say of them.",
    "reference": "The engines in one table: what was measured here, and which to pick.",
    "race": "Engines side by side on one workload: table, JSON, plot.",
    "costs": "What a token costs over size, batch, context and prompt, from races.",
    "baseline": "Cards: how fast other engines were beside ours on this machine.",
    "init": "Copy the exercises into a folder of your own.",
    "doctor": "What is installed, which device, which isolation.",
    "instructor": "An nbgrader course, a student kit, a Gradescope bundle (for teachers).",
    "certificate": "A page of the exercises you have passed, which can be checked.",
    "submit": "Pack your part of an exercise for handing it in.",
    "grade": "Judge a class, or one submission, and report it in any form.",
    "mutants": "Which law kills which wrong part (for developers).",
    "generate": "Write exercises from solutions (for developers).",
}


class LazyGroup(click.Group):
    """A click group that knows names and one-line helps without importing the commands behind them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"course.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_CODES.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        typed = args[0]
        if typed in COMMANDS or typed.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(typed, COMMANDS, n=1)
        advice = (
            f"did you mean `course {near[0]}`?" if near else "`course --help` lists what there is."
        )
        raise click.UsageError(f"there is no command {typed!r}; {advice}", ctx)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    package_name="inference-kitchen", prog_name="course", message="%(prog)s %(version)s"
)
def cli() -> None:
    """Build the parts that make an LLM inference engine fast, and have them judged.

    \b
    First:     course lesson 1     the idea, the laws, what to expect
    The loop:  course check 1      which law breaks, with the shortest story that breaks it
               course hint 1.4     a hint for that law; ask again for more
               course show 1       a drawing of what your part does
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one sentence on stderr."""
    prepare()
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="course",
            standalone_mode=False,
        )
        sys.stdout.flush()
        return int(code or ExitCode.PASS)
    except Problem as problem:
        return _say(str(problem), problem.code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return ExitCode.PASS
    except click.UsageError as error:
        usage = (
            f"Type `{error.ctx.command_path} --help` to see how."
            if error.ctx
            else "Type `course --help`."
        )
        return _say(f"{error.format_message()}\n{usage}", ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _say(
            "\nInterrupted. Nothing is lost; type the command again to start over.",
            ExitCode.INTERRUPTED,
        )
    except Exception as error:  # the last guard: no traceback reaches a learner
        return _say(_confess(error), ExitCode.UNGRADED)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


def _say(sentence: str, code: ExitCode) -> int:
    from course.terminal import clean

    click.echo(clean(sentence), err=True)
    return code


def _confess(error: Exception) -> str:
    """The sentence for a fault of the course itself; the traceback goes to a file, if one can be
    written."""
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    sentence = f"The course itself stumbled, this is not your part's fault: {what}."
    try:
        handle, path = tempfile.mkstemp(prefix="course-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as log:
            traceback.print_exception(error, file=log)
    except OSError as trouble:
        return f"{sentence}\nIts log could not be written either ({trouble.strerror})."
    return f"{sentence}\nThe details are in {path}; please report it with that file."


if __name__ == "__main__":
    main()
