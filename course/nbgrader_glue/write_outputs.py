"""A verdict written into the cells of a notebook, as their outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from course.nbgrader_glue import feedback
from course.nbgrader_glue.feedback import Ungraded
from course.nbgrader_glue.notebook import law_id
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult


def grade_id(cell: Any) -> str:
    """The name of a cell of a restored notebook, "" for a cell that nbgrader does not know."""
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def mark(
    cells: Iterable[Any], result: ExerciseResult, found: str, notices: Iterable[str] = ()
) -> set[str]:
    """Set the outputs of the law cells and of the solution cell; the names of timed laws that the
    verdict leaves out.

    Changes nothing and raises `Ungraded` when the cells and the laws of the verdict do not belong
    together: then the notebook was released by another version of the course.
    """
    exercise = catalogue(result.exercise)
    laws = {law_id(law.number): law for law in result.laws}
    known = {grade_id(cell): cell for cell in cells}
    scored = {name for name, cell in known.items() if _is_law(cell)}
    left_out = scored - set(laws)
    timed = {law_id(law.number) for law in exercise.laws if law.kind == "throughput"}
    strange = (set(laws) - scored) | (left_out - timed)
    strange |= {
        name for name in scored & set(laws) if _points(known[name]) != laws[name].max_points
    }
    if strange:
        raise Ungraded(OTHER.format(names=", ".join(sorted(strange))))
    outputs = {name: feedback.outputs(law) for name, law in laws.items()}
    outputs |= {name: feedback.not_timed(name) for name in left_out}
    outputs[exercise.slot] = feedback.summary(result, found, notices)
    for name, said in outputs.items():
        if name in known:
            known[name]["outputs"] = said
    return left_out


OTHER = (
    "the notebook was released with other laws or points ({names}) than this version of the course judges; install the "
    "version that it was released with."
)


def _is_law(cell: Any) -> bool:
    marks = cell["metadata"].get("nbgrader", {})
    return bool(marks.get("grade")) and not marks.get("solution")


def _points(cell: Any) -> float:
    return float(cell["metadata"]["nbgrader"]["points"])
