"""Every report: what a machine insists on, what a person needs, and what a submission cannot
smuggle in."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from sample_rows import (
    EVIL,
    FIGURES,
    FORMULA,
    HUNG,
    NOTHING,
    RIGHT,
    ROWS,
    STUB,
    UNGRADED,
    WRONG,
    Gradescope,
    law,
)

from graders.reports import (
    csv_report,
    github,
    gradescope,
    html,
    json_report,
    junit,
    markdown,
    writing,
)
from graders.reports.plain import cell
from graders.reports.row import Row
from graders.reports.similarity import Alike
from graders.reports.template import SCRIPT
from graders.result import Figure, Outcome


@pytest.mark.parametrize("kind", sorted(set(writing.KINDS) - {"gradescope"}))
def test_every_report_is_text_that_can_be_written(kind: str, tmp_path: Path) -> None:
    text = writing.render(kind, ROWS)
    (tmp_path / "report").write_text(text, encoding="utf-8")
    assert not re.search(r"[\x00-\x08\x1b\x7f\ud800-\udfff]", text)
    assert writing.render(kind, ())


# ---------------------------------------------------------------- json


class LawInJson(msgspec.Struct, forbid_unknown_fields=True):
    number: str
    name: str
    statement: str
    outcome: Literal["pass", "fail", "skipped", "timeout", "crash", "invalid", "ungraded"]
    points: float
    max_points: float
    message: str
    story: dict[str, Any] | None
    seconds: float
    cases: int
    output: str
    reason: Literal["", "unwritten"]


def test_json_holds_everything_and_no_nan() -> None:
    document = json.loads(json_report.render(ROWS), parse_constant=pytest.fail)
    assert document["summary"] == {
        "rows": 5,
        "students": 5,
        "passed": 1,
        "states": {"fail": 2, "pass": 1, "timeout": 1, "ungraded": 1},
    }
    rows = document["rows"]
    msgspec.convert([each for row in rows for each in row["result"]["laws"]], list[LawInJson])
    assert rows[0]["result"]["figures"][1]["value"] is None
    assert rows[3]["state"] == "ungraded"


# ---------------------------------------------------------------- junit

SUITE = {"name", "tests", "failures", "errors", "skipped", "time"}
CASE = {"name", "classname", "time"}
INSIDE = {"failure", "error", "skipped", "system-out"}


def test_junit_keeps_the_schema_of_the_family_junit_10() -> None:
    root = ElementTree.fromstring(junit.render(ROWS))
    assert root.tag == "testsuites"
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == SUITE
        properties, *cases = suite
        assert {(each.tag, tuple(sorted(each.attrib))) for each in properties} == {
            ("property", ("name", "value"))
        }
        assert int(suite.attrib["tests"]) == len(cases)
        for what in ("failure", "error", "skipped"):
            count = sum(case.find(what) is not None for case in cases)
            assert int(suite.attrib[what if what == "skipped" else f"{what}s"]) == count
        for case in cases:
            assert (case.tag, set(case.attrib)) == ("testcase", CASE)
            assert {each.tag for each in case} <= INSIDE
            assert all(set(each.attrib) <= {"message", "type"} for each in case)


def test_junit_calls_each_outcome_by_its_name() -> None:
    suites = list(ElementTree.fromstring(junit.render(ROWS)))
    kinds = [
        [next((each.tag for each in case), "passed") for case in suite.findall("testcase")]
        for suite in suites
    ]
    assert kinds == [
        ["passed", "passed"],
        ["failure", "skipped"],
        ["passed", "failure"],
        ["passed", "error"],
        ["failure"],
    ]
    properties = {each.get("name"): each.get("value") for each in suites[0].iter("property")}
    assert properties["score"] == f"{RIGHT.result.points:g}"
    assert properties["isolation"] == "L4"


# ---------------------------------------------------------------- gradescope


@pytest.mark.parametrize("row", ROWS)
def test_gradescope_takes_every_result(row: Row) -> None:
    found = msgspec.json.decode(gradescope.render([row]).encode(), type=Gradescope)
    if row is UNGRADED:
        assert found.score is None  # Gradescope then says that the autograder failed; never a zero
        assert not found.tests
    else:
        assert found.score == row.result.points == sum(test.score for test in found.tests)


def test_gradescope_is_told_of_a_crash_without_a_score() -> None:
    found = msgspec.convert(gradescope.crashed("the disk is full."), Gradescope)
    assert found.score is None
    assert "not your part's fault" in found.output


def test_gradescope_gets_no_score_from_less_isolation_than_is_required() -> None:
    advisory = replace(RIGHT, result=replace(RIGHT.result, isolation="L1", advisory=True))
    found = msgspec.json.decode(gradescope.render([advisory]).encode(), type=Gradescope)
    assert found.score is None and not found.tests
    assert "Isolation L1, below what is required: no score is given." in found.output


def test_gradescope_is_about_one_student() -> None:
    with pytest.raises(gradescope.ManyStudents, match="about one student"):
        gradescope.render(ROWS)


def test_only_ratios_of_speeds_are_on_the_leaderboard() -> None:
    (leader,) = gradescope.document([RIGHT])["leaderboard"]
    assert leader == {"name": FIGURES[0].name, "value": 0.97, "order": "desc"}


# ---------------------------------------------------------------- github


def test_a_part_cannot_speak_to_the_runner() -> None:
    lines = github.render(ROWS, token="TOKEN").splitlines()
    assert lines[0] == "::stop-commands::TOKEN"
    after = lines[lines.index("::TOKEN::") + 1 :]
    assert len(after) == 4
    assert all(re.fullmatch(r"::(error|warning) [^:\n]*::[^\n]*", line) for line in after)
    assert all(line.count("::stop-commands") == 0 or line.startswith("::error") for line in after)


def test_annotations_name_the_file_the_line_and_the_law(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    row = replace(WRONG, student="a,b:c", source=str(tmp_path / "class/a.py"))
    (note, *_) = github.notes([row])
    assert note.startswith(
        "::error file=class/a.py,line=41,title=a%2Cb%3Ac%3A 3.1 longest prefix::"
    )
    assert "%0A" in note
    assert "%250A" in note  # the percent sign of the message itself


def test_of_a_part_that_could_not_be_tried_no_law_is_said_to_be_broken() -> None:
    assert github.notes([STUB, NOTHING]) == [
        "::error file=f,title=fay%3A exercise 3::f is the untouched stub.",
        "::error file=e,title=eve%3A handed in::e is empty.",
    ]
    rows = list(csv.DictReader(io.StringIO(csv_report.render([STUB, WRONG]))))
    assert [row["laws_broken"] for row in rows] == ["", "3.1"]
    assert rows[0]["verdict"] == "f is the untouched stub."
    assert 'class="law fail"' not in html.render([STUB]) and 'class="law fail"' in html.render(
        [WRONG]
    )


def test_what_a_part_printed_is_told_where_it_broke_a_law_only() -> None:
    said = replace(
        RIGHT.result,
        laws=(law(1, Outcome.PASS, output="hello"), law(2, Outcome.FAIL, output="bye")),
    )
    outputs = [
        test["output"] for test in gradescope.document([replace(RIGHT, result=said)])["tests"]
    ]
    assert "hello" not in outputs[0] and outputs[1].endswith("It printed:\nbye")


def test_no_more_than_ten_annotations_of_a_kind() -> None:
    notes = github.notes([HUNG] * 25 + [UNGRADED] * 11)
    errors = [note for note in notes if note.startswith("::error")]
    assert len(errors) == 10
    assert "and 16 more" in errors[-1]
    assert len([note for note in notes if note.startswith("::warning")]) == 10


def test_a_check_run_says_what_came_of_it_within_what_github_takes() -> None:
    told = json.loads(github.check([replace(WRONG, student=str(number)) for number in range(80)]))
    assert (told["conclusion"], len(told["output"]["annotations"])) == (
        "failure",
        github.MOST_OF_CHECK,
    )
    assert (
        len(told["output"]["summary"]) <= github.LARGEST_CHECK
        and len(told["output"]["title"]) <= 200
    )
    concluded = [json.loads(github.check([row]))["conclusion"] for row in (RIGHT, UNGRADED, STUB)]
    assert concluded == ["success", "neutral", "failure"]


def test_the_job_summary_is_cut_at_a_mebibyte(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(github.SUMMARY, str(tmp_path / "summary"))
    rows = [replace(WRONG, student=f"{number} " + "ß" * 250) for number in range(3000)]
    assert github.append_summary(rows)
    data = (tmp_path / "summary").read_bytes()
    assert github.LARGEST_SUMMARY - 2000 < len(data) <= github.LARGEST_SUMMARY
    assert "longer than a job summary may be" in data.decode()
    monkeypatch.delenv(github.SUMMARY)
    assert not github.append_summary(ROWS)


# ---------------------------------------------------------------- markdown


def test_markdown_escapes_names_and_messages() -> None:
    text = markdown.render(ROWS)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 7 for line in table)
    assert "<script>" not in re.sub(r"`{3,}text.*?`{3,}", "", text, flags=re.DOTALL)
    assert "@everyone" not in "".join(table)


def test_a_fence_cannot_be_closed_from_inside() -> None:
    assert markdown.fenced("```\n# out").startswith("````text\n")


# ---------------------------------------------------------------- csv


def test_csv_is_quoted_and_computes_nothing() -> None:
    text = csv_report.render(ROWS)
    head, *rows = list(csv.reader(io.StringIO(text)))
    assert tuple(head) == csv_report.COLUMNS
    assert rows[2][0] == f"'{FORMULA}"
    assert len(rows) == 5
    assert all(value == cell(value.removeprefix("'")) for row in rows for value in row)
    assert text.count('"') % 2 == 0


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝"])
def test_nothing_that_begins_a_formula_stays_first(start: str) -> None:
    assert cell(f"{start}1+1").startswith("'")


def test_points_that_are_not_known_are_empty_and_no_zero() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_report.render(ROWS))))
    assert rows[3]["points"] == ""
    assert rows[1]["points"] == "0"


# ---------------------------------------------------------------- html


class Page(HTMLParser):
    """The tags of a page, and whether they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_overview_is_one_closed_page_that_fetches_nothing_and_runs_our_script_alone() -> None:
    text = html.render(ROWS, [EVIL])
    page = Page(text)
    assert page.open == []
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("script") == 1 and f"<script>{SCRIPT}</script>" in text
    assert {link[0] for link in page.links} == {"#"}


