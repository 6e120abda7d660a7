"""Students whose names look like a neighbour's: letters of other alphabets, wide ones, blanks, unseen marks."""

import unicodedata

from graders.batch.grade_job import without_a_try
from graders.batch.jobs import GradeJob
from graders.reports import writing
from graders.reports.row import Row

NAMES = [
    "bob",
    "b\u043eb",
    "\uff42ob",
    "bob ",
    " bob",
    "bob\u200b",
    "bo\u2060b",
    "bob\u00a0",
    "b\u03bfb",
    "bob\ufe0f",
]
NAMES += ["\u0430\u0440\u0435", "ape"]
PLAIN = str.maketrans("\u043e\u03bf\u0430\u0440\u0435", "ooape")


def attack(folder):
    rows = [
        Row(name, 1, without_a_try(GradeJob(name, 1, "x", "x", "k"), "Not graded."))
        for name in NAMES
    ]
    for kind in ("csv", "html", "markdown"):
        told = writing.render(kind, rows)
        seen = {}
        for name, row in zip(NAMES, writing.told_apart(rows), strict=True):
            look = (
                unicodedata.normalize("NFKC", row.shown)
                .translate(PLAIN)
                .strip("\ufe0f\u200b\u2060 ")
            )
            if look in seen:
                yield f"{name!r} and {seen[look]!r} look alike in {kind}"
            seen[look] = name
            if kind == "csv" and row.shown not in told:
                yield f"{name!r} is not in {kind} as it is shown"
