"""What a submission prints and raises reaches every report as text: nothing in it is obeyed by what
shows it."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from conftest import Type
from hostile import suite

from graders import ExerciseResult, grade
from graders.reports import csv_report, github, gradescope, html, json_report, junit, markdown
from graders.reports.row import Row

NASTY = '<script>alert("1")</script>'
STUDENT = "=cmd|' /C calc'!A0,<b>me</b>"
TEXT = """
from right import Right

NASTY = '<script>alert("1")</script>'
print(NASTY)
print("::set-output name=grade::100\\n##[error]owned\\n::stop-commands::x\\n::warning::w")
print("\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\u202e=1+1\\n@SUM(1)\\r\\x00")
print("```\\n![x](http://example.org/x.png)\\n]]>&amp;")


class BlockManager(Right):
    def admit(self, *_):
        raise RuntimeError(NASTY + "\\n::error::owned\\x1b[31m ![x](http://example.org) ```")
"""


@pytest.fixture(scope="module")
def result() -> ExerciseResult:
    with suite.yard() as place:
        place.submission.write_text(suite.whole(TEXT))
        return grade(1, place.submission, seed=suite.SEED, only=[suite.LAW])


@pytest.fixture
def rows(result: ExerciseResult) -> list[Row]:
    return [Row(STUDENT, 1, result, source="block_manager.py")]


def test_the_result_holds_what_it_was_sent(result: ExerciseResult) -> None:
    """Or the tests below show nothing."""
    assert NASTY in result.laws[0].message
    assert "::set-output" in result.laws[0].output


def test_html_shows_tags_as_text(rows: list[Row]) -> None:
    page = html.render(rows)
    assert NASTY not in page
    assert "<b>me</b>" not in page


def test_no_cell_of_a_table_is_a_formula(rows: list[Row]) -> None:
    for line in csv.reader(io.StringIO(csv_report.render(rows))):
        assert not [cell for cell in line if cell.startswith(("=", "+", "@", "\t", "\r"))]


def test_no_workflow_command_is_the_submissions(rows: list[Row]) -> None:
    """Between `::stop-commands::<token>` and `::<token>::` nothing is a command, elsewhere all is
    ours."""
    stopped = ""
    for line in github.render(rows).splitlines():
        if stopped:
            stopped = "" if line == f"::{stopped}::" else stopped
        elif line.startswith("::stop-commands::"):
            stopped = line.removeprefix("::stop-commands::")
            assert stopped != "x"
        elif line.lstrip().startswith("::"):
            assert line.startswith(("::error ", "::warning ", "::notice "))
            assert "title=" in line
        assert stopped or not line.startswith("##[")
    assert not stopped


@pytest.mark.parametrize("render", [markdown.render, github.summary])
def test_markdown_shows_tags_and_pictures_as_text(render: object, rows: list[Row]) -> None:
    assert callable(render)
    text = render(rows)
    outside = [part for number, part in enumerate(text.split("````")) if number % 2 == 0]
    assert not [part for part in outside if NASTY in part or "![x](" in part]


def test_xml_and_json_are_well_formed_and_hold_no_control_characters(rows: list[Row]) -> None:
    text = junit.render(rows)
    ElementTree.fromstring(text)
    assert "\x1b" not in text
    for rendered in (json_report.render(rows), gradescope.render(rows)):
        assert "\x1b" not in rendered
        json.loads(rendered)


def test_gradescope_is_never_given_html(rows: list[Row]) -> None:
    formats = {
        value for name, value in _pairs(gradescope.document(rows)) if name.endswith("format")
    }
    assert formats <= {"text", "simple_format", 1}


def test_the_terminal_is_given_no_escape_sequence(
    course: Type, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("work") / "block_manager.py"
    path.write_text(suite.whole(TEXT))
    shown = course("check", "1.1", "--using", str(path))
    assert shown.code == 1
    assert "owned" in shown.out
    assert not [letter for letter in "\x1b\x9b\x07\x00\r\u202e" if letter in shown.out]


def _pairs(data: object) -> list[tuple[str, object]]:
    if isinstance(data, dict):
        return [*data.items(), *(pair for value in data.values() for pair in _pairs(value))]
    return [pair for value in data for pair in _pairs(value)] if isinstance(data, list) else []
