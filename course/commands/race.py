"""`course race`: engines side by side on one workload, as a table, JSON and a plot."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click

from course.click_types import FiniteRange, kv_dtype_option
from course.errors import ExitCode, Problem
from course.race.files import RaceFiles
from course.sigterm import interruptible
from course.terminal import clean, console, teller
from graders.engines.catalogue import RACERS, unknown
from graders.engines.loaded import BEST, DTYPE, DTYPES
from graders.engines.results import RaceResults
from graders.workloads import NAMES
from reference_engine.arithmetic import Arithmetic


@click.command("race")
@click.option(
    "--engines",
    default="reference,transformers",
    show_default=True,
    help="Names, the baseline first.",
)
@click.option("--workload", type=click.Choice(NAMES), default="ragged", show_default=True)
@click.option(
    "--model",
    default="waiter",
    show_default=True,
    help="waiter, random:SHAPE, waiter@SHAPE or a folder.",
)
@click.option(
    "--pairs",
    "rounds",
    type=click.IntRange(1, 99),
    default=5,
    show_default=True,
    help="Rounds that count.",
)
@click.option(
    "--sweep",
    default="1,4,16,64",
    show_default=True,
    help="Batches at which decoding is timed; '' none.",
)
@click.option(
    "--whole-only", is_flag=True, help="Only the workload itself: no prompts alone, no sweep."
)
@click.option(
    "--lengths",
    default="",
    help="In place of the workload: a request alone, prompts of so many tokens.",
)
@click.option(
    "--scale", type=FiniteRange(0, min_open=True), default=1.0, help="Share of the requests."
)
@click.option(
    "--threads", type=click.IntRange(0, 1024), default=0, help="For every engine; 0: every core."
)
@click.option(
    "--dtype",
    type=click.Choice((*DTYPES, BEST)),
    default=DTYPE,
    show_default=True,
    help="Of the weights that all are given, and of what they compute in; best: each in what it is quickest in.",
)
@click.option(
    "--arithmetic",
    type=click.Choice([each.value for each in Arithmetic]),
    default=Arithmetic.FP32.value,
    show_default=True,
    help="Of our engine's products, whatever its weights are stored as.",
)
@kv_dtype_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--timeout",
    "--patience",
    "timeout",
    type=FiniteRange(1, 1e6),
    default=300.0,
    help="Seconds that one trace may take.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    help="Write everything measured to this file.",
)
@click.option(
    "--svg", "svg_file", type=click.Path(path_type=Path), help="Write the plot to this file."
)
@click.option(
    "--png",
    "png_file",
    type=click.Path(path_type=Path),
    help="Write the plot there (needs matplotlib).",
)
@click.option(
    "--store", is_flag=True, help="In a clone: keep it as the race that the README tells of."
)
def command(
    engines: str,
    workload: str,
    model: str,
    rounds: int,
    sweep: str,
    whole_only: bool,
    lengths: str,
    scale: float,
    threads: int,
    dtype: str,
    arithmetic: str,
    kv_dtype: str,
    seed: int,
    timeout: float,
    json_file: Path | None,
    svg_file: Path | None,
    png_file: Path | None,
    store: bool,
) -> ExitCode:
    """Engines side by side on one workload in one interleaved run.

    \b
    course race --engines reference,vllm,llama.cpp,transformers --workload ragged --svg race.svg
    course race --engines plain,draft,medusa,eagle --workload predictable_talk_1 --model waiter@20m
    course race --model waiter@20m --lengths 128,512,2048 --json costs.json
    course engines            which engines there are here, and how to get one

    All get the same checkpoint, tokens, lengths, KV memory, concurrency and cores; every token is
    checked before it counts. --store writes graders/throughput/races/WORKLOAD-MODEL.json, of which
    `course generate` makes a table for the README. Exits 3 when an engine asked for did not run to
    the end. Ctrl-C shows and writes the rounds that are complete.
    """
    if store and lengths:
        raise Problem("--store keeps races of a workload, not of --lengths. Use --json.")
    kept = _stored(workload, model, dtype) if store else None
    files = RaceFiles(json_file, svg_file, png_file, kept)
    names = _engines(engines)
    batches = () if whole_only or lengths else _numbers(sweep, "batches", "--sweep 1,4,16")
    files.check()
    from graders.engines.race import RacePlan

    plan = RacePlan(
        engines=names,
        workload=workload,
        model=model,
        rounds=rounds,
        batches=batches,
        apart=not whole_only,
        lengths=_numbers(lengths, "lengths", "--lengths 128,512,2048"),
        seed=seed,
        scale=scale,
        threads=threads,
        dtype=dtype,
        arithmetic=arithmetic,
        kv_dtype=kv_dtype,
        timeout=timeout,
    )
    results = _run(plan)
    return _written(results, files)


def _written(results: RaceResults, files: RaceFiles) -> ExitCode:
    """Shown, and written where it is to be."""
    _print(results)
    if files.stored is not None and not (results.complete and not results.interrupted):
        console(stderr=True).print(
            f"{files.stored} is left as it was: not every engine ran to the end.", soft_wrap=True
        )
        files = replace(files, stored=None)
    files.write(results)
    if results.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.PASS if results.complete else ExitCode.UNGRADED


def _stored(workload: str, model: str, dtype: str) -> Path:
    """Where the race is kept. Raises Problem where there is no README to tell of it."""
    from course.race import readme_table
    from course.workspace import installed_root

    root, called = installed_root(), readme_table.name(workload, model, dtype)
    if not (root / "pyproject.toml").is_file():
        raise Problem(
            "--store works in a clone of the project only; this is an installed package. Use --json."
        )
    if Path(called).name != called:
        raise Problem("--store keeps races of models with a name, not of folders. Use --json.")
    (root / readme_table.FOLDER).mkdir(parents=True, exist_ok=True)
    return root / readme_table.path(called)


def _run(plan: object) -> RaceResults:
    tell = teller()
    try:
        with interruptible():
            from graders.engines.race import RacePlan, race
            from reference_engine.model import ModelError

            assert isinstance(plan, RacePlan)
            try:
                return race(plan, say=tell, warn=lambda line: tell(line, "yellow"))
            except (ValueError, ModelError) as error:
                raise Problem(f"{clean(str(error))}.") from error
    except KeyboardInterrupt:
        told = "\nInterrupted before the first round was complete: there are no figures, and nothing was written."
        raise Problem(told, ExitCode.INTERRUPTED) from None


def _print(results: RaceResults) -> None:
    from course.race.table import render

    screen = console()
    for block in render(results):
        screen.print(block, soft_wrap=isinstance(block, str))


def _engines(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise Problem(f"--engines names none; there are {', '.join(RACERS)}.")
    for name in names:
        if name not in RACERS:
            several = len([word for word in re.split(r"[;:+/|\s]+", name) if word]) > 1
            raise Problem(f"{unknown(name)}{'; separate them with commas' if several else ''}.")
    return names


def _numbers(text: str, what: str, example: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        numbers = (0,)
    if any(number < 1 for number in numbers):
        raise Problem(f"{text!r} are no {what}; write numbers from 1 on, as in {example}.")
    return numbers
