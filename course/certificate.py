"""The verdicts that a learner has earned, kept with the texts they are about, and the page made of
them.

What a page proves. It is made on the learner's own machine, so nothing on it is evidence by itself:
not the points, not the date, and no signature could change that, because the key would lie on the
same machine. But the page carries the text of every part, and a text can be judged again:
`judged_again` does so in isolation, from a seed that nobody chose.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course.progress import replace_file
from graders.registry.catalogue import catalogue, exercises
from graders.registry.parts import Number, titled
from graders.result import ExerciseResult
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import LARGEST_PARCEL, regular
from graders.submissions.source import digest

FOLDER = "passed"  # in the workspace's memory
FORMAT = 1
LONGEST = 200  # characters of a date, and of a machine
DATA = re.compile(rb'<script type="application/json" id="verdicts">(.*?)</script>', re.DOTALL)


class NoCertificate(Exception):
    """Why a page cannot be read; one sentence."""


@dataclass(frozen=True, slots=True)
class Passed:
    """One exercise in which every law held. date: ISO. machine: in words. text: of the part, as it
    was judged."""

    exercise: Number
    date: str
    machine: str
    text: str
    result: ExerciseResult

    @property
    def title(self) -> str:
        return titled(self.exercise)

    @property
    def sound(self) -> bool:
        """Whether the verdict is about this very text, and of this exercise."""
        return self.result.exercise == self.exercise and self.result.digest == digest(self.text)


def keep(memory: Path, result: ExerciseResult, text: str) -> None:
    """Remember a check in which every law held. `OSError` when it cannot be written."""
    if (
        not result.passed
        or len(result.laws) < len(catalogue(result.exercise).laws)
        or digest(text) != result.digest
    ):
        return
    from graders.throughput.hardware import here

    now = datetime.now(UTC).isoformat(timespec="minutes")
    data = _plain(Passed(result.exercise, now, str(here()), text, result))
    path = memory / FOLDER / f"{catalogue(result.exercise).slug}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(data) + "\n")


def kept(memory: Path) -> list[Passed]:
    """What is remembered, in the order of the exercises; what cannot be read is left out."""
    found = []
    for exercise in exercises():
        try:
            data = json.loads(
                (memory / FOLDER / f"{exercise.slug}.json").read_text(encoding="utf-8")
            )
            found.append(_passed(data))
        except (OSError, ValueError, NoCertificate):
            continue
    return found


def page(verdicts: Sequence[Passed], name: str) -> str:
    """One self-contained HTML file: the verdicts for a person, and the same with the texts as data."""
    import jinja2

    whole = {"format": FORMAT, "name": name, "passed": [_plain(each) for each in verdicts]}
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(PAGE)
    data = json.dumps(whole, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")
    missing = [
        each
        for each in exercises()
        if each.laws and each.number not in {one.exercise for one in verdicts}
    ]
    return made.render(name=name, verdicts=verdicts, missing=missing, data=data)


def read_page(path: Path) -> list[Passed]:
    """The verdicts that a page claims, one of an exercise. `NoCertificate` for what is none.
    Nothing of the page is executed, and no link is followed."""
    try:
        found = DATA.search(
            regular(path.absolute(), path.name, LARGEST_PARCEL, path.absolute().parent)
        )
    except UnusableSubmission as unusable:
        raise NoCertificate(unusable.problem) from None
    if found is None:
        raise NoCertificate(f"{path} is no page of `course certificate`.")
    try:
        data = json.loads(found[1])
        if data["format"] != FORMAT:
            raise NoCertificate(f"{path} was written by another version of the course.")
        verdicts = [_passed(each) for each in data["passed"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NoCertificate(f"the data in {path} is damaged.") from None
    if len({each.exercise for each in verdicts}) < len(verdicts):
        raise NoCertificate(f"{path} claims an exercise twice.")
    return verdicts


def as_written(path: Path, verdicts: Sequence[Passed]) -> bool:
    """Whether the page that these verdicts were read from is the one that is made of them here.

    It is not when somebody changed what it shows; nor is it when another version of the course
    wrote it.
    """
    text = path.read_bytes()
    found = DATA.search(text)
    name = json.loads(found[1]).get("name") if found else None
    return isinstance(name, str) and page(verdicts, name).encode() == text


def judged_again(
    verdicts: Sequence[Passed], *, timed: bool
) -> Iterator[tuple[Passed, ExerciseResult]]:
    """Each text judged here and now, from a fresh seed; the timed laws only when asked for."""
    from graders import grade

    for claimed in verdicts:
        exercise = catalogue(claimed.exercise)
        with tempfile.TemporaryDirectory(prefix="course-") as folder:
            part = Path(folder, exercise.file_name)
            part.write_text(claimed.text, encoding="utf-8", errors="replace", newline="\n")
            yield claimed, grade(claimed.exercise, part, laws_only=not timed)


def _plain(one: Passed) -> dict[str, Any]:
    data = {"exercise": one.exercise, "date": one.date, "machine": one.machine, "text": one.text}
    return {**data, "result": one.result.to_json()}


def _passed(data: Any) -> Passed:
    """From plain data. `NoCertificate` for anything else."""
    from graders.batch.grade_job import Unreadable, unpack

    try:
        date, machine, text = (data[name] for name in ("date", "machine", "text"))
        result = unpack(json.dumps(data["result"]).encode())
        number = data["exercise"]
    except (KeyError, TypeError, Unreadable):
        raise NoCertificate("a verdict is damaged.") from None
    known = type(number) in (int, str) and any(each.number == number for each in exercises())
    words = all(isinstance(word, str) for word in (date, machine, text))
    if not known or not words or max(len(date), len(machine)) > LONGEST:
        raise NoCertificate("a verdict is damaged.")
    return Passed(number, date, machine, text, result)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Inference kitchen · {{ name or "verdicts" }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --pass: #2a9d5c; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 52rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.15rem; margin-top: 2rem; border-top: 1px solid var(--line); padding-top: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { opacity: .7; } dd { margin: 0; }
code, pre { font-size: 13px; overflow-wrap: anywhere; } pre { overflow-x: auto; }
.held { color: var(--pass); }
</style>
</head>
<body>
<h1>Inference kitchen{% if name %} · {{ name }}{% endif %}</h1>
<p>{{ verdicts | length }} parts of an inference engine, written by hand; every law of each held in one check.</p>
{% for one in verdicts %}
<h2>{{ one.title | capitalize }} · {{ one.result.name }}</h2>
<dl>
<dt>verdict</dt><dd class="held">{{ one.result.laws | length }} of {{ one.result.laws | length }} laws held,
{{ "%g" | format(one.result.points) }} of {{ "%g" | format(one.result.max_points) }} points</dd>
<dt>when</dt><dd>{{ one.date }}</dd>
<dt>where</dt><dd>{{ one.machine }}; isolation {{ one.result.isolation }}</dd>
<dt>how</dt><dd>grader {{ one.result.grader }}, seed {{ one.result.seed }}</dd>
<dt>text</dt><dd><code>sha256 {{ one.result.digest }}</code></dd>
{% for figure in one.result.figures %}
<dt>{{ figure.name }}</dt><dd>{{ "%.4g" | format(figure.value) }} {{ figure.unit }}
{%- if figure.reference is not none %} ({{ figure.against or "reference" }}: {{ "%.4g" | format(figure.reference) }})
{%- endif %}</dd>{% endfor %}
</dl>
<details><summary>laws</summary><ul>{% for law in one.result.laws %}
<li>{{ law.number }} {{ law.name }}: {{ law.statement }}</li>{% endfor %}</ul></details>
<details><summary>the part</summary><pre>{{ one.text }}</pre></details>
{% endfor %}
{% if missing %}<p>Not passed yet: {% for each in missing %}{{ each.title }}, {{ each.name }}
{{- "; " if not loop.last }}{% endfor %}.</p>{% endif %}
<h2>What this page proves</h2>
<p>It was written on the learner's own machine, which proves nothing: numbers can be typed. But it carries the text of
every part. Whoever has the course judges these texts again, in isolation and from a fresh seed:</p>
<pre>course certificate --verify FILE</pre>
<script type="application/json" id="verdicts">{{ data | safe }}</script>
</body>
</html>
"""
