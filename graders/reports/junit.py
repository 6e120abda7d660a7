"""JUnit XML, family junit-10: a suite for each row, a case for each law.

fail, timeout, crash and invalid are failures; ungraded is an error; a law whose needs did not pass
is skipped.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from graders.registry.parts import titled
from graders.reports import words
from graders.reports.plain import legal, line, number
from graders.reports.row import Row
from graders.result import LawResult, Outcome


def render(rows: Sequence[Row]) -> str:
    """The document, with its declaration."""
    root = ElementTree.Element("testsuites", name="inference-kitchen")
    for each in rows:
        root.append(_suite(each))
    ElementTree.indent(root, " ")
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + ElementTree.tostring(root, encoding="unicode")
        + "\n"
    )


def _suite(row: Row) -> ElementTree.Element:
    laws = row.result.laws
    suite = ElementTree.Element(
        "testsuite",
        name=line(f"{row.shown} · {titled(row.exercise)}"),
        tests=str(len(laws)),
        failures=str(sum(law.outcome.failed for law in laws)),
        errors=str(sum(law.outcome is Outcome.UNGRADED for law in laws)),
        skipped=str(sum(law.outcome is Outcome.SKIPPED for law in laws)),
        time=f"{row.result.seconds:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(row):
        ElementTree.SubElement(properties, "property", name=name, value=line(value))
    for law in laws:
        suite.append(_case(row, law))
    return suite


def _properties(row: Row) -> list[tuple[str, str]]:
    result = row.result
    named = [
        ("student", row.shown),
        ("exercise", str(row.exercise)),
        ("score", number(result.points)),
        ("max_score", number(result.max_points)),
        ("isolation", result.isolation),
        ("advisory", str(result.advisory).lower()),
        ("state", words.state(row)),
        ("grader", result.grader),
    ]
    return named + [
        (f"figure {figure.name}", f"{number(figure.value)} {figure.unit}")
        for figure in result.figures
    ]


def _case(row: Row, law: LawResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=line(f"{row.shown}.exercise{row.exercise}"),
        name=words.title(law),
        time=f"{law.seconds:.3f}",
    )
    message = line(law.message or law.statement)
    if law.outcome.failed:
        child = ElementTree.SubElement(case, "failure", message=message, type=str(law.outcome))
        child.text = words.feedback(law)
    elif law.outcome is Outcome.UNGRADED:
        child = ElementTree.SubElement(case, "error", message=message, type=str(law.outcome))
        child.text = words.feedback(law)
    elif law.outcome is Outcome.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=message, type="unmet")
    if law.output.strip():
        ElementTree.SubElement(case, "system-out").text = legal(law.output)
    return case