def test_a_cell_of_the_overview_says_its_outcome_without_colour_and_leads_to_the_story() -> None:
    text = html.render(ROWS)
    assert '<a href="#s1-3-1" aria-label="fail">✗</a>' in text
    assert '<details id="s1-3-1">' in text and "prefix_cache.py:41 (match)" in text


def test_the_overview_names_the_absent_equal_parts_and_the_bound() -> None:
    twin = replace(RIGHT, student="zoe")
    text = html.render([RIGHT, twin, WRONG], ["yan"])
    assert "Nothing of 1: yan." in text
    assert html.identical([RIGHT, twin, WRONG, STUB, STUB]) == [
        {"title": "exercise 3", "students": ["ada", "zoe"]}
    ]
    assert "The red line is the bound, 0.8" in text


def test_the_overview_says_who_was_late_and_whose_parts_are_alike() -> None:
    text = html.render([RIGHT, WRONG], late={RIGHT.who: 1.25}, alike=[Alike(3, "ada", "zoe", 0.9)])
    assert f"Late, 1:\n{RIGHT.student} (1.25 days)." in text and '<td class="n">1.25</td>' in text
    assert "<li>Exercise 3: ada and zoe, 90%</li>" in text
    assert "days late" not in html.render([RIGHT, WRONG])


