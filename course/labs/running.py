"""A lab as a person runs it: what is asked for, gone on with, kept, drawn."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from course.drawings import panels
from course.errors import Problem
from course.labs.figures import figure
from course.labs.files import NO_MATPLOTLIB, LabFiles
from course.labs.formulas import formulas
from course.workspace import Workspace
from graders.engines import environments
from graders.engines.catalogue import KINDS, device_class
from graders.engines.results import BUSY
from graders.experiments.results import LabResults, LabSetup, NoResults
from graders.experiments.session import Task, begin, go_on
from graders.throughput.hardware import here, load_per_core

if TYPE_CHECKING:
    from graders.experiments.workbench import LabPlan

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabRun:
    """One lab in one folder. say: told what happens. warn: told what is amiss."""

    files: LabFiles
    say: Say
    warn: Say

    def run(self, plan: LabPlan, *, fresh: bool = False) -> LabResults:
        """Measure what is not measured yet. Raises Problem; KeyboardInterrupt leaves what is
        finished in the file."""
        if plan.threads:
            import torch

            torch.set_num_threads(plan.threads)
        tasks: list[Task] = importlib.import_module(f"graders.experiments.lab{plan.lab}").tasks(
            plan
        )
        setup = set_up(plan)
        self._announce(setup)
        results = begin(setup, tasks, None if fresh else self._earlier(setup))
        return go_on(results, tasks, keep=self.files.keep, say=self.say)

    def draw(self, results: LabResults, place: Workspace | None) -> tuple[Path, ...]:
        """Write the figure; where it lies. Without matplotlib the PNG is left out, and that is
        said."""
        lab = results.setup.lab
        drawn = figure(results, formulas(lab, place))
        self.files.write("svg", panels.svg(drawn))
        png = self.files.path("png")
        try:
            panels.png(drawn, png)
        except ImportError:
            self.warn(NO_MATPLOTLIB)
            return (self.files.path("svg"),)
        except OSError as error:
            raise Problem(f"{png} cannot be written: {error.strerror or error}.") from error
        return self.files.path("svg"), png

    def _announce(self, setup: LabSetup) -> None:
        if setup.busy > BUSY:
            told = "times measured meanwhile do not count where others have the processors"
            self.warn(f"The machine is busy (load {setup.busy:g} a core): {told}.")
        for name in setup.engines:
            there = environments.standing(KINDS[name], device_class())
            if not there.ready:
                self.warn(f"{name} is left out: {there.state}; {there.advice}.")

    def _earlier(self, setup: LabSetup) -> LabResults | None:
        """What was kept before; results that are not to be gone on with are told, those of
        elsewhere moved aside."""
        try:
            found = self.files.load()
        except NoResults as bad:
            self.warn(f"{bad}; it is kept as {self.files.set_aside()}.")
            return None
        if found is None:
            return None
        elsewhere = setup.hardware.difference(found.setup.hardware)
        if elsewhere:
            aside = self.files.set_aside()
            self.warn(
                f"{self.files.path('json')} is from another machine ({elsewhere}); it is kept as {aside}."
            )
            return None
        difference = setup.difference(found.setup)
        if not found.complete and difference:
            self.warn(f"{self.files.path('json')} is not gone on with: {difference}.")
        return found


def set_up(plan: LabPlan) -> LabSetup:
    """What is asked for, and where it will run."""
    import torch

    return LabSetup(
        lab=plan.lab,
        quick=plan.quick,
        models={name: _sizes(name) for name in plan.models},
        engines=plan.engines,
        threads=torch.get_num_threads(),
        seed=plan.seed,
        hardware=here(),
        versions=_versions(plan.engines, str(torch.__version__)),  # a text of a kind of its own
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        busy=load_per_core(),
    )


def _sizes(name: str) -> Mapping[str, int]:
    """Of a model, without its weights where that can be had; none where it cannot be had, which its
    tasks will say."""
    from graders.experiments.workbench import sizes
    from reference_engine.embed_in_larger import STRETCHES, stretched_config
    from reference_engine.llama.config import SHAPES
    from reference_engine.llama.weights import read_config
    from reference_engine.model import ModelError
    from reference_engine.waiter import CHECKPOINT

    base, at, shape = name.partition("@")
    known = {**SHAPES, **STRETCHES}
    try:
        if base.startswith("random:"):
            return sizes(SHAPES[base.removeprefix("random:")])
        own = read_config(CHECKPOINT if base == "waiter" else Path(base))
        return sizes(stretched_config(own, known[shape]) if at else own)
    except (ModelError, KeyError):
        return {}


def _versions(engines: tuple[str, ...], torch: str) -> dict[str, str]:
    """Of everything whose figures the lab has."""
    own = environments.standing(KINDS["reference"]).version
    others = {name: environments.standing(KINDS[name], device_class()).version for name in engines}
    return {"inference-kitchen": own, "torch": torch} | others
