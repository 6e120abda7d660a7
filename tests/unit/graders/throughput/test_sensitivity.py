"""The table of slower and slower solutions: what is slowed, and what is printed."""

from __future__ import annotations

from pathlib import Path

from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Figure, LawResult, Outcome
from graders.throughput.sensitivity import rows, slowed, table


def test_the_functions_of_exercise_4_and_the_methods_of_the_others_are_slowed() -> None:
    assert "verify_greedy = _slow(verify_greedy)\n" in slowed(catalogue(4), 5)
    assert "_walk = " not in slowed(catalogue(4), 5)
    assert "setattr(Scheduler, _name" in slowed(catalogue(2), 5)
    for exercise in (1, 2, 3, 4, 5):
        compile(slowed(catalogue(exercise), 20), "slowed", "exec")


def test_the_table_has_a_column_for_each_factor_and_the_points_last() -> None:
    def judge(exercise: int, path: Path) -> ExerciseResult:
        points = 5.0 if "_slowed" in path.read_text() else 20.0
        law = LawResult("4.14", "fast enough", "", Outcome.FAIL, points, 20)
        return ExerciseResult(
            4, "medusa", "", (law,), (Figure("pass, speed beside the reference", points / 20, "x"),)
        )

    lines = table(4, rows(4, [1, 20], judge)).splitlines()
    assert lines[0].split()[-2:] == ["1x", "20x"]
    assert lines[1].split() == ["pass", "1.00", "0.25"] and lines[2].split() == [
        "points",
        "of",
        "20",
        "20",
        "5",
    ]
