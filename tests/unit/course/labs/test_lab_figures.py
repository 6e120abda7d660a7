"""Figures of labs: every measured point is drawn, predictions are whose they say, nothing lies on
the legend."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_labs import lab1, lab3, lab4, race, setup

from course import progress
from course.drawings import panels
from course.drawings.panels import Curve, Figure, Panel, number, ticks
from course.labs.figures import figure
from course.labs.formulas import NOT_BUILT, Formulas, formulas
from course.labs.tables import render
from course.terminal import console
from course.workspace import Workspace
from graders.experiments.lab_names import LABS
from graders.experiments.results import LabResults
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, LawResult, Outcome
from graders.submissions.source import digest

SVG = "{http://www.w3.org/2000/svg}"
NONE = Formulas(NOT_BUILT)
RATES = {"reference": {0: 100.0, 1: 50.0, 16: 300.0}, "naive": {0: 50.0, 1: 40.0, 16: 90.0}}
LABS_MADE_UP = {
    "1": lab1(race(RATES)),
    "3": lab3(),
    "4": lab4(),
    "nothing": LabResults(setup(2), ("a",)),
}


@pytest.mark.parametrize("name", LABS_MADE_UP)
def test_a_figure_is_an_svg_that_stands_alone(name: str) -> None:
    drawn = panels.svg(figure(LABS_MADE_UP[name], NONE))
    root = ET.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert "nan" not in drawn and "inf" not in drawn.lower().replace("infer", "")
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    spots = [(float(each.attrib["x"]), float(each.attrib["y"])) for each in root.iter(f"{SVG}text")]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in spots)


def test_legends_stand_above_the_axes() -> None:
    """A curve as high as it can be does not reach its own name."""
    panel = Panel("t", "x", "y", (Curve("the name", ((1.0, 1.0), (2.0, 10.0))),))
    root = ET.fromstring(panels.svg(Figure("f", "", (panel,))))
    name = next(
        float(each.attrib["y"]) for each in root.iter(f"{SVG}text") if each.text == "the name"
    )
    assert name < min(float(each.attrib["cy"]) for each in root.iter(f"{SVG}circle"))


def test_what_was_not_measured_is_said_in_its_panel() -> None:
    assert "not measured" in panels.svg(figure(LabResults(setup(2), ("a",)), NONE))


def test_predictions_are_of_the_formulas_given_and_the_legend_says_whose() -> None:
    mine = Formulas(
        "your formula", SimpleNamespace(tokens_a_pass_chain=lambda alpha, depth: 1 + alpha * depth)
    )
    panel = next(
        each for each in figure(lab4(), mine).panels if each.title == "A chain of best guesses"
    )
    predicted = next(each for each in panel.curves if each.style == "formula")
    assert predicted.name == "your formula"
    assert predicted.points == ((2.0, 2.6), (3.0, pytest.approx(3.4)))


def test_a_formula_that_raises_leaves_a_gap_and_nothing_else() -> None:
    wrong = Formulas(
        "your formula", SimpleNamespace(requests_in_flight=lambda rate, seconds: 1 / 0)
    )
    panel = next(each for each in figure(lab3(), wrong).panels if each.title == "In flight")
    assert not panel.curves[1].points and panel.curves[0].points


TRUSTED = "def parameters(shape):\n    return 42\n"


def judged_well(place: Workspace, text: str) -> None:
    """Remember that every law of lab 1 held for this text."""
    laws = [
        LawResult(law.number, law.name, law.statement, Outcome.PASS, law.points, law.points)
        for law in catalogue("lab1").laws
    ]
    known = progress.load(place.memory)
    known.record(ExerciseResult("lab1", "what a step costs", "", tuple(laws), digest=digest(text)))
    known.save()


def test_the_learners_formulas_are_taken_while_every_law_holds_for_them(tmp_path: Path) -> None:
    """What was passed once says nothing of the text that is there now; that of a notebook counts as
    a file's does."""
    name, place = LABS[1], Workspace(tmp_path)
    file = tmp_path / "exercises" / name.slug / f"{name.module}.py"
    file.parent.mkdir(parents=True)
    file.write_text(TRUSTED)
    assert not formulas(1, place).own
    judged_well(place, TRUSTED)
    assert formulas(1, place).own and formulas(1, place)("parameters", None) == 42
    file.write_text(TRUSTED.replace("42", "43"))
    assert not formulas(1, place).own
    told = "".join(str(block) for block in render(LABS_MADE_UP["1"], place))
    assert "course check lab1" in told
    judged_well(place, "this is no Python")
    file.write_text("this is no Python")
    assert not formulas(1, place).own


def test_break_even_is_marked() -> None:
    panel = figure(lab4(), NONE).panels[-1]
    assert len(panel.marks) == len(LABS[4].models)
    assert all(16 < x < 64 and re.fullmatch(r"even at \d+", told) for x, told in panel.marks)


@pytest.mark.parametrize("name", LABS_MADE_UP)
def test_a_lab_is_told_in_the_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for block in render(LABS_MADE_UP[name], None):
        console().print(block, soft_wrap=True)
    assert "redictions: " in capsys.readouterr().out


def test_a_png_shows_the_same_panels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    panels.png(figure(lab4(), NONE), tmp_path / "lab4.png")
    assert (tmp_path / "lab4.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "expected"),
    [
        (0.0, 1.0, False, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.0, 0.0, False, (0.0, 0.2)),
        (3.0, 400.0, True, (1.0, 10.0, 100.0, 1000.0)),
        (1.0, 1.0, True, (1.0, 10.0)),
    ],
)
def test_ticks_are_round_and_reach_around(
    low: float, high: float, logarithmic: bool, expected: tuple[float, ...]
) -> None:
    found = ticks(low, high, logarithmic=logarithmic)
    assert found[0] <= low and found[-1] >= high
    assert expected[:2] == found[:2]


def test_numbers_are_written_as_people_write_them() -> None:
    assert [number(value) for value in (0.25, 1.0, 12.34, 12345.0)] == ["0.25", "1", "12", "12,345"]
