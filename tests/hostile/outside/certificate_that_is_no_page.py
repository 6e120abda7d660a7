"""A certificate that is a pipe, a device without end, or a page of half letters and of words without end."""

import json
import os

from hostile.suite import within

from course.certificate import DATA, NoCertificate, Passed, page, read_page
from course.terminal import clean
from graders.batch.grade_job import without_a_try
from graders.batch.jobs import GradeJob
from graders.result import Outcome

RESULT = without_a_try(GradeJob("bob", 1, "x", "x", "k"), "", Outcome.PASS)
ODD = {"date": "\ud800" * 10, "machine": "x" * 1_000_000, "text": "\ud800\udfff"}
LONGEST = 1000


def tried(path):
    try:
        return read_page(path)
    except NoCertificate:
        return []


def attack(folder):
    os.mkfifo(folder / "pipe")
    (folder / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        if within(10, lambda: tried(folder / name)) is None:
            yield f"a page that is a {name} keeps whoever verifies it waiting"
    made = page([Passed(1, "2026", "here", "# mine", RESULT)], "bob").encode()
    for name, value in ODD.items():
        data = json.loads(DATA.search(made)[1])
        data["passed"][0][name] = value
        (folder / "odd").write_bytes(
            DATA.sub(
                lambda _: DATA.search(made)[0].replace(
                    DATA.search(made)[1], json.dumps(data).encode()
                ),
                made,
            )
        )
        for one in tried(folder / "odd"):
            said = f"{one.title} {one.sound} {clean(one.date)} {clean(one.machine)}"
            said.encode()
            if len(said) > LONGEST:
                yield f"a {name} of {len(said)} letters is printed"
