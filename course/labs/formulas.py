"""Whose predictions a figure shows: the learner's own formulas once they pass their laws, else the solution's."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from course import workspace
from course.workspace import Workspace
from graders.experiments.lab_names import LABS

NOT_BUILT = "No predictions: this installation has no formulas for this lab"


@dataclass(frozen=True, slots=True)
class Formulas:
    """The functions of one lab. source: whose they are, for a legend; what is said when there are none."""

    source: str
    module: Any = None

    def __call__(self, name: str, *arguments: Any) -> Any:
        """What the formula called `name` says; None where there is none, or it cannot say."""
        function = getattr(self.module, name, None)
        if function is None:
            return None
        with suppress(Exception):  # a prediction that fails leaves a gap in a picture, and nothing else
            return function(*arguments)
        return None


def formulas(lab: int, place: Workspace | None, *, passed: bool) -> Formulas:
    """The learner's, where their file passed every law of the lab; else the solution's, where it is there."""
    name = LABS[lab]
    if place is not None and passed:
        own = _module(place.exercises / name.slug / f"{name.module}.py")
        if own is not None:
            return Formulas("your formula", own)
    solution = _module(workspace.installed_root() / "solutions" / name.slug / f"{name.module}.py")
    return Formulas(NOT_BUILT) if solution is None else Formulas("the solution's formula", solution)


def shape(sizes: Mapping[str, int]) -> Any:
    """The sizes of a model as the formulas take them."""
    from reference_engine import slots

    kind = getattr(slots, "Shape", SimpleNamespace)
    return kind(**{**sizes, "tied": bool(sizes.get("tied"))})


def _module(path: Path) -> Any:
    """The module in a file; None when it is not there or cannot be imported."""
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location(f"formulas_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    with suppress(Exception):
        spec.loader.exec_module(module)
        return module
    return None
