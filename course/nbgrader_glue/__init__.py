"""The course inside nbgrader: notebooks made from the solutions, grading without a kernel, a safe
export.

nbgrader is an extra and slow to import, so the classes that its configuration names are imported
when asked for: `course.nbgrader_glue.CourseGrade` and the others in `PLUGINS`.
"""

from __future__ import annotations

import importlib
from typing import Any

PLUGINS = {
    "CourseStub": "releasing",
    "CourseExporter": "guarded_exporter",
    "CourseRestore": "autograding",
    "CourseGrade": "autograding",
    "CourseSave": "autograding",
    "LateByDay": "lateness",
    "SafeCsv": "exporting",
}


def __getattr__(name: str) -> Any:
    if name not in PLUGINS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{PLUGINS[name]}"), name)
