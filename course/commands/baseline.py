"""`course baseline`: cards that carry another engine's speed to machines and days where it is not
installed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import click
from rich.status import Status
from rich.table import Table
from rich.text import Text

from course import workspace
from course.errors import ExitCode, Problem
from course.terminal import clean, console
from graders.engines.results import BUSY
from graders.throughput.baselines import (
    FEWEST,
    FOLDER,
    SHIPPED,
    VARIABLE,
    BadCard,
    BaselineCard,
    files,
    folders,
    load,
    misnamed,
    save,
    verify,
)
from graders.throughput.hardware import here, load_per_core
from graders.workloads import NAMES, drawable

UNEVEN = 1.5
"""The slowest pair over the fastest from which on a card is worth a warning."""


@click.group("baseline", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> ExitCode | None:
    """Baseline cards: how fast other engines were beside ours on this class of machine.

    \b
    course baseline                     the cards that `course check` finds, and which of them count here
    course baseline record vllm         measure vllm beside our engine and write cards
    course baseline show FILE           everything that a card says
    course baseline verify [FILE …]     edited, from other hardware, out of date? exit 1 if so
    """
    return context.invoke(verify_cards, paths=()) if context.invoked_subcommand is None else None


@command.command("record")
@click.argument("engine")
@click.option(
    "--workload",
    "names",
    multiple=True,
    type=click.Choice(NAMES),
    help="On this one only; may be repeated.",
)
@click.option("--scale", type=float, default=None, help="Share of the full size.  [default: 1.0]")
@click.option(
    "--model", default="waiter", show_default=True, help="With --workload: whose engine it is."
)
@click.option(
    "--pairs",
    type=click.IntRange(FEWEST, 99),
    default=11,
    show_default=True,
    help="Runs of each engine.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the cards."
)
def record_card(
    engine: str,
    names: tuple[str, ...],
    scale: float | None,
    model: str,
    pairs: int,
    out: Path | None,
) -> ExitCode:
    """Measure ENGINE beside the reference engine and write a card for each workload.

    Without --workload: those for which the bounds of the exercises name the engine, at the size
    that they are checked.
    """
    wanted, folder, screen = _wanted(engine, names, scale, model), out or _own_folder(), console()
    _writable(folder)
    busy = _busy()
    if busy:
        screen.print(
            f"This machine is busy, {busy}: stop what else is running first.",
            style="yellow",
            soft_wrap=True,
        )
    for name, size, of in wanted:
        card = _recorded(engine, name, size, of, pairs)
        try:
            path = save(card, folder)
        except OSError as trouble:
            raise Problem(f"{folder} cannot be written to: {trouble.strerror}.") from trouble
        screen.print(_sentence(card) + (f"; {busy}" if busy else ""), soft_wrap=True)
        screen.print(f"  {path}", style="dim", soft_wrap=True)
        if card.spread[1] > UNEVEN * card.spread[0]:
            screen.print(
                "  The pairs differ much: the machine was busy. Record it again when it is not.",
                style="yellow",
            )
    return ExitCode.PASS


def _recorded(engine: str, name: str, scale: float, model: str, pairs: int) -> BaselineCard:
    """Measure one workload. Raises Problem."""
    from graders.throughput.recording import NotRecorded, RecordingRequest, record
    from reference_engine.model import ModelError

    try:
        with console().status(f"{engine} on {name}") as status:
            return record(
                RecordingRequest(engine, name, scale, pairs, model),
                say=partial(_say, status, f"{engine} on {name}"),
            )
    except NotRecorded as trouble:
        raise Problem(clean(str(trouble)), ExitCode.UNGRADED) from trouble
    except (ValueError, ModelError) as wrong:
        raise Problem(f"{clean(str(wrong))}.") from wrong


@command.command("show")
@click.argument("path", type=click.Path(path_type=Path))
def show_card(path: Path) -> ExitCode:
    """Everything that the card in the file PATH says."""
    try:
        card = load(path)
    except BadCard as bad:
        raise Problem(clean(str(bad))) from bad
    screen, low_high = console(), card.spread
    rows = {
        "engine": f"{card.engine} {card.version}",
        "note": card.note,
        "flags": ", ".join(f"{name}={value}" for name, value in card.flags.items()),
        "workload": f"{card.workload}, scale {card.scale:g}, model {card.model}",
        "took": f"{card.slowness:.2f} times as long as the reference engine ({low_high[0]:.2f} to {low_high[1]:.2f})",
        "loaded": f"{card.parameters:,} parameters in {card.dtype}, weights {card.weights[:12]}"
        if card.weights
        else "",
        "samples": str(len(card.samples)),
        "tokens": "every one what the model says" if card.verified else "not verified",
        "hardware": str(card.hardware),
        "date": card.date,
        "reference": f"{card.reference}{f' ({card.stale()})' if card.stale() else ''}",
    }
    for name, value in rows.items():
        if value:
            screen.print(Text.assemble((f"{name:<10}", "dim"), clean(value)), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("trace", f"{clean(card.engine)} s", "reference s", "ratio"):
        table.add_column(title, justify="left" if title == "trace" else "right")
    for each in card.samples:
        table.add_row(
            clean(each.trace),
            f"{each.engine_seconds:.3f}",
            f"{each.reference_seconds:.3f}",
            f"{each.slowness:.2f}",
        )
    screen.print()
    screen.print(table)
    return ExitCode.PASS


@command.command("verify")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def verify_cards(paths: tuple[Path, ...]) -> ExitCode:
    """Whether the cards in PATHS count here and today; without PATHS, all that `course check` would
    find."""
    place = workspace.find_or_none()
    every = paths or tuple(files(folders(place.root if place else None)))
    screen, hardware, bad = console(), here(), 0
    screen.print(f"This machine: {clean(str(hardware))}", style="dim", soft_wrap=True)
    for path in every:
        try:
            card = verify(path, hardware)
        except BadCard as trouble:
            bad += 1
            screen.print(Text.assemble(("✗ ", "red"), clean(str(trouble))), soft_wrap=True)
            continue
        stale = f"; {card.stale()}" if card.stale() else ""
        screen.print(
            Text.assemble(("✓ ", "green"), _sentence(card), (stale, "yellow")), soft_wrap=True
        )
    if not paths and misnamed():
        screen.print(Text.assemble(("✗ ", "red"), f"{clean(misnamed())}."), soft_wrap=True)
    if not every:
        screen.print(
            "There are no cards; `course baseline record vllm` writes some.", soft_wrap=True
        )
    return ExitCode.FAIL if bad and paths else ExitCode.PASS


def _wanted(
    engine: str, names: tuple[str, ...], scale: float | None, model: str
) -> list[tuple[str, float, str]]:
    """Workload, scale and model of every card to record. Raises Problem for what cannot be."""
    from graders.engines.catalogue import KINDS, unknown
    from graders.throughput.bounds import located

    if engine not in KINDS:
        raise Problem(f"{clean(unknown(engine))}.")
    named = [(name, 1.0 if scale is None else scale, located(model, Path.cwd())) for name in names]
    wanted = named or _bounded(engine, scale)
    try:
        for name, size, of in wanted:
            drawable(name, model=of, scale=size)
    except ValueError as wrong:
        raise Problem(f"{clean(str(wrong))}.") from wrong
    return wanted


def _bounded(engine: str, scale: float | None) -> list[tuple[str, float, str]]:
    """What the bounds of the exercises name the engine for."""
    from graders.registry.catalogue import exercises
    from graders.throughput.bounds import REFERENCE, BadBounds, measures

    place = workspace.find_or_none()
    try:
        beside = place.root if place else None
        found = [
            measure
            for exercise in exercises()
            for measure in measures(exercise.number, beside=beside)
        ]
    except BadBounds as bad:
        raise Problem(clean(str(bad))) from bad
    wanted = [
        (measure.workload, measure.scale if scale is None else scale, measure.model)
        for measure in found
        if measure.against(engine) is not None or engine == REFERENCE
    ]
    if not wanted:
        raise Problem(f"no bound is set against {clean(engine)}; name a --workload.")
    return wanted


def _writable(folder: Path) -> None:
    """Makes the folder. Raises Problem when no file can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return
    except OSError as trouble:
        raise Problem(
            f"{folder} cannot be written to: {trouble.strerror}. Name another folder with --out."
        ) from trouble


def _busy() -> str:
    """A phrase when others use the machine; else empty."""
    busy = load_per_core()
    return f"load {busy:g} a core at the start" if busy > BUSY else ""


def _pairs(card: BaselineCard) -> str:
    return f"{len(card.samples)} {'pair' if len(card.samples) == 1 else 'pairs'}"


def _say(status: Status, what: str, words: str) -> None:
    status.update(clean(f"{what}: {words}"))


def _own_folder() -> Path:
    named, place = os.environ.get(VARIABLE), workspace.find_or_none()
    if named:
        return Path(named)
    return place.memory / FOLDER if place else SHIPPED


def _sentence(card: BaselineCard) -> str:
    low, high = card.spread
    return clean(
        f"{card.engine} {card.version} on {card.workload}: {card.slowness:.2f} times as long as the reference engine "
        f"({low:.2f} to {high:.2f}, {_pairs(card)}, {card.date})"
    )
