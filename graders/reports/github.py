"""GitHub Actions: annotations on stdout, the job summary (Markdown) in the file that Actions names,
and a check run.

The check run stands at the pull request: the job that judges was started by another one, and what
it prints is seen there by nobody. Actions shows ten annotations of a kind for a step, so the last
one says how many more there are. What else is printed stands between stop-commands lines with a
token nobody can guess: a part cannot speak to the runner.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graders.registry.parts import PARTS, titled
from graders.reports import markdown, words
from graders.reports.plain import legal, line
from graders.reports.row import Row
from graders.result import LawResult, Outcome

MOST = 10  # annotations of one kind
LARGEST_SUMMARY = 1 << 20  # bytes
MOST_OF_CHECK = 50  # annotations of a check run, in one request
LARGEST_CHECK = 65_535  # characters of each text of a check run
NAME = "Inference kitchen"
SUMMARY = "GITHUB_STEP_SUMMARY"
_KINDS = {Outcome.UNGRADED: "warning"}


def render(rows: Sequence[Row], token: str = "") -> str:
    """What goes to stdout. token: ends the part in which no command is obeyed; drawn when empty."""
    token = token or secrets.token_hex(16)
    text = "\n".join(
        f"{line(row.shown)} · {row.exercise} · {words.score(row)} · {words.verdict(row)}"
        for row in rows
    )
    return "\n".join([f"::stop-commands::{token}", text, f"::{token}::", *notes(rows)]) + "\n"


def notes(rows: Sequence[Row]) -> list[str]:
    """At most ten errors and ten warnings, the laws that broke first."""
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for row in rows:
        for law in row.result.laws:
            kind = "error" if law.outcome.failed else _KINDS.get(law.outcome)
            if kind:
                found[kind].append(_annotation(kind, row, law))
    return [text for kind, texts in found.items() for text in _capped(kind, texts)]


def summary(rows: Sequence[Row], largest: int = LARGEST_SUMMARY) -> str:
    """The job summary, at most so many bytes."""
    text = markdown.render(rows)
    data = text.encode()
    if len(data) <= largest:
        return text
    note = "\n\n(cut: the whole is longer than a job summary may be)\n"
    cut = data[: largest - len(note.encode())].decode(errors="ignore")
    return cut.rpartition("\n")[0] + note


def check(rows: Sequence[Row]) -> str:
    """The check run as GitHub's API takes it, but for the commit that it is about: `head_sha`."""
    judged = bool(rows) and not any(words.ungraded(row) for row in rows)
    passed = judged and all(row.result.passed for row in rows)
    said = "; ".join(
        f"{titled(row.exercise)}: {words.score(row)} points"
        for row in rows
        if not words.ungraded(row)
    )
    found = [_note(row, law) for row in rows for law in row.result.laws if law.outcome.failed]
    output = {
        "title": line(said or "could not be judged", 200),
        "summary": summary(rows, LARGEST_CHECK),
        "annotations": found[:MOST_OF_CHECK],
    }
    conclusion = "success" if passed else "failure" if judged else "neutral"
    whole = {"name": NAME, "status": "completed", "conclusion": conclusion, "output": output}
    return json.dumps(whole, indent=1) + "\n"


def _note(row: Row, law: LawResult) -> dict[str, Any]:
    """An annotation of a check run: of a line, or where none is known of the file."""
    at = words.line_of(law) if row.source.endswith(".py") else 0
    note = {"path": _relative(row.source), "start_line": at or 1, "end_line": at or 1}
    said = legal(law.message or law.statement)[:LARGEST_CHECK]
    return {
        **note,
        "annotation_level": "failure",
        "title": line(_about(row, law), 200),
        "message": said,
    }


def append_summary(rows: Sequence[Row]) -> bool:
    """Add the summary where Actions wants it; False outside of Actions."""
    place = os.environ.get(SUMMARY)
    if not place:
        return False
    with Path(place).open("a", encoding="utf-8") as file:
        file.write(summary(rows))
    return True


def _annotation(kind: str, row: Row, law: LawResult) -> str:
    where = [f"file={_property(_relative(row.source))}"] if row.source else []
    where += (
        [f"line={words.line_of(law)}"] if row.source.endswith(".py") and words.line_of(law) else []
    )
    where.append(f"title={_property(f'{row.shown}: {_about(row, law)}')}")
    return f"::{kind} {','.join(where)}::{_message(law.message or law.statement)}"


def _about(row: Row, law: LawResult) -> str:
    """What an annotation is about, in a few words."""
    return (
        words.title(law)
        if not row.problem
        else titled(row.exercise)
        if row.exercise
        else "handed in"
    )


def _capped(kind: str, texts: list[str]) -> list[str]:
    if len(texts) <= MOST:
        return texts
    more = len(texts) - MOST + 1
    return [*texts[: MOST - 1], f"::{kind} title=and {more} more::The job summary lists them all."]


def _relative(source: str) -> str:
    """The file as its student's repository has it: what was packed lies in exercises/ there."""
    packed = Path(source)
    if packed.parent.name in {part.slug for part in PARTS}:
        return f"exercises/{packed.parent.name}/{packed.name}"
    home = os.environ.get("GITHUB_WORKSPACE") or os.getcwd()
    path = os.path.relpath(source, home)
    return source if path.startswith("..") else path


def _message(text: str) -> str:
    return legal(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(line(text)).replace(":", "%3A").replace(",", "%2C")
