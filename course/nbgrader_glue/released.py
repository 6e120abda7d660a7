"""The cells that were released: those that the gradebook knows, and the page on which they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from course.errors import Problem
from course.nbgrader_glue import solution_cell
from course.nbgrader_glue.notebook import law_id, question_id, release
from course.nbgrader_glue.restore_cells import ReleasedCell
from graders.submissions.notebook import Cell, cells_of, washed

MOST_QUESTIONS = 20


def released(gradebook: Any, assignment: str, notebook: str) -> list[ReleasedCell]:
    """The cells of a notebook as `nbgrader generate_assignment` recorded them, in the notebook's
    order.

    Raises nbgrader's `MissingEntry` when it recorded none.
    """
    found = gradebook.find_notebook(notebook, assignment)
    points = {cell.name: float(cell.max_score) for cell in [*found.grade_cells, *found.task_cells]}
    graded = {cell.name for cell in found.grade_cells}
    solutions = {cell.name for cell in found.solution_cells}
    tasks = {cell.name for cell in found.task_cells}
    cells = [
        ReleasedCell(
            cell.name, cell.cell_type, cell.source, cell.checksum or "", cell.name in graded, cell.name in solutions,
            points.get(cell.name), cell.name in tasks,
        )
        for cell in found.source_cells
    ]  # fmt: skip
    order = {name: place for place, name in enumerate(_order(notebook))}
    return sorted(cells, key=lambda cell: order.get(cell.grade_id, len(order)))


def page(directory: Any, assignment: str, notebook: str) -> list[Cell]:
    """All cells of a notebook as it was released, washed: from release/ or source/ of the course,
    else made anew.

    directory: nbgrader's `CourseDirectory`. Without any of the three, none.
    """
    for step in (directory.release_directory, directory.source_directory):
        path = Path(
            directory.root, directory.format_path(step, ".", assignment), f"{notebook}.ipynb"
        )
        try:
            return cells_of(path.read_bytes())
        except (OSError, ValueError):
            continue
    exercise = solution_cell.exercise_of(notebook)
    try:
        return [washed(cell) for cell in release(exercise)["cells"]] if exercise else []
    except (OSError, Problem):
        return []


def _order(notebook: str) -> list[str]:
    """The names of the cells of an exercise's notebook; the gradebook keeps no order."""
    exercise = solution_cell.exercise_of(notebook)
    if exercise is None:
        return []
    laws = [law_id(law.number) for law in exercise.laws]
    return [
        exercise.slot,
        *laws,
        *(question_id(exercise.number, index) for index in range(MOST_QUESTIONS)),
    ]
