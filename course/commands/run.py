"""`course run`: any mix of parts serves requests, beside the engine before anyone improved it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from course import workspace
from course.click_types import kv_dtype_option
from course.errors import ExitCode
from course.playground import part_mix
from course.terminal import clean, console
from reference_engine.kv_dtype import KVDtype

BLOCK_SIZE = 16


@click.command("run")
@click.option(
    "--use",
    "uses",
    multiple=True,
    metavar="PART:N",
    help="Such as mine:1,3 or solutions:2 or FILE:1.",
)
@click.option(
    "--requests",
    "--guests",
    "count",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="How many arrive.",
)
@click.option(
    "--blocks",
    type=click.IntRange(2, 65536),
    default=192,
    show_default=True,
    help="KV blocks of 16 tokens.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Which requests arrive."
)
@kv_dtype_option
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page in which the run can be watched.",
)
def command(
    uses: tuple[str, ...], count: int, blocks: int, seed: int, kv_dtype: str, html: Path | None
) -> ExitCode:
    """Serve requests with any mix of parts: mine, solutions, naive, or a file's.

    Slots that are not named get the solution; nothing is guessed unless a part 4, 5 or 6 is named.
    Every token is held against the model without any of the parts; when one is wrong, or a part
    breaks its contract, the parts are swapped out one by one to find the one to blame.
    """
    choices = part_mix.mix(uses, workspace.find_or_none())
    screen = console()
    screen.print()
    for choice in choices:
        screen.print(_line(choice), soft_wrap=True)
    screen.print(
        f"\n{count} requests arrive at once; the KV pool has {blocks} blocks of {BLOCK_SIZE} tokens.\n"
    )
    from course.playground import run, serve

    sizes = serve.EngineSizes(blocks, BLOCK_SIZE, kv_dtype=KVDtype(kv_dtype))
    return run.serve_and_report(screen, choices, sizes, count, seed, html)


def _line(choice: part_mix.PartChoice) -> Text:
    style = "bold" if choice.source == "mine" else ""
    return Text.assemble(
        f"  {choice.exercise.number}  {choice.exercise.name:<22}", (clean(choice.source), style)
    )
