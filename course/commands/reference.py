"""`course reference`: the engines in one table, of what was measured on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from course import workspace
from course.errors import ExitCode, Problem
from course.labs.files import counting, folder
from course.progress import replace_file
from course.terminal import console
from graders.experiments.quick_reference import WORKLOAD, guide, rows
from graders.throughput import baselines
from graders.throughput.hardware import Hardware, here


@click.command("reference")
@click.option("--md", "as_md", is_flag=True, help="Print it as Markdown.")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), help="Write it as a page to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.option(
    "--folder", "where", type=click.Path(path_type=Path), help="Where results of labs lie."
)
def command(as_md: bool, html_file: Path | None, as_json: bool, where: Path | None) -> ExitCode:
    """The engines in one table, and which to pick for what.

    Every figure is of `course lab` on this machine or of a card that counts here, or it is not
    there.
    """
    from course.labs import reference_pages

    place, machine = workspace.find(), here()
    labs, _ = counting(where or folder(place), machine)
    table = rows(
        {number: each for number, each in labs.items() if each.complete},
        _cards(place.root, machine),
    )
    told = (table, guide(table), str(machine))
    if html_file is not None:
        try:
            replace_file(html_file, reference_pages.html(*told))
        except OSError as error:
            raise Problem(f"{html_file} cannot be written: {error.strerror or error}.") from error
    if as_json:
        sys.stdout.write(reference_pages.as_json(*told))
    elif as_md:
        sys.stdout.write(reference_pages.markdown(*told))
    elif html_file is None:
        screen = console()
        for block in reference_pages.render(*told):
            screen.print(block, soft_wrap=isinstance(block, str))
    return ExitCode.PASS


def _cards(root: Path, machine: Hardware) -> Iterator[baselines.BaselineCard]:
    """Those of the usual workload that count here, the workspace's before the course's own."""
    for path in baselines.files(baselines.folders(root)):
        with suppress(baselines.BadCard):
            # drawing the requests of the others takes seconds
            if baselines.load(path).workload == WORKLOAD:
                yield baselines.verify(path, machine)
