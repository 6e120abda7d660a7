"""`course race`: engines side by side on one workload, as a table, JSON and a plot."""

from __future__ import annotations

from pathlib import Path

import click

from course.problem import ExitCode, Problem
from course.progress import replace_file
from course.screen import clean, console
from graders.engines.standings import Standings
from graders.throughput.workloads import NAMES


@click.command("race")
@click.option("--engines", default="reference,transformers", show_default=True, help="Names, the measure first.")
@click.option("--workload", type=click.Choice(NAMES), default="ragged", show_default=True)
@click.option("--model", default="waiter", show_default=True, help="waiter, random:SHAPE, waiter@SHAPE or a folder.")
@click.option("--pairs", "rounds", type=click.IntRange(1, 99), default=5, show_default=True, help="Rounds that count.")
@click.option("--sweep", default="1,4,16,64", show_default=True, help="Batches at which decoding is timed; '' none.")
@click.option("--whole-only", is_flag=True, help="Only the workload itself: no prompts alone, no sweep.")
@click.option("--scale", type=click.FloatRange(0, min_open=True), default=1.0, help="Share of the requests.")
@click.option("--threads", type=click.IntRange(0), default=0, help="For every engine; 0: every core.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--patience", type=click.FloatRange(1), default=300.0, help="Seconds that one trace may take.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything measured to this file.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Write the plot to this file.")
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="Write the plot there (needs matplotlib).")
def command(
    engines: str,
    workload: str,
    model: str,
    rounds: int,
    sweep: str,
    whole_only: bool,
    scale: float,
    threads: int,
    seed: int,
    patience: float,
    json_file: Path | None,
    svg_file: Path | None,
    png_file: Path | None,
) -> ExitCode:
    """Engines side by side on one workload in one interleaved run.

    \b
    course race --engines reference,vllm,llama.cpp,transformers --workload ragged --svg race.svg
    course engines            which engines there are here, and how to get one

    All get the same checkpoint, tokens, lengths, KV memory, seats and cores; every token is checked before it counts.
    Exits 3 when an engine asked for did not run to the end.
    """
    from graders.engines.race import Plan

    plan = Plan(
        engines=tuple(name.strip() for name in engines.split(",") if name.strip()),
        workload=workload,
        model=model,
        rounds=rounds,
        batches=() if whole_only else _batches(sweep),
        apart=not whole_only,
        seed=seed,
        scale=scale,
        threads=threads,
        patience=patience,
    )
    standings = _run(plan)
    _print(standings)
    _write(standings, json_file, svg_file, png_file)
    return ExitCode.PASS if standings.complete else ExitCode.UNGRADED


def _run(plan: object) -> Standings:
    from graders.engines.race import Plan, race
    from reference_engine.model import ModelError

    assert isinstance(plan, Plan)
    progress = console(stderr=True)
    try:
        return race(plan, say=lambda line: progress.print(clean(line), style="dim", soft_wrap=True))
    except (ValueError, ModelError) as error:
        raise Problem(f"{clean(str(error))}.") from error


def _print(standings: Standings) -> None:
    from course.racing import render

    screen = console()
    for block in render(standings):
        screen.print(block, soft_wrap=isinstance(block, str))


def _write(standings: Standings, json_file: Path | None, svg_file: Path | None, png_file: Path | None) -> None:
    from course.drawings import race_plot

    texts = [(json_file, standings.as_json)]
    if svg_file is not None:
        texts.append((svg_file, lambda: race_plot.svg(standings)))
    for path, text in texts:
        if path is None:
            continue
        try:
            replace_file(path, text())
        except OSError as error:
            raise Problem(f"{path} cannot be written: {error.strerror}.") from error
    if png_file is not None:
        try:
            race_plot.png(standings, png_file)
        except ImportError as error:
            raise Problem("--png needs matplotlib: pip install 'inference-kitchen[plots]', or use --svg.") from error
        except OSError as error:
            raise Problem(f"{png_file} cannot be written: {error.strerror}.") from error


def _batches(text: str) -> tuple[int, ...]:
    try:
        batches = tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        batches = (0,)
    if any(batch < 1 for batch in batches):
        raise Problem(f"{text!r} are no batches; write numbers from 1 on, as in --sweep 1,4,16.")
    return batches
