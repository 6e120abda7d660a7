"""Everything that can be said about the engine on this GPU, in one command and one card.

    python -m reference_engine.gpu.suite                  # a GPU; under eight minutes; writes build/gpu-suite.json
    python -m reference_engine.gpu.suite --dry            # any machine; small sizes on the CPU; times mean nothing

Checks come first, then speeds, then vLLM and SGLang where they are installed. A section that breaks
off is told in the card and the next one runs. Exit status: 0 all checks passed, 1 something was
wrong, 2 nothing could be run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_engine.gpu.suite.card import GpuCard, Row, Section
    from reference_engine.gpu.suite.engines import DeviceSizes

SECTIONS = (
    "ceilings",
    "kernels",
    "tokens",
    "kernel speed",
    "steps",
    "throughput",
    "medusa",
    "tuning",
    "compiler",
)
OPPONENTS = ("vllm", "sglang")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; the exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.dry:
        os.environ.setdefault("TRITON_INTERPRET", "1")
    from reference_engine.gpu.device import choose_device

    device = choose_device()
    if device.device.type != "cuda" and not chosen.dry:
        print(
            f"no GPU to measure: {device.why}. --dry runs every section on the CPU.",
            file=sys.stderr,
        )
        return 2
    unknown = sorted(set(chosen.only) - {*SECTIONS, *OPPONENTS})
    if unknown:
        print(
            f"no section called {unknown[0]!r}: choose among {', '.join((*SECTIONS, *OPPONENTS))}",
            file=sys.stderr,
        )
        return 2
    card = run(
        dry=chosen.dry, seconds=chosen.seconds, parts=chosen.parts, only=chosen.only, tell=print
    )
    card.write(chosen.out)
    print(
        f"\n{'passed' if card.passed else 'FAILED'} in {card.seconds:.0f} s; the card is {chosen.out}"
    )
    return 0 if card.passed else 1


def run(
    *,
    dry: bool,
    seconds: float,
    parts: Path | None,
    only: Sequence[str],
    tell: Callable[[str], None],
) -> GpuCard:
    """Run the sections and make the card. `only`: of these names; empty: all."""
    import torch

    from reference_engine.gpu.device import choose_device
    from reference_engine.gpu.suite import card as cards
    from reference_engine.gpu.suite.engines import DeviceSizes, parts_in

    began = time.monotonic()
    loaded, label = parts_in(parts)
    device = torch.device("cpu") if dry else choose_device().device
    target = DeviceSizes(device, dry, loaded, began + seconds)
    hardware, versions = cards.hardware(device), cards.versions()
    tell(
        f"{hardware['device']}, torch {versions['torch']}, triton {versions['triton']}, {label}{', DRY' if dry else ''}"
    )
    sections: list[Section] = []
    for name, work in _works(target).items():
        if only and name not in only:
            continue
        sections.append(_guarded(target, name, work))
        _show(sections[-1], tell)
    return cards.GpuCard(
        dry=dry,
        parts=label,
        hardware=hardware,
        versions=versions,
        date=cards.now(),
        sections=tuple(sections),
        notes=tuple(target.notes),
        seconds=time.monotonic() - began,
    )


def _works(target: DeviceSizes) -> dict[str, Callable[[], Section]]:
    """The sections by name, in their order. The ceilings are measured first, by whoever needs them
    first."""
    from reference_engine.gpu.suite import (
        kernel_checks,
        kernel_speed,
        medusa_speed,
        opponents,
        step_speed,
        throughput,
        token_checks,
    )
    from reference_engine.gpu.suite.ceilings import measure
    from reference_engine.roofline import Roof

    measured: list[tuple[Roof, Section]] = []

    def ceilings() -> tuple[Roof, Section]:
        if not measured:
            measured.append(measure(target))
        return measured[0]

    works: dict[str, Callable[[], Section]] = {
        "ceilings": lambda: ceilings()[1],
        "kernels": lambda: kernel_checks.check(target),
        "tokens": lambda: token_checks.check(target),
        "kernel speed": lambda: kernel_speed.measure(target, ceilings()[0]),
        "steps": lambda: step_speed.measure(target, ceilings()[0]),
        "throughput": lambda: throughput.measure(target),
        "medusa": lambda: medusa_speed.measure(target),
        "tuning": lambda: kernel_speed.tune(target, ceilings()[0]),
        "compiler": lambda: _compiled(target),
    }
    return works | {name: lambda name=name: opponents.measure(target, name) for name in OPPONENTS}


def _compiled(target: DeviceSizes) -> Section:
    """What the compiler made of the kernels, read in a process of its own that does not interpret."""
    import subprocess

    from reference_engine.gpu.suite.card import Section, SectionOutcome

    command = [sys.executable, "-m", "reference_engine.kernels.compile_report", "--json"]
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(command, capture_output=True, text=True, env=settings)
    if done.returncode:
        return Section(
            "compiler",
            SectionOutcome.SKIPPED,
            (done.stderr.strip().splitlines() or ["no reason given"])[-1],
        )
    import json

    rows: tuple[Row, ...] = tuple(json.loads(done.stdout))
    spilling = [str(row["kernel"]) for row in rows if row["local_loads"]]
    message = (
        f"spilling registers: {', '.join(spilling)}" if spilling else "nothing spills registers"
    )
    return Section(
        "compiler", SectionOutcome.FAIL if spilling else SectionOutcome.PASS, message, rows
    )


def _guarded(target: DeviceSizes, name: str, work: Callable[[], Section]) -> Section:
    """The section, timed; a skipped one when no time is left, one that says so when it breaks off."""
    from dataclasses import replace

    from reference_engine.gpu.suite.card import Section, SectionOutcome

    if target.left < 0:
        return Section(name, SectionOutcome.SKIPPED, "no time left")
    began = time.monotonic()
    try:
        section = work()
    except Exception as error:  # whatever it is, the other sections are worth running
        section = Section(
            name, SectionOutcome.ERROR, f"{type(error).__name__}: {str(error).strip()[:300]}"
        )
    return replace(section, seconds=time.monotonic() - began)


def _show(section: Section, tell: Callable[[str], None]) -> None:
    """The section on the screen: a line for each row, numbers short."""
    tell(f"\n{section.name}: {section.outcome} in {section.seconds:.1f} s. {section.message}")
    for row in section.rows[:40]:
        tell("  " + "  ".join(f"{key} {_short(value)}" for key, value in row.items()))
    if len(section.rows) > 40:
        tell(f"  ... {len(section.rows) - 40} more in the card")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reference_engine.gpu.suite", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument(
        "--dry",
        action="store_true",
        help="small sizes on the CPU: every line, no meaning in the times",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/gpu-suite.json"), help="where the card goes"
    )
    parser.add_argument(
        "--seconds", type=float, default=460.0, help="begin nothing new after so long"
    )
    parser.add_argument(
        "--parts", type=Path, help="a folder laid out like solutions/ (default: that one)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="SECTION", help=", ".join((*SECTIONS, *OPPONENTS))
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