def test_the_most_frequent_messages_of_a_law_are_counted_whatever_their_values() -> None:
    rows = [replace(HUNG, result=replace(HUNG.result, laws=(replace(HUNG.result.laws[1], message=said),)))
            for said in ("got 1 of 2", "got 30 of 4", "none")]  # fmt: skip
    (law,) = html.hardest(rows)
    assert law["reasons"] == [{"text": "got … of …", "count": 2}, {"text": "none", "count": 1}]


def test_the_overview_of_300_students_is_under_two_megabytes() -> None:
    assert len(html.render([WRONG, RIGHT, HUNG] * 100).encode()) < 2 << 20


def test_the_overview_shows_who_holds_what_and_what_fails_most() -> None:
    text = html.render(ROWS)
    assert 'class="law timeout"' in text
    assert "&lt;script&gt;" in text
    assert [entry["title"] for entry in html.hardest([WRONG, WRONG, HUNG])] == [
        "3.1 longest prefix",
        "3.2 whole blocks",
    ]


def test_the_distribution_counts_every_right_part_once() -> None:
    rows = [
        replace(RIGHT, result=replace(RIGHT.result, figures=(Figure("speed", value, "x"),)))
        for value in (1, 1, 2)
    ]
    (chart,) = html.charts(rows)
    assert (chart["count"], chart["median"], chart["low"], chart["high"]) == (3, "1", "1", "2")
    assert [bar["tip"].split()[0] for bar in chart["bars"]] == ["2", "1"]


def test_a_report_of_rows_that_do_not_fit_says_so() -> None:
    with pytest.raises(ValueError, match="one student"):
        writing.render("gradescope", ROWS)


@pytest.mark.parametrize("kind", ["csv", "markdown", "html", "junit", "github"])
def test_no_two_students_look_alike(kind: str) -> None:
    names = ["bob", "bob ", " bob", "b ob", "b  ob", "b\u00a0ob", "b\tob", "b\nob", "bob\u3000"]
    texts = {
        writing.render(kind, [replace(RIGHT, student=name, source="", key="")]) for name in names
    }
    assert len(texts) == len(names)


@pytest.mark.parametrize("kind", ["json", "junit", "gradescope", "github", "markdown"])
def test_no_report_that_a_student_sees_holds_the_seed(kind: str) -> None:
    assert "987654321987" not in writing.render(
        kind, [replace(RIGHT, result=replace(RIGHT.result, seed=987654321987))]
    )
