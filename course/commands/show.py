"""`course show N`: a drawing of what a part does, in the terminal or as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from course import workspace
from course.drawings import block_table, guess_tree, radix_tree, svg, timeline
from course.errors import ExitCode, Problem
from course.playground import part_mix
from course.progress import replace_file
from course.targets import target
from course.terminal import console
from course.watchdog import stall_limit

MOST = 3.0  # seconds of computing, as in `course check`


@click.command("show")
@click.argument("exercise")
@click.option("--using", metavar="PART", default="mine", help="Draw this part: solutions, naive or a FILE.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Write the drawing to this file instead.")
def command(exercise: str, using: str, svg_file: Path | None) -> ExitCode:
    """Draw what your part of EXERCISE does in a short run.

    \b
    1  the block tables and the pool, call by call
    2  the timeline: who prefills, decodes, waits, is preempted
    3  the radix tree as the part's answers show it: blocks, locks, what goes next
    4  the guess tree of a real step: what was guessed, what stood
    """
    chosen = target(exercise).exercise
    choice = part_mix.choose(chosen.number, using, workspace.find_or_none())
    title = f"Exercise {chosen.number} · {chosen.name} · {choice.source}"
    screen = console()
    heading = [Text(title, style="bold"), Text()]
    if svg_file is None:
        for line in heading:
            screen.print(line, soft_wrap=True)
    lines, trouble = _draw(choice)
    if svg_file is None:
        for line in lines:
            screen.print(line, soft_wrap=True)
    if trouble is not None:
        raise trouble
    if svg_file is None:
        return ExitCode.PASS
    try:
        replace_file(svg_file, svg.render([*heading, *lines], title))
    except OSError as error:
        raise Problem(f"{svg_file} cannot be written: {error.strerror}.") from error
    screen.print(f"Written: {svg_file}", soft_wrap=True)
    return ExitCode.PASS


def _draw(choice: part_mix.PartChoice) -> tuple[list[Text], Problem | None]:
    """The drawing, as far as it came, and what it stopped at."""
    lines: list[Text] = []
    try:
        with part_mix.told_apart(choice), stall_limit(lambda: 0, [str(choice.path)], most=MOST):
            for line in DRAWINGS[choice.exercise.number](choice.load()):
                lines.append(line)
    except Problem as trouble:
        return lines, trouble
    return lines, None


def _block_tables(part: Any) -> Iterator[Text]:
    sizes = f"{block_table.NUM_BLOCKS} blocks of {block_table.BLOCK_SIZE} tokens, block 0 is scratch"
    yield Text(f"{sizes}, watermark {block_table.WATERMARK}. x2: two readers.", style="dim")
    manager = part(block_table.NUM_BLOCKS, block_table.BLOCK_SIZE, watermark=block_table.WATERMARK)
    for frame in block_table.frames(manager):
        yield Text()
        yield from block_table.draw(frame)


def _timelines(part: Any) -> list[Text]:
    from reference_engine import naive

    blocks = part_mix.choose(1, "solutions", None).load()
    lines = timeline.draw(timeline.play(timeline.scheduler(part, blocks)), "this scheduler")
    naive_run = timeline.play(timeline.scheduler(naive.Scheduler, blocks))
    before = timeline.draw(naive_run, "static batching, for comparison")
    return [*lines, Text(), *before, Text(), timeline.legend()]


def _radix_tree(part: Any) -> Iterator[Text]:
    sizes = (
        f"Blocks of {radix_tree.BLOCK_SIZE} tokens, a word is a token. [n]: block n. goes 1st: the next to be evicted."
    )
    yield Text(sizes, style="dim")
    yield Text("The tree is this part's own, as its answers to match and evict show it.", style="dim")
    cache = radix_tree.CheckedCache(part)
    for call, play in radix_tree.CALLS:
        yield Text()
        yield from radix_tree.draw(cache, call, play(cache))


def _guess_tree(part: Any) -> list[Text]:
    from reference_engine.model import ModelError

    try:
        return guess_tree.draw(guess_tree.play(part))
    except ModelError as error:
        raise Problem(f"the waiter is not well: {error}.", ExitCode.UNGRADED) from error


DRAWINGS: dict[int, Callable[[Any], Iterable[Text]]] = {
    1: _block_tables,
    2: _timelines,
    3: _radix_tree,
    4: _guess_tree,
}
