"""The preprocessor of `nbgrader generate_assignment` that makes the student's cell of the solution."""

from __future__ import annotations

from typing import Any

from nbgrader.preprocessors import ClearSolutions

from course.nbgrader_glue import solution_cell
from course.nbgrader_glue.notebook import stub_cell
from course.nbgrader_glue.write_outputs import grade_id


class CourseStub(ClearSolutions):  # type: ignore[misc]
    """Clears solutions as nbgrader does, but makes of the solution cell of an exercise the same
    stub as the course.

    nbgrader would put an error where private machinery stood outside of any function, and the stub
    could not be run.
    """

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Change the cell in place."""
        exercise = solution_cell.exercise_of(resources["nbgrader"]["notebook"])
        if exercise is not None and grade_id(cell) == exercise.slot:
            cell.source = stub_cell(cell.source)
            return cell, resources
        changed: tuple[Any, Any] = super().preprocess_cell(cell, resources, cell_index)
        return changed
