"""`course doctor`: what is installed, which device, which isolation, where things are."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import metadata

import click
from rich.console import Console
from rich.text import Text

from course import progress, workspace
from course.errors import ExitCode, Problem
from course.terminal import clean, console
from graders.sandbox.isolation.levels import LOCKS

NEEDED = ("click", "rich", "hypothesis", "numpy", "torch", "tokenizers", "safetensors")
OPTIONAL = ("transformers", "nbgrader", "matplotlib", "triton", "vllm", "sglang")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` says what to type when it is not `fine`."""

    name: str
    value: str
    fine: bool = True
    advice: str = ""


@click.command("doctor")
@click.option(
    "--isolation",
    is_flag=True,
    help="Try to break out of every level, and show what is blocked and open.",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(LOCKS),
    help="With --isolation: as on a machine that lacks this; repeatable.",
)
def command(isolation: bool, without: tuple[str, ...]) -> ExitCode:
    """What is installed, which device, which isolation, where your work is. Exits 3 when something
    is to be fixed."""
    if without and not isolation:
        raise Problem(
            "--without belongs to --isolation: course doctor --isolation --without " + without[0]
        )
    screen = console()
    screen.print()
    return _try_isolation(screen, without) if isolation else _examine(screen)


def _examine(screen: Console) -> ExitCode:
    findings = []
    for examine in (
        _python,
        _packages,
        _workspace,
        _scratch,
        _isolation,
        _model,
        _compiled,
        _device,
    ):
        for finding in _examined(examine):
            findings.append(finding)
            sign = ("✓", "green") if finding.fine else ("✗", "bold red")
            line = Text.assemble("  ", sign, f" {finding.name:<12}", clean(finding.value))
            screen.print(
                line if finding.fine else line.append(f"\n    {clean(finding.advice)}"),
                soft_wrap=True,
            )
    screen.print()
    ill = sum(not finding.fine for finding in findings)
    screen.print("All is well." if not ill else f"{ill} thing{'s' * (ill > 1)} to fix, see above.")
    return ExitCode.UNGRADED if ill else ExitCode.PASS


def _try_isolation(screen: Console, without: Collection[str]) -> ExitCode:
    """The table of what a submission could reach at each level; 3 when a level does not hold what
    it promises."""
    from graders.sandbox.__main__ import table
    from graders.sandbox.probe import probe

    reports = probe(without=without)
    for line in table(reports):
        shown = Text(clean(line))
        shown.highlight_regex(r"(?<=  )blocked", "green")
        shown.highlight_regex(r"(?<=  )open", "yellow")
        screen.print(shown, soft_wrap=True)
    holes = [f"{report.level}: {hole.name}" for report in reports for hole in report.holes]
    for hole in holes:
        screen.print(f"Open, but should be blocked at {hole}", style="bold red", soft_wrap=True)
    return (
        ExitCode.UNGRADED
        if holes or not any(report.reached for report in reports)
        else ExitCode.PASS
    )


def _examined(examine: Callable[[], list[Finding]]) -> list[Finding]:
    """A doctor does not fall ill over a patient: whatever an examination raises becomes its
    finding."""
    try:
        return examine()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return [
            Finding(
                examine.__name__.strip("_"), reason, False, "install the course again: make demo"
            )
        ]


def _python() -> list[Finding]:
    version = platform.python_version()
    fine = sys.version_info >= (3, 11)
    return [
        Finding(
            "python", f"{version}, {sys.executable}", fine, "the course needs Python 3.11 or newer"
        )
    ]


def _packages() -> list[Finding]:
    found = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    missing = [name for name in NEEDED if not found[name]]
    there = [f"{name} {found[name]}" for name in NEEDED if found[name]]
    extras = [f"{name} {found[name]}" for name in OPTIONAL if found[name]]
    advice = f"missing: {', '.join(missing)}; install the course again: make demo"
    return [
        Finding("packages", ", ".join(there), not missing, advice),
        Finding("extras", ", ".join(extras) or "none (none is needed)"),
    ]


def _compiled() -> list[Finding]:
    from reference_engine.kv_dtype import KVDtype
    from reference_engine.native import library

    kept = ", ".join(each.value for each in KVDtype if not each.lacking())
    kv = Finding("KV", f"{kept} (what the engine may keep keys and values as: --kv-dtype)")
    if library.library() is None:
        slow = "the engine runs on torch alone, several times slower; results are the same"
        return [Finding("compiled", f"no. {library.reason()} {slow[0].upper()}{slow[1:]}."), kv]
    from reference_engine.arithmetic import Arithmetic
    from reference_engine.native.products import lacks

    options = [each.value for each in Arithmetic if not lacks(each)]
    without = "; ".join(lacking for each in Arithmetic if (lacking := lacks(each)))
    return [
        Finding("compiled", f"the engine's forward pass, {library.chosen()}"),
        Finding(
            "arithmetic",
            f"{', '.join(options)} (what products may be computed in){without and f'; {without}'}",
        ),
        kv,
    ]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _workspace() -> list[Finding]:
    place = workspace.find_or_none()
    if place is None:
        return [Finding("workspace", "none", False, "course init kitchen")]
    memory = progress.load(place.memory)
    folder = place.memory if place.memory.exists() else place.root
    writable = os.access(folder, os.W_OK)
    findings = [
        Finding(
            "workspace",
            str(place.root),
            writable,
            f"{folder} cannot be written: progress would be lost",
        )
    ]
    return [
        *findings,
        *([Finding("progress", memory.notice, not memory.frozen)] if memory.notice else []),
    ]


def _scratch() -> list[Finding]:
    folder = tempfile.gettempdir()
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 65536)
        file.flush()
    return [Finding("scratch", folder)]


def _isolation() -> list[Finding]:
    from graders.sandbox.isolation import spawn

    worker = spawn()
    level = worker.level
    worker.end()
    return [
        Finding(
            "isolation", f"{level}, of L1 to L4 (course doctor --isolation tries what it blocks)"
        )
    ]


def _model() -> list[Finding]:
    from reference_engine.waiter import CHECKPOINT

    weights = CHECKPOINT / "model.safetensors"
    size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else "no weights"
    return [
        Finding(
            "model",
            f"the waiter, {size}",
            weights.is_file(),
            f"{weights} is missing; install again: make demo",
        )
    ]


def _device() -> list[Finding]:
    import torch

    from graders.throughput.hardware import here

    if torch.cuda.is_available():
        return [Finding("device", f"{torch.cuda.get_device_name()}, torch {torch.__version__}")]
    return [Finding("device", f"CPU, {here()}; {torch.get_num_threads()} threads for torch")]
