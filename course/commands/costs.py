"""`course costs`: what a token costs over size, batch, context and prompt, from races, beside the
floor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from course.errors import ExitCode, Problem
from course.race.files import NO_MATPLOTLIB, obstacle
from course.terminal import clean, console
from graders.engines.results import RaceResults, read


@click.command("costs")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--svg", "svg_file", type=click.Path(path_type=Path), help="Write the plot to this file."
)
@click.option(
    "--png",
    "png_file",
    type=click.Path(path_type=Path),
    help="Write the plot there (needs matplotlib).",
)
def command(files: tuple[Path, ...], svg_file: Path | None, png_file: Path | None) -> ExitCode:
    """What a token costs, over the size of the model, the batch, the context and the prompt, beside
    the floor.

    \b
    course race --model waiter@20m --lengths 128,512,2048 --json a.json
    course race --model waiter@0.1b --lengths 128,512,2048 --json b.json
    course costs a.json b.json --svg costs.svg

    FILES: races that `course race --json` or `--store` wrote, of one machine, in one dtype. Where
    an engine's cost leaves the floor is where it bends away.
    """
    from course.drawings import panels
    from course.race.costs import costs, figure

    for path in (svg_file, png_file):
        if path is not None and (fault := obstacle(path)):
            raise Problem(f"{fault}.")
    races = [_race(path) for path in files]
    try:
        found = costs(races)
    except ValueError as error:
        raise Problem(f"{clean(str(error))}.") from error
    _print(found)
    if svg_file is not None:
        svg_file.write_text(panels.svg(figure(races)), encoding="utf-8")
    if png_file is not None:
        try:
            panels.png(figure(races), png_file)
        except ImportError:
            raise Problem(f"{NO_MATPLOTLIB}.") from None
    return ExitCode.PASS


def _race(path: Path) -> RaceResults:
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise Problem(f"{path} holds no race: {clean(str(error))}.") from error


def _print(found: Sequence[object]) -> None:
    from rich.table import Table

    from course.drawings.panels import number
    from course.race.costs import CostsOver

    screen = console()
    for over in found:
        assert isinstance(over, CostsOver)
        table = Table(box=None, pad_edge=False, header_style="dim", title=None)
        table.add_column(over.x, justify="right", no_wrap=True)
        for name in over.names:
            table.add_column(name, justify="right", no_wrap=True)
        for x in dict.fromkeys(cost.x for cost in over.costs):
            cells = {
                over.name(cost): f"{cost.taken:.3g} ({cost.times:.1f}x)"
                for cost in over.costs
                if cost.x == x
            }
            table.add_row(number(x), *(cells.get(name, "") for name in over.names))
        screen.print(f"\n{over.title}, {over.unit} (times the floor)", style="bold")
        screen.print(table)
